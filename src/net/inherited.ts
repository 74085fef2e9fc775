// The sockets that the program which was here before has passed: whether there are any. inheritance.ts receives them.

import { workerThreads } from "../builtins.js";
import type { Inheritance } from "./inheritance.js";
import { UPGRADE_VARIABLE } from "./upgradeChannel.js";

let inheritance: Promise<Inheritance | undefined> | undefined;

/** The sockets of the old program. Undefined if this program was not started by `upgrade()`. */
export function inherited(): Promise<Inheritance | undefined> | undefined {
  if (inheritance !== undefined) return inheritance;
  const place = process.env[UPGRADE_VARIABLE];
  // Worker threads have a copy of the environment, or the same one.
  if (place === undefined || !workerThreads().isMainThread) return undefined;
  // The programs that this one starts are no new programs of the upgrade.
  delete process.env[UPGRADE_VARIABLE];
  inheritance = import("./inheritance.js").then(({ receiveInheritance }) => receiveInheritance(place));
  return inheritance;
}
