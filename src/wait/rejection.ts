// How the promise of a waiting call rejects, so that the error leads to the `await` of the program.
//
// The call has waited, so the function that made it is not on the stack any more. V8 appends the functions that await
// a promise to a stack that is captured in a microtask of a promise on which that promise depends. So the promise of the
// call is not rejected: it is resolved with the promise of an async function, which captures the stack and then throws.
//
//   resolve(rejection(error));   instead of   reject(error);
//
// A call that succeeds does none of this, and needs no function to reject. docs/design.md compares the alternatives.

import { takesCaller, recordCaller } from "../errors/index.js";

/**
 * A promise that rejects with `error`, to resolve the promise of a call with. The call must not have settled: nothing
 * would handle this promise then.
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
