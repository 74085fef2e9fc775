// The waiting of the blocking socket: try the call, block the thread in poll(2), try again. The operations are those of the
// awaitable socket (sys/operations), and so are the outcomes; what differs is who waits.
//
// No call of the operations waits in the kernel (native/descriptors.c), because only then has every call a deadline. The thread waits
// in poll(2), in slices: between two of them the engine can end the thread, so that worker.terminate(), and process.exit() in the main thread, don't wait
// for what may never come. A signal with the default action (Ctrl-C) ends the process wherever its threads are; one that the
// process listens for ends the call: see interrupts.ts.
//
// There is nobody else in this thread, so there are no queues and no budget. Two things have no event to wait for and are
// tried again after a pause, as in reactor/waitQueue.ts: an errno that passes with time, and a call that has found something but
// not enough (MSG_PEEK with MSG_WAITALL), for which poll(2) would return at once. The same goes for readiness that turns out
// to be of no use several times in a row.

import type { Calls } from "../sys/calls.js";
import { EAGAIN, EINTR, ETIMEDOUT } from "../sys/errno.js";
import { interrupted } from "./interrupts.js";
import { failure, late, FIRST_PAUSE, LONGEST_PAUSE, MOVED, NOT_ENOUGH, type Operation } from "../reactor/operation.js";

/** Longest stay in the kernel, in ms. */
const SLICE = 100;
/** So often in a row readiness may be of no use before there are pauses. */
const FUTILE = 3;

/** No descriptors, for a poll(2) that only sleeps. */
const NONE = new Uint8Array(0);

/** When a call that starts now has to end, by performance.now(). */
export function deadlineIn(timeout: number | null): number {
  return timeout === null ? Infinity : performance.now() + timeout;
}

/** What is left until the deadline, in ms as poll(2) takes them: a slice at most, 0 when it has passed. */
export function sliceUntil(deadline: number): number {
  return Math.min(SLICE, Math.max(0, Math.ceil(deadline - performance.now())));
}

/**
 * Runs an operation to its end, blocking the thread while it has to wait.
 *
 * @param events what poll(2) is to wait for when the operation would block
 * @param timeout ms, or null
 */
export function block<A, B, T>(
  calls: Calls,
  fd: number,
  operation: Operation<A, B, T>,
  a: A,
  b: B,
  events: number,
  timeout: number | null,
): T {
  const deadline = deadlineIn(timeout);
  let pause = 0;
  let futile = 0;
  for (;;) {
    const result = operation.attempt(calls, fd, a, b);
    if (result >= 0) return operation.complete(result, a, b);
    if (result <= MOVED || result === EINTR) {
      futile = pause = 0;
      if (deadline !== Infinity && performance.now() >= deadline) return cut(operation, a, b, ETIMEDOUT);
      continue;
    }
    if (result === EAGAIN) {
      if (operation.nowait?.(a, b) === true) throw failure(operation, EAGAIN, a, b);
    } else if (result !== NOT_ENOUGH && operation.passes?.(result, a, b) !== true) {
      throw failure(operation, result, a, b);
    }
    const slice = sliceUntil(deadline);
    if (slice === 0) return cut(operation, a, b, ETIMEDOUT);
    if (interrupted(calls)) return cut(operation, a, b, EINTR);
    if (result === EAGAIN && futile < FUTILE) {
      futile = calls.poll(fd, events, slice) > 0 ? futile + 1 : 0;
    } else {
      pause = Math.min(pause === 0 ? FIRST_PAUSE : pause * 2, LONGEST_PAUSE);
      calls.pollEntries(NONE, Math.min(pause, slice));
    }
  }
}

/** The deadline has passed, or a signal has come: what has been received, or the error. */
function cut<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, errno: number): T {
  const received = operation.received?.(a, b);
  if (received !== undefined) return received;
  throw errno === ETIMEDOUT ? late(operation, a, b) : failure(operation, errno, a, b);
}
