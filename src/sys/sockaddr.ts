// Socket addresses as the kernel has them: the bytes of a sockaddr, to and from the classes of addr/.
//
// Linux' layouts (struct sockaddr_in and its kin). The family and what the man pages call "host byte order" are in the
// machine's order; ports, IPv4 addresses and IPv6 flow information are in network order.

import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  AF_VSOCK,
  type Address,
  type AddressLike,
  formatIPv4,
  formatIPv6,
  HostPort,
  Inet6Address,
  InetAddress,
  NetlinkAddress,
  OpaqueAddress,
  PacketAddress,
  parseIPv6,
  toAddress,
  UnixAddress,
  VsockAddress,
} from "../addr/index.js";
import { readIPv4 } from "../addr/ipv4Text.js";
import { nameText } from "../addr/utf8.js";
import { LITTLE } from "./nativeInts.js";

const SIZE_IN = 16;
const SIZE_IN6 = 28;
const SIZE_UN = 110;
const SIZE_NL = 12;
const SIZE_VM = 16;
const SIZE_LL = 20;
/** sockaddr_storage, with the length in front. */
export const ADDRESS_ROOM: number = 4 + 128;
const START = 4;

/** Room for an address that a call fills in. Decode it before the next call that fills it. */
export const room: Uint8Array = new Uint8Array(ADDRESS_ROOM);

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The address for bind(2); on a UNIX socket `""` stands for a name that the kernel chooses (autobind of unix(7)). */
export function toLocalAddress(value: AddressLike, family: number): Address | HostPort {
  return value === "" && family === AF_UNIX ? new UnixAddress("") : toAddress(value);
}

/** The bytes of the sockaddr that names `address`. */
export function encodeAddress(address: Address): Uint8Array {
  // Of whatever family: the fields of its class are not there.
  if ("data" in address) return encodeOpaque(address);
  switch (address.family) {
    case AF_INET: {
      const { host, port } = address;
      const bytes = new Uint8Array(SIZE_IN);
      // Byte by byte: a DataView would have the small array moved out of the heap, which costs more than all the rest.
      bytes[LITTLE ? 0 : 1] = AF_INET;
      bytes[2] = port >> 8;
      bytes[3] = port;
      if (!readIPv4(host, 0, bytes, 4)) literal(undefined, host);
      return bytes;
    }
    case AF_INET6: {
      const { host, port, flowinfo, scopeid } = address;
      const bytes = new Uint8Array(SIZE_IN6);
      const out = view(bytes);
      out.setUint16(0, AF_INET6, LITTLE);
      out.setUint16(2, port);
      out.setUint32(4, flowinfo);
      bytes.set(literal(parseIPv6(host)?.bytes, host), 8);
      out.setUint32(24, scopeid, LITTLE);
      return bytes;
    }
    case AF_UNIX:
      return encodeUnix(address);
    case AF_VSOCK: {
      const { cid, port } = address;
      const bytes = new Uint8Array(SIZE_VM);
      const out = view(bytes);
      out.setUint16(0, AF_VSOCK, LITTLE);
      out.setUint32(4, port, LITTLE);
      out.setUint32(8, cid, LITTLE);
      return bytes;
    }
    case AF_NETLINK: {
      const { pid, groups } = address;
      const bytes = new Uint8Array(SIZE_NL);
      const out = view(bytes);
      out.setUint16(0, AF_NETLINK, LITTLE);
      out.setUint32(4, pid, LITTLE);
      out.setUint32(8, groups, LITTLE);
      return bytes;
    }
    case AF_PACKET: {
      const packet = address;
      const bytes = new Uint8Array(SIZE_LL);
      const out = view(bytes);
      out.setUint16(0, AF_PACKET, LITTLE);
      out.setUint16(2, packet.protocol);
      out.setInt32(4, packet.ifindex, LITTLE);
      out.setUint16(8, packet.hatype, LITTLE);
      out.setUint8(10, packet.pkttype);
      out.setUint8(11, packet.addr.length);
      bytes.set(packet.addr, 12);
      return bytes;
    }
    default:
      return encodeOpaque(address);
  }
}

function encodeOpaque({ family, data }: OpaqueAddress): Uint8Array {
  const bytes = new Uint8Array(2 + data.length);
  view(bytes).setUint16(0, family, LITTLE);
  bytes.set(data, 2);
  return bytes;
}

function literal(bytes: Uint8Array | undefined, host: string): Uint8Array {
  if (bytes === undefined)
    throw new TypeError(`Cannot encode an address: host ${JSON.stringify(host)} is not a numeric address`);
  return bytes;
}

function encodeUnix({ bytes: name }: UnixAddress): Uint8Array {
  // A path ends with a NUL that counts; an abstract name is as long as it is; no name at all is the family alone.
  const end = name.length === 0 || name[0] === 0 ? 0 : 1;
  if (2 + name.length + end > SIZE_UN) {
    throw new RangeError(`Cannot encode a UNIX address: its path has ${name.length} bytes, required at most 107`);
  }
  const bytes = new Uint8Array(2 + name.length + end);
  view(bytes).setUint16(0, AF_UNIX, LITTLE);
  bytes.set(name, 2);
  return bytes;
}

/** The length that a call put into a room. */
export function addressLength(from: Uint8Array = room): number {
  return (u16(from, LITTLE ? 2 : 0) << 16) | u16(from, LITTLE ? 0 : 2);
}

/** The address that a call put into a room: {@link room}, or another of the same layout. */
export function decodeRoom(from: Uint8Array = room): Address {
  return decodeAt(from, START, addressLength(from));
}

/** The port of the IP address that a call put into {@link room}, without the rest. */
export function portInRoom(): number {
  return port16(room, START + 2);
}

/** The address in the bytes of a sockaddr. */
export function decodeAddress(bytes: Uint8Array): Address {
  return decodeAt(bytes, 0, bytes.length);
}

function u16(bytes: Uint8Array, at: number): number {
  return LITTLE ? bytes[at]! | (bytes[at + 1]! << 8) : (bytes[at]! << 8) | bytes[at + 1]!;
}

function port16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Reads `length` bytes at `start`; whatever is too short for its family is handed out as it is. */
export function decodeAt(bytes: Uint8Array, start: number, length: number): Address {
  if (length < 2) return new OpaqueAddress(0, new Uint8Array(0));
  const family = u16(bytes, start);
  if (family === AF_INET && length >= SIZE_IN) {
    return new InetAddress(formatIPv4(bytes, start + 4), port16(bytes, start + 2));
  }
  const data = view(bytes);
  if (family === AF_INET6 && length >= SIZE_IN6) {
    return new Inet6Address(
      formatIPv6(bytes, start + 8),
      port16(bytes, start + 2),
      data.getUint32(start + 4),
      data.getUint32(start + 24, LITTLE),
    );
  }
  if (family === AF_UNIX)
    return new UnixAddress(decodeUnix(bytes.subarray(start + 2, start + Math.min(length, SIZE_UN + 1))));
  if (family === AF_VSOCK && length >= SIZE_VM) {
    return new VsockAddress(data.getUint32(start + 8, LITTLE), data.getUint32(start + 4, LITTLE));
  }
  if (family === AF_NETLINK && length >= SIZE_NL) {
    return new NetlinkAddress(data.getUint32(start + 4, LITTLE), data.getUint32(start + 8, LITTLE));
  }
  if (family === AF_PACKET && length >= 12) {
    const size = Math.min(bytes[start + 11]!, 8, length - 12);
    return new PacketAddress(
      data.getUint16(start + 2),
      data.getInt32(start + 4, LITTLE),
      data.getUint16(start + 8, LITTLE),
      data.getUint8(start + 10),
      bytes.slice(start + 12, start + 12 + size),
    );
  }
  return new OpaqueAddress(family, bytes.slice(start + 2, start + length));
}

function decodeUnix(name: Uint8Array): string {
  if (name.length === 0) return "";
  if (name[0] === 0) return nameText(name);
  const end = name.indexOf(0);
  return nameText(end < 0 ? name : name.subarray(0, end));
}

/** What an error says of the address that a call was given. */
export function addressDetails(
  address: Address | HostPort | undefined,
): { address: string; port: number } | { path: string } | { address: string } | undefined {
  if (address === undefined) return undefined;
  if (address instanceof InetAddress || address instanceof HostPort)
    return { address: address.host, port: address.port };
  if (address instanceof Inet6Address) {
    return { address: address.scopeid === 0 ? address.host : `${address.host}%${address.scopeid}`, port: address.port };
  }
  if (address instanceof UnixAddress) return { path: address.path };
  return { address: String(address) };
}
