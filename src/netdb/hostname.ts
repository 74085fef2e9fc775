// The name of this machine.

import { calls, type Calls } from "../sys/calls.js";
import { check, socketError } from "../sys/errno.js";
import { checkPlainText } from "./textArguments.js";

/** HOST_NAME_MAX of Linux. */
const HOST_NAME_MAX = 64;

/**
 * The name of this machine: gethostname(2).
 *
 * @see gethostname(2)
 * @example
 * ```ts
 * import { gethostname } from "berkeley";
 *
 * console.log(gethostname().length > 0); // prints: true
 * ```
 */
export function gethostname(): string;
/** @internal */
export function gethostname(table: Calls): string;
export function gethostname(table: Calls = calls): string {
  const name = table.gethostname();
  if (typeof name === "number") throw socketError(name, "gethostname");
  return name;
}

/**
 * Changes the name of this machine, or of the UTS namespace that the process is in: sethostname(2).
 *
 * @throws SocketError `EPERM` without CAP_SYS_ADMIN; RangeError for a name of more than 64 bytes
 * @see sethostname(2)
 * @example
 * ```ts no-run
 * import { sethostname } from "berkeley";
 *
 * sethostname("example");
 * ```
 */
export function sethostname(name: string): void {
  check(calls.sethostname(checkPlainText(name, "sethostname", "name", HOST_NAME_MAX)), "sethostname");
}
