// Rejects the promise of a waiting call with an error whose stack has the `await` of the program.
//
// When a call that has waited fails, the function that made the call is no longer on the stack. But if the stack is
// captured in a microtask, V8 appends the async functions that wait for the promise of that microtask, directly or
// through other promises. So the promise of the call is resolved with the promise of an async function. That function
// captures the stack and then throws.
//
//   resolve(rejection(error));   instead of   reject(error);
//
// So a waiting call stores no reject function, and a call that succeeds costs nothing more. docs/design.md compares the
// alternatives.

import { canRecordCaller, recordCaller } from "../errors/index.js";

/**
 * Returns a promise that rejects with `error`. The caller resolves the promise of the call with the returned promise.
 * The call must not have settled: otherwise nothing would handle the returned promise.
 */
export function rejection(error: unknown): Promise<never> {
  // Only the errors of this package record their callers. Others, such as the reason of a signal, stay unchanged.
  // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- it can be any value
  return canRecordCaller(error) ? throwWithCallers(error) : Promise.reject(error);
}

const resolved: Promise<void> = Promise.resolve();

/** Adds the async functions that wait for the call to the stack of `error`, and throws `error`. */
async function throwWithCallers(error: unknown): Promise<never> {
  // In a microtask that runs between the two awaits, V8 makes the promise of the call wait for this function.
  await resolved;
  await resolved;
  recordCaller(error);
  throw error;
}
