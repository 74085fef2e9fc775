// Finds figures that got worse since an earlier run. The figures themselves can't be compared, because the machine may
// be another one, or slower at that time. So this file compares the ratios to the peers of the same run.

import { readFile } from "node:fs/promises";

import { UsageError } from "./options.js";
import type { Result, ResultFile } from "./report.js";
import type { Interval } from "./statistics.js";

/** A ratio that got worse: the intervals of the two runs do not overlap. */
export interface Worse {
  readonly before: Result;
  readonly now: Result;
}

/** Reads the results of an earlier run. */
export async function readResults(path: string): Promise<ResultFile> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new UsageError(`Cannot read ${path}: ${(error as Error).message}`);
  }
  const { results, versions } = value as Partial<ResultFile>;
  if (!Array.isArray(results) || versions !== undefined) {
    throw new UsageError(`Cannot compare with ${path}: required the results of a run without --against`);
  }
  return value as ResultFile;
}

/** Whether a greater value of a metric is better. All other metrics are costs. */
const isRate = (metric: string): boolean => /per_second|^least_of_median/.test(metric);

const keyOf = ({ metric, peer, subject, workload }: Result): string => [workload, subject, peer, metric].join("\0");

function estimateOf({ difference, ratio }: Result): number {
  return ratio ?? difference ?? NaN;
}

function intervalOf(result: Result): Interval {
  const estimate = estimateOf(result);
  return result.interval ?? [estimate, estimate];
}

/** The rows that are worse now: their intervals do not overlap those of the earlier run. */
export function worseThan(earlier: ResultFile, now: ResultFile): Worse[] {
  // Rows that compare two peers are ignored.
  const peers = new Set(now.results.map(({ peer }) => peer));
  const before = new Map(earlier.results.map((result) => [keyOf(result), result]));
  return now.results.flatMap((result) => {
    const old = before.get(keyOf(result));
    if (old === undefined || peers.has(result.subject)) return [];
    const [oldLow, oldHigh] = intervalOf(old);
    const [low, high] = intervalOf(result);
    const worse = isRate(result.metric) ? high < oldLow : low > oldHigh;
    return worse ? [{ before: old, now: result }] : [];
  });
}

/** A line for each ratio that got worse. `path` is the file of the earlier run. */
export function formatWorse(worse: readonly Worse[], path: string): string {
  if (worse.length === 0) return `nothing is worse than in ${path} by more than its interval`;
  const text = (result: Result): string => {
    const [low, high] = intervalOf(result);
    return `${estimateOf(result).toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
  };
  const lines = worse.map(
    ({ before, now }) =>
      `  ${now.workload}: ${now.subject} beside ${now.peer}, ${now.metric}: ${text(now)}, before ${text(before)}`,
  );
  return [`worse than in ${path} by more than its interval:`, ...lines].join("\n");
}
