// An operation describes one kind of call: how a queue attempts it, and how it treats the results.
//
// Operations are constants. A queue stores the two operands of a call (`a` and `b`) next to its operation, so a call
// makes no closure. If a call needs state between two attempts (the progress of a sendAll), its first operand is an
// object.

import type { SocketErrorDetails } from "../errors/index.js";
import type { Calls } from "../sys/calls.js";
import {
  closedError,
  EAGAIN,
  EBADF,
  ECONNRESET,
  EHOSTUNREACH,
  EINTR,
  ENETUNREACH,
  ETIMEDOUT,
  socketError,
} from "../sys/errno.js";
import { endsOf } from "../sys/socketEnds.js";
import { timeoutError } from "../wait/localError.js";

/** The highest result of `progress()`. It is far below every -errno. */
export const PROGRESS = -0x4000_0000;

/**
 * The result of an attempt that moved `count` bytes and can go on at once. The queue tries again within the budget of
 * the turn, so a large transfer to a fast peer does not hold up the other calls.
 */
export function progress(count: number): number {
  return PROGRESS - count;
}

/**
 * The result of an attempt that found too little data for its call. The data stay in the kernel, and the call waits for
 * the next event. The value is no -errno.
 */
export const INCOMPLETE = -200_000;

export interface Operation<A, B, T> {
  /** The call's name in errors. */
  readonly syscall: string;

  /** Whether the result is a number of bytes, which count against the budget of the turn. */
  readonly movesBytes: boolean;

  /** Whether the result is a number of datagrams: the operation of a batch. */
  readonly batch?: boolean;

  /** Whether a call tries at once even if an earlier call of the queue got EAGAIN. */
  readonly alwaysTries?: boolean;

  /** Whether a waiting call does not keep the process alive. */
  readonly background?: boolean;

  /**
   * One attempt. It returns the result of the system call (>= 0 or -errno), INCOMPLETE or `progress()`. After EAGAIN
   * and INCOMPLETE the call waits; after EINTR and `progress()` it tries again.
   */
  attempt(calls: Calls, fd: number, a: A, b: B): number;

  /** Makes the value that the call returns from the result of the attempt. Runs right after the attempt. */
  complete(result: number, a: A, b: B): T;

  /** Whether an event with these bits of epoll(7) completes the call without an attempt. The result is then 0. */
  completedBy?(events: number, a: A, b: B): boolean;

  /**
   * The number of bytes that an attempt requests. On TCP a smaller result means that the receive buffer is empty. 0 if
   * a smaller result can have another reason.
   */
  requested?(a: A, b: B): number;

  /**
   * Whether the result shows that the socket is empty, on any kind of socket. A batch of datagrams that is not full
   * shows that.
   */
  drained?(result: number, a: A, b: B): boolean;

  /** The cost of an attempt in bytes, against the budget of the turn, if it differs from the result. */
  cost?(result: number, a: A, b: B): number;

  /** Whether the cause of this errno ends without an event, so that the queue tries again after a pause (EMFILE). */
  isTransient?(errno: number, a: A, b: B): boolean;

  /** Whether the call fails with EAGAIN instead of waiting (MSG_DONTWAIT). */
  isNonblocking?(a: A, b: B): boolean;

  /**
   * The result so far of a call that has received bytes and waits for more; undefined if it has no bytes. On a timeout,
   * an abort or close() the call resolves with it, because otherwise the bytes would be lost. In a loop over
   * connections, the result that ends the loop when the socket was closed.
   */
  received?(a: A, b: B): T | undefined;

  /** More details for the error of the call, such as an address. */
  details?(a: A, b: B): SocketErrorDetails | undefined;

  /** The bytes that were sent before the call failed. Absent if the call does not count bytes. */
  transferred?(a: A, b: B): number;
}

const FIELDS: Readonly<Record<keyof Operation<unknown, unknown, unknown>, undefined>> = {
  syscall: undefined,
  movesBytes: undefined,
  batch: undefined,
  alwaysTries: undefined,
  background: undefined,
  attempt: undefined,
  complete: undefined,
  completedBy: undefined,
  requested: undefined,
  drained: undefined,
  cost: undefined,
  isTransient: undefined,
  isNonblocking: undefined,
  received: undefined,
  details: undefined,
  transferred: undefined,
};

/**
 * Makes an operation. It gets every field of `Operation`, also those that it does not use, so that all operations have
 * the same hidden class in V8. That makes access to their fields fast.
 */
export function operation<A, B, T>(parts: Operation<A, B, T>): Operation<A, B, T> {
  return { ...FIELDS, ...parts } as Operation<A, B, T>;
}

/** The part of a descriptor that the error of its call needs. */
export interface FailedAt {
  readonly reactor: { readonly calls: Calls };
  /** -1 once closed. */
  readonly fd: number;
  /** The -errno of a broken connection that a call got, or 0. Stored because the kernel returns it only once. */
  breakage?: number;
}

const BREAKAGES: readonly number[] = [ECONNRESET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT];

function detailsOf<A, B, T>(
  failed: Operation<A, B, T>,
  a: A,
  b: B,
  at: FailedAt | undefined,
): SocketErrorDetails | undefined {
  const given = failed.details?.(a, b);
  // A call without an address of its own: the addresses of the socket show which connection failed.
  const details = given === undefined && at !== undefined ? endsOf(at.reactor.calls, at.fd) : given;
  return failed.transferred === undefined ? details : { ...details, transferred: failed.transferred(a, b) };
}

/** The error of a call whose deadline has passed. */
export function deadlineErrorOf<A, B, T>(failed: Operation<A, B, T>, a: A, b: B, at?: FailedAt): Error {
  return timeoutError(failed.syscall, detailsOf(failed, a, b, at));
}

/** The error of a call that fails with `errno`. */
export function errorOf<A, B, T>(failed: Operation<A, B, T>, errno: number, a: A, b: B, at?: FailedAt): Error {
  if (at !== undefined && BREAKAGES.includes(errno)) at.breakage = errno;
  if (errno === EBADF && at !== undefined && at.fd < 0) return closedError(failed.syscall, failed.details?.(a, b));
  // Not for EAGAIN: a nonblocking call fails with it often, and the addresses would cost system calls.
  return socketError(errno, failed.syscall, detailsOf(failed, a, b, errno === EAGAIN ? undefined : at));
}

/** Whether a call whose attempt returned this result must enter the queue. */
export function waits<A, B, T>(tried: Operation<A, B, T>, result: number, a: A, b: B): boolean {
  if (result === EAGAIN || result === INCOMPLETE || result === EINTR || result <= PROGRESS) return true;
  return isTransient(tried, result, a, b);
}

export function isTransient<A, B, T>(failed: Operation<A, B, T>, errno: number, a: A, b: B): boolean {
  return failed.isTransient !== undefined && failed.isTransient(errno, a, b);
}
