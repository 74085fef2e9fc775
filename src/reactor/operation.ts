// An operation: one kind of call, as the queue of a descriptor tries, waits and tries again.
//
// Operations are constants, and their operands are passed along, so a call makes no closure. If a call needs state
// between two attempts (the progress of a sendAll), its first operand is an object.

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
import { routeOf } from "../sys/route.js";
import { timeoutError } from "../wait/localError.js";

/** Far below every errno. */
export const PROGRESS = -0x4000_0000;

/**
 * The result of an attempt that moved `count` bytes and can go on at once. The queue tries again within the budget of
 * the turn, so a large transfer to a fast peer does not hold up the other calls.
 */
export function progress(count: number): number {
  return PROGRESS - count;
}

/**
 * The result of an attempt that found data, but too little for its call. The call waits for the next event, and the
 * data stay in the kernel. Outside the range of errno.
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
   * One attempt. It returns the result of the system call: >= 0, or -errno. After EAGAIN and INCOMPLETE the call waits,
   * after EINTR it tries again, after `progress()` it goes on.
   */
  attempt(calls: Calls, fd: number, a: A, b: B): number;

  /** Makes the result of the call from the number that an attempt returned. Runs right after the attempt. */
  complete(result: number, a: A, b: B): T;

  /** Whether an event with these bits of epoll(7) completes the call without an attempt. The result is then 0. */
  completedBy?(events: number, a: A, b: B): boolean;

  /**
   * The number of bytes that an attempt requests, if a smaller result means that a TCP socket is empty; otherwise 0.
   */
  requested?(a: A, b: B): number;

  /**
   * Whether the result shows that the socket is empty now, on any kind of socket: a batch of datagrams that is not
   * full.
   */
  drained?(result: number, a: A, b: B): boolean;

  /** The cost of an attempt in bytes, against the budget of the turn, if it differs from the result. */
  cost?(result: number, a: A, b: B): number;

  /** Whether this errno ends with time and without an event, so that the call is tried again after a pause. */
  isTransient?(errno: number, a: A, b: B): boolean;

  /** Whether the call fails with EAGAIN instead of waiting (MSG_DONTWAIT). */
  isNonblocking?(a: A, b: B): boolean;

  /**
   * The result so far of a call that has received bytes and waits for more; undefined if it has none. A call that is
   * cut short resolves with it, because the bytes exist nowhere else.
   */
  received?(a: A, b: B): T | undefined;

  /** Details of an error besides code and call. */
  details?(a: A, b: B): SocketErrorDetails | undefined;

  /** The bytes that went out before the call failed. Absent if the call has no such count. */
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
 * An operation that has every field in the same place, also those that it does not use. A queue runs all kinds of
 * operations, and V8 finds the fields of all of them at the same offsets.
 */
export function operation<A, B, T>(parts: Operation<A, B, T>): Operation<A, B, T> {
  return { ...FIELDS, ...parts } as Operation<A, B, T>;
}

/** The descriptor of a call that has failed. */
export interface FailedAt {
  readonly reactor: { readonly calls: Calls };
  /** -1 once closed. */
  readonly fd: number;
  /** The errno with which a call found that the connection is broken, or 0. The kernel reports such an errno once. */
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
  // Without an address of the call, the ends of the socket say which connection failed.
  const details = given === undefined && at !== undefined ? routeOf(at.reactor.calls, at.fd) : given;
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
  // Calls that must not wait fail with EAGAIN often, and their caller has the socket at hand.
  return socketError(errno, failed.syscall, detailsOf(failed, a, b, errno === EAGAIN ? undefined : at));
}

/** Whether a call with this result waits, for an event or for its turn. */
export function waits<A, B, T>(tried: Operation<A, B, T>, result: number, a: A, b: B): boolean {
  if (result === EAGAIN || result === INCOMPLETE || result === EINTR || result <= PROGRESS) return true;
  return isTransient(tried, result, a, b);
}

export function isTransient<A, B, T>(failed: Operation<A, B, T>, errno: number, a: A, b: B): boolean {
  return failed.isTransient !== undefined && failed.isTransient(errno, a, b);
}
