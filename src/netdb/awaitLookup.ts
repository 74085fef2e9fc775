// Runs a lookup for a call that takes a timeout and a signal.

import { checkOptions } from "../check/index.js";
import { abortSignal, milliseconds, WAIT_NAMES } from "../wait/waitOptions.js";
import { within } from "../wait/within.js";
import { timeoutError } from "../wait/localError.js";
import { type Lookup, runLookup } from "./lookup.js";
import { hostDetails } from "./query.js";

/** Options of a call that waits for the resolver. */
export interface LookupOptions {
  /**
   * Maximum wait in ms; null (the default) for no limit. After the timeout a running lookup still occupies its thread
   * until the C library returns.
   */
  readonly timeout?: number | null | undefined;
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a lookup on threads of the resolver, with the timeout and the signal of `opts`.
 *
 * @param host for the error of the timeout
 * @param knownNames the names that `opts` may have
 */
export async function awaitLookup<T>(
  lookup: Lookup<T>,
  opts: LookupOptions | undefined,
  syscall: string,
  host?: string | null,
  knownNames: readonly string[] = WAIT_NAMES,
): Promise<T> {
  checkOptions(opts, syscall, knownNames);
  const timeout = milliseconds(opts?.timeout, syscall);
  const signal = abortSignal(opts?.signal, syscall);
  signal?.throwIfAborted();
  const pending = runLookup(lookup);
  if (timeout === null && signal === undefined) return pending.result;
  const makeTimeoutError = (): Error => timeoutError(syscall, hostDetails(host));
  return within(pending.result, timeout, signal === undefined ? [] : [signal], makeTimeoutError, pending.cancel);
}
