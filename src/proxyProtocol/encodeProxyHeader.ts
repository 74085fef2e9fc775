// Encodes a header of the PROXY protocol.

import { isUint8Array } from "node:util/types";
import { type Address, Inet6Address, InetAddress, parseIPv4, parseIPv6, UnixAddress } from "../addr/index.js";
import { checkOptions, flag, integer, quote } from "../check/index.js";
import { crc32c } from "./crc32c.js";
import {
  FAMILY_INET,
  FAMILY_INET6,
  FAMILY_UNIX,
  FAMILY_UNSPEC,
  FIXED_SIZE,
  COMMAND_LOCAL,
  PP2_TYPE_CRC32C,
  PP2_TYPE_NOOP,
  COMMAND_PROXY,
  type ProxyTlv,
  SIGNATURE,
  TRANSPORT_DGRAM,
  TRANSPORT_STREAM,
  TRANSPORT_UNSPEC,
  UNIX_PATH_SIZE,
} from "./proxyHeader.js";

/** A header to send. A header without addresses means that they are not known. */
export interface ProxyHeaderToSend {
  /** Default 2. */
  readonly version?: 1 | 2 | undefined;
  /** Sends `LOCAL`: the sender itself made the connection, for example for a health check. Version 2 only. */
  readonly local?: boolean | undefined;
  /** The address of the client. Given together with `destination`, or not at all. */
  readonly source?: Address | undefined;
  /** The address to which the client connected. */
  readonly destination?: Address | undefined;
  /** The socket of the client. Default `"stream"`. Version 2 only, as `tlvs` and `crc32c`. */
  readonly transport?: "stream" | "dgram" | undefined;
  readonly tlvs?: readonly ProxyTlv[] | undefined;
  /** Adds a checksum of the whole header. Default false. */
  readonly crc32c?: boolean | undefined;
}

const ACTION = "encode a header of the PROXY protocol";
const HEADER_FIELDS = ["version", "local", "source", "destination", "transport", "tlvs", "crc32c"];
/** Maximum value of a length field, which has two bytes. */
const MAX_LENGTH = 0xffff;

/**
 * Encodes a header of the PROXY protocol. The sender writes it before all other data, also before a TLS handshake.
 *
 * A mapped address (`::ffff:a.b.c.d`) counts as IPv4. If one address is IPv4 and the other IPv6, both are sent as IPv6,
 * with the IPv4 address as a mapped one.
 *
 * @throws TypeError or RangeError for a field that is wrong, or that the version does not have
 * @see https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 * @example
 * ```ts
 * import { InetAddress } from "berkeley";
 * import { encodeProxyHeader } from "berkeley/server";
 *
 * const source = new InetAddress("192.0.2.1", 51000);
 * const destination = new InetAddress("198.51.100.2", 443);
 * console.log(encodeProxyHeader({ version: 1, source, destination }).toString().trimEnd());
 * // prints: PROXY TCP4 192.0.2.1 198.51.100.2 51000 443
 * ```
 */
export function encodeProxyHeader(header: ProxyHeaderToSend): Buffer {
  checkOptions(header, ACTION, HEADER_FIELDS);
  const { version = 2 } = header;
  if (version === 1) return encodeVersion1(header);
  if (version === 2) return encodeVersion2(header);
  throw new RangeError(`Cannot ${ACTION}: version is ${quote(version)}, required 1 or 2`);
}

function encodeVersion1(header: ProxyHeaderToSend): Buffer {
  for (const name of ["local", "transport", "tlvs", "crc32c"] as const) {
    if (header[name] !== undefined && header[name] !== false) {
      throw new TypeError(`Cannot ${ACTION}: ${name} is given with version 1, required version 2`);
    }
  }
  const pair = addressPair(header);
  if (pair === undefined) return Buffer.from("PROXY UNKNOWN\r\n");
  const [source, destination] = pair;
  // Version 1 has no form for addresses of UNIX sockets.
  if (source instanceof UnixAddress || destination instanceof UnixAddress) return Buffer.from("PROXY UNKNOWN\r\n");
  const family = source instanceof InetAddress ? "TCP4" : "TCP6";
  return Buffer.from(`PROXY ${family} ${source.host} ${destination.host} ${source.port} ${destination.port}\r\n`);
}

function encodeVersion2(header: ProxyHeaderToSend): Buffer {
  const local = flag(header.local, false, ACTION, "local");
  const withChecksum = flag(header.crc32c, false, ACTION, "crc32c");
  const { transport = "stream" } = header;
  if (transport !== "stream" && transport !== "dgram") {
    throw new TypeError(`Cannot ${ACTION}: transport is ${quote(transport)}, required "stream" or "dgram"`);
  }
  const pair = addressPair(header);
  if (local && pair !== undefined) throw new TypeError(`Cannot ${ACTION}: local is true, required no addresses`);
  const [family, addresses] = pair === undefined ? [FAMILY_UNSPEC, Buffer.alloc(0)] : encodeAddresses(pair);
  const parts = [addresses, ...(header.tlvs ?? []).map(encodeTlv)];
  // A TLV with four zeros in place of the checksum, which is computed at the end.
  if (withChecksum) parts.push(Buffer.from([PP2_TYPE_CRC32C, 0, 4, 0, 0, 0, 0]));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > MAX_LENGTH)
    throw new RangeError(`Cannot ${ACTION}: addresses and tlvs have ${length} bytes, required at most ${MAX_LENGTH}`);
  const clientTransport = transport === "dgram" ? TRANSPORT_DGRAM : TRANSPORT_STREAM;
  const transportBits = family === FAMILY_UNSPEC ? TRANSPORT_UNSPEC : clientTransport;
  const fixed = Buffer.alloc(FIXED_SIZE);
  fixed.set(SIGNATURE);
  // The version, 2, is in the high four bits.
  fixed[12] = 0x20 | (local ? COMMAND_LOCAL : COMMAND_PROXY);
  fixed[13] = (family << 4) | transportBits;
  fixed.writeUInt16BE(length, 14);
  const bytes = Buffer.concat([fixed, ...parts]);
  if (withChecksum) bytes.writeUInt32BE(crc32c(bytes), bytes.length - 4);
  return bytes;
}

/** Encodes a TLV. @param index its index in `tlvs`, for errors */
function encodeTlv(tlv: unknown, index: number): Buffer {
  const name = `tlvs[${index}]`;
  if (typeof tlv !== "object" || tlv === null) {
    throw new TypeError(`Cannot ${ACTION}: ${name} is ${quote(tlv)}, required { type, value }`);
  }
  const { type, value } = tlv as { type?: unknown; value?: unknown };
  const typeNumber = integer(type, ACTION, `${name}.type`, 0, 0xff);
  if (typeNumber === PP2_TYPE_CRC32C || typeNumber === PP2_TYPE_NOOP) {
    throw new RangeError(`Cannot ${ACTION}: ${name}.type is ${typeNumber}, required another; crc32c adds a checksum`);
  }
  if (!isUint8Array(value)) {
    throw new TypeError(`Cannot ${ACTION}: ${name}.value is ${quote(value)}, required a Uint8Array`);
  }
  if (value.length > MAX_LENGTH) {
    throw new RangeError(`Cannot ${ACTION}: ${name}.value has ${value.length} bytes, required at most ${MAX_LENGTH}`);
  }
  return Buffer.concat([Buffer.from([typeNumber, value.length >> 8, value.length & 0xff]), value]);
}

type AddressPair =
  | [source: InetAddress, destination: InetAddress]
  | [source: Inet6Address, destination: Inet6Address]
  | [source: UnixAddress, destination: UnixAddress];

/** Checks both addresses, and converts them to one family. Returns undefined if neither is given. */
function addressPair({ source, destination }: ProxyHeaderToSend): AddressPair | undefined {
  if (source === undefined && destination === undefined) return undefined;
  if (source instanceof UnixAddress && destination instanceof UnixAddress) return [source, destination];
  const from = checkInet(source, "source");
  const to = checkInet(destination, "destination");
  const [fromBytes, toBytes] = [ipv6BytesOf(from), ipv6BytesOf(to)];
  if (isMapped(fromBytes) && isMapped(toBytes)) return [toIPv4(fromBytes, from.port), toIPv4(toBytes, to.port)];
  return [toIPv6(from), toIPv6(to)];
}

/** Checks an address of IPv4 or IPv6, whose constructor does not check the host and the port. */
function checkInet(value: unknown, name: string): InetAddress | Inet6Address {
  const given = value as { host?: unknown; port?: unknown } | undefined;
  if (given instanceof InetAddress || given instanceof Inet6Address) {
    const parsedHost = given instanceof InetAddress ? parseIPv4(given.host) : parseIPv6(given.host);
    if (parsedHost !== undefined) {
      integer(given.port, ACTION, `${name}.port`, 0, 0xffff);
      return given;
    }
  }
  throw new TypeError(
    `Cannot ${ACTION}: ${name} is ${quote(value)}, required an InetAddress or Inet6Address, or two of UnixAddress`,
  );
}

/** The 16 bytes of an address. For IPv4 they are those of the mapped address, ::ffff:a.b.c.d. */
function ipv6BytesOf(address: InetAddress | Inet6Address): Uint8Array {
  if (address instanceof Inet6Address) return parseIPv6(address.host)!.bytes;
  const bytes = new Uint8Array(16).fill(0xff, 10, 12);
  bytes.set(parseIPv4(address.host)!, 12);
  return bytes;
}

/** Whether the 16 bytes are those of a mapped address: ten bytes 0, two bytes 0xff, and the address of IPv4. */
function isMapped(bytes: Uint8Array): boolean {
  return bytes.every((byte, index) => index >= 12 || byte === (index < 10 ? 0 : 0xff));
}

const toIPv4 = (bytes: Uint8Array, port: number): InetAddress => new InetAddress(bytes.subarray(12).join("."), port);
const toIPv6 = (address: InetAddress | Inet6Address): Inet6Address =>
  address instanceof Inet6Address ? address : new Inet6Address(`::ffff:${address.host}`, address.port);

/** The family of both addresses, and the addresses and ports as bytes of the header. */
function encodeAddresses([source, destination]: AddressPair): [family: number, bytes: Buffer] {
  if (source instanceof UnixAddress || destination instanceof UnixAddress) {
    const bytes = Buffer.alloc(2 * UNIX_PATH_SIZE);
    bytes.set((source as UnixAddress).bytes.subarray(0, UNIX_PATH_SIZE), 0);
    bytes.set((destination as UnixAddress).bytes.subarray(0, UNIX_PATH_SIZE), UNIX_PATH_SIZE);
    return [FAMILY_UNIX, bytes];
  }
  const ports = Buffer.from([source.port >> 8, source.port & 0xff, destination.port >> 8, destination.port & 0xff]);
  if (source instanceof InetAddress) {
    return [
      FAMILY_INET,
      Buffer.concat([ipv6BytesOf(source).subarray(12), ipv6BytesOf(destination).subarray(12), ports]),
    ];
  }
  return [FAMILY_INET6, Buffer.concat([ipv6BytesOf(source), ipv6BytesOf(destination), ports])];
}
