// Finds the channel over which an old program passes its sockets by `upgrade()`. inheritance.ts receives the sockets.

import { workerThreads } from "../builtins.js";
import type { Inheritance } from "./inheritance.js";

/** The environment variable with the descriptor of the channel in the new program, and its inode: `"FD:INODE"`. */
export const UPGRADE_VARIABLE = "BERKELEY_UPGRADE";

let inheritance: Promise<Inheritance | undefined> | undefined;

/** The first call starts to receive the sockets of the old program. Undefined if there is no old program. */
export function findInheritance(): Promise<Inheritance | undefined> | undefined {
  if (inheritance !== undefined) return inheritance;
  const channel = process.env[UPGRADE_VARIABLE];
  // A worker thread has the same environment variables, but only the main thread may receive the sockets.
  if (channel === undefined || !workerThreads().isMainThread) return undefined;
  // Child processes inherit the environment, and must not receive the sockets.
  delete process.env[UPGRADE_VARIABLE];
  inheritance = import("./inheritance.js").then(({ receiveInheritance }) => receiveInheritance(channel));
  return inheritance;
}
