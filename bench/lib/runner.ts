// Runs a case. A round starts every subject anew, all at once, and then measures them in turn in several short windows: the
// speed of a shared machine changes from second to second, and so it meets all of them alike. One that is not being
// measured waits for a connection and uses nothing.

import type { Placement } from "./machine.js";
import type { Case, Contender, Sample, Subject } from "./workload.js";

/** How many windows each subject has in a round, unless its case has another number. */
export const windowsPerRound = 4;

/** How much to measure: `measureMs` is the sum of a subject's windows in one round. */
export interface Plan {
  readonly placement: Placement;
  readonly rounds: number;
  readonly measureMs: number;
}

/** A case with the samples of its subjects, one per window; those at the same place were measured one after the other. */
export interface CaseResult {
  readonly case: Case;
  readonly rounds: number;
  readonly runs: readonly { readonly subject: Subject; readonly samples: readonly Sample[] }[];
}

/** The subjects to run: those that are named, or all but the variants when no name is given. */
export function chooseSubjects(subjects: readonly Subject[], names: readonly string[]): Subject[] {
  return subjects.filter((subject) => (names.length === 0 ? subject.role !== "variant" : names.includes(subject.name)));
}

/** Measures `subjects`; `progress` hears of each round before it starts. */
export async function runCase(
  which: Case,
  subjects: readonly Subject[],
  plan: Plan,
  progress: (text: string) => void,
): Promise<CaseResult> {
  const runs = subjects.map((subject) => ({ subject, samples: [] as Sample[] }));
  const windows = which.windows ?? windowsPerRound;
  for (let round = 1; round <= plan.rounds; round++) {
    progress(`round ${round} of ${plan.rounds}`);
    const contenders: Contender[] = [];
    try {
      for (const { subject } of runs) contenders.push(await subject.open(plan.placement));
      for (let window = 0; window < windows; window++) {
        for (const [i, { subject, samples }] of runs.entries()) {
          samples.push(await measure(which, subject, contenders[i] as Contender, plan, window === 0));
        }
      }
    } finally {
      for (const contender of contenders) await contender[Symbol.asyncDispose]();
    }
  }
  return { case: which, rounds: plan.rounds, runs };
}

/** One window. The first of a process has a long warm-up, for its compiler; a later one fills buffers and caches only. */
async function measure(
  which: Case,
  subject: Subject,
  contender: Contender,
  plan: Plan,
  first: boolean,
): Promise<Sample> {
  const sample = await contender.measure({
    warmupMs: Math.ceil(plan.measureMs / (first ? 2 : 20)),
    measureMs: Math.ceil(plan.measureMs / (which.windows ?? windowsPerRound)),
  });
  for (const metric of which.metrics) {
    if (!Number.isFinite(sample[metric.name])) throw new Error(`${subject.name} did not measure ${metric.name}`);
  }
  return sample;
}
