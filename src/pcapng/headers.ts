// The headers of Ethernet, IPv4, IPv6, TCP and UDP in front of a payload, with lengths and checksums right: RFC 791, RFC 8200,
// RFC 9293, RFC 768.

import { type Inet6Address, type InetAddress, parseIPv4, parseIPv6 } from "../addr/index.js";

export type IpAddress = InetAddress | Inet6Address;

const TCP = 6;
const UDP = 17;
const TTL = 64;

/** The flags of a TCP segment. */
export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;

/** The bytes of an address: 4 or 16. */
export function bytesOf({ host }: IpAddress): Uint8Array {
  const bytes = parseIPv4(host) ?? parseIPv6(host)?.bytes;
  // The classes of addresses take nothing else.
  if (bytes === undefined)
    throw new TypeError(`Cannot make a packet: host is ${JSON.stringify(host)}, required an IP address`);
  return bytes;
}

/** Adds the 16-bit words of some bytes; an odd byte at the end counts as the upper half of a word (RFC 1071). */
function sumWords(bytes: Uint8Array, start: number): number {
  let sum = start;
  const even = bytes.length & ~1;
  for (let at = 0; at < even; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  return even === bytes.length ? sum : sum + (bytes[even]! << 8);
}

/** The checksum of a sum of words. */
function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x1_0000);
  return ~folded & 0xffff;
}

/** The checksum of TCP and UDP: the pseudo header, then header and payload. The header has an even length. */
function transportChecksum(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  header: Uint8Array,
  payload: Uint8Array,
): number {
  const length = header.length + payload.length;
  let sum = protocol + (length >>> 16) + (length & 0xffff);
  for (const part of [source, destination, header, payload]) sum = sumWords(part, sum);
  return fold(sum);
}

/** A packet of IP around a segment of TCP or a datagram of UDP, whose last `missing` bytes are not there. */
function ipPacket(
  from: Uint8Array,
  to: Uint8Array,
  protocol: number,
  content: readonly Uint8Array[],
  id: number,
  missing: number,
): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, missing);
  if (from.length === 16) {
    const header = Buffer.alloc(40);
    header.writeUInt32BE(0x6000_0000, 0);
    header.writeUInt16BE(length, 4);
    header[6] = protocol;
    header[7] = TTL;
    header.set(from, 8);
    header.set(to, 24);
    return Buffer.concat([header, ...content]);
  }
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + length, 2);
  header.writeUInt16BE(id & 0xffff, 4);
  // Don't fragment.
  header.writeUInt16BE(0x4000, 6);
  header[8] = TTL;
  header[9] = protocol;
  header.set(from, 12);
  header.set(to, 16);
  header.writeUInt16BE(fold(sumWords(header, 0)), 10);
  return Buffer.concat([header, ...content]);
}

/** One end of a flow: the bytes of its address, and its port. */
export interface End {
  readonly bytes: Uint8Array;
  readonly port: number;
}

export interface Segment {
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly window: number;
  /** In 32-bit words, so padded. */
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
  /** Bytes behind the payload that are not known. The segment then has no checksum. */
  readonly missing?: number;
  /** The identification of the IPv4 packet. */
  readonly id: number;
}

const NOTHING = new Uint8Array(0);

export function tcpPacket(from: End, to: End, segment: Segment): Buffer {
  const { flags, sequence, acknowledgement, window, options = NOTHING, payload = NOTHING, missing = 0, id } = segment;
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt16BE(from.port, 0);
  header.writeUInt16BE(to.port, 2);
  header.writeUInt32BE(sequence, 4);
  header.writeUInt32BE(acknowledgement, 8);
  header[12] = (header.length / 4) << 4;
  header[13] = flags;
  header.writeUInt16BE(window, 14);
  header.set(options, 20);
  if (missing === 0) header.writeUInt16BE(transportChecksum(from.bytes, to.bytes, TCP, header, payload), 16);
  return ipPacket(from.bytes, to.bytes, TCP, [header, payload], id, missing);
}

export function udpPacket(from: End, to: End, payload: Uint8Array, id: number, missing: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(from.port, 0);
  header.writeUInt16BE(to.port, 2);
  header.writeUInt16BE(8 + payload.length + missing, 4);
  // 0 says that there is no checksum. UDP over IPv6 always has one (RFC 8200, section 8.1).
  const checksum = missing === 0 ? transportChecksum(from.bytes, to.bytes, UDP, header, payload) || 0xffff : 0;
  header.writeUInt16BE(checksum === 0 && from.bytes.length === 16 ? 0xffff : checksum, 6);
  return ipPacket(from.bytes, to.bytes, UDP, [header, payload], id, missing);
}

/** Puts an Ethernet header before a packet: locally administered addresses that follow from those of IP. */
export function ethernetFrame(from: End, to: End, packet: Uint8Array): Buffer {
  const header = Buffer.alloc(14);
  header.set([2, 0, ...to.bytes.subarray(-4)], 0);
  header.set([2, 0, ...from.bytes.subarray(-4)], 6);
  header.writeUInt16BE(from.bytes.length === 16 ? 0x86dd : 0x0800, 12);
  return Buffer.concat([header, packet]);
}
