// ICMP echo messages in bytes: RFC 792 for IPv4, RFC 4443 section 4 for IPv6.

import { ICMP6_ECHO_REPLY, ICMP6_ECHO_REQUEST, ICMP_ECHO, ICMP_ECHOREPLY } from "berkeley";

/** Type, code, checksum, identifier and sequence number. */
export const ECHO_HEADER = 8;

export interface Echo {
  readonly identifier: number;
  readonly sequence: number;
  readonly payload: Buffer;
}

/** The checksum of RFC 1071. It is 0 for a message that contains its correct checksum. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/**
 * An echo request. Only raw sockets of IPv4 need its checksum. For datagram sockets and for IPv6 the kernel computes
 * the checksum; that of IPv6 includes the addresses.
 */
export function encodeRequest(inet6: boolean, { identifier, sequence, payload }: Echo): Buffer {
  const bytes = Buffer.alloc(ECHO_HEADER + payload.length);
  bytes[0] = inet6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
  bytes.writeUInt16BE(identifier, 4);
  bytes.writeUInt16BE(sequence, 6);
  payload.copy(bytes, ECHO_HEADER);
  if (!inet6) bytes.writeUInt16BE(internetChecksum(bytes), 2);
  return bytes;
}

/** The fields of an echo message of any type, or undefined if the bytes are too few. */
export function decodeEcho(bytes: Buffer): Echo | undefined {
  if (bytes.length < ECHO_HEADER) return undefined;
  return { identifier: bytes.readUInt16BE(4), sequence: bytes.readUInt16BE(6), payload: bytes.subarray(ECHO_HEADER) };
}

/** The echo reply in a message, or undefined for any other message and for a wrong checksum. */
export function decodeReply(inet6: boolean, bytes: Buffer): Echo | undefined {
  if (bytes[0] !== (inet6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) || bytes[1] !== 0) return undefined;
  // For IPv4 a raw socket gets messages whose checksum nothing has verified. For IPv6 the kernel has verified it.
  if (!inet6 && internetChecksum(bytes) !== 0) return undefined;
  return decodeEcho(bytes);
}

/** The bytes after the header of an IPv4 packet. A raw socket receives packets with this header. */
export function withoutHeader(packet: Buffer): Buffer {
  const words = (packet[0] ?? 0) & 0xf;
  return packet.subarray(words * 4);
}
