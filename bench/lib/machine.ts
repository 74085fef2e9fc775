// The machine under the benchmarks: its description, and the cores that a measurement may use.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";

/** The core of the measured process, and that of the load generator. */
export interface Cores {
  readonly server: number;
  readonly load: number;
}

/** The Node and the scripts of a measurement. The folder of a script decides which library it imports. */
export interface Site {
  /** The path of the Node that runs the scripts. */
  readonly node: string;
  /** A folder of the compiled bench/, whose scripts import the library under test. */
  readonly bench: string;
  /** A folder of the compiled bench/, whose scripts import the library as it is shipped. */
  readonly shipped: string;
}

/** Where the processes of a measurement run. */
export interface Placement extends Cores {
  readonly site: Site;
}

/** Parses a list of cores as the kernel prints it, such as `0-3,8`. */
export function parseCoreList(text: string): number[] {
  return text
    .trim()
    .split(",")
    .flatMap((range) => {
      const match = /^(\d+)(?:-(\d+))?$/.exec(range);
      if (match === null) throw new Error(`a list of cores such as "0-3,8" is required, found ${JSON.stringify(text)}`);
      const first = Number(match[1]);
      const last = Number(match[2] ?? match[1]);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

/**
 * Chooses the last two cores that this process may use, because core 0 often serves interrupts. If there is one core,
 * both roles get it.
 */
export function chooseCores(cores: readonly number[]): Cores {
  const server = cores.at(-1);
  if (server === undefined) throw new Error("no core to run on");
  return { server, load: cores.at(-2) ?? server };
}

/** The cores that the kernel lets this process use. */
export function allowedCores(): number[] {
  const match = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return parseCoreList(match?.[1] ?? "0");
}

/** The description of the machine. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly compiler: string;
  readonly loadAverage: readonly number[];
  readonly date: string;
}

/** `node` is the version of the Node that is measured. */
export function describeMachine(node: string = process.version): Machine {
  let compiler = "none";
  try {
    compiler = execFileSync("cc", ["--version"], { encoding: "utf8" }).split("\n", 1)[0] ?? "cc";
  } catch {
    // Without a compiler, compiling the first C program reports the error.
  }
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node,
    compiler,
    loadAverage: loadavg(),
    date: new Date().toISOString(),
  };
}

/** CPU times in ticks since the machine started. `own` times are those of this process and of its ended children. */
export interface CpuReading {
  /** All ticks of all cores. */
  readonly all: number;
  /** The ticks in which a core was not idle. */
  readonly busy: number;
  /** The busy ticks of this process and its ended children. */
  readonly own: number;
  /** The ticks in user mode, and those that the hypervisor took. */
  readonly user: number;
  /** The ticks in user mode of this process and its ended children. */
  readonly ownUser: number;
}

/** Reads `/proc/stat` and `/proc/self/stat` (proc(5)). */
export function parseCpu(stat: string, self: string): CpuReading {
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] =
    /^cpu +(.+)$/m.exec(stat)?.[1]?.split(" ").map(Number) ?? [];
  // The name of the command may contain spaces and parentheses, so the fields are counted from the last ")".
  const own = self
    .slice(self.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 15)
    .map(Number);
  const busy = user + nice + system + irq + softirq + steal;
  const [utime = 0, , cutime = 0] = own;
  return {
    all: busy + idle + iowait,
    busy,
    own: own.reduce((sum, ticks) => sum + ticks, 0),
    user: user + nice + steal,
    ownUser: utime + cutime,
  };
}

export function readCpu(): CpuReading {
  return parseCpu(readFileSync("/proc/stat", "utf8"), readFileSync("/proc/self/stat", "utf8"));
}

/**
 * The share of all cores, 0 to 1, that other processes used in user mode or that the hypervisor took. Kernel threads
 * are not counted, because they do a part of the work of connections and have no time in user mode.
 */
export function disturbance(from: CpuReading, to: CpuReading): number {
  const all = to.all - from.all;
  return all === 0 ? 0 : Math.max(0, (to.user - from.user - (to.ownUser - from.ownUser)) / all);
}

/**
 * The share of all cores, 0 to 1, that other processes used between two readings. The load average would change too
 * slowly. The time of a child counts as ours only after the child has ended.
 */
export function foreignShare(from: CpuReading, to: CpuReading): number {
  const all = to.all - from.all;
  return all === 0 ? 0 : Math.max(0, (to.busy - from.busy - (to.own - from.own)) / all);
}
