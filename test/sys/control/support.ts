// Calls that only keep a list, for descriptors that do not exist; and numbers that are random but the same each time.
import type { Calls } from "#berkeley/sys/calls.js";

export interface Recorder {
  readonly calls: Calls;
  readonly closed: number[];
  readonly released: number[];
}

export function recorder(): Recorder {
  const closed: number[] = [];
  const released: number[] = [];
  const calls = {
    close: (fd: number) => {
      closed.push(fd);
      return 0;
    },
    release: (fd: number) => {
      released.push(fd);
      return 0;
    },
  } as unknown as Calls;
  return { calls, closed, released };
}

/** Mulberry32: the same numbers from the same seed, on every machine. */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
