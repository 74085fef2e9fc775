// Unsigned LEB128, the "base 128 varint" of Protocol Buffers: seven bits per byte, low bits first. The high bit of a
// byte is set if another byte follows. A number of 64 bits needs at most ten bytes.

import { FrameError } from "../errors/index.js";

/** Maximum number of bytes of a varint. */
const MAX_SIZE = 10;

/**
 * Decodes the number at the beginning of `input`. `size` is the number of bytes that encode it. Returns undefined if
 * the last of these bytes has not arrived.
 */
export function readVarint(input: Uint8Array): { readonly value: number; readonly size: number } | undefined {
  let value = 0;
  for (let index = 0; index < MAX_SIZE; index++) {
    const byte = input[index];
    if (byte === undefined) return undefined;
    // From 2^53 on the sum is not exact, but such a number exceeds every limit.
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, size: index + 1 };
  }
  throw new FrameError(`Cannot read a varint: it has more than ${MAX_SIZE} bytes, required at most ${MAX_SIZE}`);
}

/** The number of bytes that `value` needs. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Encodes `value`, a whole number from 0 to 2^53 - 1, in as few bytes as possible. */
export function encodeVarint(value: number): Buffer {
  const out = Buffer.allocUnsafe(varintSize(value));
  let rest = value;
  for (let index = 0; index < out.length - 1; index++) {
    out[index] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  out[out.length - 1] = rest;
  return out;
}
