// From addresses to the bytes of a header of the PROXY protocol.

import { isUint8Array } from "node:util/types";
import { type Address, Inet6Address, InetAddress, parseIPv4, parseIPv6, UnixAddress } from "../addr/index.js";
import { checkOptions, flag, integer, quote } from "../check/index.js";
import { crc32c } from "./crc32c.js";
import {
  FAMILY_INET,
  FAMILY_INET6,
  FAMILY_UNIX,
  FAMILY_UNSPEC,
  FIXED,
  LOCAL,
  PP2_TYPE_CRC32C,
  PP2_TYPE_NOOP,
  PROXY,
  type ProxyTlv,
  SIGNATURE,
  TRANSPORT_DGRAM,
  TRANSPORT_STREAM,
  TRANSPORT_UNSPEC,
  UNIX_SIZE,
} from "./proxyHeader.js";

/** A header to send. Without addresses it says that the addresses are not known. */
export interface ProxyHeaderToSend {
  /** Default 2. */
  readonly version?: 1 | 2 | undefined;
  /** Sends `LOCAL`: the sender itself made the connection, for example for a health check. Version 2 only. */
  readonly local?: boolean | undefined;
  /** The address of the client. Given together with `destination`, or not at all. */
  readonly source?: Address | undefined;
  /** The address to which the client connected. */
  readonly destination?: Address | undefined;
  /** Default `"stream"`. Version 2 only, as `tlvs` and `crc32c`. */
  readonly transport?: "stream" | "dgram" | undefined;
  readonly tlvs?: readonly ProxyTlv[] | undefined;
  /** Adds a checksum of the whole header. Default false. */
  readonly crc32c?: boolean | undefined;
}

const ACTION = "encode a header of the PROXY protocol";
const NAMES = ["version", "local", "source", "destination", "transport", "tlvs", "crc32c"];
const LENGTH_MAX = 0xffff;

/**
 * Encodes a header of the PROXY protocol. The sender writes it before all other data, TLS included.
 *
 * If one address is of IPv4 and the other of IPv6, both are sent as IPv6, and IPv4 as a mapped address. If both are
 * mapped addresses, both are sent as IPv4.
 *
 * @throws TypeError or RangeError for a field that is wrong, or that the version has no place for
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
  checkOptions(header, ACTION, NAMES);
  const { version = 2 } = header;
  if (version === 1) return encodeLine(header);
  if (version === 2) return encodeBinary(header);
  throw new RangeError(`Cannot ${ACTION}: version is ${quote(version)}, required 1 or 2`);
}

function encodeLine(header: ProxyHeaderToSend): Buffer {
  for (const name of ["local", "transport", "tlvs", "crc32c"] as const) {
    if (header[name] !== undefined && header[name] !== false) {
      throw new TypeError(`Cannot ${ACTION}: ${name} is given with version 1, required version 2`);
    }
  }
  const ends = endsOf(header);
  if (ends === undefined) return Buffer.from("PROXY UNKNOWN\r\n");
  const [source, destination] = ends;
  if (source instanceof UnixAddress || destination instanceof UnixAddress) return Buffer.from("PROXY UNKNOWN\r\n");
  const family = source instanceof InetAddress ? "TCP4" : "TCP6";
  return Buffer.from(`PROXY ${family} ${source.host} ${destination.host} ${source.port} ${destination.port}\r\n`);
}

function encodeBinary(header: ProxyHeaderToSend): Buffer {
  const local = flag(header.local, false, ACTION, "local");
  const withCrc = flag(header.crc32c, false, ACTION, "crc32c");
  const { transport = "stream" } = header;
  if (transport !== "stream" && transport !== "dgram") {
    throw new TypeError(`Cannot ${ACTION}: transport is ${quote(transport)}, required "stream" or "dgram"`);
  }
  const ends = endsOf(header);
  if (local && ends !== undefined) throw new TypeError(`Cannot ${ACTION}: local is true, required no addresses`);
  const [family, addresses] = ends === undefined ? [FAMILY_UNSPEC, Buffer.alloc(0)] : addressBytes(ends);
  const parts = [addresses, ...(header.tlvs ?? []).map(encodeTlv)];
  if (withCrc) parts.push(Buffer.from([PP2_TYPE_CRC32C, 0, 4, 0, 0, 0, 0]));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > LENGTH_MAX)
    throw new RangeError(`Cannot ${ACTION}: it has ${length} bytes, required at most ${LENGTH_MAX}`);
  const kind = family === FAMILY_UNSPEC ? TRANSPORT_UNSPEC : transport === "dgram" ? TRANSPORT_DGRAM : TRANSPORT_STREAM;
  const fixed = Buffer.alloc(FIXED);
  fixed.set(SIGNATURE);
  fixed[12] = 0x20 | (local ? LOCAL : PROXY);
  fixed[13] = (family << 4) | kind;
  fixed.writeUInt16BE(length, 14);
  const bytes = Buffer.concat([fixed, ...parts]);
  if (withCrc) bytes.writeUInt32BE(crc32c(bytes), bytes.length - 4);
  return bytes;
}

function encodeTlv(tlv: unknown, index: number): Buffer {
  const name = `tlvs[${index}]`;
  if (typeof tlv !== "object" || tlv === null) {
    throw new TypeError(`Cannot ${ACTION}: ${name} is ${quote(tlv)}, required { type, value }`);
  }
  const { type, value } = tlv as { type?: unknown; value?: unknown };
  const number = integer(type, ACTION, `${name}.type`, 0, 0xff);
  if (number === PP2_TYPE_CRC32C || number === PP2_TYPE_NOOP) {
    throw new RangeError(`Cannot ${ACTION}: ${name}.type is ${number}, required another; crc32c adds a checksum`);
  }
  if (!isUint8Array(value)) {
    throw new TypeError(`Cannot ${ACTION}: ${name}.value is ${quote(value)}, required a Uint8Array`);
  }
  if (value.length > LENGTH_MAX) {
    throw new RangeError(`Cannot ${ACTION}: ${name}.value has ${value.length} bytes, required at most ${LENGTH_MAX}`);
  }
  return Buffer.concat([Buffer.from([number, value.length >> 8, value.length & 0xff]), value]);
}

type Ends =
  | [source: InetAddress, destination: InetAddress]
  | [source: Inet6Address, destination: Inet6Address]
  | [source: UnixAddress, destination: UnixAddress];

/** Both addresses, in one family; undefined if there are none. */
function endsOf({ source, destination }: ProxyHeaderToSend): Ends | undefined {
  if (source === undefined && destination === undefined) return undefined;
  if (source instanceof UnixAddress && destination instanceof UnixAddress) return [source, destination];
  const from = checkInet(source, "source");
  const to = checkInet(destination, "destination");
  const [fromBytes, toBytes] = [mapped(from), mapped(to)];
  if (isMapped(fromBytes) && isMapped(toBytes)) return [asInet(fromBytes, from.port), asInet(toBytes, to.port)];
  return [asInet6(from), asInet6(to)];
}

function checkInet(value: unknown, name: string): InetAddress | Inet6Address {
  const given = value as { host?: unknown; port?: unknown } | undefined;
  if (given instanceof InetAddress || given instanceof Inet6Address) {
    const known = given instanceof InetAddress ? parseIPv4(given.host) : parseIPv6(given.host);
    if (known !== undefined) {
      integer(given.port, ACTION, `${name}.port`, 0, 0xffff);
      return given;
    }
  }
  throw new TypeError(
    `Cannot ${ACTION}: ${name} is ${quote(value)}, required an InetAddress or Inet6Address, or two of UnixAddress`,
  );
}

/** The 16 bytes of an address of either family. */
function mapped(address: InetAddress | Inet6Address): Uint8Array {
  if (address instanceof Inet6Address) return parseIPv6(address.host)!.bytes;
  const bytes = new Uint8Array(16).fill(0xff, 10, 12);
  bytes.set(parseIPv4(address.host)!, 12);
  return bytes;
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.every((byte, at) => at >= 12 || byte === (at < 10 ? 0 : 0xff));
}

const asInet = (bytes: Uint8Array, port: number): InetAddress => new InetAddress(bytes.subarray(12).join("."), port);
const asInet6 = (address: InetAddress | Inet6Address): Inet6Address =>
  address instanceof Inet6Address ? address : new Inet6Address(`::ffff:${address.host}`, address.port);

function addressBytes([source, destination]: Ends): [family: number, bytes: Buffer] {
  if (source instanceof UnixAddress || destination instanceof UnixAddress) {
    const bytes = Buffer.alloc(2 * UNIX_SIZE);
    bytes.set((source as UnixAddress).bytes.subarray(0, UNIX_SIZE), 0);
    bytes.set((destination as UnixAddress).bytes.subarray(0, UNIX_SIZE), UNIX_SIZE);
    return [FAMILY_UNIX, bytes];
  }
  const ports = Buffer.from([source.port >> 8, source.port & 0xff, destination.port >> 8, destination.port & 0xff]);
  if (source instanceof InetAddress) {
    return [FAMILY_INET, Buffer.concat([mapped(source).subarray(12), mapped(destination).subarray(12), ports])];
  }
  return [FAMILY_INET6, Buffer.concat([mapped(source), mapped(destination), ports])];
}
