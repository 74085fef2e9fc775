// Makes queries on threads of the resolver. In this file, as in native code, a lookup is one call of the C library for
// one or more equal queries.
//
// A lookup occupies a thread until the C library returns. That takes many seconds when a DNS server does not answer. So
// queries that are equal and pending at the same time share one lookup. When all callers have cancelled, a lookup that
// has no thread yet is removed from the queue of native/lookup_threads.c. A running lookup goes on until the C library
// returns, and its thread no longer counts against the limit of threads (MAX_AWAITED_LOOKUPS).

import { addPendingSource, type Description, type ListedCall, registry } from "../registry/index.js";
import { type Calls, calls as nativeCalls, type ResolverCallback } from "../sys/calls.js";
import { check } from "../sys/errno.js";
import { rejection } from "../wait/rejection.js";
import { type ResolverQuery, resolverError } from "./query.js";

/** A promise, and the function that cancels its queries. After `cancel()` a pending promise never settles. */
export interface CancellableResult<T> {
  readonly result: Promise<T>;
  readonly cancel: () => void;
}

/** A lookup, and the callbacks that wait for its result. */
class SharedLookup {
  readonly #calls: Calls;
  /** All pending lookups, by the keys of their queries. */
  readonly #lookups: Map<string, SharedLookup>;
  readonly #key: string;
  /** The first of the equal queries. */
  readonly #query: ResolverQuery<unknown>;
  /** When the lookup began, as `performance.now()`. */
  readonly #since = performance.now();
  readonly #callbacks = new Set<ResolverCallback<unknown>>();
  /** The number of the lookup in native code; 0 until the lookup has started. */
  #ticket = 0;

  constructor(lookups: Map<string, SharedLookup>, query: ResolverQuery<unknown>) {
    this.#calls = query.calls;
    this.#lookups = lookups;
    this.#key = query.key;
    this.#query = query;
  }

  /** Lists the lookup for `pending()`, unless every caller has abandoned it. */
  list(add: (call: ListedCall) => void): void {
    if (this.#callbacks.size === 0) return;
    const { syscall: call, details } = this.#query;
    const object: Description & { readonly host: string | null; readonly callers: number } = {
      kind: "Lookup",
      host: details?.address ?? null,
      callers: this.#callbacks.size,
    };
    add({ call, object, since: this.#since, keepsAlive: true, key: this });
  }

  /** Starts the lookup, and lists it for equal queries and for `pending()`. Throws if it can't be started. */
  start(): void {
    const query = this.#query;
    this.#lookups.set(this.#key, this);
    if (registry !== undefined) registry.addCall(this, query.syscall, this);
    try {
      const result = query.start((...answer) => {
        this.#forget();
        for (const callback of this.#callbacks) callback(...answer);
        this.#callbacks.clear();
      });
      this.#ticket = check(result, query.syscall);
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  /** Adds a callback. Returns false when the lookup was abandoned and can't be resumed. */
  join(callback: ResolverCallback<unknown>): boolean {
    const isAbandoned = this.#callbacks.size === 0 && this.#ticket !== 0;
    if (isAbandoned && this.#calls.resumeLookup(this.#ticket) < 0) return false;
    this.#callbacks.add(callback);
    return true;
  }

  /** Removes a callback. If no callback is left, abandons the lookup. */
  leave(callback: ResolverCallback<unknown>): void {
    if (!this.#callbacks.delete(callback) || this.#callbacks.size > 0) return;
    // 1: the lookup runs. It stays in the map, because another caller can join it until the C library returns.
    if (this.#calls.abandonLookup(this.#ticket) !== 1) this.#forget();
  }

  /** From now on, equal queries and `pending()` do not find the lookup. */
  #forget(): void {
    if (this.#lookups.get(this.#key) === this) this.#lookups.delete(this.#key);
    if (registry !== undefined) registry.removeCall(this);
  }
}

/** The pending lookups by key, for each table of calls. */
const lookupsByTable = new WeakMap<Calls, Map<string, SharedLookup>>();
addPendingSource((add) => lookupsByTable.get(nativeCalls)?.forEach((lookup) => lookup.list(add)));

/** Joins the pending lookup of an equal query, or starts a new one. */
function joinLookup(query: ResolverQuery<unknown>, callback: ResolverCallback<unknown>): SharedLookup {
  const { calls, key } = query;
  let lookups = lookupsByTable.get(calls);
  if (lookups === undefined) {
    lookups = new Map();
    lookupsByTable.set(calls, lookups);
  }
  const pending = lookups.get(key);
  if (pending?.join(callback) === true) return pending;
  const lookup = new SharedLookup(lookups, query);
  lookup.join(callback);
  lookup.start();
  return lookup;
}

/** Makes a query on a thread of the resolver. */
export function runQuery<T>(query: ResolverQuery<T>): CancellableResult<T> {
  let cancel!: () => void;
  const result = new Promise<T>((resolve) => {
    const callback: ResolverCallback<unknown> = (status, errno, answer) => {
      if (status === 0 && answer !== null) resolve(answer as T);
      else resolve(rejection(resolverError(query, status, errno)));
    };
    const lookup = joinLookup(query, callback);
    cancel = () => lookup.leave(callback);
  });
  // `cancel` is undefined when joinLookup() threw. The promise is then rejected.
  return { result, cancel: () => cancel?.() };
}
