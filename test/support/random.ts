// Random numbers that come again: the same ones for the same seed.

/** Uniform integers from 0 to `below` - 1. */
export type Random = (below: number) => number;

/** The generator mulberry32. */
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
export function pick<T>(random: Random, from: readonly T[]): T {
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
