// A program that called `upgrade()` (the old program) passes its sockets to this program over a channel. This file
// finds the channel, and inheritance.ts receives the sockets.

import { workerThreads } from "../builtins.js";
import type { Inheritance } from "./inheritance.js";

/** The environment variable with the descriptor of the channel in the new program, and its inode: `"FD:INODE"`. */
export const UPGRADE_VARIABLE = "BERKELEY_UPGRADE";

let inheritance: Promise<Inheritance | undefined> | undefined;

/**
 * The sockets of the old program. The first call starts to receive them. Returns undefined if there is no old program,
 * and on a worker thread. Resolves with undefined if the channel of the variable is not open any more.
 */
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
