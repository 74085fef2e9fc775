// Datagrams that travel as one: UDP_SEGMENT (GSO) cuts a buffer into datagrams on the way out, UDP_GRO joins them on the
// way in. Both are told the size of a segment; the last one may be shorter.

import { byteView, integer } from "../check/index.js";

/** A UDP datagram is shorter than 64 KiB. */
export const MAX_SEGMENT = 0xffff;
/** Segments that one call may hold: UDP_MAX_SEGMENTS of kernels before 6.9; later ones take 128. */
export const MAX_SEGMENTS = 64;
/** Bytes that one call may hold: those of an IPv4 datagram behind its IP and UDP headers. */
export const MAX_MESSAGE = 65_507;

export function segmentSize(value: unknown, action: string): number {
  return integer(value, action, "segmentSize", 1, MAX_SEGMENT);
}

/**
 * The datagrams of which `data` is made: views of `size` bytes each, the last one perhaps shorter. Nothing is copied.
 *
 * @param size bytes of a datagram; 0 if `data` is a single one
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
  const step = integer(size, "split into segments", "size", 0, MAX_SEGMENT);
  return pieces(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), step === 0 ? bytes.length : step);
}

function* pieces(data: Buffer, size: number): Iterable<Buffer> {
  // An empty datagram is one, too.
  let at = 0;
  do yield data.subarray(at, (at += size));
  while (at < data.length);
}
