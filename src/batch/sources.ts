// The sender of a received datagram, and the source address of a reply to the datagram. They are read from the memory
// of the batch without making objects.

import { AF_INET, AF_INET6 } from "../addr/index.js";
import { HEADER_SIZE } from "../cmsg/layout.js";
import { IP_PKTINFO, IPPROTO_IP, IPPROTO_IPV6, IPV6_PKTINFO, SIZEOF_SIZE_T } from "../sys/constants.js";
import { LITTLE_ENDIAN } from "../sys/nativeInts.js";
import { type BatchMemory, CONTROL_LENGTH, ENTRY_WORDS, NAME, NAME_LENGTH } from "./table.js";

/** Bytes of `struct in_pktinfo` and `struct in6_pktinfo`. */
const IN_PKTINFO = 12;
const IN6_PKTINFO = 20;
/** The third word of an IPv4-mapped address, ::ffff:0:0/96, as an Int32Array has it: a signed number. */
const MAPPED_PREFIX = LITTLE_ENDIAN ? 0xffff_0000 | 0 : 0x0000_ffff;

/** One round of the hash. The multiplier is a prime near 2^32 divided by the golden ratio, as in Fibonacci hashing. */
function mix(hash: number, word: number): number {
  hash = Math.imul(hash ^ word, 0x9e37_79b1);
  return hash ^ (hash >>> 15);
}

/**
 * A hash of the host that sent a datagram: of its IPv4 address, or of the first 64 bits of its IPv6 address. An
 * IPv4-mapped address counts as IPv4. Returns 0 for a sender without an internet address.
 */
export function senderHash({ words }: BatchMemory, index: number, seed: number): number {
  const at = index * ENTRY_WORDS;
  if (words[at + NAME_LENGTH] === 0) return 0;
  const first = words[at + NAME]!;
  const family = LITTLE_ENDIAN ? first & 0xffff : first >>> 16;
  // The address is the second word of a sockaddr_in, and the words from the third to the sixth of a sockaddr_in6.
  let hash: number;
  if (family === AF_INET) hash = mix(seed, words[at + NAME + 1]!);
  else if (family !== AF_INET6) return 0;
  else {
    const [high, low] = [words[at + NAME + 2]!, words[at + NAME + 3]!];
    const mapped = high === 0 && low === 0 && words[at + NAME + 4] === MAPPED_PREFIX;
    // `~seed`: IPv6 addresses are hashed with another seed than IPv4 addresses.
    hash = mapped ? mix(seed, words[at + NAME + 5]!) : mix(mix(~seed, high), low);
  }
  // Another round, with any constant, so that the hashes of neighbouring addresses differ in all bits.
  hash = mix(hash, 0x85eb_ca6b);
  // 0 stands for a sender without an internet address.
  return hash === 0 ? 1 : hash;
}

/**
 * Writes to `out` the source address of a reply to a datagram: the local address to which the datagram was sent. The
 * form is that of SOURCE (table.ts) in a batch to send: struct in_pktinfo or in6_pktinfo.
 *
 * @returns the number of bytes; 0 if the address is unknown or can't be the source of a reply
 */
export function readReplySource({ control, controlSize, words }: BatchMemory, index: number, out: Int32Array): number {
  const start = index * controlSize;
  const end = start + Math.min(words[index * ENTRY_WORDS + CONTROL_LENGTH]!, controlSize);
  // Each control message has a header (length, level, type) and data.
  for (let at = start; at + HEADER_SIZE <= end;) {
    // The high half of a 64-bit length is 0, so only the low half is read.
    const length = wordAt(control, LITTLE_ENDIAN ? at : at + SIZEOF_SIZE_T - 4);
    if (length < HEADER_SIZE || at + length > end) return 0;
    const level = wordAt(control, at + SIZEOF_SIZE_T);
    const type = wordAt(control, at + SIZEOF_SIZE_T + 4);
    const data = at + HEADER_SIZE;
    if (level === IPPROTO_IP && type === IP_PKTINFO && length >= HEADER_SIZE + IN_PKTINFO) {
      // Interface 0: the route determines the interface. The local address and an unused address follow.
      out[0] = 0;
      out[1] = wordAt(control, data + 4);
      out[2] = 0;
      return IN_PKTINFO;
    }
    if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO && length >= HEADER_SIZE + IN6_PKTINFO) {
      // A multicast address can't be the source of a packet.
      if (control[data] === 0xff) return 0;
      for (let word = 0; word < 4; word++) out[word] = wordAt(control, data + 4 * word);
      // A link-local address is valid only on its interface. For other addresses the route determines the interface.
      const linkLocal = control[data] === 0xfe && (control[data + 1]! & 0xc0) === 0x80;
      out[4] = linkLocal ? wordAt(control, data + 16) : 0;
      return IN6_PKTINFO;
    }
    // The next message begins at a multiple of SIZEOF_SIZE_T.
    at += Math.ceil(length / SIZEOF_SIZE_T) * SIZEOF_SIZE_T;
  }
  return 0;
}

function wordAt(bytes: Buffer, at: number): number {
  return LITTLE_ENDIAN ? bytes.readInt32LE(at) : bytes.readInt32BE(at);
}
