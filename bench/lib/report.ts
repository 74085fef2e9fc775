// The results: the rows of the JSON file, the check of each limit, and the printed text.

import type { Machine } from "./machine.js";
import type { CaseResult } from "./runner.js";
import {
  type Comparison,
  type Interval,
  bootstrapInterval,
  inRounds,
  median,
  paired,
  summarize,
} from "./statistics.js";
import type { Limit, Metric, Subject } from "./workload.js";

/** The seed of the intervals if the command line has none. */
export const defaultSeed = 1;

/** The comparison of a subject with a peer, by one metric. A turn is one window of every subject. */
export interface Comparative {
  readonly subject: string;
  readonly peer: string;
  readonly metric: string;
  readonly value: number;
  readonly peerValue: number;
  /** The median of the ratios, or of the differences, of all turns. */
  readonly estimate: number;
  /** The 95 % bootstrap interval of `estimate`; undefined if there was one round only. */
  readonly interval: Interval | undefined;
  /** The ratio or the difference of every turn, round by round. */
  readonly rounds: readonly (readonly number[])[];
}

/** A row of the JSON file. It has `ratio` or `difference`, depending on the `comparison` of the case. */
export interface Result {
  readonly workload: string;
  readonly subject: string;
  readonly peer: string;
  readonly metric: string;
  readonly value: number;
  readonly peerValue: number;
  readonly ratio?: number;
  readonly difference?: number;
  readonly interval: Interval | null;
  readonly rounds: readonly (readonly number[])[];
}

/** A figure of one subject by itself, for plots and tables. */
export interface Figure {
  readonly workload: string;
  /** The title of the case. */
  readonly title: string;
  readonly subject: string;
  readonly metric: string;
  readonly label: string;
  readonly value: number;
  /** The 95 % bootstrap interval of the median. */
  readonly interval: Interval | null;
}

/** A limit in the JSON file, with the measured value. */
export interface Judgement {
  readonly workload: string;
  readonly title: string;
  readonly subject: string;
  /** null if the limit is on the figure itself. */
  readonly peer: string | null;
  readonly metric: string;
  readonly label: string;
  readonly required: string;
  readonly value: number;
  readonly interval: Interval | null;
  readonly met: boolean;
}

/** The JSON file. */
export interface ResultFile {
  readonly machine: Machine;
  /** The two libraries, when versions were compared. The peer of a subject is the same subject with the old one. */
  readonly versions?: Readonly<Record<"new" | "old", { readonly path: string; readonly version: string }>>;
  readonly seed: number;
  readonly results: readonly Result[];
  /** The results of each subject; only if subjects are compared with peers. */
  readonly figures?: readonly Figure[];
  readonly limits?: readonly Judgement[];
  /** Rounds that were repeated because other processes used the machine. */
  readonly dropped?: number;
  /** Subjects that were not measured, each with the reason. */
  readonly absent?: readonly string[];
}

/** A limit, with the measured value. */
export interface Verdict {
  readonly limit: Limit;
  readonly estimate: number;
  readonly interval: Interval | undefined;
  readonly met: boolean;
}

/** A case with the comparisons of its subjects. */
export interface Analysis {
  readonly workload: string;
  readonly result: CaseResult;
  readonly comparison: Comparison;
  readonly rows: readonly Comparative[];
}

/** Two subjects of a case that are compared. */
export type Pair = readonly [subject: string, peer: string];

function valuesOf(result: CaseResult, subject: string, metric: string): number[] {
  const samples = result.runs.find((run) => run.subject.name === subject)?.samples ?? [];
  return samples.map((sample) => sample[metric] as number);
}

/** Pairs each of our subjects with every peer, and the first peer with the other peers. */
function pairsOf({ runs }: CaseResult): Pair[] {
  const peers = runs.map(({ subject }) => subject).filter(({ role }) => role !== "ours");
  const ours = runs.map(({ subject }) => subject).filter(({ role }) => role === "ours");
  const pair = (subject: Subject, peer: Subject): Pair => [subject.name, peer.name];
  const [first, ...rest] = peers;
  return [
    ...ours.flatMap((subject) => peers.map((peer) => pair(subject, peer))),
    ...(first === undefined ? [] : rest.map((peer) => pair(first, peer))),
  ];
}

/**
 * Compares the pairs by every metric. All intervals use the same seed, so an interval does not depend on the others.
 */
export function analyse(
  workload: string,
  result: CaseResult,
  seed: number = defaultSeed,
  pairs: readonly Pair[] = pairsOf(result),
): Analysis {
  const comparison = result.case.comparison ?? "ratio";
  const rows = pairs.flatMap(([subject, peer]) =>
    result.case.metrics.map(({ name: metric }) => {
      const values = valuesOf(result, subject, metric);
      const peerValues = valuesOf(result, peer, metric);
      const compared = paired(values, peerValues, comparison);
      const rounds = inRounds(compared, result.rounds);
      return {
        subject,
        peer,
        metric,
        value: median(values),
        peerValue: median(peerValues),
        estimate: median(compared),
        interval: bootstrapInterval(rounds, seed),
        rounds,
      };
    }),
  );
  return { workload, result, comparison, rows };
}

/**
 * The rows for the JSON file. A ratio is left out if the value of the peer is 0: the user time of a C server may be
 * less than one tick.
 */
export function resultsOf({ workload, comparison, rows }: Analysis): Result[] {
  return rows
    .filter(({ estimate }) => Number.isFinite(estimate))
    .map(({ subject, peer, metric, value, peerValue, estimate, interval, rounds }) => ({
      workload,
      subject,
      peer,
      metric,
      value,
      peerValue,
      [comparison]: estimate,
      interval: interval ?? null,
      rounds,
    }));
}

/** The results of each subject by itself. */
export function figuresOf({ workload, result }: Analysis, seed: number = defaultSeed): Figure[] {
  return result.runs.flatMap(({ subject: { name: subject } }) =>
    result.case.metrics.map(({ label, name: metric }) => {
      const { estimate: value, interval } = alone(result, subject, metric, seed);
      return { workload, title: result.case.title, subject, metric, label, value, interval: interval ?? null };
    }),
  );
}

/** The limits for the JSON file. */
export function judgementsOf(analysis: Analysis, seed: number = defaultSeed): Judgement[] {
  const { title, metrics } = analysis.result.case;
  return verdictsOf(analysis, seed).map(({ limit, estimate, interval, met }) => ({
    workload: analysis.workload,
    title,
    subject: limit.subject,
    peer: limit.peer ?? null,
    metric: limit.metric,
    label: metrics.find(({ name }) => name === limit.metric)?.label ?? limit.metric,
    required: boundOf(limit),
    value: estimate,
    interval: interval ?? null,
    met,
  }));
}

function boundOf({ atLeast, atMost }: Limit): string {
  return atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`;
}

/** The median of a subject, with its interval. */
function alone(result: CaseResult, subject: string, metric: string, seed: number): Omit<Verdict, "limit" | "met"> {
  const values = valuesOf(result, subject, metric);
  return { estimate: median(values), interval: bootstrapInterval(inRounds(values, result.rounds), seed) };
}

/** The verdicts on the limits whose subjects were measured. */
export function verdictsOf({ result, rows }: Analysis, seed: number = defaultSeed): Verdict[] {
  return result.case.limits.flatMap((limit) => {
    if (limit.peer === undefined) {
      if (!result.runs.some(({ subject }) => subject.name === limit.subject)) return [];
      const figure = alone(result, limit.subject, limit.metric, seed);
      return [{ limit, ...figure, met: isMet(limit, figure.estimate) }];
    }
    const row = rows.find(
      ({ subject, peer, metric }) => subject === limit.subject && peer === limit.peer && metric === limit.metric,
    );
    if (row === undefined) return [];
    const { estimate, interval } = row;
    return [{ limit, estimate, interval, met: isMet(limit, estimate) }];
  });
}

function isMet({ atLeast = -Infinity, atMost = Infinity }: Limit, value: number): boolean {
  return value <= atMost && value >= atLeast;
}

/** Aligns the columns: the first to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A median, followed by the minimum and the maximum. */
export function formatSpread(metric: Metric, values: readonly number[]): string {
  const { median: middle, least, most } = summarize(values);
  const text = (value: number): string => value.toFixed(metric.digits);
  return values.length === 1 ? text(middle) : `${text(middle)} (${text(least)}..${text(most)})`;
}

/** A ratio has three places; a difference has those of its metric, and a sign. */
function formatEstimate(value: number, comparison: Comparison, { digits }: Metric): string {
  if (comparison === "ratio") return value.toFixed(3);
  return `${value > 0 ? "+" : ""}${value.toFixed(digits)}`;
}

/** A ratio or a difference, followed by its interval. */
export function formatComparative(
  { estimate, interval }: Pick<Comparative, "estimate" | "interval">,
  comparison: Comparison,
  metric: Metric,
): string {
  const text = (value: number): string => formatEstimate(value, comparison, metric);
  return interval === undefined ? text(estimate) : `${text(estimate)} [${interval.map(text).join(", ")}]`;
}

/** The heading of a table of ratios or differences. It explains the values and the brackets. */
export function headingOf(comparison: Comparison, rounds: number): string {
  const what = `${comparison}s (median of the ${comparison}s of each turn)`;
  return rounds === 1
    ? `${what}; n = 1 round, so no interval`
    : `${what} [95 % bootstrap interval of it, n = ${rounds} rounds]`;
}

/** Indents every line that is not empty. */
export function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "  ");
}

function formatVerdict({ limit, met, ...figure }: Verdict, { result, comparison }: Analysis): string {
  const metric = result.case.metrics.find(({ name }) => name === limit.metric);
  if (metric === undefined)
    throw new Error(`a limit of ${result.case.title} is on ${limit.metric}, which it does not have`);
  const text = (value: number): string => value.toFixed(metric.digits);
  const compared =
    limit.peer === undefined
      ? `${text(figure.estimate)}${figure.interval === undefined ? "" : ` [${figure.interval.map(text).join(", ")}]`}`
      : `${formatComparative(figure, comparison, metric)} ${comparison === "ratio" ? "times" : "over"} ${limit.peer}`;
  return `  limit ${met ? "met   " : "MISSED"}  ${limit.subject}, ${metric.label}: ${compared}, required ${boundOf(limit)}`;
}

/** The tables of a case: medians with their spread; ratios or differences with their interval; verdicts. */
export function formatCase(analysis: Analysis): string {
  const { workload, result, comparison, rows } = analysis;
  const { metrics } = result.case;
  const { rounds } = result;
  const windows = (result.runs[0]?.samples.length ?? 0) / rounds;
  const labels = ["", ...metrics.map((metric) => metric.label)];
  const figures = [
    labels,
    ...result.runs.map(({ subject }) => [
      subject.name,
      ...metrics.map((metric) => formatSpread(metric, valuesOf(result, subject.name, metric.name))),
    ]),
  ];
  const pairs = new Map<string, Map<string, string>>();
  for (const row of rows) {
    const metric = metrics.find(({ name }) => name === row.metric);
    if (metric === undefined || !Number.isFinite(row.estimate)) continue;
    const pair = `${row.subject} ${comparison === "ratio" ? "/" : "-"} ${row.peer}`;
    const cell = formatComparative(row, comparison, metric);
    pairs.set(pair, (pairs.get(pair) ?? new Map<string, string>()).set(row.metric, cell));
  }
  const compared = [
    labels,
    ...[...pairs].map(([pair, cells]) => [pair, ...metrics.map((metric) => cells.get(metric.name) ?? "-")]),
  ];
  const verdicts = verdictsOf(analysis).map((verdict) => formatVerdict(verdict, analysis));
  return [
    `${workload}: ${result.case.title}`,
    "",
    `  medians (and spread) of ${rounds} round${rounds === 1 ? "" : "s"} of ${windows} window${windows === 1 ? "" : "s"}`,
    indent(formatTable(figures)),
    ...(pairs.size > 0 ? ["", `  ${headingOf(comparison, rounds)}`, indent(formatTable(compared))] : []),
    ...(verdicts.length > 0 ? ["", ...verdicts] : []),
    "",
  ].join("\n");
}
