// Runs a compiled script in namespaces of its own, where it may change what would be the machine's: needs root.
import { spawnSync } from "node:child_process";

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Whether such namespaces can be made here; `flags` as unshare(1) takes them. Root in CI has to have them, or its tests would be
 * skipped in silence; user namespaces, which containers often refuse, apart.
 */
export function canUnshare(flags: readonly string[]): boolean {
  const { status, stderr } = spawnSync("unshare", [...flags, "true"], { encoding: "utf8" });
  if (status === 0) return true;
  if (process.env["CI"] === "true" && process.getuid?.() === 0 && !flags.includes("--user")) {
    throw new Error(`Cannot run tests in namespaces (unshare ${flags.join(" ")}): ${stderr.trim()}`);
  }
  return false;
}

/** Runs `script` with sh(1) in new namespaces; `$NODE` is this node, and `words` are its arguments. */
export function runUnshared(flags: readonly string[], script: string, words: readonly string[] = []): Finished {
  const env: NodeJS.ProcessEnv = { ...process.env, NODE: process.execPath };
  delete env["NODE_TEST_CONTEXT"];
  const { status, stdout, stderr } = spawnSync("unshare", [...flags, "sh", "-euc", script, "sh", ...words], {
    encoding: "utf8",
    env,
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}
