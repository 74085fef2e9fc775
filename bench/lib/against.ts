// Compares two versions of our library, new and old, in one run. Each of our subjects runs with one version right after
// the other. The order alternates (new, old, old, new, …), so neither version gains from its place.

import type { Library } from "./library.js";
import type { Placement } from "./machine.js";
import { type Analysis, analyse, formatComparative, formatSpread, formatTable, headingOf, indent } from "./report.js";
import { type CaseResult, type Plan, measure, openContender, windowOf, windowsPerRound } from "./runner.js";
import { summarize } from "./statistics.js";
import type { Case, Contender, Metric, Sample, Subject } from "./workload.js";

/** The two versions. */
export interface Versions {
  readonly new: Library;
  readonly old: Library;
}

/** A case of which each subject of ours was measured with both versions. */
export interface VersionsResult {
  readonly case: Case;
  readonly rounds: number;
  readonly runs: readonly { readonly subject: Subject; readonly new: Sample[]; readonly old: Sample[] }[];
  /** The program in C, measured once per round. Its spread is caused by the machine only. */
  readonly control: readonly Sample[];
}

/** Whether a subject imports the library. A variant in C does not. */
export function isOurs({ name, role }: Subject): boolean {
  return role === "ours" || (role === "variant" && name.startsWith("berkeley"));
}

const sides = ["new", "old"] as const;
type Side = (typeof sides)[number];

/** The order of the two versions in a turn. It alternates, and it begins with the other one in every second round. */
export function orderOf(round: number, turn: number): readonly Side[] {
  return (round + turn) % 2 === 0 ? ["new", "old"] : ["old", "new"];
}

function at(placement: Placement, library: Library): Placement {
  const { bench } = library;
  return { ...placement, site: { ...placement.site, bench, shipped: bench } };
}

const labelOf = (subject: Subject, library: Library): string => `${subject.name} of ${library.path}`;

/** The window of a trial: short, but long enough for a result on a busy machine. */
const trial = { warmupMs: 50, measureMs: 250 };

/**
 * Runs each subject with both versions for a moment, so that a missing function of one version is found before the
 * measurement.
 */
export async function tryVersions(
  measuredCase: Case,
  subjects: readonly Subject[],
  versions: Versions,
  plan: Plan,
): Promise<void> {
  for (const subject of subjects) {
    for (const side of sides) {
      const library = versions[side];
      const label = labelOf(subject, library);
      const contender = await openContender(subject, at(plan.placement, library), label);
      try {
        await measure(measuredCase, contender, trial, label);
      } finally {
        await contender[Symbol.asyncDispose]();
      }
    }
  }
}

/** Measures `subjects` with both versions; `progress` is called before each round. */
export async function runVersions(
  measuredCase: Case,
  subjects: readonly Subject[],
  versions: Versions,
  plan: Plan,
  progress: (text: string) => void,
): Promise<VersionsResult> {
  const runs = subjects.map((subject) => ({ subject, new: [] as Sample[], old: [] as Sample[] }));
  const peer = measuredCase.subjects.find(({ name, role }) => name === "c" && role === "peer");
  const control: Sample[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    progress(`round ${round + 1} of ${plan.rounds}`);
    const opened: Contender[] = [];
    const open = async (subject: Subject, placement: Placement, label: string): Promise<Contender> => {
      const contender = await openContender(subject, placement, label);
      opened.push(contender);
      return contender;
    };
    try {
      const contenders: Record<Side, Contender>[] = [];
      for (const { subject } of runs) {
        const start = (side: Side): Promise<Contender> =>
          open(subject, at(plan.placement, versions[side]), labelOf(subject, versions[side]));
        contenders.push({ new: await start("new"), old: await start("old") });
      }
      for (let turn = 0; turn < (measuredCase.windows ?? windowsPerRound); turn++) {
        for (const [i, run] of runs.entries()) {
          for (const side of orderOf(round, turn)) {
            const label = labelOf(run.subject, versions[side]);
            const contender = (contenders[i] as Record<Side, Contender>)[side];
            run[side].push(await measure(measuredCase, contender, windowOf(measuredCase, plan, turn === 0), label));
          }
        }
      }
      if (peer !== undefined) {
        const contender = await open(peer, plan.placement, peer.name);
        control.push(await measure(measuredCase, contender, windowOf(measuredCase, plan, false), peer.name));
      }
    } finally {
      for (const contender of opened) await contender[Symbol.asyncDispose]();
    }
  }
  return { case: measuredCase, rounds: plan.rounds, runs, control };
}

/** The name of a subject with the old version in the results. */
const oldOf = (subject: string): string => `${subject} (old)`;

/** Computes the ratio new / old of every metric of every subject. */
export function analyseVersions(
  workload: string,
  { case: measuredCase, rounds, runs }: VersionsResult,
  seed: number,
): Analysis {
  const result: CaseResult = {
    case: { ...measuredCase, comparison: "ratio", limits: [] },
    rounds,
    dropped: 0,
    failed: [],
    runs: runs.flatMap((run) => [
      { subject: run.subject, samples: run.new },
      { subject: { ...run.subject, name: oldOf(run.subject.name), role: "peer" }, samples: run.old },
    ]),
  };
  const pairs = runs.map(({ subject: { name } }) => [name, oldOf(name)] as const);
  return analyse(workload, result, seed, pairs);
}

/**
 * A line for each subject and metric: both medians with their spread, and the ratio with its interval and its spread.
 */
export function formatVersions(analysis: Analysis, measured: VersionsResult): string {
  const { workload, result, rows } = analysis;
  const lines = rows.flatMap((row) => {
    const metric = result.case.metrics.find(({ name }) => name === row.metric);
    if (metric === undefined || metric.detail === true || !Number.isFinite(row.estimate)) return [];
    const spread = (subject: string): string => {
      const samples = result.runs.find((run) => run.subject.name === subject)?.samples ?? [];
      return formatSpread(
        metric,
        samples.map((sample) => sample[metric.name] as number),
      );
    };
    const { least, most } = summarize(row.rounds.flat());
    return [
      [
        `${row.subject}, ${metric.label}`,
        spread(row.subject),
        spread(row.peer),
        formatComparative(row, "ratio", metric),
        `(${least.toFixed(3)}..${most.toFixed(3)})`,
      ],
    ];
  });
  const windows = (measured.runs[0]?.new.length ?? 0) / measured.rounds;
  const [first] = result.case.metrics;
  const control = measured.control.map((sample) => sample[first?.name ?? ""] as number);
  return [
    `${workload}: ${result.case.title}`,
    "",
    `  ${measured.rounds} round${measured.rounds === 1 ? "" : "s"} of ${windows} turn${windows === 1 ? "" : "s"}`,
    `  ${headingOf("ratio", measured.rounds)}`,
    "",
    indent(formatTable([["", "new", "old", "new / old", "spread of the turns"], ...lines])),
    ...(first !== undefined && control.length > 0 ? ["", `  control: ${formatControl(first, control)}`] : []),
    "",
  ].join("\n");
}

/** The spread of the rounds of the C program, which is the same in all rounds. */
function formatControl(metric: Metric, values: readonly number[]): string {
  const { least, most } = summarize(values);
  const range = values.length > 1 ? `, most / least ${(most / least).toFixed(3)}` : "";
  return `c, ${metric.label}: ${formatSpread(metric, values)}${range}`;
}
