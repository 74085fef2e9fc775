// The two kinds of measured process, and the usual shape of a subject: a server on its core, a C load generator on the
// other, and the one line that the generator prints at the end.

import { join } from "node:path";

import { Child, type Line, numberIn } from "./children.js";
import type { Site } from "./machine.js";
import { nativeProgram } from "./native.js";
import type { Sample, Subject } from "./workload.js";

/** The command that runs a program; the arguments follow. */
export type Program = (site: Site, ...parameters: string[]) => Promise<[string, ...string[]]>;

/** `bench/native/<name>.c` */
export function native(name: string): Program {
  return async (_site, ...parameters) => [await nativeProgram(name), ...parameters];
}

/** `bench/servers/<name>.ts`, which imports the library under test. */
export function script(name: string): Program {
  return async ({ node, bench }, ...parameters) => [node, join(bench, "servers", `${name}.js`), ...parameters];
}

/**
 * The usual subject: a server that stays for the whole round, and for every window a new run of
 * `bench/native/<load>.c PORT PID ...parameters WARMUP_MS MEASURE_MS`, whose line becomes a sample.
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
