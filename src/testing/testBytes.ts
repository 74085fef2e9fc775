// Helpers for tests that move bytes: a pattern in which every position shows, reading to an end, what a promise became.

import type { Conn, IoOptions, Reader } from "../io.js";

/** The byte at `position` of the pattern; its period is a prime, so that no shift by a power of two goes unseen. */
function byteAt(position: number): number {
  return (position % 65_521) % 251;
}

/**
 * `size` bytes of a pattern, as it stands from `position` on. Bytes that were lost, doubled or moved show as a difference.
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
  const bytes = Buffer.allocUnsafe(size);
  for (let index = 0; index < size; index++) bytes[index] = byteAt(position + index);
  return bytes;
}

/** The position at which `bytes` first differ from {@link pattern} as it stands from `position` on; -1 when they do not. */
export function firstDifference(bytes: Uint8Array, position: number = 0): number {
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
  const chunks: Buffer[] = [];
  const buffer = Buffer.alloc(65_536);
  for (;;) {
    const count = await reader.read(buffer, opts);
    if (count === 0) return Buffer.concat(chunks);
    chunks.push(Buffer.from(buffer.subarray(0, count)));
  }
}

/** Reads exactly `size` bytes. Rejects with an Error when the end comes before. */
export async function readFully(reader: Reader, size: number): Promise<Buffer> {
  const out = Buffer.alloc(size);
  for (let filled = 0; filled < size;) {
    const count = await reader.read(out.subarray(filled));
    if (count === 0) throw new Error(`Needed ${size} bytes, but the end came after ${filled}`);
    filled += count;
  }
  return out;
}

/**
 * A promise that is awaited later in a check. When the check fails before that, its pair is torn down, and what then
 * rejects must not end the process as a rejection that nobody handles.
 */
export function later<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Resolves with the reason that `promise` rejects with. Rejects with an Error when `promise` resolves. */
export async function rejection(
  promise: Promise<unknown>,
): Promise<{ readonly code?: unknown; readonly name?: unknown }> {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error as { code?: unknown };
  }
  throw new Error(`Needed a rejection, but the call resolved with ${String(value)}`);
}

/** Writes the pattern until the peer, which does not read, makes a write wait for `patience` ms; returns the bytes taken. */
export async function fill(conn: Conn, most: number, patience: number): Promise<number> {
  const piece = 65_536;
  for (let taken = 0; ;) {
    if (taken > most)
      throw new Error(`A peer that does not read must stop a writer within ${most} bytes, but ${taken} were taken`);
    try {
      await conn.write(pattern(piece, taken), { timeout: patience });
      taken += piece;
    } catch (error) {
      const { code, transferred } = error as { code?: unknown; transferred?: unknown };
      if (code !== "ETIMEDOUT") throw error;
      if (typeof transferred !== "number")
        throw new Error("A write that timed out must say in transferred what was taken", { cause: error });
      return taken + transferred;
    }
  }
}
