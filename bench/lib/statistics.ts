// The few statistics that the benchmarks use. A turn is one window of every subject, one after the other.

/** The middle of the sorted values; the mean of the middle two when their count is even. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("median needs at least one value");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** What a metric came to over all windows. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** The median and the spread of one metric. */
export function summarize(values: readonly number[]): Summary {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/**
 * The median of the ratios of each turn. What disturbs a machine for some seconds disturbs both members of a pair, so it cancels here, which it would not in the ratio of two medians.
 */
export function pairedRatio(values: readonly number[], peerValues: readonly number[]): number {
  if (values.length !== peerValues.length) {
    throw new RangeError(
      `pairedRatio needs as many peer values as values, found ${peerValues.length} and ${values.length}`,
    );
  }
  return median(values.map((value, turn) => value / (peerValues[turn] as number)));
}
