// Deadlines and cancelling of what waits for something else than a descriptor: the resolver.

import { offAbort, onAbort } from "./aborts.js";
import { LONGEST_TIMER } from "./waitOptions.js";

/**
 * The outcome of `promise`, or the reason of the first signal, or the error of the timeout (ms). After a signal or the timeout
 * the outcome is dropped, and `abandon` is called.
 *
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
  return new Promise((resolve, reject) => {
    const listeners: (() => void)[] = [];
    const end = (): void => {
      clearTimeout(timer);
      for (const remove of listeners) remove();
    };
    const expire = (): void => {
      end();
      reject(late());
      abandon?.();
    };
    const timer = timeout === null ? undefined : setTimeout(expire, Math.min(Math.max(timeout, 1), LONGEST_TIMER));
    if (!keepsAlive) timer?.unref();
    for (const signal of signals) {
      const member = {
        aborted: (reason: unknown): void => {
          end();
          reject(reason);
          abandon?.();
        },
      };
      // Code of users may have run since the caller looked, and there is no event for what has been.
      if (signal.aborted) {
        member.aborted(signal.reason);
        break;
      }
      onAbort(signal, member);
      listeners.push(() => offAbort(signal, member));
    }
    promise.then(
      (value) => {
        end();
        resolve(value);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
  });
}
