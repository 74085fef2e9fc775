// Latencies in Node's histogram (`perf_hooks.createHistogram`), an HdrHistogram with three significant digits.

import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

/** The highest recorded latency: an hour, in ns. A higher one is recorded as an hour. */
const HIGHEST = 3_600_000_000_000;
const NS_PER_MS = 1e6;

export const PERCENTILES = [50, 75, 90, 99, 99.9, 99.99] as const;

/** A row of the printed histogram: the number of latencies below `to` ms that are not in an earlier row. */
export interface HistogramRow {
  readonly to: number;
  readonly count: number;
}

export class Latencies {
  readonly #histogram: RecordableHistogram = createHistogram({ lowest: 1, highest: HIGHEST, figures: 3 });
  /** The counts of the printed histogram. Row N begins at 2 ** (N / 2) ns, so HIGHEST is in row 83. */
  readonly #counts = new Float64Array(96);

  get count(): number {
    return this.#histogram.count;
  }

  /** @param time in ms */
  record(time: number): void {
    const ns = Math.min(HIGHEST, Math.max(1, Math.round(time * NS_PER_MS)));
    this.#histogram.record(ns);
    this.#counts[Math.floor(Math.log2(ns) * 2)]!++;
  }

  /** The latency in ms at this percentile. */
  percentile(percent: number): number {
    return this.count === 0 ? 0 : this.#histogram.percentile(percent) / NS_PER_MS;
  }

  /** Minimum, mean, standard deviation, percentiles and maximum, in ms. */
  summary(): Record<string, number> {
    const { min, max, mean, stddev } = this.#histogram;
    const ms = (ns: number): number => (this.count === 0 ? 0 : Number((ns / NS_PER_MS).toFixed(6)));
    const parts = PERCENTILES.map((percent) => [`p${percent}`, ms(this.#histogram.percentile(percent))] as const);
    return { min: ms(min), mean: ms(mean), stddev: ms(stddev), ...Object.fromEntries(parts), max: ms(max) };
  }

  /** The rows of the histogram, from the first to the last that has a latency. */
  rows(): HistogramRow[] {
    const first = this.#counts.findIndex((count) => count > 0);
    const last = this.#counts.findLastIndex((count) => count > 0);
    const rows: HistogramRow[] = [];
    if (first < 0) return rows;
    for (let row = first; row <= last; row++) {
      rows.push({ to: 2 ** ((row + 1) / 2) / NS_PER_MS, count: this.#counts[row]! });
    }
    return rows;
  }
}
