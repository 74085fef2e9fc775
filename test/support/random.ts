// Random tests. Each runs with fixed seeds, and with a fresh one. The output of a test, and its error, contain the
// seed.
//
// BERKELEY_SEED=N runs every random test with the seed N only. A seed that has found a fault becomes a fixed seed of
// its test.

import { test, type TestContext } from "node:test";

/** Uniform integers from 0 to `below` - 1. */
export type Random = (below: number) => number;

/** The generator mulberry32: the same numbers for the same seed. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** A random element. */
export function pick<T>(random: Random, from: ArrayLike<T>): T {
  return from[random(from.length)]!;
}

/** The whole number in an environment variable, or `defaultValue`. */
export function setting(name: string, defaultValue: number): number {
  const text = process.env[name];
  if (text === undefined || text === "") return defaultValue;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} is ${text}, required a whole number`);
  return value;
}

/** A new seed of 32 bits. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

/** The seeds of a random test: the fixed ones and a fresh one, or only the seed in BERKELEY_SEED. */
export function seedsFor(fixed: readonly number[]): readonly number[] {
  const chosen = process.env["BERKELEY_SEED"] ?? "";
  return chosen === "" ? [...fixed, freshSeed()] : [setting("BERKELEY_SEED", 0)];
}

/**
 * Calls `run`. If it throws, throws an error whose message contains the seed, and whose cause is the error of `run`.
 */
export async function withSeed(seed: number, run: () => void | Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(`seed ${seed} (BERKELEY_SEED=${seed} repeats it): ${text}`, { cause: error });
  }
}

/**
 * Adds a random test: one test for each seed of `fixed`, and one for a fresh seed.
 *
 * @param run gets a generator with the seed. It also gets the seed itself, for a generator of another program
 */
export function testSeeds(
  name: string,
  fixed: readonly number[],
  run: (random: Random, seed: number, t: TestContext) => void | Promise<void>,
  options: { readonly skip?: boolean | string } = {},
): void {
  for (const seed of seedsFor(fixed)) {
    // The name does not contain a fresh seed, so the names of tests are the same in all runs.
    test(`${name} (${fixed.includes(seed) ? `seed ${seed}` : "a fresh seed"})`, options, async (t) => {
      t.diagnostic(`seed ${seed}`);
      await withSeed(seed, () => run(seeded(seed), seed, t));
    });
  }
}
