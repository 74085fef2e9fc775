// The layout of control data: cmsg(3). Each message is a header (length, level, type), its data, and padding.
//
// The length is a C size_t and counts header and data. Each message begins at a multiple of the size of a size_t.
// Control data from the kernel are well formed. `forEachMessage` checks each length nevertheless: a length that is too
// small or too large ends the loop, as with CMSG_NXTHDR. So no byte outside the control data is read.

import { integer } from "../check/index.js";
import { SIZEOF_SIZE_T } from "../sys/constants.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";

/** `sizeof(struct cmsghdr)`. */
export const HEADER_SIZE: number = SIZEOF_SIZE_T + 8;

/**
 * Maximum number of bytes of control data in one call. The kernel's limit for sending (net.core.optmem_max) is much
 * lower.
 */
export const MAX_CONTROL: number = 1 << 20;

/**
 * Size in bytes of a control message with `length` bytes of data, without padding. A buffer of this size receives at
 * most `length` bytes of data. In a buffer of {@link CMSG_SPACE} bytes, data may also use the padding.
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
  return HEADER_SIZE + integer(length, "compute CMSG_LEN", "length", 0, MAX_CONTROL);
}

/**
 * Size in bytes of a control message with `length` bytes of data, with its padding. Set the option `controlSize` of
 * `recvmsg()` to the sum over all expected messages.
 *
 * @see cmsg(3)
 */
export function CMSG_SPACE(length: number): number {
  return HEADER_SIZE + align(integer(length, "compute CMSG_SPACE", "length", 0, MAX_CONTROL));
}

/** `CMSG_ALIGN`: `length`, rounded up to a multiple of the size of a size_t. */
export function align(length: number): number {
  return Math.ceil(length / SIZEOF_SIZE_T) * SIZEOF_SIZE_T;
}

/** Writes the header of a message with `length` bytes of data at the offset `at`. */
export function writeHeader(bytes: Uint8Array, at: number, length: number, level: number, type: number): void {
  const out = view(bytes);
  if (SIZEOF_SIZE_T === 8) out.setBigUint64(at, BigInt(HEADER_SIZE + length), LITTLE_ENDIAN);
  else out.setUint32(at, HEADER_SIZE + length, LITTLE_ENDIAN);
  out.setInt32(at + SIZEOF_SIZE_T, level, LITTLE_ENDIAN);
  out.setInt32(at + SIZEOF_SIZE_T + 4, type, LITTLE_ENDIAN);
}

/** Calls `visit` for each message in the first `length` bytes. `data` is a view of `bytes`. */
export function forEachMessage(
  bytes: Uint8Array,
  length: number,
  visit: (level: number, type: number, data: Uint8Array, isLast: boolean) => void,
): void {
  const input = view(bytes);
  const end = Math.min(length, bytes.length);
  let at = 0;
  while (at + HEADER_SIZE <= end) {
    const size =
      SIZEOF_SIZE_T === 8 ? Number(input.getBigUint64(at, LITTLE_ENDIAN)) : input.getUint32(at, LITTLE_ENDIAN);
    if (size < HEADER_SIZE || size > end - at) return;
    const level = input.getInt32(at + SIZEOF_SIZE_T, LITTLE_ENDIAN);
    const type = input.getInt32(at + SIZEOF_SIZE_T + 4, LITTLE_ENDIAN);
    const data = bytes.subarray(at + HEADER_SIZE, at + size);
    at += align(size);
    const isLast = at + HEADER_SIZE > end;
    visit(level, type, data, isLast);
  }
}
