// The options `timeout` and `signal` of every call that waits, and their checks.

import { quote } from "../check/index.js";
import { adoptSignal } from "./aborts.js";

/** The longest delay of a timer of Node.js, in ms (24.8 days). */
export const MAX_TIMER_DELAY: number = 0x7fff_ffff;

/** The names of the options of a call that may wait. */
export const WAIT_NAMES: readonly string[] = ["timeout", "signal"];

/** Options of a call that may wait. */
export interface WaitOptions {
  /**
   * Milliseconds after which the call rejects with `ETIMEDOUT`, from 0 to 2147483647; null for no timeout. Default: the
   * `timeout` of the socket.
   */
  readonly timeout?: number | null | undefined;
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Returns `value` if it is a number of milliseconds that a timer can wait, and null if `value` is null or undefined.
 * Throws for any other value. `action` and `name` are for the message of the error.
 */
export function milliseconds(value: unknown, action: string, name: string = "timeout"): number | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "number" && value >= 0 && value <= MAX_TIMER_DELAY) return value;
  const found = `Cannot ${action}: ${name} is ${quote(value)}`;
  const text = `${found}, required milliseconds from 0 to ${MAX_TIMER_DELAY}, or null for none`;
  throw typeof value === "number" ? new RangeError(text) : new TypeError(text);
}

/** Like `milliseconds`, with other bounds and without null. Returns `otherwise` if `value` is undefined. */
export function millisecondsWithin(
  value: unknown,
  otherwise: number,
  action: string,
  name: string,
  min: number,
  max: number,
): number {
  if (value === undefined) return otherwise;
  if (typeof value === "number" && value >= min && value <= max) return value;
  const text = `Cannot ${action}: ${name} is ${quote(value)}, required milliseconds from ${min} to ${max}`;
  throw typeof value === "number" ? new RangeError(text) : new TypeError(text);
}

/** Like `milliseconds`, but returns `otherwise` if `value` is undefined. */
export function millisecondsOr<T>(value: unknown, otherwise: T, action: string, name: string): number | null | T {
  return value === undefined ? otherwise : milliseconds(value, action, name);
}

/** The checked `timeout` of `opts`; `otherwise` if it has none. */
export function timeoutOf(opts: WaitOptions | undefined, otherwise: number | null, action: string): number | null {
  if (opts === undefined || opts.timeout === undefined) return otherwise;
  return milliseconds(opts.timeout, action);
}

/** Returns `value` as an AbortSignal of this realm, or undefined if it is undefined. Throws for any other value. */
export function abortSignal(value: unknown, action: string): AbortSignal | undefined {
  if (value === undefined) return undefined;
  const signal = adoptSignal(value);
  if (signal !== undefined) return signal;
  throw new TypeError(`Cannot ${action}: signal is ${quote(value)}, required an AbortSignal`);
}

/** The checked `signal` of `opts`, or undefined if it has none. */
export function signalOf(opts: WaitOptions | undefined, action: string): AbortSignal | undefined {
  return abortSignal(opts?.signal, action);
}
