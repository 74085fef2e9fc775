// The rules for errors that callbacks of users throw, and the warning for some of these errors.
//
// There are two kinds of callbacks:
//
// - The callback is part of a call or an object of the user: a resolver, a decoder, `checkServerIdentity`, `onProgress`
//   of sendfile(), `onRefused` of a DatagramQueue. If the callback throws, the call fails with the error, or the object
//   ends.
// - No call of the user depends on the callback: `log`, `redact`, `onRefused` of a server. The error becomes a warning
//   of the process and the work continues, because any peer can cause most of these callbacks.
//
// Neither kind leads to an unhandled rejection.

import { isPromise } from "node:util/types";
import { util } from "./builtins.js";

/** Emits the warning that the callback `name` has thrown. */
function warn(name: string, thrown: unknown): void {
  const warning = new Error(`${name} threw ${thrown instanceof Error ? String(thrown) : util().inspect(thrown)}`, {
    cause: thrown,
  });
  // Node prints `detail` of a warning, but not its cause.
  const detail = util().inspect(thrown);
  process.emitWarning(Object.assign(warning, { name: "CallbackWarning", code: "ERR_CALLBACK", detail }));
}

/** Emits the warning if the result of a callback is a promise and rejects, because no call awaits that promise. */
export function warnOnRejection(name: string, result: unknown): void {
  if (isPromise(result)) result.then(undefined, (error: unknown) => warn(name, error));
}

/** Calls a callback of the user. If it throws or rejects, emits the warning, which has `name`. Never throws. */
export function runCallback<A extends readonly unknown[]>(
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

/** Emits the warning for an error of a callback that another function has called. */
export function reportFailure(name: string, error: unknown): void {
  warn(name, error);
}
