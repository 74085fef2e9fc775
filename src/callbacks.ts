// What becomes of an error that a callback of users throws.
//
// A callback that a call of users runs (a resolver, a decoder, `checkServerIdentity`) fails that call: there is somebody to take the
// error. A callback that only reports has nobody. Its error is a warning of the process, and the work goes on, because what it
// reports of is mostly something that any peer can bring about. In neither case does it become an unhandled rejection.

import { isPromise } from "node:util/types";
import { util } from "./builtins.js";

/** Reports an error that no call can reject with. */
function warn(name: string, thrown: unknown): void {
  const warning = new Error(`${name} threw ${thrown instanceof Error ? String(thrown) : util().inspect(thrown)}`, {
    cause: thrown,
  });
  // Node prints `detail`, and not the cause.
  const detail = util().inspect(thrown);
  process.emitWarning(Object.assign(warning, { name: "CallbackWarning", code: "ERR_CALLBACK", detail }));
}

/** Looks after the promise of a callback that is an async function, for which nobody waits. */
export function unawaited(name: string, result: unknown): void {
  if (isPromise(result)) result.then(undefined, (error: unknown) => warn(name, error));
}

/** Calls a callback that only reports. `name` is what a warning calls it. */
export function report<A extends readonly unknown[]>(
  name: string,
  callback: (...args: A) => unknown,
  ...args: A
): void {
  try {
    unawaited(name, callback(...args));
  } catch (error) {
    warn(name, error);
  }
}
