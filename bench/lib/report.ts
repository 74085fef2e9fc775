// What came out: the rows of the JSON file, the verdict on each limit, and the text for people.

import type { Machine } from "./machine.js";
import { type CaseResult, windowsPerRound } from "./runner.js";
import { median, pairedRatio, summarize } from "./statistics.js";
import type { Limit, Metric } from "./workload.js";

/** A figure of a subject beside the same of a peer. `ratio` is the median of the ratios of each turn. */
export interface Result {
  readonly workload: string;
  readonly subject: string;
  readonly peer: string;
  readonly metric: string;
  readonly value: number;
  readonly peerValue: number;
  readonly ratio: number;
}

/** The JSON file. */
export interface ResultFile {
  readonly machine: Machine;
  readonly results: readonly Result[];
}

/** A limit, with the ratio that was measured. */
export interface Verdict {
  readonly limit: Limit;
  readonly ratio: number;
  readonly met: boolean;
}

function valuesOf(result: CaseResult, subject: string, metric: string): number[] | undefined {
  const samples = result.runs.find((run) => run.subject.name === subject)?.samples;
  return samples?.map((sample) => sample[metric] as number);
}

/**
 * Every subject beside every peer that is listed after it, for every metric. A metric of which the peer used nothing (the
 * user part of a C server may be below one tick) has no ratio and is left out.
 */
export function resultsOf(workload: string, result: CaseResult): Result[] {
  return result.runs.flatMap(({ subject }, position) =>
    result.runs.slice(position + 1).flatMap(({ subject: peer }) => {
      if (peer.role === "ours") return [];
      return result.case.metrics
        .map(({ name: metric }) => {
          const values = valuesOf(result, subject.name, metric) as number[];
          const peerValues = valuesOf(result, peer.name, metric) as number[];
          return {
            workload,
            subject: subject.name,
            peer: peer.name,
            metric,
            value: median(values),
            peerValue: median(peerValues),
            ratio: pairedRatio(values, peerValues),
          };
        })
        .filter(({ ratio }) => Number.isFinite(ratio));
    }),
  );
}

/** The verdicts on those limits whose two subjects were both run. */
export function verdictsOf(result: CaseResult): Verdict[] {
  return result.case.limits.flatMap((limit) => {
    const values = valuesOf(result, limit.subject, limit.metric);
    const peerValues = valuesOf(result, limit.peer, limit.metric);
    if (values === undefined || peerValues === undefined) return [];
    const ratio = pairedRatio(values, peerValues);
    const met = ratio <= (limit.atMost ?? Infinity) && ratio >= (limit.atLeast ?? -Infinity);
    return [{ limit, ratio, met }];
  });
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

function formatSpread(metric: Metric, values: readonly number[]): string {
  const { median: middle, least, most } = summarize(values);
  const text = (value: number): string => value.toFixed(metric.digits);
  return values.length === 1 ? text(middle) : `${text(middle)} (${text(least)}..${text(most)})`;
}

/** The tables of a case: medians with their spread, ratios, verdicts. */
export function formatCase(workload: string, result: CaseResult): string {
  const { metrics } = result.case;
  const { rounds } = result;
  const figures = [
    ["", ...metrics.map((metric) => metric.label)],
    ...result.runs.map(({ subject }) => [
      subject.name,
      ...metrics.map((metric) => formatSpread(metric, valuesOf(result, subject.name, metric.name) as number[])),
    ]),
  ];
  const pairs = new Map<string, Map<string, string>>();
  for (const { subject, peer, metric, ratio } of resultsOf(workload, result)) {
    const pair = `${subject} / ${peer}`;
    pairs.set(pair, (pairs.get(pair) ?? new Map<string, string>()).set(metric, ratio.toFixed(3)));
  }
  const ratios = [
    ["", ...metrics.map((metric) => metric.label)],
    ...[...pairs].map(([pair, cells]) => [pair, ...metrics.map((metric) => cells.get(metric.name) ?? "-")]),
  ];
  const verdicts = verdictsOf(result).map(({ limit, ratio, met }) => {
    const bound = limit.atMost === undefined ? `at least ${limit.atLeast}` : `at most ${limit.atMost}`;
    const label = metrics.find((metric) => metric.name === limit.metric)?.label ?? limit.metric;
    return `  limit ${met ? "met   " : "MISSED"}  ${limit.subject}, ${label}: ${ratio.toFixed(3)} times ${limit.peer}, required ${bound}`;
  });
  const indent = (text: string): string => text.replaceAll(/^(?=.)/gm, "  ");
  return [
    `${workload}: ${result.case.title}`,
    "",
    `  medians (and spread) of ${rounds} round${rounds === 1 ? "" : "s"} of ${windowsPerRound} windows`,
    indent(formatTable(figures)),
    ...(pairs.size > 0 ? ["", "  ratios (median of the ratios of each turn)", indent(formatTable(ratios))] : []),
    ...(verdicts.length > 0 ? ["", ...verdicts] : []),
    "",
  ].join("\n");
}
