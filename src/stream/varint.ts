// Unsigned LEB128, the "base 128 varint" of Protocol Buffers: seven bits a byte, low bits first, the high bit of a byte
// says that another follows. At most ten bytes, which is what 64 bits need.

import { FrameError } from "../errors/index.js";

const LONGEST = 10;

/** The number at the head of `input` and how many bytes it took; `undefined` when its last byte has not come. */
export function readVarint(input: Uint8Array): { readonly value: number; readonly size: number } | undefined {
  let value = 0;
  for (let index = 0; index < LONGEST; index++) {
    const byte = input[index];
    if (byte === undefined) return undefined;
    // Past 2^53 the sum is no longer exact, but then it is over every limit.
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, size: index + 1 };
  }
  throw new FrameError(`A varint must end within ${LONGEST} bytes, found none of them that ends it`);
}

/** Bytes that `value` takes. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** `value`, an integer from 0 to 2^53 - 1, in the fewest bytes. */
export function varintOf(value: number): Buffer {
  const out = Buffer.allocUnsafe(varintSize(value));
  let rest = value;
  for (let index = 0; index < out.length - 1; index++) {
    out[index] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  out[out.length - 1] = rest;
  return out;
}
