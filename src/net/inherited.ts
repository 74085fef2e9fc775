// Finds out whether an old program passes sockets to this one by `upgrade()`. inheritance.ts receives them.

import { workerThreads } from "../builtins.js";
import type { Inheritance } from "./inheritance.js";

/** The environment variable with the descriptor of the channel in the new program, and its inode: `"FD:INODE"`. */
export const UPGRADE_VARIABLE = "BERKELEY_UPGRADE";

let inheritance: Promise<Inheritance | undefined> | undefined;

/** The first call receives the sockets of the old program. Undefined if this program was not started by `upgrade()`. */
export function findInheritance(): Promise<Inheritance | undefined> | undefined {
  if (inheritance !== undefined) return inheritance;
  const channel = process.env[UPGRADE_VARIABLE];
  // A worker thread has the same environment variables, but only the main thread may receive the sockets.
  if (channel === undefined || !workerThreads().isMainThread) return undefined;
  // Deleted, because child processes inherit the environment and must not receive the sockets.
  delete process.env[UPGRADE_VARIABLE];
  inheritance = import("./inheritance.js").then(({ receiveInheritance }) => receiveInheritance(channel));
  return inheritance;
}
