// Several datagrams in one buffer. UDP_SEGMENT (GSO) splits a buffer into datagrams when it is sent, and UDP_GRO joins
// received datagrams into one buffer. All datagrams of a buffer have one size; the last one may be shorter.

import { byteView, integer } from "../check/index.js";

/** The largest size of a segment: the length field of UDP has 16 bits. */
export const MAX_SEGMENT_SIZE = 0xffff;
/** Maximum number of segments of one call: UDP_MAX_SEGMENTS of kernels before 6.9. Later kernels take 128. */
export const MAX_SEGMENTS = 64;
/** Maximum number of bytes of one call: an IPv4 datagram without its IP and UDP headers. */
export const MAX_MESSAGE = 65_507;

/** Returns `value` if it can be the size of a segment, otherwise throws. */
export function segmentSize(value: unknown, action: string): number {
  return integer(value, action, "segmentSize", 1, MAX_SEGMENT_SIZE);
}

/**
 * The datagrams in `data`, as views of `size` bytes each; the last one may be shorter. Nothing is copied.
 *
 * @param size bytes of a datagram; 0 if `data` is one datagram
 * @see udp(7), UDP_GRO
 * @example
 * ```ts
 * import { segments } from "berkeley";
 *
 * const sizes = [...segments(new Uint8Array(2500), 1000)].map((segment) => segment.length);
 * console.log(sizes.join(" ")); // prints: 1000 1000 500
 * ```
 */
export function segments(data: Uint8Array, size: number): Iterable<Buffer> {
  const bytes = byteView(data, "split into segments");
  const step = integer(size, "split into segments", "size", 0, MAX_SEGMENT_SIZE);
  return pieces(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), step === 0 ? bytes.length : step);
}

function* pieces(data: Buffer, size: number): Iterable<Buffer> {
  let at = 0;
  // `do`, because an empty datagram is one piece too.
  do {
    yield data.subarray(at, at + size);
    at += size;
  } while (at < data.length);
}
