// The package as users get it, for what measures that: scripts/packed.mjs makes it.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { packer } from "./paths.js";

/** Makes packed/, unless it was made from what is compiled now. */
export async function ensurePacked(): Promise<void> {
  try {
    await promisify(execFile)(process.execPath, [packer, "--if-stale"]);
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Error(`Cannot make packed/: ${/^.*Error: .*$/m.exec(stderr ?? "")?.[0] ?? message}`, { cause: error });
  }
}
