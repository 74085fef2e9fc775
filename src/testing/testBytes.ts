// Helpers for tests that move bytes: a pattern of bytes, reads of all bytes, and the error of a promise.

import assert from "node:assert/strict";
import { byteView, quote } from "../check/index.js";
import type { Conn, IoOptions, Reader } from "../io.js";
import { wholeNumber } from "./checks.js";

function checkReader(reader: Reader, action: string): void {
  if (typeof (reader as Partial<Reader> | null | undefined)?.read === "function") return;
  throw new TypeError(`Cannot ${action}: reader is ${quote(reader)}, required a Reader`);
}

/**
 * The byte at `position` of the pattern. The number of lost or repeated bytes is often a power of two. The pattern does
 * not repeat after such a number of bytes, because 65,521 and 251 are primes.
 */
function byteAt(position: number): number {
  return (position % 65_521) % 251;
}

/**
 * `size` bytes of a pattern, from `position` on. Bytes that were lost, repeated or moved cause a difference.
 *
 * @example
 * ```ts
 * import { firstDifference, pattern } from "berkeley/testing";
 *
 * const bytes = pattern(1000);
 * console.log(firstDifference(bytes), firstDifference(bytes.subarray(1))); // prints: -1 0
 * ```
 */
export function pattern(size: number, position: number = 0): Buffer {
  wholeNumber(size, "make a pattern", "size");
  wholeNumber(position, "make a pattern", "position");
  const bytes = Buffer.allocUnsafe(size);
  for (let index = 0; index < size; index++) bytes[index] = byteAt(position + index);
  return bytes;
}

/**
 * The position in {@link pattern} of the first byte that differs; -1 if none differs. `bytes[0]` is at `position`.
 */
export function firstDifference(bytes: Uint8Array, position: number = 0): number {
  byteView(bytes, "compare with the pattern");
  wholeNumber(position, "compare with the pattern", "position");
  for (let index = 0; index < bytes.length; index++) {
    if (bytes[index] !== byteAt(position + index)) return position + index;
  }
  return -1;
}

/**
 * Reads until the end and returns all bytes.
 *
 * @example
 * ```ts
 * import { memoryPair, readToEnd } from "berkeley/testing";
 *
 * const [a, b] = memoryPair();
 * await a.write("all of it");
 * await a.closeWrite();
 * console.log((await readToEnd(b)).toString()); // prints: all of it
 * ```
 */
export async function readToEnd(reader: Reader, opts?: IoOptions): Promise<Buffer> {
  checkReader(reader, "readToEnd");
  const chunks: Buffer[] = [];
  const buffer = Buffer.alloc(65_536);
  for (;;) {
    const count = await reader.read(buffer, opts);
    if (count === 0) return Buffer.concat(chunks);
    chunks.push(Buffer.from(buffer.subarray(0, count)));
  }
}

/** Reads exactly `size` bytes. Rejects with an Error if the end comes before. */
export async function readFully(reader: Reader, size: number): Promise<Buffer> {
  checkReader(reader, "readFully");
  const out = Buffer.alloc(wholeNumber(size, "readFully", "size"));
  for (let filled = 0; filled < size;) {
    const count = await reader.read(out.subarray(filled));
    if (count === 0) throw new Error(`Cannot readFully: the end came after ${filled} bytes, required ${size}`);
    filled += count;
  }
  return out;
}

/**
 * Marks a promise as handled, and returns the promise. For a call that a conformance check starts and awaits later: if
 * the check fails in between, its connections are aborted, and the call rejects. Without a handler, this rejection
 * would end the process.
 */
export function markHandled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Resolves in the next turn of the event loop. By then, all calls that can settle without an event have settled. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Resolves with the error of `promise`. Rejects with an Error if `promise` resolves. */
export async function rejection(
  promise: Promise<unknown>,
): Promise<{ readonly code?: unknown; readonly name?: unknown }> {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error as { code?: unknown };
  }
  throw new Error(`Cannot get the rejection: the call resolved with ${String(value)}, required a rejection`);
}

/** Asserts that `promise` rejects with an error with this code. */
export async function assertRejects(promise: Promise<unknown>, code: string): Promise<void> {
  assert.equal((await rejection(promise)).code, code);
}

/**
 * Writes the pattern until a write times out after `timeout` ms, because the peer does not read. Resolves with the
 * number of bytes that the connection has taken. Rejects if that number exceeds `maxTaken`.
 */
export async function fillUntilBlocked(conn: Conn, maxTaken: number, timeout: number): Promise<number> {
  const pieceSize = 65_536;
  for (let taken = 0; ;) {
    if (taken > maxTaken) {
      const found = `${taken} bytes were taken although the peer does not read`;
      throw new Error(`Cannot make a write wait: ${found}, required at most ${maxTaken}`);
    }
    try {
      await conn.write(pattern(pieceSize, taken), { timeout });
      taken += pieceSize;
    } catch (error) {
      const { code, transferred } = error as { code?: unknown; transferred?: unknown };
      if (code !== "ETIMEDOUT") throw error;
      if (typeof transferred === "number") return taken + transferred;
      const found = `transferred of the timeout error is ${String(transferred)}`;
      throw new Error(`Cannot make a write wait: ${found}, required the number of bytes taken`, { cause: error });
    }
  }
}
