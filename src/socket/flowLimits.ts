// What cuts flows short: a deadline for all of it, another for silence, and a signal.

import { LONGEST_TIMER } from "../wait/waitOptions.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { timeoutError } from "../wait/localError.js";
import type { Limits } from "../ops/spliceOptions.js";
import type { Activity, SpliceFlow } from "./spliceFlow.js";

/** Makes the deadlines and the signal end `flows`; returns what takes them away again. */
export function watch(flows: readonly SpliceFlow[], limits: Limits, activity: Activity | undefined): () => void {
  const { idleTimeout, signal, timeout } = limits;
  const cancel = (reason: unknown): void => {
    for (const flow of flows) flow.cancel(reason);
  };
  const expire = (): void => cancel(timeoutError("splice", { transferred: flows[0]!.passed() }));
  const member = { aborted: cancel };
  if (signal !== undefined) onAbort(signal, member);
  let deadline: NodeJS.Timeout | undefined;
  let idle: NodeJS.Timeout | undefined;
  const later = (fire: () => void, delay: number): NodeJS.Timeout =>
    setTimeout(fire, Math.min(Math.max(Math.ceil(delay), 1), LONGEST_TIMER)).unref();
  if (timeout !== null) {
    const end = performance.now() + timeout;
    const ask = (): void => {
      const left = end - performance.now();
      if (left <= 0) expire();
      else deadline = later(ask, left);
    };
    deadline = later(ask, timeout);
  }
  if (idleTimeout !== null && activity !== undefined) {
    // One timer, which is set anew only when it fires and bytes have moved meanwhile.
    const ask = (): void => {
      for (const flow of flows) activity.last = Math.max(activity.last, flow.lastRelayed() ?? 0);
      const left = activity.last + idleTimeout - performance.now();
      if (left <= 0) expire();
      else idle = later(ask, left);
    };
    idle = later(ask, idleTimeout);
  }
  return () => {
    if (signal !== undefined) offAbort(signal, member);
    clearTimeout(deadline);
    clearTimeout(idle);
  };
}
