// One pending call of a Conn that is written in JavaScript: a promise with a timeout and a signal that settles once.
//
// Whoever answers it calls resolve() or reject(); when the timeout or the signal is faster, cut() takes the call out of
// its owner's queue and names the error. After either, timer and listener are gone.

import { type Abortable, adoptSignal, countOn, offAbort, onAbort } from "./aborts.js";
import type { SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { type Clock, systemClock } from "./clock.js";
import { kindOf } from "../check/index.js";
import type { TimerRefs } from "./timerRefs.js";
import { LONGEST_TIMER } from "./waitOptions.js";

/** A value as an AbortSignal of this realm; undefined if it is none. */
export function takeSignal(value: unknown): AbortSignal | undefined {
  return value === undefined ? undefined : adoptSignal(value);
}

/** What is wrong with the options of a call, or its signal's reason when that is aborted already. */
export function refusal(opts: IoOptions | undefined): { readonly error: unknown } | undefined {
  if (opts === undefined) return undefined;
  if (typeof opts !== "object" || opts === null) {
    return { error: new TypeError(`options must be an object, found ${kindOf(opts)}`) };
  }
  let timeout: unknown;
  let given: unknown;
  let signal: AbortSignal | undefined;
  try {
    ({ timeout, signal: given } = opts);
    signal = takeSignal(given);
  } catch (error) {
    return { error };
  }
  if (given !== undefined && signal === undefined) {
    return { error: new TypeError(`signal must be an AbortSignal, found ${kindOf(given)}`) };
  }
  if (timeout !== undefined && timeout !== null) {
    if (typeof timeout !== "number") {
      return { error: new TypeError(`timeout must be a number of milliseconds, found ${typeof timeout}`) };
    }
    if (!(timeout >= 0 && timeout <= LONGEST_TIMER)) {
      return {
        error: new RangeError(`timeout must be from 0 to ${LONGEST_TIMER} milliseconds or null, found ${timeout}`),
      };
    }
  }
  return signal?.aborted === true ? { error: signal.reason } : undefined;
}

/** A pending call. */
export abstract class Wait<T> implements Abortable {
  readonly promise: Promise<T>;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  #resolve!: (value: T) => void;
  #reject!: (error: unknown) => void;
  #timer: unknown;
  readonly #refs: TimerRefs | undefined;
  #settled = false;

  /** @param refs of the object that the call waits on; without it, a timeout keeps the process alive */
  constructor(opts: IoOptions | undefined, clock: Clock = systemClock, refs?: TimerRefs) {
    this.#clock = clock;
    this.#refs = refs;
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const timeout = opts?.timeout;
    if (timeout !== undefined && timeout !== null) {
      this.#timer = clock.setTimeout(() => this.#expired(), timeout);
      refs?.add(this.#timer);
    }
    this.#signal = takeSignal(opts?.signal);
    if (this.#signal !== undefined) onAbort(this.#signal, this);
  }

  /**
   * Takes the call out of its queue and returns the `ETIMEDOUT` error. A signal's reason replaces it, and takes over its
   * `transferred` where some bytes were.
   */
  protected abstract cut(): SocketError;

  get settled(): boolean {
    return this.#settled;
  }

  resolve(value: T): void {
    if (this.#settle()) this.#resolve(value);
  }

  reject(error: unknown): void {
    if (this.#settle()) this.#reject(error);
  }

  /** The signal was aborted. */
  aborted(reason: unknown): void {
    if (this.#settled) return;
    countOn(reason, this.cut().transferred ?? 0);
    this.reject(reason);
  }

  #expired(): void {
    if (!this.#settled) this.reject(this.cut());
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    if (this.#timer !== undefined) {
      this.#clock.clearTimeout(this.#timer);
      this.#refs?.delete(this.#timer);
    }
    if (this.#signal !== undefined) offAbort(this.#signal, this);
    return true;
  }
}
