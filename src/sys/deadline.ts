// Deadlines and cancelling of what waits for something else than a descriptor: the resolver.

import { quote } from "../addr/index.js";
import { adoptSignal, offAbort, onAbort } from "../aborts.js";

/** The longest wait of a timer, in ms. */
const LONGEST = 0x7fff_ffff;

/** `value` as an AbortSignal of this realm, or undefined; otherwise throws an error that names the action. */
export function abortSignal(value: unknown, action: string): AbortSignal | undefined {
  if (value === undefined) return undefined;
  const signal = adoptSignal(value);
  if (signal !== undefined) return signal;
  throw new TypeError(`Cannot ${action}: signal is ${quote(value)}, required an AbortSignal`);
}

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
    const timer = timeout === null ? undefined : setTimeout(expire, Math.min(Math.max(timeout, 1), LONGEST));
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
