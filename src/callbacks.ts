// Reports the errors that callbacks of users throw.
//
// A callback whose result a call needs (a resolver, a decoder, `checkServerIdentity`) makes that call fail with its
// error. A callback that only reports an event has no such call. Its error becomes a warning of the process, and the
// work continues, because most of those events can be caused by any peer. In neither case is there an unhandled
// rejection.

import { isPromise } from "node:util/types";
import { util } from "./builtins.js";

/** Emits a warning for an error that no call can reject with. */
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

/** Calls a callback that only reports an event. `name` is its name in the warning. */
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

/** Emits the warning of a callback that threw, for an error that no callback gets. */
export function reportFailure(name: string, error: unknown): void {
  warn(name, error);
}
