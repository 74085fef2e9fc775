// The command line of the benchmarks.

import { parseArgs } from "node:util";

import { defaultSeed } from "./report.js";

/** A mistake in the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface Options {
  readonly workloads: readonly string[];
  readonly subjects: readonly string[];
  /** Undefined for the default of the workload, or of a comparison of versions. */
  readonly rounds: number | undefined;
  readonly seconds: number;
  readonly seed: number;
  /** The old version to compare with, or a file of earlier results. */
  readonly against: string | undefined;
  /** The new version; undefined for the package as it is shipped. */
  readonly library: string | undefined;
  /** The Node that runs the scripts; undefined for the Node of this process. */
  readonly node: string | undefined;
  readonly json: string | undefined;
  /** Install the peers of bench/lib/peers.ts, and measure nothing. */
  readonly installPeers: boolean;
  /**
   * The share of the machine that other processes may use in a round. Undefined: the default, which depends on the
   * number of rounds.
   */
  readonly others: number | undefined;
  readonly list: boolean;
  readonly help: boolean;
}

export const usage: string = `usage: npm run bench -- NAME... [options]

  --rounds N      start and measure all subjects N times (5; import: 20)
  --seed N        the seed of the random numbers behind the intervals (1)
  --seconds S     how long each subject is measured per round, warm-up not counted (2)
  --subject NAME  run only this subject; may be repeated, and is the only way to run a variant
  --against PATH  compare our subjects with those of another version: a .tgz file, or a checkout that is set up (15 rounds);
                  or with the results of an earlier run: a .json file
  --others P      drop a round, and measure it again, if others used more than P % of the machine (2; no limit below 5 rounds)
  --library PATH  with --against: the new version, in place of the package as it is shipped
  --node PATH     run the measured scripts with this Node
  --json FILE     write the results there
  --install-peers install Bun, Deno and a newer Node from npm, Go and uvloop from Debian
  --list          list the workloads and their subjects
  --help          print this

status: 0 all limits met and nothing worse, 1 a limit missed or something worse, 2 a wrong command line, 3 a measurement failed`;

function parseNumber(option: string, text: string, pattern: RegExp, required: string): number {
  const value = Number(text);
  if (!pattern.test(text) || !(value > 0)) {
    throw new UsageError(`--${option} requires ${required}, found ${JSON.stringify(text)}`);
  }
  return value;
}

/** Parses the arguments. `known` has the names of the workloads, and for each the names of its subjects. */
export function parseOptions(args: readonly string[], known: ReadonlyMap<string, readonly string[]>): Options {
  const { values, positionals } = parse(args);
  for (const name of positionals) {
    if (!known.has(name)) {
      throw new UsageError(
        `unknown workload ${JSON.stringify(name)}, required one of: ${[...known.keys()].join(", ")}`,
      );
    }
  }
  const measuresNothing = values.list === true || values.help === true || values["install-peers"] === true;
  if (positionals.length === 0 && !measuresNothing) {
    throw new UsageError(`the name of a workload is required, one or more of: ${[...known.keys()].join(", ")}`);
  }
  const subjects = values.subject ?? [];
  for (const workload of measuresNothing ? [] : positionals) {
    const names = known.get(workload) ?? [];
    if (subjects.length > 0 && !subjects.some((subject) => names.includes(subject))) {
      throw new UsageError(`${workload} has none of the subjects ${subjects.join(", ")}; it has: ${names.join(", ")}`);
    }
  }
  const all = positionals.flatMap((workload) => known.get(workload) ?? []);
  for (const subject of measuresNothing ? [] : subjects) {
    if (!all.includes(subject)) {
      throw new UsageError(
        `unknown subject ${JSON.stringify(subject)}, required one of: ${[...new Set(all)].join(", ")}`,
      );
    }
  }
  if (values.library !== undefined && values.against === undefined) {
    throw new UsageError("--library requires --against: without it the development files are measured");
  }
  return {
    workloads: [...new Set(positionals)],
    subjects,
    rounds:
      values.rounds === undefined
        ? undefined
        : parseNumber("rounds", values.rounds, /^\d{1,6}$/, "a whole number from 1"),
    seed: parseNumber("seed", values.seed, /^\d{1,9}$/, "a whole number from 1"),
    seconds: parseNumber("seconds", values.seconds, /^(?=\.?\d)\d{0,6}(\.\d+)?$/, "a number above 0"),
    against: values.against,
    library: values.library,
    node: values.node,
    json: values.json,
    installPeers: values["install-peers"] ?? false,
    others:
      values.others === undefined
        ? undefined
        : parseNumber("others", values.others, /^(?=\.?\d)\d{0,3}(\.\d+)?$/, "a number of percent above 0") / 100,
    list: values.list ?? false,
    help: values.help ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        rounds: { type: "string" },
        seed: { type: "string", default: String(defaultSeed) },
        seconds: { type: "string", default: "2" },
        subject: { type: "string", multiple: true },
        against: { type: "string" },
        library: { type: "string" },
        node: { type: "string" },
        json: { type: "string" },
        others: { type: "string" },
        "install-peers": { type: "boolean" },
        list: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message.split("\n", 1)[0] ?? "wrong arguments");
  }
}
