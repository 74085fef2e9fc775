// npm run bench -- NAME...: measures this library, C programs and Node's own modules. docs/benchmarks.md explains it.

import { execFile } from "node:child_process";
import { open, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

import { type Versions, analyseVersions, formatVersions, isOurs, runVersions, tryVersions } from "./lib/against.js";
import { captureStderr, endChildrenWithUs } from "./lib/children.js";
import {
  type CpuReading,
  allowedCores,
  type Placement,
  chooseCores,
  describeMachine,
  foreignShare,
  readCpu,
} from "./lib/machine.js";
import { type Library, openLibrary } from "./lib/library.js";
import { ensurePacked } from "./lib/packed.js";
import { compiledBench, packedBench, packedLibrary } from "./lib/paths.js";
import { type Options, UsageError, parseOptions, usage } from "./lib/options.js";
import { formatWorse, readResults, worseThan } from "./lib/guard.js";
import { installPeers } from "./lib/peers.js";
import {
  type Figure,
  type Judgement,
  type Result,
  type ResultFile,
  analyse,
  figuresOf,
  formatCase,
  judgementsOf,
  resultsOf,
  verdictsOf,
} from "./lib/report.js";
import { type Plan, chooseSubjects, presentSubjects, runCase } from "./lib/runner.js";
import type { Workload } from "./lib/workload.js";
import { workloads } from "./workloads/index.js";

/** How many rounds to measure, unless the command line or the workload has a number. */
const defaultRounds = 5;
/** The same for the comparison of two versions, whose difference is small. */
const versionRounds = 15;

function subjectNames(workload: Workload): string[] {
  return [...new Set(workload.cases.flatMap(({ subjects }) => subjects.map(({ name }) => name)))];
}

function list(): void {
  for (const { name, cases } of workloads) {
    console.log(name);
    for (const { title, subjects } of cases) {
      const names = subjects.map((subject) => (subject.role === "variant" ? `[${subject.name}]` : subject.name));
      console.log(`  ${title}\n    ${names.join(", ")}`);
    }
  }
}

function others(from: CpuReading): string {
  const share = foreignShare(from, readCpu());
  return `${(share * 100).toFixed(0)} % of the machine${share > 0.05 ? ", which disturbs the figures" : ""}`;
}

/** Runs a Node to find its version. */
async function versionOf(node: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(node, ["--print", "process.version"]);
    if (/^v\d+\.\d+\.\d+/.test(stdout)) return stdout.trim();
  } catch {
    // The program can't be run, or has no such option.
  }
  throw new UsageError(`--node requires the path of a Node, found ${JSON.stringify(node)}`);
}

/** Whether the value of `--against` is a file of earlier results, and not a version. */
const isResults = (against: string): boolean => against.endsWith(".json");

/** The two versions to compare; undefined if the command line has no version to compare with. */
async function versionsOf({ against, library }: Options, node: string): Promise<Versions | undefined> {
  if (against === undefined || isResults(against)) return undefined;
  const old = await openLibrary(against, node);
  if (library === undefined) await ensurePacked();
  return { new: await openLibrary(library ?? packedLibrary, node), old };
}

/**
 * Runs the chosen workloads. Resolves with true if every limit is met and no figure is worse than in an earlier run.
 */
async function run(options: Options): Promise<boolean> {
  const node = options.node ?? process.execPath;
  const machine = describeMachine(await versionOf(node));
  const placement: Placement = {
    ...chooseCores(allowedCores()),
    site: { node, bench: compiledBench, shipped: packedBench },
  };
  console.log(
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}, ${machine.compiler}`,
  );
  console.log(
    `load average ${machine.loadAverage.map((load) => load.toFixed(2)).join(" ")}, server on core ${placement.server}`,
  );
  const versions = await versionsOf(options, node);
  const earlier =
    options.against !== undefined && isResults(options.against) ? await readResults(options.against) : undefined;
  for (const side of versions === undefined ? [] : (["new", "old"] as const)) {
    console.log(`${side}: ${versions?.[side].version}, ${versions?.[side].path}`);
  }
  const idle = readCpu();
  await delay(300);
  console.log(`others use ${others(idle)}`);
  if (placement.server === placement.load) console.log("only one core: server and load generator share it");
  if ((options.rounds ?? defaultRounds) < 5) console.log("fewer than 5 rounds: good for a look only");
  console.log("");
  // A file that can't be written must be reported now, and not after minutes of measuring.
  if (options.json !== undefined) await (await open(options.json, "a")).close();

  const planOf = (workload: Workload): Plan => ({
    placement,
    rounds: options.rounds ?? Math.max(workload.rounds ?? 0, versions === undefined ? defaultRounds : versionRounds),
    measureMs: options.seconds * 1000,
    ...othersAllowed(options),
  });
  const progress = (text: string): void => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
    else if (text !== "") process.stderr.write(`${text}\n`);
  };
  const chosen = workloads.filter(({ name }) => options.workloads.includes(name));
  const start = readCpu();
  const measured =
    versions === undefined
      ? await runPeers(chosen, options, planOf, progress)
      : await runBoth(chosen, options, versions, planOf, progress);
  console.log(`others used meanwhile ${others(start)}`);
  const describe = ({ path, version }: Library): { path: string; version: string } => ({ path, version });
  const file: ResultFile = {
    machine,
    ...(versions && { versions: { new: describe(versions.new), old: describe(versions.old) } }),
    seed: options.seed,
    results: measured.results,
    ...(versions === undefined && {
      figures: measured.figures,
      limits: measured.limits,
      dropped: measured.dropped,
      absent: measured.absent,
    }),
  };
  if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(file, null, 2)}\n`);
  if (measured.dropped > 0) console.log(`rounds dropped because others used the machine: ${measured.dropped}`);
  const worse = earlier === undefined ? [] : worseThan(earlier, file);
  if (earlier !== undefined) console.log(formatWorse(worse, options.against ?? ""));
  return measured.met && worse.length === 0;
}

/**
 * The limit of CPU time of other processes. A round with more of it is measured again. With fewer than 5 rounds there
 * is no limit by default.
 */
function othersAllowed({ others: given, rounds }: Options): { othersAtMost?: number } {
  if (given !== undefined) return { othersAtMost: given };
  return (rounds ?? defaultRounds) < 5 ? {} : { othersAtMost: 0.02 };
}

interface Measured {
  readonly results: readonly Result[];
  readonly figures: readonly Figure[];
  readonly limits: readonly Judgement[];
  readonly dropped: number;
  readonly absent: readonly string[];
  /** Whether every limit is met. */
  readonly met: boolean;
}

/** Measures the subjects and their peers. */
async function runPeers(
  chosen: readonly Workload[],
  options: Options,
  planOf: (workload: Workload) => Plan,
  progress: (text: string) => void,
): Promise<Measured> {
  const results: Result[] = [];
  const figures: Figure[] = [];
  const limits: Judgement[] = [];
  const absent = new Set<string>();
  let dropped = 0;
  let met = true;
  for (const workload of chosen) {
    await workload.prepare?.();
    for (const measuredCase of workload.cases) {
      const skip = (text: string): void => {
        if (absent.has(text)) return;
        absent.add(text);
        console.log(text);
      };
      const subjects = await presentSubjects(chooseSubjects(measuredCase.subjects, options.subjects), skip);
      if (subjects.length === 0) continue;
      const result = await runCase(measuredCase, subjects, planOf(workload), (text) =>
        progress(`${workload.name}: ${text}`),
      );
      progress("");
      result.failed.forEach(skip);
      if (result.runs.length === 0) continue;
      const analysis = analyse(workload.name, result, options.seed);
      console.log(formatCase(analysis));
      results.push(...resultsOf(analysis));
      figures.push(...figuresOf(analysis, options.seed));
      limits.push(...judgementsOf(analysis, options.seed));
      dropped += result.dropped;
      met &&= verdictsOf(analysis).every((verdict) => verdict.met);
    }
  }
  return { results, figures, limits, dropped, absent: [...absent], met };
}

/** Measures our subjects with the new and the old version. */
async function runBoth(
  chosen: readonly Workload[],
  options: Options,
  versions: Versions,
  planOf: (workload: Workload) => Plan,
  progress: (text: string) => void,
): Promise<Measured> {
  const plans = chosen.flatMap((workload) =>
    workload.cases.map((measuredCase) => ({
      workload,
      measuredCase,
      plan: planOf(workload),
      subjects: chooseSubjects(measuredCase.subjects, options.subjects).filter(isOurs),
    })),
  );
  if (plans.every(({ subjects }) => subjects.length === 0)) {
    throw new UsageError(`--against compares subjects of ours, and none is among ${options.subjects.join(", ")}`);
  }
  captureStderr();
  for (const { workload, measuredCase, plan, subjects } of plans) {
    progress(`${workload.name}: trying both versions`);
    await within(workload, () => tryVersions(measuredCase, subjects, versions, plan));
  }
  const results: Result[] = [];
  for (const { workload, measuredCase, plan, subjects } of plans) {
    if (subjects.length === 0) continue;
    const report = (text: string): void => progress(`${workload.name}: ${text}`);
    const measured = await within(workload, () => runVersions(measuredCase, subjects, versions, plan, report));
    progress("");
    const analysis = analyseVersions(workload.name, measured, options.seed);
    console.log(formatVersions(analysis, measured));
    results.push(...resultsOf(analysis));
  }
  return { results, figures: [], limits: [], dropped: 0, absent: [], met: true };
}

/** Adds the name of the workload to the error of a measurement. */
async function within<T>(workload: Workload, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Error(`${workload.name}: ${(error as Error).message}`, { cause: error });
  }
}

endChildrenWithUs();
try {
  const known = new Map(workloads.map((workload) => [workload.name, subjectNames(workload)]));
  const options = parseOptions(process.argv.slice(2), known);
  if (options.help) console.log(usage);
  else if (options.list) list();
  else if (options.installPeers) await installPeers((text) => console.log(text));
  else process.exitCode = (await run(options)) ? 0 : 1;
} catch (error) {
  const wrongUsage = error instanceof UsageError;
  console.error(`bench: ${(error as Error).message}`);
  if (wrongUsage) console.error("npm run bench -- --help says more");
  process.exitCode = wrongUsage ? 2 : 3;
}
