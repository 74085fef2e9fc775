// Random tests: each runs with seeds that are kept, and with a fresh one, which its output and its failure name.
//
// BERKELEY_SEED=N runs every random test with the seed N alone. A seed that has found a fault goes into the list of its test.

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

/** One of several. */
export function pick<T>(random: Random, from: ArrayLike<T>): T {
  return from[random(from.length)]!;
}

/** A whole number from the environment, or `otherwise`. */
export function setting(name: string, otherwise: number): number {
  const text = process.env[name];
  if (text === undefined || text === "") return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} is ${text}, required a whole number`);
  return value;
}

/** A seed that no earlier run had: all 32 bits that `seeded` takes. */
export function freshSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

/** The seeds of a random test: those that are kept and a fresh one, or the one of BERKELEY_SEED alone. */
export function seedsFor(kept: readonly number[]): readonly number[] {
  const chosen = process.env["BERKELEY_SEED"] ?? "";
  return chosen === "" ? [...kept, freshSeed()] : [setting("BERKELEY_SEED", 0)];
}

/** The result of `run`; an error of `run` is the cause of one whose message has the seed. */
export async function withSeed(seed: number, run: () => void | Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(`seed ${seed} (BERKELEY_SEED=${seed} repeats it): ${text}`, { cause: error });
  }
}

/**
 * A random test: a test for each seed of `kept`, and one for a fresh seed.
 *
 * @param run gets the numbers of the seed, and the seed itself for what makes its numbers elsewhere
 */
export function testSeeds(
  name: string,
  kept: readonly number[],
  run: (random: Random, seed: number, t: TestContext) => void | Promise<void>,
  options: { readonly skip?: boolean | string } = {},
): void {
  for (const seed of seedsFor(kept)) {
    // The name of a test is the same in each run.
    test(`${name} (${kept.includes(seed) ? `seed ${seed}` : "a fresh seed"})`, options, async (t) => {
      t.diagnostic(`seed ${seed}`);
      await withSeed(seed, () => run(seeded(seed), seed, t));
    });
  }
}
