// ICMP echo messages in bytes: RFC 792 for IPv4, RFC 4443 section 4 for IPv6.

import { ICMP6_ECHO_REPLY, ICMP6_ECHO_REQUEST, ICMP_ECHO, ICMP_ECHOREPLY } from "berkeley";

/** Bytes before the payload: type (1), code (1), checksum (2), identifier (2) and sequence number (2). */
export const ECHO_HEADER_SIZE = 8;

export interface Echo {
  readonly identifier: number;
  readonly sequence: number;
  readonly payload: Buffer;
}

/** The checksum of RFC 1071 over words of 16 bits. The result is 0 for a message that contains its correct checksum. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  // Adds the carries above 16 bits to the sum.
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Encodes an echo request. Only raw sockets of IPv4 need the checksum; for other sockets the kernel computes it. */
export function encodeRequest(isIPv6: boolean, { identifier, sequence, payload }: Echo): Buffer {
  const bytes = Buffer.alloc(ECHO_HEADER_SIZE + payload.length);
  bytes[0] = isIPv6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
  bytes.writeUInt16BE(identifier, 4);
  bytes.writeUInt16BE(sequence, 6);
  payload.copy(bytes, ECHO_HEADER_SIZE);
  if (!isIPv6) bytes.writeUInt16BE(checksum(bytes), 2);
  return bytes;
}

/** Decodes an echo request or reply. Returns undefined if the bytes are too few. */
export function decodeEcho(bytes: Buffer): Echo | undefined {
  if (bytes.length < ECHO_HEADER_SIZE) return undefined;
  return {
    identifier: bytes.readUInt16BE(4),
    sequence: bytes.readUInt16BE(6),
    payload: bytes.subarray(ECHO_HEADER_SIZE),
  };
}

/** Decodes an echo reply. Returns undefined for any other message, and for a wrong checksum. */
export function decodeReply(isIPv6: boolean, bytes: Buffer): Echo | undefined {
  const [type, code] = bytes;
  if (type !== (isIPv6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) || code !== 0) return undefined;
  // For raw sockets, the kernel verifies the checksum only of ICMPv6. So the checksum of IPv4 is verified here.
  if (!isIPv6 && checksum(bytes) !== 0) return undefined;
  return decodeEcho(bytes);
}

/** Returns the message after the IPv4 header. */
export function removeIpHeader(packet: Buffer): Buffer {
  // The low 4 bits of the first byte are the length of the header in units of 4 bytes (RFC 791).
  const headerSize = ((packet[0] ?? 0) & 0xf) * 4;
  return packet.subarray(headerSize);
}
