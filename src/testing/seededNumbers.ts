// Random numbers that depend on a seed only, so that a test can be repeated.

import { wholeNumber } from "./checks.js";

/**
 * A function that returns numbers from 0 up to, and not including, 1. They depend on `seed` only (mulberry32).
 *
 * @example
 * ```ts
 * import { seededNumbers } from "berkeley/testing";
 *
 * console.log(seededNumbers(7)() === seededNumbers(7)()); // prints: true
 * ```
 */
export function seededNumbers(seed: number): () => number {
  // The constants and shifts are those of mulberry32.
  let state = wholeNumber(seed, "make seeded numbers", "seed", -Number.MAX_SAFE_INTEGER) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Chunk sizes from 1 to `most` in an order that depends on `seed` only, for the option `chunking` of `memoryPair`.
 *
 * @example
 * ```ts
 * import { memoryPair, seededChunks } from "berkeley/testing";
 *
 * const [a, b] = memoryPair({ chunking: seededChunks(7, 100) });
 * ```
 */
export function seededChunks(seed: number, most: number): (available: number) => number {
  wholeNumber(most, "make seeded chunks", "most", 1);
  const next = seededNumbers(seed);
  return () => 1 + Math.floor(next() * most);
}
