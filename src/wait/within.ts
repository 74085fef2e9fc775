// A promise with a timeout and signals, for waits that have no descriptor, such as a lookup of a name.

import { offAbort, onAbort } from "./aborts.js";
import { rejection } from "./rejection.js";
import { LONGEST_TIMER } from "./waitOptions.js";

/**
 * Settles as `promise` does, or rejects with the reason of the first signal that is aborted, or with `late()` when
 * `timeout` ms have passed. After a signal or the timeout the outcome of `promise` is ignored, and `abandon` is called.
 *
 * @param late makes the error of the timeout
 * @param keepsAlive whether the timer keeps the process alive
 */
export function within<T>(
  promise: Promise<T>,
  timeout: number | null,
  signals: readonly AbortSignal[],
  late: () => Error,
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
    const giveUp = (error: unknown): void => {
      cleanUp();
      resolve(rejection(error));
      abandon?.();
    };
    const delay = timeout === null ? undefined : Math.min(Math.max(timeout, 1), LONGEST_TIMER);
    const timer = delay === undefined ? undefined : setTimeout(() => giveUp(late()), delay);
    if (!keepsAlive) timer?.unref();
    for (const signal of signals) {
      // Code of the user may have aborted the signal since the caller checked it. The signal emits no event then.
      if (signal.aborted) {
        giveUp(signal.reason);
        break;
      }
      const listener = { aborted: giveUp };
      onAbort(signal, listener);
      removals.push(() => offAbort(signal, listener));
    }
    promise.then(
      (value) => {
        cleanUp();
        resolve(value);
      },
      (error: unknown) => {
        // Nothing would handle a second rejection.
        if (settled) return;
        cleanUp();
        resolve(rejection(error));
      },
    );
  });
}
