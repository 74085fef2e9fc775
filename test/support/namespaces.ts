// Runs a script in new namespaces, where it can change settings without an effect on the machine. Requires root.
import { spawnSync } from "node:child_process";
import { SLOWDOWN } from "./slowdown.js";

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Whether the namespaces of `flags`, options of unshare(1), can be made here. Throws for root in CI if they can't,
 * because the tests would be skipped there without notice. Exception: user namespaces, which containers often refuse.
 */
export function canUnshare(flags: readonly string[]): boolean {
  const { status, stderr } = spawnSync("unshare", [...flags, "true"], { encoding: "utf8" });
  if (status === 0) return true;
  if (process.env["CI"] === "true" && process.getuid?.() === 0 && !flags.includes("--user")) {
    throw new Error(`Cannot run tests in namespaces (unshare ${flags.join(" ")}): ${stderr.trim()}`);
  }
  return false;
}

/**
 * Runs `script` with sh(1) in new namespaces. `$NODE` is the path of this Node. `words` are the arguments `$1` and so
 * on.
 */
export function runUnshared(flags: readonly string[], script: string, words: readonly string[] = []): Finished {
  const env: NodeJS.ProcessEnv = { ...process.env, NODE: process.execPath };
  delete env["NODE_TEST_CONTEXT"];
  const { status, stdout, stderr } = spawnSync("unshare", [...flags, "sh", "-euc", script, "sh", ...words], {
    encoding: "utf8",
    env,
    timeout: 60_000 * SLOWDOWN,
  });
  return { status, stdout, stderr };
}
