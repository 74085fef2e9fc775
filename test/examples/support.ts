// Functions that the tests of the examples share: running an example as a program, and reading as its client.

import assert from "node:assert/strict";
import { join } from "node:path";
import { Program, compiled } from "../support/program.js";

/** Runs an example of ours. */
export const example = (name: string, ...words: string[]): Program =>
  Program.node([join(compiled, "examples", `${name}.js`), ...words]);

/** The port that an example prints. */
export async function portOf(server: Program): Promise<number> {
  const [, port] = await server.line(/^listening on 127\.0\.0\.1:(\d+)$/);
  return Number(port);
}

/** Sends Ctrl-C; fails unless the program then ends as it is meant to. */
export async function interrupted(server: Program): Promise<void> {
  server.kill("SIGINT");
  const { status, stderr } = await server.ended;
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
}
