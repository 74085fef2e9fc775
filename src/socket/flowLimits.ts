// Applies `timeout`, `idleTimeout` and `signal` to the flows of splice() and pump().

import { MAX_TIMER_DELAY } from "../wait/waitOptions.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { timeoutError } from "../wait/localError.js";
import type { PumpLimits } from "../ops/spliceOptions.js";
import type { LastActivity, SpliceFlow } from "./spliceFlow.js";

/**
 * Cancels the flows at the deadline, after the idle timeout, or at an abort. Returns the function that removes the
 * limits.
 */
export function enforceLimits(
  flows: readonly SpliceFlow[],
  limits: PumpLimits,
  activity: LastActivity | undefined,
): () => void {
  const { idleTimeout, signal, timeout } = limits;
  const cancel = (reason: unknown): void => {
    for (const flow of flows) flow.cancel(reason);
  };
  // `transferred` is for splice(), which has one flow. pump() adds the progress of both flows to the error.
  const expire = (): void => cancel(timeoutError("splice", { transferred: flows[0]!.closeRelayAndGetSent() }));
  const abortListener = { onAborted: cancel };
  if (signal !== undefined) onAbort(signal, abortListener);
  let deadlineTimer: NodeJS.Timeout | undefined;
  let idleTimer: NodeJS.Timeout | undefined;
  const setTimer = (onFire: () => void, delay: number): NodeJS.Timeout =>
    setTimeout(onFire, Math.min(Math.max(Math.ceil(delay), 1), MAX_TIMER_DELAY)).unref();
  if (timeout !== null) {
    const deadline = performance.now() + timeout;
    // The timer may fire before the deadline. Then it is set again for the remaining time.
    const checkDeadline = (): void => {
      const remaining = deadline - performance.now();
      if (remaining <= 0) expire();
      else deadlineTimer = setTimer(checkDeadline, remaining);
    };
    deadlineTimer = setTimer(checkDeadline, timeout);
  }
  if (idleTimeout !== null && activity !== undefined) {
    // The timer is not reset when bytes move. If bytes have moved when it fires, it is set again for the remaining
    // time.
    const checkIdle = (): void => {
      for (const flow of flows) activity.last = Math.max(activity.last, flow.lastRelayTime() ?? 0);
      const remaining = activity.last + idleTimeout - performance.now();
      if (remaining <= 0) expire();
      else idleTimer = setTimer(checkIdle, remaining);
    };
    idleTimer = setTimer(checkIdle, idleTimeout);
  }
  return () => {
    if (signal !== undefined) offAbort(signal, abortListener);
    clearTimeout(deadlineTimer);
    clearTimeout(idleTimer);
  };
}
