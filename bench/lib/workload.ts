// The types of a workload. Each file of bench/workloads/ exports a Workload. The runner, the report and the command
// line use only these types.

import type { Child } from "./children.js";
import type { Placement } from "./machine.js";
import type { Comparison } from "./statistics.js";

/** A figure that is measured for every subject of a case. `name` is its key in samples and in the JSON file. */
export interface Metric {
  readonly name: string;
  readonly label: string;
  readonly digits: number;
  /** Left out of the comparison of two versions, because it is a part of another figure, or varies much. */
  readonly detail?: boolean;
}

/** The figures of one measurement, by the metric's name. */
export type Sample = Readonly<Record<string, number>>;

/** One measurement: how long the load runs before the window, and how long the window is. */
export interface Window {
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** A subject whose processes run. */
export interface Contender extends AsyncDisposable {
  /** Its processes that run during all windows. If one of them ends, the measurement fails. */
  readonly children?: readonly Child[];
  measure(window: Window): Promise<Sample>;
}

/**
 * A measured program. Each of `ours` is compared with every `peer`, and the first peer with the other peers. A
 * `variant` is run only if the command line names it.
 */
export interface Subject {
  readonly name: string;
  readonly role: "ours" | "peer" | "variant";
  /** The reason why it can't be measured here: a missing program, or a limit of this machine. Undefined if it can. */
  readonly absent?: () => Promise<string | undefined>;
  readonly open: (placement: Placement) => Promise<Contender>;
}

/**
 * A limit: the required ratio (or difference) of a metric of `subject` to that of `peer`. Without `peer` it applies to
 * the figure itself.
 */
export interface Limit {
  readonly metric: string;
  readonly subject: string;
  readonly peer?: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** A measurement that is made with each subject in turn. */
export interface Case {
  readonly title: string;
  readonly metrics: readonly Metric[];
  readonly subjects: readonly Subject[];
  readonly limits: readonly Limit[];
  /** How subject and peer are compared. Default: "ratio". */
  readonly comparison?: Comparison;
  /** How many windows each subject has in a round. Default: `windowsPerRound`. */
  readonly windows?: number;
  /** The shortest warm-up before each window, in ms; none when not given. */
  readonly leastWarmupMs?: number;
}

/** The cases of `npm run bench -- NAME`. The names of metrics are unique in a workload. */
export interface Workload {
  readonly name: string;
  readonly cases: readonly Case[];
  /** How many rounds to measure, unless the command line has a number. */
  readonly rounds?: number;
  /** Makes files that the subjects require. Called before the first round. */
  readonly prepare?: () => Promise<void>;
}
