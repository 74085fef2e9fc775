// Connecting again after a failure: the errors after which another try follows, the pauses, and the loop of connect().
//
// A pause is random, from 0 to a bound that doubles with each failure ("full jitter"). So after a failure of a server,
// its clients do not all connect at the same time.

import { runCallback, warnOnRejection } from "../callbacks.js";
import { checkNames, integer, quote } from "../check/index.js";
import { IncompleteReadError, SocketError, TimeoutError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { type Clock, systemClock } from "../wait/clock.js";
import { timeoutError } from "../wait/localError.js";
import { MAX_TIMER_DELAY, milliseconds, millisecondsWithin } from "../wait/waitOptions.js";
import { checkFunction } from "./endpointOptions.js";

/** A try that failed, and the pause before the next one. */
export interface RetryEvent {
  /** The number of tries for this connection that have failed. */
  readonly tries: number;
  /** Milliseconds until the next try. */
  readonly delay: number;
  /** The error of the last try. */
  readonly error: unknown;
}

/**
 * Options for connecting again after a failure. The pause before a try is a random time from 0 to a bound. The bound is
 * `minDelay` after the first failure, and doubles with each failure, up to `maxDelay`.
 */
export interface RetryOptions {
  /** Maximum number of tries, including the first; Infinity for no limit. Default 10; {@link Reconnector}: Infinity. */
  readonly maxTries?: number | undefined;
  /** The bound of the first pause in milliseconds. Default 100. */
  readonly minDelay?: number | undefined;
  /** The largest bound of a pause in milliseconds. Default 10,000. */
  readonly maxDelay?: number | undefined;
  /**
   * Milliseconds for one try: the resolver, all addresses, the proxy and the TLS handshake; null for no limit. Default
   * 10,000.
   */
  readonly tryTimeout?: number | null | undefined;
  /**
   * Returns whether another try follows an error. Default {@link isRetryable}. If it throws, the call rejects with that
   * error.
   */
  readonly retryOn?: ((error: unknown) => boolean) | undefined;
  /** Called before each pause. */
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
  /** The clock of the pauses, for tests. Default: the clock of the system. */
  readonly clock?: Clock | undefined;
  /** Returns a random number from 0 to 1, 1 excluded, for tests. Default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** `RetryOptions`, checked. */
export interface RetryPolicy {
  readonly maxTries: number;
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly tryTimeout: number | null;
  readonly retryOn: (error: unknown) => boolean;
  readonly onRetry: ((event: RetryEvent) => void) | undefined;
  readonly clock: Clock;
  readonly random: () => number;
}

const RETRY_OPTIONS = ["maxTries", "minDelay", "maxDelay", "tryTimeout", "retryOn", "onRetry", "clock", "random"];

/** Checks the option `retry`. */
export function checkRetry(retry: unknown, defaultMaxTries: number, action: string): RetryPolicy {
  if (typeof retry !== "object" || retry === null || Array.isArray(retry)) {
    throw new TypeError(`Cannot ${action}: retry is ${quote(retry)}, required an object`);
  }
  checkNames(retry, RETRY_OPTIONS, action, "retry");
  const opts: RetryOptions = retry;
  const { retryOn, onRetry, random, clock } = opts;
  checkFunction(retryOn, action, "retry.retryOn");
  checkFunction(onRetry, action, "retry.onRetry");
  checkFunction(random, action, "retry.random");
  if (clock !== undefined && typeof (clock as Partial<Clock> | null)?.setTimeout !== "function") {
    throw new TypeError(`Cannot ${action}: retry.clock is ${quote(clock)}, required a Clock`);
  }
  const minDelay = millisecondsWithin(opts.minDelay, 100, action, "retry.minDelay", 0, MAX_TIMER_DELAY);
  const defaultMaxDelay = Math.max(minDelay, 10_000);
  return {
    maxTries: opts.maxTries === undefined ? defaultMaxTries : checkMaxTries(opts.maxTries, action),
    minDelay,
    maxDelay: millisecondsWithin(opts.maxDelay, defaultMaxDelay, action, "retry.maxDelay", minDelay, MAX_TIMER_DELAY),
    tryTimeout: opts.tryTimeout === undefined ? 10_000 : milliseconds(opts.tryTimeout, action, "retry.tryTimeout"),
    retryOn: retryOn ?? isRetryable,
    onRetry,
    clock: clock ?? systemClock,
    random: random ?? Math.random,
  };
}

function checkMaxTries(value: unknown, action: string): number {
  return value === Infinity ? Infinity : integer(value, action, "retry.maxTries", 1, Number.MAX_SAFE_INTEGER);
}

/** Codes of errors whose cause may end without a change of the program. docs/reconnect.md has this list. */
const RETRYABLE: ReadonlySet<string> = new Set([
  // The peer or the network is not available for now.
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "ENETRESET",
  // The file of a UNIX socket is not there yet. A proxy has too many connections.
  "ENOENT",
  "EBUSY",
  // The resolver has no answer for now.
  "EAI_AGAIN",
  // This machine is short of ports, descriptors or memory.
  "EADDRNOTAVAIL",
  "EAGAIN",
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
]);

/**
 * Whether connecting again may succeed after this error, without a change of the program or its surroundings: `true`
 * for a {@link SocketError} with one of the codes below, and for an {@link IncompleteReadError}. `false` for everything
 * else: a wrong argument, a `TlsError` such as a refused certificate, a name without an address (`EAI_NONAME`), a
 * missing permission, a protocol error, the reason of a signal.
 *
 * `ECONNREFUSED`, `ECONNRESET`, `ECONNABORTED`, `EPIPE`, `ETIMEDOUT`, `EHOSTUNREACH`, `EHOSTDOWN`, `ENETUNREACH`,
 * `ENETDOWN`, `ENETRESET`, `ENOENT`, `EBUSY`, `EAI_AGAIN`, `EADDRNOTAVAIL`, `EAGAIN`, `EMFILE`, `ENFILE`, `ENOBUFS`,
 * `ENOMEM`.
 *
 * @example
 * ```ts
 * import { connect, isRetryable } from "berkeley";
 *
 * const error = await connect("tcp://127.0.0.1:8888").catch((error) => error);
 * console.log(error.code, isRetryable(error)); // prints: ECONNREFUSED true
 * ```
 */
export function isRetryable(error: unknown): boolean {
  return error instanceof IncompleteReadError || (error instanceof SocketError && RETRYABLE.has(error.code));
}

/** Whether `retryOn` allows another try. If `retryOn` throws, throws the same error. */
export function allowsRetry({ retryOn }: RetryPolicy, error: unknown): boolean {
  const result: unknown = retryOn(error);
  if (typeof result === "boolean") return result;
  // The result may be a promise, whose rejection no code would handle.
  warnOnRejection("retryOn", result);
  throw new TypeError(`Cannot connect again: the result of retryOn is ${quote(result)}, required true or false`);
}

/** The pause after `failures` failures in a row, in milliseconds. */
export function delayAfter(failures: number, { minDelay, maxDelay, random }: RetryPolicy): number {
  const bound = Math.min(maxDelay, minDelay * 2 ** Math.max(0, failures - 1));
  // `random` may be a function of the caller, so its result is limited.
  return Math.min(bound, Math.max(0, random() * bound));
}

/** Resolves after `ms` milliseconds, or rejects with the reason of the signal. The timer keeps the process alive. */
export function pause(ms: number, clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    // The reason of a signal can be any value. The cast is for the linter.
    if (signal?.aborted === true) return reject(signal.reason as Error);
    const listener = {
      onAborted: (reason: unknown): void => {
        clock.clearTimeout(timer);
        offAbort(signal!, listener);
        reject(reason);
      },
    };
    const timer = clock.setTimeout(
      () => {
        if (signal !== undefined) offAbort(signal, listener);
        resolve();
      },
      Math.min(ms, MAX_TIMER_DELAY),
    );
    if (signal !== undefined) onAbort(signal, listener);
  });
}

/**
 * Calls `makeTry` until it succeeds, or no further try may follow.
 *
 * @param makeTry makes one try. Its argument has the timeout of the try, and the signal
 * @param limits the timeout for all tries and pauses together, and the signal
 */
export async function openWithRetries<T>(
  policy: RetryPolicy,
  makeTry: (tryLimits: IoOptions) => Promise<T>,
  limits: IoOptions,
): Promise<T> {
  const { clock, tryTimeout } = policy;
  const { timeout = null, signal } = limits;
  const deadline = timeout === null ? Infinity : clock.now() + timeout;
  for (let tries = 1; ; tries++) {
    let error: unknown;
    const timeForTry = Math.min(Math.max(0, deadline - clock.now()), tryTimeout ?? Infinity);
    try {
      return await makeTry({ timeout: timeForTry === Infinity ? null : timeForTry, signal });
    } catch (failure) {
      error = failure;
    }
    signal?.throwIfAborted();
    if (!allowsRetry(policy, error) || tries >= policy.maxTries) throw error;
    const remaining = deadline - clock.now();
    if (remaining <= 0) throw timeoutErrorOf(error);
    const delay = delayAfter(tries, policy);
    if (policy.onRetry !== undefined) runCallback("onRetry", policy.onRetry, { tries, delay, error });
    await pause(Math.min(delay, remaining), clock, signal);
    // The pause was cut off at the deadline.
    if (delay >= remaining) throw timeoutErrorOf(error);
  }
}

/**
 * The error after the timeout of all tries. Its `cause` is the error of the last try. If that is itself a TimeoutError,
 * the function returns it unchanged.
 */
function timeoutErrorOf(error: unknown): unknown {
  if (error instanceof TimeoutError) return error;
  const { address, port, path } = (error ?? {}) as Partial<SocketError>;
  return timeoutError("connect", { address, port, path, cause: error });
}
