// A call that waits in JavaScript and not on a descriptor: a promise with a timeout and a signal. It settles once.
//
// The owner of the call settles it with resolve() or reject(). If the timeout passes or the signal is aborted first,
// cancel() removes the call from its owner's queue, and the promise rejects. A settled call has no timer and no abort
// listener.

import type { SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { clock as performanceNow } from "../builtins.js";
import { addPendingSource, type Description, type ListedCall, registry } from "../registry/index.js";
import { checkOptions } from "../check/index.js";
import { type AbortListener, adoptSignal, offAbort, onAbort, setTransferred } from "./aborts.js";
import { type Clock, systemClock } from "./clock.js";
import { rejection } from "./rejection.js";
import type { TimerRefs } from "./timerRefs.js";
import { abortSignal, milliseconds, WAIT_NAMES } from "./waitOptions.js";

/**
 * Checks the options of a call before it starts. Returns the error if an option is wrong or the signal is aborted
 * already, and undefined if the call may start. The error is in an object, because a signal's reason can be any value.
 */
export function optionsError(
  opts: IoOptions | undefined,
  action: string,
  knownNames: readonly string[] = WAIT_NAMES,
): { readonly error: unknown } | undefined {
  if (opts === undefined) return undefined;
  let signal: AbortSignal | undefined;
  try {
    checkOptions(opts, action, knownNames);
    milliseconds(opts.timeout, action);
    signal = abortSignal(opts.signal, action);
  } catch (error) {
    return { error };
  }
  return signal?.aborted === true ? { error: signal.reason } : undefined;
}

/** How `pending()` lists a call. */
export interface PendingLabel {
  /** The name of the call. */
  readonly call: string;
  /** The description of the object. */
  readonly object: Description;
}

/**
 * The calls that `pending()` lists: those with a timer and a label. A timer references its call anyway, so the set
 * keeps no further call in memory. A call without a timer is not listed, because it does not keep the process alive.
 */
const timedCalls = new Set<{ list(add: (call: ListedCall) => void): void }>();
addPendingSource((add) => timedCalls.forEach((call) => call.list(add)));

/** A call that waits until its owner, its timeout or its signal settles it. */
export abstract class PendingCall<T> implements AbortListener {
  readonly promise: Promise<T>;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  #resolve!: (value: T | Promise<never>) => void;
  /** The timer of the timeout; undefined without one. */
  #timer: unknown;
  readonly #refs: TimerRefs | undefined;
  readonly #label: PendingLabel | undefined;
  /** When the call began, on the clock of `performance.now()`. */
  readonly since: number = performanceNow();
  #settled = false;

  /**
   * @param opts checked by `optionsError`
   * @param refs decides whether the timer keeps the process alive; without `refs`, the timer keeps it alive
   * @param label how `pending()` lists the call; undefined if the owner of the call lists it
   */
  constructor(opts: IoOptions | undefined, clock: Clock = systemClock, refs?: TimerRefs, label?: PendingLabel) {
    this.#clock = clock;
    this.#refs = refs;
    this.#label = label;
    this.promise = new Promise<T>((resolve) => (this.#resolve = resolve));
    const timeout = opts?.timeout;
    if (timeout !== undefined && timeout !== null) {
      this.#timer = clock.setTimeout(() => this.#expire(), timeout);
      refs?.add(this.#timer);
      if (label !== undefined) timedCalls.add(this);
    }
    if (registry !== undefined && label !== undefined) registry.addCall(this, label.call, this);
    this.#signal = adoptSignal(opts?.signal);
    if (this.#signal !== undefined) onAbort(this.#signal, this);
  }

  /**
   * Removes the call from its owner's queue, and returns the `ETIMEDOUT` error of the call. After an abort the call
   * rejects with the signal's reason instead, which gets `transferred` of the error.
   */
  protected abstract cancel(): SocketError;

  /** Calls `add` with this call, for `pending()`. */
  list(add: (call: ListedCall) => void): void {
    const { since } = this;
    add({ ...this.#label!, since, keepsAlive: this.#refs === undefined || this.#refs.keepsAlive, key: this });
  }

  get settled(): boolean {
    return this.#settled;
  }

  resolve(value: T): void {
    if (this.#settle()) this.#resolve(value);
  }

  reject(error: unknown): void {
    if (this.#settle()) this.#resolve(rejection(error));
  }

  /** Called when the signal is aborted. */
  onAborted(reason: unknown): void {
    if (this.#settled) return;
    setTransferred(reason, this.cancel().transferred ?? 0);
    this.reject(reason);
  }

  #expire(): void {
    if (!this.#settled) this.reject(this.cancel());
  }

  /** Removes the timer and the abort listener. Returns false if the call was settled before. */
  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    if (this.#timer !== undefined) {
      this.#clock.clearTimeout(this.#timer);
      this.#refs?.delete(this.#timer);
      timedCalls.delete(this);
    }
    if (registry !== undefined) registry.removeCall(this);
    if (this.#signal !== undefined) offAbort(this.#signal, this);
    return true;
  }
}
