// Running a program as root of a network namespace of its own, where nothing but its lo exists.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { privileged } from "./support.js";

/** The program's output. */
export function run(command: string, args: readonly string[]): string {
  // Without it a program that has tests would answer this process's runner, in its own language.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawnSync(command, args, { encoding: "utf8", timeout: 60_000, env });
  assert.equal(child.status, 0, `${child.error?.message ?? ""}${child.stderr}${child.stdout}`);
  return child.stdout;
}

/**
 * The output of a Node program in a namespace that `prepare`, a shell command, has made ready; undefined without one.
 */
export function runInNamespace(prepare: string, program: string): string | undefined {
  const flags = privileged() ? ["-n"] : ["-r", "-n"];
  const ready = `ip link set lo up && ${prepare}`;
  if (spawnSync("unshare", [...flags, "sh", "-c", ready]).status !== 0) return undefined;
  return run("unshare", [...flags, "sh", "-c", `${ready} && exec "$0" "$1"`, process.execPath, program]);
}
