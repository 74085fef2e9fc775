// Runs a case. A round starts the processes of all subjects, and then measures the subjects in turn, in several short
// windows. The speed of a shared machine changes from second to second; with short windows the changes affect all
// subjects equally. A subject that is not being measured waits for a connection and uses no CPU.

import type { Child } from "./children.js";
import { disturbance, type Placement, readCpu } from "./machine.js";
import type { Case, Contender, Sample, Subject, Window } from "./workload.js";

/** How many windows each subject has in a round, unless its case has another number. */
export const windowsPerRound = 4;

/** How much to measure. `measureMs` is the sum of a subject's windows in one round. */
export interface Plan {
  readonly placement: Placement;
  readonly rounds: number;
  readonly measureMs: number;
  /**
   * The limit for `disturbance()` in a round, 0 to 1. A round with more is measured again. After as many repetitions as
   * there are rounds, the measurement fails. Undefined for no limit.
   */
  readonly othersAtMost?: number;
}

/** A case with the samples of its subjects, one per window. Samples with the same index belong to the same turn. */
export interface CaseResult {
  readonly case: Case;
  readonly rounds: number;
  /** Rounds that were repeated because other processes used the machine. */
  readonly dropped: number;
  /** A line for each peer that failed. Such a peer has no samples. */
  readonly failed: readonly string[];
  readonly runs: readonly { readonly subject: Subject; readonly samples: readonly Sample[] }[];
}

/** The subjects to run: those in `names`, or all but the variants if `names` is empty. */
export function chooseSubjects(subjects: readonly Subject[], names: readonly string[]): Subject[] {
  return subjects.filter((subject) => (names.length === 0 ? subject.role !== "variant" : names.includes(subject.name)));
}

/** The subjects that can be measured here. Calls `say` with a line for each of the others. */
export async function presentSubjects(subjects: readonly Subject[], say: (text: string) => void): Promise<Subject[]> {
  const present: Subject[] = [];
  for (const subject of subjects) {
    const reason = await subject.absent?.();
    if (reason === undefined) present.push(subject);
    else say(`skipped: ${subject.name}: ${reason}`);
  }
  return present;
}

/** How long to wait for the end of a process after the load generator has failed, in ms. */
const endTimeoutMs = 500;

/** The error of a peer that need not be installed. The measurement continues without the peer. */
class PeerError extends Error {
  readonly subject: Subject;

  constructor(subject: Subject, cause: Error) {
    super(cause.message, { cause });
    this.subject = subject;
  }
}

/** Runs `work` for a subject. An error of a peer that need not be installed becomes a `PeerError`. */
async function forSubject<T>(subject: Subject, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw subject.role === "peer" && subject.absent !== undefined ? new PeerError(subject, error as Error) : error;
  }
}

/** The error of a measurement, with the name of its subject. If a process of the subject ended, that is the reason. */
async function failureOf(label: string, error: unknown, children: readonly Child[] = []): Promise<Error> {
  const { message } = error as Error;
  for (const child of children) {
    const end = await child.endWithin(endTimeoutMs);
    if (end !== undefined) return new Error(`${label}: ${child.name} ended with ${end}`, { cause: error });
  }
  return new Error(`${label}: ${message}`, { cause: error });
}

/** Starts the processes of a subject. `label` is its name in an error. */
export async function openContender(subject: Subject, placement: Placement, label: string): Promise<Contender> {
  try {
    return await subject.open(placement);
  } catch (error) {
    throw await failureOf(label, error);
  }
}

/** Measures `subjects`. Calls `progress` before each round. If a peer fails, its round is measured again without it. */
export async function runCase(
  measuredCase: Case,
  subjects: readonly Subject[],
  plan: Plan,
  progress: (text: string) => void,
): Promise<CaseResult> {
  let runs = subjects.map((subject) => ({ subject, samples: [] as Sample[] }));
  const failed: string[] = [];
  let dropped = 0;
  for (let round = 1; round <= plan.rounds && runs.length > 0;) {
    progress(`round ${round} of ${plan.rounds}${dropped === 0 ? "" : `, ${dropped} dropped`}`);
    const before = readCpu();
    let samples: Sample[][];
    try {
      const present = runs.map(({ subject }) => subject);
      samples = await runRound(measuredCase, present, plan);
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      runs = runs.filter(({ subject }) => subject !== error.subject);
      failed.push(`skipped: ${measuredCase.title}: ${error.message}`);
      continue;
    }
    // The processes of the subjects have ended, so their time counts as ours.
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
  return { case: measuredCase, rounds: plan.rounds, dropped, failed, runs };
}

/** Runs one round. Resolves with the samples of each subject. */
async function runRound(measuredCase: Case, subjects: readonly Subject[], plan: Plan): Promise<Sample[][]> {
  const windows = measuredCase.windows ?? windowsPerRound;
  const taken: Sample[][] = subjects.map(() => []);
  const contenders: Contender[] = [];
  try {
    for (const subject of subjects) {
      contenders.push(await forSubject(subject, () => openContender(subject, plan.placement, subject.name)));
    }
    for (let window = 0; window < windows; window++) {
      for (const [i, subject] of subjects.entries()) {
        const contender = contenders[i] as Contender;
        const length = windowOf(measuredCase, plan, window === 0);
        taken[i]?.push(await forSubject(subject, () => measure(measuredCase, contender, length, subject.name)));
      }
    }
  } finally {
    for (const contender of contenders) await contender[Symbol.asyncDispose]();
  }
  return taken;
}

/**
 * The length of a window. The first window of a process has a long warm-up, until its code is compiled. Later ones have
 * a short one, which fills buffers and caches.
 */
export function windowOf(measuredCase: Case, { measureMs }: Plan, first: boolean): Window {
  return {
    warmupMs: Math.max(measuredCase.leastWarmupMs ?? 0, Math.ceil(measureMs / (first ? 2 : 20))),
    measureMs: Math.ceil(measureMs / (measuredCase.windows ?? windowsPerRound)),
  };
}

/** Measures one window. `label` is the name of the subject in an error. */
export async function measure(
  measuredCase: Case,
  contender: Contender,
  window: Window,
  label: string,
): Promise<Sample> {
  let sample: Sample;
  try {
    sample = await contender.measure(window);
  } catch (error) {
    throw await failureOf(label, error, contender.children);
  }
  for (const metric of measuredCase.metrics) {
    if (!Number.isFinite(sample[metric.name])) throw new Error(`${label} did not measure ${metric.name}`);
  }
  return sample;
}
