// Makes packets: puts the headers of TCP or UDP, of IPv4 or IPv6, and of Ethernet before a payload. The lengths are
// valid, and so are the checksums if no bytes are missing (RFC 791, RFC 8200, RFC 9293, RFC 768).

import { type Inet6Address, type InetAddress, parseIPv4, parseIPv6 } from "../addr/index.js";

export type IpAddress = InetAddress | Inet6Address;

// Protocol numbers of IP.
const TCP = 6;
const UDP = 17;
/** The hop limit of each packet. */
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
  // The constructors of the address classes check nothing.
  if (bytes === undefined)
    throw new TypeError(`Cannot make a packet: host is ${JSON.stringify(host)}, required an IP address`);
  return bytes;
}

/** Adds the 16-bit words of `bytes` to `start`. An odd byte at the end is the upper half of a word (RFC 1071). */
function sumWords(bytes: Uint8Array, start: number): number {
  let sum = start;
  const even = bytes.length & ~1;
  for (let at = 0; at < even; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  return even === bytes.length ? sum : sum + (bytes[even]! << 8);
}

/** The checksum for a sum of 16-bit words: the carries are added to the low 16 bits, and the bits are inverted. */
function checksumOf(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x1_0000);
  return ~folded & 0xffff;
}

/** The checksum of TCP and UDP: over the pseudo header, the header and the payload. `header` has an even length. */
function transportChecksum(
  from: Uint8Array,
  to: Uint8Array,
  protocol: number,
  header: Uint8Array,
  payload: Uint8Array,
): number {
  const length = header.length + payload.length;
  // The pseudo header has the two addresses, the protocol and the length.
  let sum = protocol + (length >>> 16) + (length & 0xffff);
  for (const part of [from, to, header, payload]) sum = sumWords(part, sum);
  return checksumOf(sum);
}

/**
 * An IP packet with a TCP segment or a UDP datagram.
 *
 * @param id the identification of an IPv4 packet
 * @param missing the number of bytes at the end of the packet that are not in `content`
 */
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
    // Version 6, without traffic class and flow label.
    header.writeUInt32BE(0x6000_0000, 0);
    header.writeUInt16BE(length, 4);
    header[6] = protocol;
    header[7] = TTL;
    header.set(from, 8);
    header.set(to, 24);
    return Buffer.concat([header, ...content]);
  }
  const header = Buffer.alloc(20);
  // Version 4, and a header of 5 32-bit words.
  header[0] = 0x45;
  header.writeUInt16BE(20 + length, 2);
  header.writeUInt16BE(id & 0xffff, 4);
  // The flag "don't fragment".
  header.writeUInt16BE(0x4000, 6);
  header[8] = TTL;
  header[9] = protocol;
  header.set(from, 12);
  header.set(to, 16);
  header.writeUInt16BE(checksumOf(sumWords(header, 0)), 10);
  return Buffer.concat([header, ...content]);
}

/** One end of a flow: the bytes of its address, and its port. */
export interface End {
  readonly bytes: Uint8Array;
  readonly port: number;
}

/** The fields of a TCP segment, without the ports. */
export interface Segment {
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly window: number;
  /** TCP options, padded to a multiple of 4 bytes. */
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
  /** The number of bytes that follow the payload and are not known. If it is not 0, the checksum is 0. */
  readonly missing?: number;
  /** The identification of the IPv4 packet. */
  readonly id: number;
}

const NO_BYTES = new Uint8Array(0);

export function tcpPacket(from: End, to: End, segment: Segment): Buffer {
  const { flags, sequence, acknowledgement, window, options = NO_BYTES, payload = NO_BYTES, missing = 0, id } = segment;
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt16BE(from.port, 0);
  header.writeUInt16BE(to.port, 2);
  header.writeUInt32BE(sequence, 4);
  header.writeUInt32BE(acknowledgement, 8);
  // The length of the header in 32-bit words, in the high 4 bits.
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
  // 0 means "no checksum", so a checksum of 0 is sent as 0xffff.
  const checksum = missing === 0 ? transportChecksum(from.bytes, to.bytes, UDP, header, payload) || 0xffff : 0;
  // UDP over IPv6 requires a checksum (RFC 8200, section 8.1), so 0xffff replaces one that cannot be computed.
  header.writeUInt16BE(checksum === 0 && from.bytes.length === 16 ? 0xffff : checksum, 6);
  return ipPacket(from.bytes, to.bytes, UDP, [header, payload], id, missing);
}

/** Puts an Ethernet header before a packet. Each hardware address is 02:00 and the last 4 bytes of the IP address. */
export function ethernetFrame(from: End, to: End, packet: Uint8Array): Buffer {
  const header = Buffer.alloc(14);
  header.set([2, 0, ...to.bytes.subarray(-4)], 0);
  header.set([2, 0, ...from.bytes.subarray(-4)], 6);
  // The EtherType: IPv6 or IPv4.
  header.writeUInt16BE(from.bytes.length === 16 ? 0x86dd : 0x0800, 12);
  return Buffer.concat([header, packet]);
}
