// How the promise of a waiting call rejects, so that the error leads to the `await` of the program.
//
// The call has waited, so the function that made it is not on the stack any more. When a stack is
// captured in a microtask, V8 appends the async functions that wait for the promise of that microtask, directly or
// through other promises. So the promise of the call is not rejected. It is resolved with the promise of an async
// function, which captures the stack and then throws.
//
//   resolve(rejection(error));   instead of   reject(error);
//
// A call that succeeds does none of this, and stores no reject function. docs/design.md compares the alternatives.

import { takesCaller, recordCaller } from "../errors/index.js";

/**
 * Returns a promise that rejects with `error`. Resolve the promise of the call with it. The call must not have settled:
 * otherwise nothing would handle the returned promise.
 */
export function rejection(error: unknown): Promise<never> {
  // The reason of a signal, or what a function of the program has thrown, stays as it is.
  // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- it can be any value
  return takesCaller(error) ? traced(error) : Promise.reject(error);
}

const done: Promise<void> = Promise.resolve();

async function traced(error: unknown): Promise<never> {
  // The microtask between these two makes the promise of the call depend on this one.
  await done;
  await done;
  recordCaller(error);
  throw error;
}
