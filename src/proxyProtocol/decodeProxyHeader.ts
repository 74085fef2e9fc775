// Decodes a header of the PROXY protocol. It refuses a header that could be read in two ways.

import {
  type Address,
  formatIPv4,
  formatIPv6,
  Inet6Address,
  InetAddress,
  parseIPv4,
  parseIPv6,
  UnixAddress,
} from "../addr/index.js";
import { nameText } from "../addr/utf8.js";
import { quote } from "../check/index.js";
import { FrameError } from "../errors/index.js";
import { crc32c } from "./crc32c.js";
import {
  FAMILY_INET,
  FAMILY_INET6,
  FAMILY_UNIX,
  FAMILY_UNSPEC,
  FIXED_SIZE,
  COMMAND_LOCAL,
  MAX_LINE,
  PP2_TYPE_CRC32C,
  PP2_TYPE_NOOP,
  COMMAND_PROXY,
  type ProxyHeader,
  type ProxyTlv,
  SIGNATURE,
  TRANSPORT_DGRAM,
  TRANSPORT_STREAM,
  TRANSPORT_UNSPEC,
  UNIX_PATH_SIZE,
} from "./proxyHeader.js";

const LINE_PREFIX = "PROXY ";
const PORT = /^(?:0|[1-9][0-9]{0,4})$/;
/** The size of both addresses and both ports in version 2, by family. */
const ADDRESSES_SIZE: Readonly<Record<number, number>> = {
  [FAMILY_UNSPEC]: 0,
  [FAMILY_INET]: 12,
  [FAMILY_INET6]: 36,
  [FAMILY_UNIX]: 2 * UNIX_PATH_SIZE,
};

/**
 * The error of a header that is not valid.
 *
 * @param found the rest of the message: the wrong part, and the required value
 */
export function headerError(found: string): FrameError {
  return new FrameError(`Cannot read the header of the PROXY protocol: ${found}`);
}

/**
 * Decodes a header that is at the start of `bytes`.
 *
 * @returns the header and its length, or undefined if the bytes are only the beginning of a header
 * @throws FrameError if the bytes are not the start of a valid header
 * @see https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 * @example
 * ```ts
 * import { decodeProxyHeader } from "berkeley/server";
 *
 * const bytes = Buffer.from("PROXY TCP4 192.0.2.1 198.51.100.2 51000 443\r\nhello");
 * const { header, length } = decodeProxyHeader(bytes)!;
 * console.log(String(header.source), bytes.toString("latin1", length)); // prints: 192.0.2.1:51000 hello
 * ```
 */
export function decodeProxyHeader(bytes: Uint8Array): { header: ProxyHeader; length: number } | undefined {
  const version = detectVersion(bytes);
  if (version === undefined) return undefined;
  return version === 1 ? decodeLine(bytes) : decodeBinary(bytes);
}

/**
 * The version, by the first bytes; undefined if there are too few to decide.
 *
 * @throws FrameError if no header begins with these bytes
 */
export function detectVersion(bytes: Uint8Array): 1 | 2 | undefined {
  if (bytes.length === 0) return undefined;
  const [version, expected] =
    bytes[0] === SIGNATURE[0] ? ([2, SIGNATURE] as const) : ([1, Buffer.from(LINE_PREFIX)] as const);
  const count = Math.min(bytes.length, expected.length);
  for (let offset = 0; offset < count; offset++) {
    if (bytes[offset] !== expected[offset]) {
      throw headerError(
        `the first bytes are ${quote(Buffer.from(bytes.subarray(0, expected.length)).toString("latin1"))}, required ` +
          `"PROXY " or the signature of version 2`,
      );
    }
  }
  return count === expected.length ? version : undefined;
}

/** Decodes version 1. Undefined if the end of the line is missing. */
function decodeLine(bytes: Uint8Array): { header: ProxyHeader; length: number } | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MAX_LINE)).toString("latin1");
  const end = text.indexOf("\n");
  if (end < 0) {
    if (bytes.length < MAX_LINE) return undefined;
    throw headerError(`${MAX_LINE} bytes have no line feed, required a line of at most ${MAX_LINE} bytes`);
  }
  const line = text.slice(0, end - 1);
  if (text[end - 1] !== "\r" || line.includes("\r")) {
    throw headerError(`the line is ${quote(text.slice(0, end + 1))}, required one that ends with CRLF`);
  }
  const length = end + 1;
  const [family, ...rest] = line.slice(LINE_PREFIX.length).split(" ");
  // The protocol requires that the rest of such a line is ignored.
  if (family === "UNKNOWN") return { header: makeHeader(1, false, null, undefined, undefined, []), length };
  const [source, destination, sourcePort, destinationPort] = rest;
  if ((family !== "TCP4" && family !== "TCP6") || rest.length !== 4) {
    throw headerError(`the line is ${quote(line)}, required TCP4, TCP6 or UNKNOWN, two addresses and two ports`);
  }
  const sourceAddress = lineAddress(family, source, sourcePort, line);
  return {
    header: makeHeader(1, false, "stream", sourceAddress, lineAddress(family, destination, destinationPort, line), []),
    length,
  };
}

function lineAddress(family: "TCP4" | "TCP6", host: string = "", port: string = "", line: string = ""): Address {
  const portNumber = PORT.test(port) ? Number(port) : Infinity;
  if (portNumber > 0xffff) throw headerError(`a port of ${quote(line)} is ${quote(port)}, required 0 to 65535`);
  if (family === "TCP4") {
    if (parseIPv4(host) !== undefined) return new InetAddress(host, portNumber);
  } else {
    const parsed = parseIPv6(host);
    if (parsed !== undefined && parsed.zone === undefined)
      return new Inet6Address(formatIPv6(parsed.bytes), portNumber);
  }
  throw headerError(`an address of ${quote(line)} is ${quote(host)}, required one of ${family}`);
}

/** Decodes version 2. Undefined if the end of the header is missing. */
function decodeBinary(bytes: Uint8Array): { header: ProxyHeader; length: number } | undefined {
  if (bytes.length < FIXED_SIZE) return undefined;
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 15;
  if (version !== 2) throw headerError(`the version is ${version}, required 2`);
  if (command !== COMMAND_LOCAL && command !== COMMAND_PROXY) {
    throw headerError(`the command is ${command}, required 0 (LOCAL) or 1 (PROXY)`);
  }
  const length = headerLength(bytes);
  if (bytes.length < length) return undefined;
  // The protocol requires that the family, the addresses and the rest of LOCAL are ignored.
  if (command === COMMAND_LOCAL) return { header: makeHeader(2, true, null, undefined, undefined, []), length };
  const family = bytes[13]! >> 4;
  const transport = bytes[13]! & 15;
  const size = ADDRESSES_SIZE[family];
  if (size === undefined) throw headerError(`the family is ${family}, required 0 to 3`);
  // If the byte is 0, the addresses are not known. If only the family or only the transport is 0, the header is wrong.
  if (transport > TRANSPORT_DGRAM || (family === FAMILY_UNSPEC) !== (transport === TRANSPORT_UNSPEC)) {
    throw headerError(`the family and transport are 0x${bytes[13]!.toString(16)}, required 0, 0x11, 0x12, 0x21 …`);
  }
  if (length - FIXED_SIZE < size) {
    throw headerError(`the addresses have ${length - FIXED_SIZE} bytes, required ${size} for family ${family}`);
  }
  const name = transport === TRANSPORT_STREAM ? "stream" : transport === TRANSPORT_DGRAM ? "dgram" : null;
  const tlvs = decodeTlvs(bytes.subarray(0, length), FIXED_SIZE + size);
  const [source, destination] = decodeAddresses(bytes, family);
  return { header: makeHeader(2, false, name, source, destination, tlvs), length };
}

/** The length of a whole header of version 2, from its first 16 bytes. */
export function headerLength(bytes: Uint8Array): number {
  return FIXED_SIZE + bytes[14]! * 256 + bytes[15]!;
}

function decodeAddresses(bytes: Uint8Array, family: number): [Address | undefined, Address | undefined] {
  const port = (offset: number): number => bytes[offset]! * 256 + bytes[offset + 1]!;
  switch (family) {
    case FAMILY_INET:
      return [
        new InetAddress(formatIPv4(bytes, FIXED_SIZE), port(FIXED_SIZE + 8)),
        new InetAddress(formatIPv4(bytes, FIXED_SIZE + 4), port(FIXED_SIZE + 10)),
      ];
    case FAMILY_INET6:
      return [
        new Inet6Address(formatIPv6(bytes, FIXED_SIZE), port(FIXED_SIZE + 32)),
        new Inet6Address(formatIPv6(bytes, FIXED_SIZE + 16), port(FIXED_SIZE + 34)),
      ];
    case FAMILY_UNIX:
      return [unixAddress(bytes, FIXED_SIZE), unixAddress(bytes, FIXED_SIZE + UNIX_PATH_SIZE)];
    default:
      return [undefined, undefined];
  }
}

/** A path ends before its first NUL. An abstract name begins with NUL, and ends with its last byte that is not NUL. */
function unixAddress(bytes: Uint8Array, start: number): UnixAddress {
  const path = bytes.subarray(start, start + UNIX_PATH_SIZE);
  let end = path.indexOf(0);
  if (end < 0) end = UNIX_PATH_SIZE;
  else if (end === 0) end = path.findLastIndex((byte) => byte !== 0) + 1;
  return new UnixAddress(nameText(path.subarray(0, end)));
}

function decodeTlvs(bytes: Uint8Array, start: number): ProxyTlv[] {
  const tlvs: ProxyTlv[] = [];
  for (let offset = start; offset < bytes.length;) {
    const remaining = bytes.length - offset;
    const size = remaining < 3 ? 0 : bytes[offset + 1]! * 256 + bytes[offset + 2]!;
    if (remaining < 3 || remaining - 3 < size) throw headerError(`a TLV at byte ${offset} is longer than the header`);
    const type = bytes[offset]!;
    if (type === PP2_TYPE_CRC32C) checkCrc(bytes, offset + 3, size);
    // A copy, because the caller may use its memory again. (slice() of a Buffer makes no copy.)
    else if (type !== PP2_TYPE_NOOP)
      tlvs.push({ type, value: Uint8Array.from(bytes.subarray(offset + 3, offset + 3 + size)) });
    offset += 3 + size;
  }
  return tlvs;
}

/** Checks the checksum. It covers the whole header, with zeros in place of the checksum. */
function checkCrc(bytes: Uint8Array, offset: number, size: number): void {
  if (size !== 4) throw headerError(`the checksum has ${size} bytes, required 4`);
  const found = Buffer.from(bytes.buffer, bytes.byteOffset + offset, 4).readUInt32BE();
  const copy = Uint8Array.from(bytes).fill(0, offset, offset + 4);
  const computed = crc32c(copy);
  if (found === computed) return;
  throw headerError(`the checksum is 0x${found.toString(16)}, required 0x${computed.toString(16)}`);
}

function makeHeader(
  version: 1 | 2,
  local: boolean,
  transport: ProxyHeader["transport"],
  source: Address | undefined,
  destination: Address | undefined,
  tlvs: readonly ProxyTlv[],
): ProxyHeader {
  return { version, local, transport, source, destination, tlvs };
}
