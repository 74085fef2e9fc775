// How control data lie in memory: cmsg(3). A run of messages, each a header (length, level, type), its data, and padding.
//
// The length is a C size_t and counts header and data; each message begins at a multiple of the size of a size_t. What comes
// from the kernel is well formed. The walk trusts nothing all the same: a length that is too small or goes past the end
// ends it, as CMSG_NXTHDR does, so nothing outside the bytes is ever read.

import { integer } from "../check/index.js";
import { SIZEOF_SIZE_T } from "../sys/constants.js";
import { LITTLE, view } from "../sys/nativeInts.js";

/** `sizeof(struct cmsghdr)`. */
export const HEADER: number = SIZEOF_SIZE_T + 8;

/** More control data than any call needs; the kernel's limit for sending (net.core.optmem_max) is far below. */
export const MAX_CONTROL: number = 1 << 20;

/**
 * Bytes that `length` bytes of data take up when nothing comes after them: cmsg(3). Room of this size takes exactly that much
 * data, where {@link CMSG_SPACE} may take some more in its padding.
 *
 * @see cmsg(3)
 * @example
 * ```ts
 * import { CMSG_LEN, CMSG_SPACE } from "berkeley";
 *
 * console.log(CMSG_SPACE(4) >= CMSG_LEN(4)); // prints: true
 * ```
 */
export function CMSG_LEN(length: number): number {
  return HEADER + integer(length, "compute CMSG_LEN", "length", 0, MAX_CONTROL);
}

/**
 * Bytes that a control message with `length` bytes of data takes up among others: header, data and padding. The sum of it over
 * all messages that may come is the right `controlSize`.
 *
 * @see cmsg(3)
 */
export function CMSG_SPACE(length: number): number {
  return HEADER + align(integer(length, "compute CMSG_SPACE", "length", 0, MAX_CONTROL));
}

/** `CMSG_ALIGN` */
export function align(length: number): number {
  return Math.ceil(length / SIZEOF_SIZE_T) * SIZEOF_SIZE_T;
}

/** Writes the header of a message with `length` bytes of data at `at`. */
export function writeHeader(bytes: Uint8Array, at: number, length: number, level: number, type: number): void {
  const out = view(bytes);
  if (SIZEOF_SIZE_T === 8) out.setBigUint64(at, BigInt(HEADER + length), LITTLE);
  else out.setUint32(at, HEADER + length, LITTLE);
  out.setInt32(at + SIZEOF_SIZE_T, level, LITTLE);
  out.setInt32(at + SIZEOF_SIZE_T + 4, type, LITTLE);
}

/** Calls `visit` for each message in the first `length` bytes. The data are a view of the bytes, not a copy. */
export function eachMessage(
  bytes: Uint8Array,
  length: number,
  visit: (level: number, type: number, data: Uint8Array, last: boolean) => void,
): void {
  const input = view(bytes);
  const end = Math.min(length, bytes.length);
  let at = 0;
  while (at + HEADER <= end) {
    const size = SIZEOF_SIZE_T === 8 ? Number(input.getBigUint64(at, LITTLE)) : input.getUint32(at, LITTLE);
    if (size < HEADER || size > end - at) return;
    const level = input.getInt32(at + SIZEOF_SIZE_T, LITTLE);
    const type = input.getInt32(at + SIZEOF_SIZE_T + 4, LITTLE);
    const data = bytes.subarray(at + HEADER, at + size);
    at += align(size);
    visit(level, type, data, at + HEADER > end);
  }
}
