// Decodes a header of the PROXY protocol. decodeProxyHeader() refuses a header that another program could decode
// differently.

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
/** A decimal number of at most five digits, without leading zeros. */
const PORT = /^(?:0|[1-9][0-9]{0,4})$/;
/** The size in bytes of both addresses and both ports together in version 2, by family. */
const ADDRESSES_SIZE: Readonly<Record<number, number>> = {
  [FAMILY_UNSPEC]: 0,
  [FAMILY_INET]: 12,
  [FAMILY_INET6]: 36,
  [FAMILY_UNIX]: 2 * UNIX_PATH_SIZE,
};

/** The size of the type and the length of a TLV, in bytes. */
const TLV_HEAD_SIZE = 3;
const TRANSPORT_NAMES: Readonly<Record<number, "stream" | "dgram">> = {
  [TRANSPORT_STREAM]: "stream",
  [TRANSPORT_DGRAM]: "dgram",
};

/** The fields of a header without addresses. */
function noAddresses(): Pick<ProxyHeader, "transport" | "source" | "destination" | "tlvs"> {
  return { transport: null, source: undefined, destination: undefined, tlvs: [] };
}

/**
 * The error of a header that is not valid.
 *
 * @param problem the rest of the message: the wrong part, and the required value
 */
export function headerError(problem: string): FrameError {
  return new FrameError(`Cannot read the header of the PROXY protocol: ${problem}`);
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
  return version === 1 ? decodeVersion1(bytes) : decodeVersion2(bytes);
}

/**
 * Returns the version of a header that begins with `bytes`; undefined if there are too few bytes to decide.
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
function decodeVersion1(bytes: Uint8Array): ReturnType<typeof decodeProxyHeader> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MAX_LINE)).toString("latin1");
  const lineFeed = text.indexOf("\n");
  if (lineFeed < 0) {
    if (bytes.length < MAX_LINE) return undefined;
    throw headerError(`${MAX_LINE} bytes have no line feed, required a line of at most ${MAX_LINE} bytes`);
  }
  const line = text.slice(0, lineFeed - 1);
  const length = lineFeed + 1;
  if (text[lineFeed - 1] !== "\r" || line.includes("\r")) {
    throw headerError(`the line is ${quote(text.slice(0, length))}, required one that ends with CRLF`);
  }
  const [family, ...rest] = line.slice(LINE_PREFIX.length).split(" ");
  // The protocol requires that the rest of such a line is ignored.
  if (family === "UNKNOWN") return { header: { version: 1, local: false, ...noAddresses() }, length };
  const [source, destination, sourcePort, destinationPort] = rest;
  if ((family !== "TCP4" && family !== "TCP6") || rest.length !== 4) {
    throw headerError(`the line is ${quote(line)}, required TCP4, TCP6 or UNKNOWN, two addresses and two ports`);
  }
  const header: ProxyHeader = {
    version: 1,
    local: false,
    transport: "stream",
    source: addressInLine(line, family, source, sourcePort),
    destination: addressInLine(line, family, destination, destinationPort),
    tlvs: [],
  };
  return { header, length };
}

/** The address with this host and port, which are words of a line of version 1. @param line for errors */
function addressInLine(line: string, family: "TCP4" | "TCP6", host: string = "", port: string = ""): Address {
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
function decodeVersion2(bytes: Uint8Array): ReturnType<typeof decodeProxyHeader> {
  if (bytes.length < FIXED_SIZE) return undefined;
  // Byte 12: the version in its high four bits, the command in its low four bits.
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 15;
  if (version !== 2) throw headerError(`the version is ${version}, required 2`);
  if (command !== COMMAND_LOCAL && command !== COMMAND_PROXY) {
    throw headerError(`the command is ${command}, required 0 (LOCAL) or 1 (PROXY)`);
  }
  const length = version2Length(bytes);
  if (bytes.length < length) return undefined;
  // After LOCAL, the protocol requires that the family, the addresses and the TLVs are ignored.
  if (command === COMMAND_LOCAL) return { header: { version: 2, local: true, ...noAddresses() }, length };
  // Byte 13: the family in its high four bits, the transport in its low four bits.
  const family = bytes[13]! >> 4;
  const transport = bytes[13]! & 15;
  const addressesSize = ADDRESSES_SIZE[family];
  if (addressesSize === undefined) throw headerError(`the family is ${family}, required 0 to 3`);
  // If family and transport are both 0, the addresses are not known. If only one of them is 0, the header is wrong.
  const onlyOneIsUnspec = (family === FAMILY_UNSPEC) !== (transport === TRANSPORT_UNSPEC);
  if (transport > TRANSPORT_DGRAM || onlyOneIsUnspec) {
    const found = bytes[13]!.toString(16).padStart(2, "0");
    throw headerError(`the family and transport are 0x${found}, required 0x00, 0x11, 0x12, 0x21, 0x22, 0x31 or 0x32`);
  }
  const bytesLeft = length - FIXED_SIZE;
  if (bytesLeft < addressesSize) {
    throw headerError(`the addresses have ${bytesLeft} bytes, required ${addressesSize} for family ${family}`);
  }
  const tlvs = decodeTlvs(bytes.subarray(0, length), FIXED_SIZE + addressesSize);
  const [source, destination] = decodeAddresses(bytes, family);
  const transportName = TRANSPORT_NAMES[transport] ?? null;
  return { header: { version: 2, local: false, transport: transportName, source, destination, tlvs }, length };
}

/** The length of a whole header of version 2. `bytes` must have at least FIXED_SIZE bytes. */
export function version2Length(bytes: Uint8Array): number {
  return FIXED_SIZE + bytes[14]! * 256 + bytes[15]!;
}

/** The source and the destination in a header of version 2. */
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

/** Decodes the TLVs from byte `start` to the end of the header, and checks the checksum if there is one. */
function decodeTlvs(bytes: Uint8Array, start: number): ProxyTlv[] {
  const tlvs: ProxyTlv[] = [];
  for (let offset = start; offset < bytes.length;) {
    const valueStart = offset + TLV_HEAD_SIZE;
    // If the header ends within the type and the length, valueStart is beyond its end already. Then any size will do.
    const size = valueStart > bytes.length ? 0 : bytes[offset + 1]! * 256 + bytes[offset + 2]!;
    const end = valueStart + size;
    if (end > bytes.length) {
      throw headerError(`the TLV at byte ${offset} ends at byte ${end} or later, required at most ${bytes.length}`);
    }
    const type = bytes[offset]!;
    if (type === PP2_TYPE_CRC32C) checkCrc(bytes, valueStart, size);
    // A copy, because the caller may use its memory again. (slice() of a Buffer makes no copy.)
    else if (type !== PP2_TYPE_NOOP) tlvs.push({ type, value: Uint8Array.from(bytes.subarray(valueStart, end)) });
    offset = end;
  }
  return tlvs;
}

/** Checks the checksum. The sender computes it over the whole header, with zeros in place of the checksum. */
function checkCrc(header: Uint8Array, offset: number, size: number): void {
  if (size !== 4) throw headerError(`the checksum has ${size} bytes, required 4`);
  const sent = Buffer.from(header.buffer, header.byteOffset + offset, 4).readUInt32BE();
  const withZeros = Uint8Array.from(header).fill(0, offset, offset + 4);
  const computed = crc32c(withZeros);
  if (sent === computed) return;
  throw headerError(`the checksum is 0x${sent.toString(16)}, required 0x${computed.toString(16)}`);
}
