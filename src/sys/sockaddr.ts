// Socket addresses in the kernel's form: converts the classes of addr/ to the bytes of a sockaddr, and back.
//
// The layouts are those of Linux (struct sockaddr_in and similar). Ports, IPv4 addresses and IPv6 flow information are
// in network byte order. The family and all other numbers are in the byte order of the machine.

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
import { quote } from "../check/index.js";
import { calls } from "./calls.js";
import { indexOfName } from "./interfaceIndex.js";
import { LITTLE_ENDIAN, view } from "./nativeInts.js";

// Sizes of sockaddr_in, sockaddr_in6, sockaddr_un, sockaddr_nl, sockaddr_vm and sockaddr_ll in bytes.
const SIZE_IN = 16;
const SIZE_IN6 = 28;
const SIZE_UN = 110;
const SIZE_NL = 12;
const SIZE_VM = 16;
const SIZE_LL = 20;
/** Offset of sll_addr in sockaddr_ll. */
const ADDR_AT = 12;
/** Size of an address buffer in bytes: a length of 32 bits, and a sockaddr_storage. */
export const ADDRESS_BUFFER_SIZE: number = 4 + 128;
/** Index of the byte of {@link addressBuffer} in which `calls.accept()` stores whether the accept queue is empty. */
export const QUEUE_EMPTY_AT: number = ADDRESS_BUFFER_SIZE;
/** Where the address begins in an address buffer: after its length. */
const START = 4;

/**
 * The address buffer that all calls share, and the byte at QUEUE_EMPTY_AT. The caller must decode the address before
 * the next call.
 */
export const addressBuffer: Uint8Array = new Uint8Array(ADDRESS_BUFFER_SIZE + 1);

/** The address for bind(2). On a UNIX socket `""` makes the kernel choose a name (autobind of unix(7)). */
export function toLocalAddress(value: AddressLike, family: number): Address | HostPort {
  return value === "" && family === AF_UNIX ? new UnixAddress("") : toAddress(value);
}

/** Converts `address` to the bytes of a sockaddr. */
export function encodeAddress(address: Address): Uint8Array {
  // An OpaqueAddress may have the family of another class, without the fields of that class.
  if ("data" in address) return encodeOpaque(address);
  switch (address.family) {
    case AF_INET: {
      const { host, port } = address;
      const bytes = new Uint8Array(SIZE_IN);
      // Byte by byte: a DataView makes V8 move the small array out of its heap, which costs more than the rest.
      bytes[LITTLE_ENDIAN ? 0 : 1] = AF_INET;
      bytes[2] = port >> 8;
      bytes[3] = port;
      if (!readIPv4(host, 0, bytes, 4)) refuseHost(host);
      return bytes;
    }
    case AF_INET6: {
      const { host, port, flowinfo, scopeid } = address;
      const bytes = new Uint8Array(SIZE_IN6);
      const out = view(bytes);
      out.setUint16(0, AF_INET6, LITTLE_ENDIAN);
      out.setUint16(2, port);
      out.setUint32(4, flowinfo);
      bytes.set(parseIPv6(host)?.bytes ?? refuseHost(host), 8);
      out.setUint32(24, scopeid, LITTLE_ENDIAN);
      return bytes;
    }
    case AF_UNIX:
      return encodeUnix(address);
    case AF_VSOCK: {
      const { cid, port } = address;
      const bytes = new Uint8Array(SIZE_VM);
      const out = view(bytes);
      out.setUint16(0, AF_VSOCK, LITTLE_ENDIAN);
      out.setUint32(4, port, LITTLE_ENDIAN);
      out.setUint32(8, cid, LITTLE_ENDIAN);
      return bytes;
    }
    case AF_NETLINK: {
      const { pid, groups } = address;
      const bytes = new Uint8Array(SIZE_NL);
      const out = view(bytes);
      out.setUint16(0, AF_NETLINK, LITTLE_ENDIAN);
      out.setUint32(4, pid, LITTLE_ENDIAN);
      out.setUint32(8, groups, LITTLE_ENDIAN);
      return bytes;
    }
    case AF_PACKET: {
      const { addr, hatype, ifname, pkttype, protocol } = address;
      const ifindex = ifname === undefined ? address.ifindex : indexOfName(calls, ifname);
      const bytes = new Uint8Array(SIZE_LL);
      const out = view(bytes);
      out.setUint16(0, AF_PACKET, LITTLE_ENDIAN);
      out.setUint16(2, protocol);
      out.setInt32(4, ifindex, LITTLE_ENDIAN);
      out.setUint16(8, hatype, LITTLE_ENDIAN);
      out.setUint8(10, pkttype);
      out.setUint8(11, addr.length);
      bytes.set(addr, ADDR_AT);
      return bytes;
    }
    default:
      return encodeOpaque(address);
  }
}

function encodeOpaque({ family, data }: OpaqueAddress): Uint8Array {
  const bytes = new Uint8Array(2 + data.length);
  view(bytes).setUint16(0, family, LITTLE_ENDIAN);
  bytes.set(data, 2);
  return bytes;
}

function refuseHost(host: string): never {
  throw new TypeError(`Cannot encode an address: host is ${quote(host)}, required a numeric address`);
}

function encodeUnix({ bytes: name }: UnixAddress): Uint8Array {
  // A path has a final NUL, and an abstract name (which begins with NUL) has none. Without a name, the sockaddr ends
  // after the family.
  const finalNul = name.length === 0 || name[0] === 0 ? 0 : 1;
  if (2 + name.length + finalNul > SIZE_UN) {
    throw new RangeError(`Cannot encode a UNIX address: path has ${name.length} bytes, required at most 107`);
  }
  const bytes = new Uint8Array(2 + name.length + finalNul);
  view(bytes).setUint16(0, AF_UNIX, LITTLE_ENDIAN);
  bytes.set(name, 2);
  return bytes;
}

/** The length of the address that a call wrote to a buffer: the first 32 bits. */
export function addressLength(from: Uint8Array = addressBuffer): number {
  return (readU16(from, LITTLE_ENDIAN ? 2 : 0) << 16) | readU16(from, LITTLE_ENDIAN ? 0 : 2);
}

/** The address that a call wrote to {@link addressBuffer}, or to another buffer of the same layout. */
export function decodeAddressBuffer(from: Uint8Array = addressBuffer): Address {
  return decodeAddressAt(from, START, addressLength(from));
}

/** The port of the IP address that a call wrote to {@link addressBuffer}. */
export function decodePort(): number {
  return readPort(addressBuffer, START + 2);
}

/** The address in the bytes of a sockaddr. */
export function decodeAddress(bytes: Uint8Array): Address {
  return decodeAddressAt(bytes, 0, bytes.length);
}

function readU16(bytes: Uint8Array, at: number): number {
  return LITTLE_ENDIAN ? bytes[at]! | (bytes[at + 1]! << 8) : (bytes[at]! << 8) | bytes[at + 1]!;
}

function readPort(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** The address in `length` bytes from `start` on. Too few bytes for the family give an OpaqueAddress. */
export function decodeAddressAt(bytes: Uint8Array, start: number, length: number): Address {
  // Without a complete family, the address is AF_UNSPEC (0).
  if (length < 2) return new OpaqueAddress(0, new Uint8Array(0));
  const family = readU16(bytes, start);
  if (family === AF_INET && length >= SIZE_IN) {
    return new InetAddress(formatIPv4(bytes, start + 4), readPort(bytes, start + 2));
  }
  const fields = view(bytes);
  if (family === AF_INET6 && length >= SIZE_IN6) {
    return new Inet6Address(
      formatIPv6(bytes, start + 8),
      readPort(bytes, start + 2),
      fields.getUint32(start + 4),
      fields.getUint32(start + 24, LITTLE_ENDIAN),
    );
  }
  // SIZE_UN + 1: for a path of 108 bytes without NUL the kernel returns a length of 111; see unix(7).
  if (family === AF_UNIX)
    return new UnixAddress(decodeUnix(bytes.subarray(start + 2, start + Math.min(length, SIZE_UN + 1))));
  if (family === AF_VSOCK && length >= SIZE_VM) {
    const port = fields.getUint32(start + 4, LITTLE_ENDIAN);
    return new VsockAddress(fields.getUint32(start + 8, LITTLE_ENDIAN), port);
  }
  if (family === AF_NETLINK && length >= SIZE_NL) {
    return new NetlinkAddress(fields.getUint32(start + 4, LITTLE_ENDIAN), fields.getUint32(start + 8, LITTLE_ENDIAN));
  }
  if (family === AF_PACKET && length >= ADDR_AT) {
    // sll_addr has 8 bytes. A longer address, such as that of InfiniBand, is truncated.
    const size = Math.min(bytes[start + 11]!, 8, length - ADDR_AT);
    return new PacketAddress(
      fields.getUint16(start + 2), // protocol
      fields.getInt32(start + 4, LITTLE_ENDIAN), // ifindex
      fields.getUint16(start + 8, LITTLE_ENDIAN), // hatype
      fields.getUint8(start + 10), // pkttype
      bytes.slice(start + ADDR_AT, start + ADDR_AT + size),
    );
  }
  return new OpaqueAddress(family, bytes.slice(start + 2, start + length));
}

/** The path or abstract name in the bytes after the family. An abstract name begins with NUL and may contain NUL. */
function decodeUnix(name: Uint8Array): string {
  if (name.length === 0) return "";
  if (name[0] === 0) return nameText(name);
  const end = name.indexOf(0);
  return nameText(end < 0 ? name : name.subarray(0, end));
}

/** The properties with which an error reports the address of the failed call. */
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
