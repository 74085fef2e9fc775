// Lookups that take one or several queries, such as the names of the address of a host name.
//
// A lookup is a generator that yields its queries. So it is written once: `runLookup` makes the queries on threads of
// the resolver, and `runLookupBlocking` makes them on this thread.

import { type ResolverQuery, runQueryBlocking } from "./query.js";
import { type CancellableResult, runQuery } from "./sharedLookup.js";

/** Yields queries, receives the result of each, and returns the result of the lookup. */
export type Lookup<T> = Generator<ResolverQuery<unknown>, T, unknown>;

/** The result of one query, inside a lookup: `yield* resultOf(query)`. */
export function* resultOf<T>(query: ResolverQuery<T>): Lookup<T> {
  return (yield query) as T;
}

/** Makes the queries of a lookup one after the other, each on a thread of the resolver. */
export function runLookup<T>(lookup: Lookup<T>): CancellableResult<T> {
  let current: CancellableResult<unknown> | undefined;
  let cancelled = false;
  const cancel = (): void => {
    cancelled = true;
    current?.cancel();
  };
  const run = async (): Promise<T> => {
    let step = lookup.next();
    while (step.done !== true) {
      let result: unknown;
      try {
        current = runQuery(step.value);
        // The lookup may have been cancelled while the previous result was on its way.
        if (cancelled) current.cancel();
        result = await current.result;
      } catch (error) {
        step = lookup.throw(error);
        continue;
      }
      step = lookup.next(result);
    }
    return step.value;
  };
  return { result: run(), cancel };
}

/** Makes the queries of a lookup on this thread, which it blocks. */
export function runLookupBlocking<T>(lookup: Lookup<T>): T {
  let step = lookup.next();
  while (step.done !== true) {
    let result: unknown;
    try {
      result = runQueryBlocking(step.value);
    } catch (error) {
      step = lookup.throw(error);
      continue;
    }
    step = lookup.next(result);
  }
  return step.value;
}
