// The two kinds of programs, in C and in TypeScript, and the usual subject: a server on one core, and a load generator
// in C on the other, which prints one line at its end.

import { join } from "node:path";

import { Child, type Line, numberIn } from "./children.js";
import type { Site } from "./machine.js";
import { nativeProgram } from "./native.js";
import type { Sample, Subject } from "./workload.js";

/** Makes the command line of a program: the command and its arguments. */
export type Program = (site: Site, ...parameters: string[]) => Promise<[string, ...string[]]>;

/** The program `bench/native/<name>.c`. */
export function native(name: string): Program {
  return async (_site, ...parameters) => [await nativeProgram(name), ...parameters];
}

/** The program `bench/servers/<name>.ts`, which imports the library under test. */
export function script(name: string): Program {
  return async ({ node, bench }, ...parameters) => [node, join(bench, "servers", `${name}.js`), ...parameters];
}

/**
 * Makes the usual subject. Its server runs for the whole round. Each window runs
 * `bench/native/<load>.c PORT PID ...parameters WARMUP_MS MEASURE_MS`; `sampleOf` makes a sample of the line that it
 * prints.
 */
export function served(
  identity: Pick<Subject, "name" | "role" | "absent">,
  server: (site: Site) => Promise<[string, ...string[]]>,
  load: string,
  parameters: () => Promise<readonly string[]>,
  sampleOf: (line: Line) => Sample,
): Subject {
  return {
    ...identity,
    open: async (placement) => {
      const program = await nativeProgram(load);
      const rest = await parameters();
      const child = await Child.start(placement.server, await server(placement.site));
      let port: number;
      try {
        port = numberIn(await child.nextObject(), "port");
      } catch (error) {
        await child.stop();
        throw error;
      }
      return {
        measure: async ({ warmupMs, measureMs }) => {
          await using generator = await Child.start(placement.load, [
            program,
            ...[port, child.pid].map(String),
            ...rest,
            ...[warmupMs, measureMs].map(String),
          ]);
          return sampleOf(await generator.nextObject(warmupMs + measureMs + 30_000));
        },
        children: [child],
        [Symbol.asyncDispose]: () => child.stop(),
      };
    },
  };
}
