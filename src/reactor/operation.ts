// An operation describes one kind of call: how a queue attempts the call, and how it handles the results.
//
// Operations are constants, and a call makes no closure. A queue stores the two operands of a call (`a` and `b`) next
// to the operation. If a call needs state between two attempts (the progress of a sendAll), its first operand is an
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
import { socketAddresses } from "../sys/socketAddresses.js";
import { timeoutError } from "../wait/localError.js";

/** The result of `progress(0)`. Every other result of `progress()` is lower, and every -errno is higher. */
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
 * the next event. No -errno has this value.
 */
export const INCOMPLETE = -200_000;

/** `A` and `B` are the types of the two operands, `T` is the type of the call's value. */
export interface Operation<A, B, T> {
  /** The name of the call in errors. */
  readonly syscall: string;

  /**
   * Whether a completed call counts in the TransferCounts of its queue, and its bytes count against the budget of the
   * turn.
   */
  readonly movesBytes: boolean;

  /** Whether the operation moves a batch. The result is then a number of datagrams. */
  readonly batch?: boolean;

  /** Whether a call tries at once even if the previous attempt in its queue returned EAGAIN. */
  readonly alwaysTries?: boolean;

  /** Whether a waiting call does not keep the process alive. */
  readonly background?: boolean;

  /**
   * One attempt. It returns the result of the system call (>= 0 or -errno), INCOMPLETE or `progress()`. After EAGAIN
   * and INCOMPLETE the call waits. After EINTR and `progress()` the queue makes another attempt.
   */
  attempt(calls: Calls, fd: number, a: A, b: B): number;

  /** Returns the value of the call for a result >= 0. Runs right after the attempt. */
  complete(result: number, a: A, b: B): T;

  /** Whether an event with these bits of epoll(7) completes the call without an attempt. The result is then 0. */
  completedBy?(events: number, a: A, b: B): boolean;

  /**
   * The number of bytes that an attempt requests. On TCP a smaller result means that the receive buffer is empty. 0 if
   * a smaller result can have another reason.
   */
  requested?(a: A, b: B): number;

  /**
   * Whether the result shows that the next attempt would return EAGAIN, on any kind of socket. A batch of received
   * datagrams that is not full shows that.
   */
  drained?(result: number, a: A, b: B): boolean;

  /**
   * The bytes that a completed call takes from the budget of the turn, if their number differs from the result. The
   * counter of bytes gets the same number, except for a batch.
   */
  cost?(result: number, a: A, b: B): number;

  /**
   * Whether the queue tries again after a pause, because the cause of this errno ends without an event. An example is
   * EMFILE.
   */
  isTransient?(errno: number, a: A, b: B): boolean;

  /** Whether the call fails with EAGAIN instead of waiting (MSG_DONTWAIT). */
  isNonblocking?(a: A, b: B): boolean;

  /**
   * The value of a call that has received bytes and waits for more; undefined if it has no bytes. On a timeout, an
   * abort or close() the call resolves with this value, because otherwise the bytes would be lost. An
   * accept() of `for await` also has a value when its socket is closed: the end of the loop.
   */
  received?(a: A, b: B): T | undefined;

  /** More details for the error of the call, such as an address. */
  details?(a: A, b: B): SocketErrorDetails | undefined;

  /** The number of bytes (or datagrams of a batch) sent so far. Absent if the operation does not count them. */
  transferred?(a: A, b: B): number;
}

/** Every field of an operation. */
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
 * Makes an operation. The fields that it does not use are undefined. So all operations have the same hidden class in
 * V8, which makes access to their fields fast.
 */
export function operation<A, B, T>(parts: Operation<A, B, T>): Operation<A, B, T> {
  return { ...FIELDS, ...parts } as Operation<A, B, T>;
}

/** The descriptor of a failed call. The error of the call needs it. */
export interface FailedDescriptor {
  readonly reactor: { readonly calls: Calls };
  /** -1 after the descriptor was closed or released. */
  readonly fd: number;
  /**
   * The -errno of the call that found the connection broken, or 0. The kernel returns this errno only once. Calls that
   * wait for the end of the connection need it later; see ops/readiness.ts.
   */
  connectionErrno?: number;
}

/** The errors of a broken connection. */
const CONNECTION_ERRNOS: readonly number[] = [ECONNRESET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT];

function detailsOf<A, B, T>(
  op: Operation<A, B, T>,
  a: A,
  b: B,
  descriptor: FailedDescriptor | undefined,
): SocketErrorDetails | undefined {
  let details = op.details?.(a, b);
  // Without details of the call, the addresses of the socket show which connection failed.
  if (details === undefined && descriptor !== undefined)
    details = socketAddresses(descriptor.reactor.calls, descriptor.fd);
  return op.transferred === undefined ? details : { ...details, transferred: op.transferred(a, b) };
}

/** The error of a call whose deadline has passed. */
export function deadlineErrorOf<A, B, T>(op: Operation<A, B, T>, a: A, b: B, descriptor?: FailedDescriptor): Error {
  return timeoutError(op.syscall, detailsOf(op, a, b, descriptor));
}

/** The error of a call that fails with `errno`. Stores the errno of a broken connection in `descriptor`. */
export function errorOf<A, B, T>(
  op: Operation<A, B, T>,
  errno: number,
  a: A,
  b: B,
  descriptor?: FailedDescriptor,
): Error {
  if (descriptor !== undefined && CONNECTION_ERRNOS.includes(errno)) descriptor.connectionErrno = errno;
  if (errno === EBADF && descriptor !== undefined && descriptor.fd < 0) {
    return closedError(op.syscall, op.details?.(a, b));
  }
  // No addresses for EAGAIN: nonblocking calls fail with it often, and reading the addresses costs system calls.
  return socketError(errno, op.syscall, detailsOf(op, a, b, errno === EAGAIN ? undefined : descriptor));
}

/** Whether a call whose attempt returned this result must enter the queue. */
export function mustWait<A, B, T>(op: Operation<A, B, T>, result: number, a: A, b: B): boolean {
  if (result === EAGAIN || result === INCOMPLETE || result === EINTR || result <= PROGRESS) return true;
  return isTransient(op, result, a, b);
}

/** Whether a call whose attempt failed with `errno` tries again after a pause. */
export function isTransient<A, B, T>(op: Operation<A, B, T>, errno: number, a: A, b: B): boolean {
  return op.isTransient !== undefined && op.isTransient(errno, a, b);
}
