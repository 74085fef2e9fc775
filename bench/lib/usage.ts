// The CPU time of processes. A C load generator prints it, or bench/native/probe.c reads it.

import { Child, type Line, numberIn } from "./children.js";
import { nativeProgram } from "./native.js";

/** The CPU time that all threads of a process used in an interval. */
export interface Usage {
  readonly elapsedNs: number;
  readonly cpuNs: number;
  readonly userNs: number;
  readonly systemNs: number;
}

/**
 * Reads the CPU time from a line. The total comes from the CPU clock of the process, in nanoseconds. The user and the
 * system part are known in ticks only (proc(5)), so this function divides the total in the ratio of these.
 */
export function usageIn(line: Line): Usage {
  const cpuNs = numberIn(line, "cpuNs");
  const user = numberIn(line, "userTicks");
  const system = numberIn(line, "systemTicks");
  const userNs = user + system === 0 ? 0 : (cpuNs * user) / (user + system);
  return { elapsedNs: numberIn(line, "elapsedNs"), cpuNs, userNs, systemNs: cpuNs - userNs };
}

/** Runs `work`, and returns the CPU time that each child used meanwhile. */
export async function usageOf<T>(
  core: number,
  children: readonly Child[],
  work: () => Promise<T>,
): Promise<{ result: T; usages: Usage[] }> {
  await using probe = await Child.start(core, [
    await nativeProgram("probe"),
    ...children.map((child) => String(child.pid)),
  ]);
  const read = async (): Promise<Line[]> => {
    probe.writeLine("");
    return (await probe.next()) as Line[];
  };
  const from = await read();
  const result = await work();
  const to = await read();
  const usages = to.map((last, i) => {
    const difference = (name: string): number => numberIn(last, name) - numberIn(from[i] as Line, name);
    return usageIn({
      elapsedNs: difference("wallNs"),
      cpuNs: difference("cpuNs"),
      userTicks: difference("userTicks"),
      systemTicks: difference("systemTicks"),
    });
  });
  return { result, usages };
}
