// Makes the package as users get it, for workloads that measure it.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { packer } from "./paths.js";

/** Makes packed/ with scripts/packed.mjs, unless it was made from the present compiled files. */
export async function ensurePacked(): Promise<void> {
  try {
    await promisify(execFile)(process.execPath, [packer, "--if-stale"]);
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Error(`Cannot make packed/: ${/^.*Error: .*$/m.exec(stderr ?? "")?.[0] ?? message}`, { cause: error });
  }
}
