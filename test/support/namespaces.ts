// Runs a compiled script in namespaces of its own, where it may change what would be the machine's: needs root.
import { spawnSync } from "node:child_process";

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Whether such namespaces can be made here; `flags` as unshare(1) takes them. */
export function canUnshare(flags: readonly string[]): boolean {
  return spawnSync("unshare", [...flags, "true"], { stdio: "ignore" }).status === 0;
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
