// Runs a case. A round starts all subjects anew, and then measures them in turn in several short windows. The speed of
// a shared machine changes from second to second; with short windows it affects all subjects equally. A subject that is
// not being measured waits for a connection and uses no CPU.

import type { Child } from "./children.js";
import { disturbance, type Placement, readCpu } from "./machine.js";
import type { Case, Contender, Sample, Subject, Window } from "./workload.js";

/** How many windows each subject has in a round, unless its case has another number. */
export const windowsPerRound = 4;

/** How much to measure: `measureMs` is the sum of a subject's windows in one round. */
export interface Plan {
  readonly placement: Placement;
  readonly rounds: number;
  readonly measureMs: number;
  /**
   * The share of the machine, 0 to 1, that others may use in user mode in a round, with the time that the hypervisor took. A round above is
   * measured again, at most as often as there are rounds. Undefined: every round counts.
   */
  readonly othersAtMost?: number;
}

/** A case with the samples of its subjects, one per window; those at the same place were measured one after the other. */
export interface CaseResult {
  readonly case: Case;
  readonly rounds: number;
  /** Rounds that were repeated because other processes used the machine. */
  readonly dropped: number;
  readonly runs: readonly { readonly subject: Subject; readonly samples: readonly Sample[] }[];
}

/** The subjects to run: those that are named, or all but the variants when no name is given. */
export function chooseSubjects(subjects: readonly Subject[], names: readonly string[]): Subject[] {
  return subjects.filter((subject) => (names.length === 0 ? subject.role !== "variant" : names.includes(subject.name)));
}

/** The subjects that can be measured here. `say` gets a line for each other one. */
export async function presentSubjects(subjects: readonly Subject[], say: (text: string) => void): Promise<Subject[]> {
  const present: Subject[] = [];
  for (const subject of subjects) {
    const reason = await subject.absent?.();
    if (reason === undefined) present.push(subject);
    else say(`skipped: ${subject.name}: ${reason}`);
  }
  return present;
}

/** Milliseconds in which a failed process must end, after the load generator has failed. */
const lastWordsMs = 500;

/** The error of a measurement, with the name of whose it is, and with the reason when one of its processes ended. */
async function failureOf(label: string, error: unknown, children: readonly Child[] = []): Promise<Error> {
  const { message } = error as Error;
  for (const child of children) {
    const end = await child.endWithin(lastWordsMs);
    if (end !== undefined) return new Error(`${label}: ${child.name} ended with ${end}`, { cause: error });
  }
  return new Error(`${label}: ${message}`, { cause: error });
}

/** Starts the processes of a subject; `label` names it in an error. */
export async function openContender(subject: Subject, placement: Placement, label: string): Promise<Contender> {
  try {
    return await subject.open(placement);
  } catch (error) {
    throw await failureOf(label, error);
  }
}

/** Measures `subjects`. Calls `progress` before each round. */
export async function runCase(
  which: Case,
  subjects: readonly Subject[],
  plan: Plan,
  progress: (text: string) => void,
): Promise<CaseResult> {
  const runs = subjects.map((subject) => ({ subject, samples: [] as Sample[] }));
  let dropped = 0;
  for (let round = 1; round <= plan.rounds;) {
    progress(`round ${round} of ${plan.rounds}${dropped === 0 ? "" : `, ${dropped} dropped`}`);
    const before = readCpu();
    const samples = await runRound(which, subjects, plan);
    // Their processes have ended, so their time counts as ours.
    const others = disturbance(before, readCpu());
    if (others > (plan.othersAtMost ?? Infinity)) {
      dropped++;
      if (dropped <= plan.rounds) continue;
      throw new Error(
        `others used more than ${(plan.othersAtMost ?? 0) * 100} % of the machine in ${dropped} rounds; a quiet machine is required`,
      );
    }
    for (const [i, of] of samples.entries()) runs[i]?.samples.push(...of);
    round++;
  }
  return { case: which, rounds: plan.rounds, dropped, runs };
}

/** One round: the samples of each subject. */
async function runRound(which: Case, subjects: readonly Subject[], plan: Plan): Promise<Sample[][]> {
  const windows = which.windows ?? windowsPerRound;
  const taken: Sample[][] = subjects.map(() => []);
  const contenders: Contender[] = [];
  try {
    for (const subject of subjects) contenders.push(await openContender(subject, plan.placement, subject.name));
    for (let window = 0; window < windows; window++) {
      for (const [i, subject] of subjects.entries()) {
        const contender = contenders[i] as Contender;
        taken[i]?.push(await measure(which, contender, windowOf(which, plan, window === 0), subject.name));
      }
    }
  } finally {
    for (const contender of contenders) await contender[Symbol.asyncDispose]();
  }
  return taken;
}

/** The first window of a process has a long warm-up, for its compiler; a later one fills buffers and caches only. */
export function windowOf(which: Case, { measureMs }: Plan, first: boolean): Window {
  return {
    warmupMs: Math.max(which.leastWarmupMs ?? 0, Math.ceil(measureMs / (first ? 2 : 20))),
    measureMs: Math.ceil(measureMs / (which.windows ?? windowsPerRound)),
  };
}

/** One window; `label` names the subject in an error. */
export async function measure(which: Case, contender: Contender, window: Window, label: string): Promise<Sample> {
  let sample: Sample;
  try {
    sample = await contender.measure(window);
  } catch (error) {
    throw await failureOf(label, error, contender.children);
  }
  for (const metric of which.metrics) {
    if (!Number.isFinite(sample[metric.name])) throw new Error(`${label} did not measure ${metric.name}`);
  }
  return sample;
}
