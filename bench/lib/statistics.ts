// The statistics of the benchmarks. A turn is one window of every subject, one after the other.

/** The median: the middle one of the sorted values, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("median needs at least one value");
  return middleOf(Float64Array.from(values).sort());
}

function middleOf(sorted: Float64Array): number {
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** The median, the minimum and the maximum of a metric over all windows. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Computes the summary of values. */
export function summarize(values: readonly number[]): Summary {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** How two values of one turn are compared: by division or by subtraction. */
export type Comparison = "ratio" | "difference";

const operations: Readonly<Record<Comparison, (value: number, peerValue: number) => number>> = {
  ratio: (value, peerValue) => value / peerValue,
  difference: (value, peerValue) => value - peerValue,
};

/**
 * Compares the values of each turn. A disturbance of some seconds affects both values of a turn, so it cancels in their
 * ratio. In the ratio of two medians it would not cancel.
 */
export function paired(values: readonly number[], peerValues: readonly number[], comparison: Comparison): number[] {
  if (values.length !== peerValues.length) {
    throw new RangeError(`paired needs as many peer values as values, found ${peerValues.length} and ${values.length}`);
  }
  const compare = operations[comparison];
  return values.map((value, turn) => compare(value, peerValues[turn] as number));
}

/** Splits the values of all turns into rounds of equal length. */
export function inRounds(values: readonly number[], rounds: number): number[][] {
  const turns = values.length / rounds;
  if (!Number.isInteger(turns) || turns === 0) {
    throw new RangeError(`inRounds needs the same number of turns in each round, found ${values.length} in ${rounds}`);
  }
  return Array.from({ length: rounds }, (_, round) => values.slice(round * turns, (round + 1) * turns));
}

/** A random number generator: numbers from 0 to below 1. The same seed gives the same numbers. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    // A Weyl sequence. Multiplications and shifts then mix its bits.
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** Both ends of an interval. */
export type Interval = readonly [low: number, high: number];

/** How many samples `bootstrapInterval()` draws. */
export const resamples = 2000;

/**
 * The 95 % interval of the median over all turns, by the percentile bootstrap. It draws whole rounds, because the turns
 * of a round are not independent: they have the same processes, and the speed of the machine is similar. If it drew
 * single turns, the interval would be too narrow. One round has no interval.
 */
export function bootstrapInterval(rounds: readonly (readonly number[])[], seed: number): Interval | undefined {
  if (rounds.length < 2) return undefined;
  const random = seededRandom(seed);
  const drawn = new Float64Array(rounds.length * (rounds[0] as readonly number[]).length);
  const medians = new Float64Array(resamples).map(() => {
    let turn = 0;
    for (let draw = 0; draw < rounds.length; draw++) {
      const round = rounds[Math.floor(random() * rounds.length)] as readonly number[];
      for (const value of round) drawn[turn++] = value;
    }
    return middleOf(drawn.sort());
  });
  medians.sort();
  const at = (share: number): number => medians[Math.round(share * (resamples - 1))] as number;
  return [at(0.025), at(0.975)];
}
