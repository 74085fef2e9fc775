// A lookup makes one or several queries to the resolver. `gethostbyaddr("localhost")`, for example, makes two: one for
// the address, one for the names of that address.
//
// A lookup is a generator that yields its queries. So the awaitable and the blocking form of a call share the lookup:
// `runLookup` makes the queries on threads of the resolver, and `runLookupBlocking` makes them on this thread.

import { type ResolverQuery, runQueryBlocking } from "./query.js";
import { type CancellableResult, runQuery } from "./sharedLookup.js";

/** Yields queries, receives the result of each, and returns the result of the lookup. */
export type Lookup<T> = Generator<ResolverQuery<unknown>, T, unknown>;

/** Makes one query in a lookup, and returns its result: `yield* resultOf(query)`. */
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
        // cancel() may have run after the previous query had settled.
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

/** Makes the queries of a lookup on this thread, and blocks the thread. */
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
