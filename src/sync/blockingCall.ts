// How a blocking socket waits: it tries an operation, blocks the thread in poll(2), and tries again. The operations
// (src/ops/) are those of the awaitable socket.
//
// No system call of an operation waits in the kernel, because then no deadline could end that wait
// (native/descriptors.c). The thread waits in poll(2), at most 100 ms at a time. In between, V8 can end the thread, so
// worker.terminate(), and process.exit() in the main thread, have an effect. A signal without a listener (Ctrl-C) ends
// the process. A signal with a listener ends the call: see interrupts.ts.
//
// There is one call at a time, so there are no wait queues and no turn budget. In three cases poll(2) can't report when
// a call could succeed. The call then pauses between its attempts, as in reactor/retryPause.ts:
//
// - after a transient errno;
// - after INCOMPLETE: there are data, but too few (MSG_PEEK with MSG_WAITALL), so poll(2) would return at once;
// - when poll(2) has reported readiness several times in a row, and each attempt returned EAGAIN.

import { countCompleted, countPart, type TransferCounts } from "../reactor/index.js";
import type { Calls } from "../sys/calls.js";
import { EAGAIN, EINTR, ETIMEDOUT } from "../sys/errno.js";
import { takeInterrupt } from "./interrupts.js";
import {
  deadlineErrorOf,
  errorOf,
  type FailedDescriptor,
  INCOMPLETE,
  type Operation,
  PROGRESS,
} from "../reactor/operation.js";
import { FIRST_PAUSE, MAX_PAUSE } from "../reactor/retryPause.js";

/** Maximum time of one poll(2) in ms. After each slice V8 can end the thread. */
const MAX_SLICE = 100;
/** The number of events in a row, each followed by an attempt with EAGAIN, after which the call pauses. */
const MAX_FUTILE_EVENTS = 3;

/** An empty list for poll(2), which then only sleeps. */
const NO_ENTRIES = new Uint8Array(0);

/** The deadline of a call that starts now, by performance.now(). `timeout` is in ms, or null for none. */
export function deadlineIn(timeout: number | null): number {
  return timeout === null ? Infinity : performance.now() + timeout;
}

/** The timeout for poll(2) in ms: a slice at most, 0 after the deadline. */
export function sliceUntil(deadline: number): number {
  return Math.min(MAX_SLICE, Math.max(0, Math.ceil(deadline - performance.now())));
}

/**
 * Runs an operation to its end, blocking the thread while it has to wait. `a` and `b` are its operands.
 *
 * @param events the events that poll(2) waits for when the operation would block
 * @param timeout ms, or null
 * @param counts the counters of the direction of the call
 */
export function block<A, B, T>(
  calls: Calls,
  fd: number,
  operation: Operation<A, B, T>,
  a: A,
  b: B,
  events: number,
  timeout: number | null,
  counts: TransferCounts,
): T {
  const deadline = deadlineIn(timeout);
  let pause = 0;
  let futileEvents = 0;
  for (;;) {
    const result = operation.attempt(calls, fd, a, b);
    if (result >= 0) {
      if (operation.movesBytes) countCompleted(counts, operation, result, a, b);
      return operation.complete(result, a, b);
    }
    // A result from PROGRESS down is that of progress(): the attempt moved bytes and can go on.
    if (result <= PROGRESS || result === EINTR) {
      futileEvents = pause = 0;
      if (result !== EINTR) countPart(counts, operation, PROGRESS - result);
      // The deadline also ends a call that never has to wait.
      if (deadline !== Infinity && performance.now() >= deadline)
        return endEarly(operation, a, b, ETIMEDOUT, { reactor: { calls }, fd });
      continue;
    }
    if (result === EAGAIN) {
      if (operation.isNonblocking?.(a, b) === true) throw errorOf(operation, EAGAIN, a, b);
    } else if (result !== INCOMPLETE && operation.isTransient?.(result, a, b) !== true) {
      throw errorOf(operation, result, a, b, { reactor: { calls }, fd });
    }
    const slice = sliceUntil(deadline);
    // The deadline has passed.
    if (slice === 0) return endEarly(operation, a, b, ETIMEDOUT, { reactor: { calls }, fd });
    if (takeInterrupt(calls)) return endEarly(operation, a, b, EINTR, { reactor: { calls }, fd });
    if (result === EAGAIN && futileEvents < MAX_FUTILE_EVENTS) {
      futileEvents = calls.poll(fd, events, slice) > 0 ? futileEvents + 1 : 0;
    } else {
      pause = Math.min(pause === 0 ? FIRST_PAUSE : pause * 2, MAX_PAUSE);
      calls.pollEntries(NO_ENTRIES, Math.min(pause, slice));
    }
  }
}

/** Ends a call after its deadline or a signal: returns the received bytes if there are any, otherwise throws. */
function endEarly<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, errno: number, descriptor: FailedDescriptor): T {
  const received = operation.received?.(a, b);
  if (received !== undefined) return received;
  if (errno === ETIMEDOUT) throw deadlineErrorOf(operation, a, b, descriptor);
  throw errorOf(operation, errno, a, b, descriptor);
}
