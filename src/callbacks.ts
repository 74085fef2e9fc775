// Reports the errors that callbacks of users throw.
//
// Some callbacks return a result that a call needs (a resolver, a decoder, `checkServerIdentity`). When such a callback
// throws, that call fails with its error. Other callbacks only report an event. When such a callback throws, the process
// emits a warning and the work continues, because any peer can cause most of those events. There is no unhandled
// rejection in either case.

import { isPromise } from "node:util/types";
import { util } from "./builtins.js";

/** Emits the warning that a callback threw. `name` is its name in the warning. */
function warn(name: string, thrown: unknown): void {
  const warning = new Error(`${name} threw ${thrown instanceof Error ? String(thrown) : util().inspect(thrown)}`, {
    cause: thrown,
  });
  // Node prints `detail` of a warning, but not its cause.
  const detail = util().inspect(thrown);
  process.emitWarning(Object.assign(warning, { name: "CallbackWarning", code: "ERR_CALLBACK", detail }));
}

/** Emits a warning when the promise of an async callback rejects, because no caller awaits it. */
export function warnOnRejection(name: string, result: unknown): void {
  if (isPromise(result)) result.then(undefined, (error: unknown) => warn(name, error));
}

/** Calls a callback that only reports an event. If it throws, emits a warning. */
export function report<A extends readonly unknown[]>(
  name: string,
  callback: (...args: A) => unknown,
  ...args: A
): void {
  try {
    warnOnRejection(name, callback(...args));
  } catch (error) {
    warn(name, error);
  }
}

/** Emits the same warning for an error that the caller has caught, for example an error of a handler of users. */
export function reportFailure(name: string, error: unknown): void {
  warn(name, error);
}
