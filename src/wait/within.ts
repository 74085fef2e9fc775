// A promise with a timeout and signals, for waits that have no descriptor, such as a lookup of a name.

import { offAbort, onAbort } from "./aborts.js";
import { rejection } from "./rejection.js";
import { MAX_TIMER_DELAY } from "./waitOptions.js";

/**
 * Returns a promise that settles as `promise` does. If a signal is aborted before, the returned promise rejects with
 * the reason of the signal. If `timeout` ms have passed before, it rejects with the error of `makeTimeoutError()`.
 * In both cases `abandon` is called, and the outcome of `promise` is ignored.
 *
 * @param abandon stops the work behind `promise`
 * @param keepsAlive whether the timer keeps the process alive
 */
export function within<T>(
  promise: Promise<T>,
  timeout: number | null,
  signals: readonly AbortSignal[],
  makeTimeoutError: () => Error,
  abandon?: () => void,
  keepsAlive: boolean = true,
): Promise<T> {
  return new Promise((resolve) => {
    const removals: (() => void)[] = [];
    let settled = false;
    const cleanUp = (): void => {
      settled = true;
      clearTimeout(timer);
      for (const remove of removals) remove();
    };
    const rejectEarly = (error: unknown): void => {
      cleanUp();
      resolve(rejection(error));
      abandon?.();
    };
    const delay = timeout === null ? undefined : Math.min(Math.max(timeout, 1), MAX_TIMER_DELAY);
    const timer = delay === undefined ? undefined : setTimeout(() => rejectEarly(makeTimeoutError()), delay);
    if (!keepsAlive) timer?.unref();
    for (const signal of signals) {
      // The signal may have been aborted since the caller checked it. Such a signal emits no event.
      if (signal.aborted) {
        rejectEarly(signal.reason);
        break;
      }
      const listener = { onAborted: rejectEarly };
      onAbort(signal, listener);
      removals.push(() => offAbort(signal, listener));
    }
    promise.then(
      (value) => {
        cleanUp();
        resolve(value);
      },
      (error: unknown) => {
        // Once the returned promise has settled, nothing would handle the promise that rejection() makes.
        if (settled) return;
        cleanUp();
        resolve(rejection(error));
      },
    );
  });
}
