// What a call is, to the place that tries, waits and retries: a constant with functions, and its operands.
//
// Operations are constants and operands are passed along, so that no closure is made per call. A call that has to remember
// something between two tries (how far a sendAll got) has an object for an operand.

import type { SocketErrorDetails } from "../errors/index.js";
import type { Calls } from "../sys/calls.js";
import { socketError } from "../sys/errno.js";
import { timeoutError } from "../wait/localError.js";

/**
 * What an attempt returns when it has moved `count` bytes and can go on at once: `moved(count)`. It is tried again within
 * the budget of the turn, so that a large transfer to a fast peer does not keep everybody else waiting.
 */
export function moved(count: number): number {
  return MOVED - count;
}

/** Far below every errno. */
export const MOVED = -0x4000_0000;

/**
 * What an attempt returns that found something, but not enough for its call: it waits for the next event, and the kernel still
 * has what it found. Outside the range of errno.
 */
export const NOT_ENOUGH = -200_000;

/** Pauses before a call is tried again for which there is no event, in ms: the first one, and the longest. */
export const FIRST_PAUSE = 5;
export const LONGEST_PAUSE = 100;

export interface Operation<A, B, T> {
  /** The call's name in errors. */
  readonly syscall: string;

  /** Whether the kernel is asked even if the last try said would-block, because that was of another call's doing. */
  readonly eager?: boolean;

  /** Whether a call that waits leaves the process free to end. */
  readonly idle?: boolean;

  /** Whether the result is a number of bytes, which count against the budget of the turn. */
  readonly movesBytes: boolean;

  /**
   * Tries once, and returns what the call returned: >= 0, or -errno. EAGAIN and NOT_ENOUGH wait, EINTR tries again;
   * `moved()` is a part of the work.
   */
  attempt(calls: Calls, fd: number, a: A, b: B): number;

  /** Whether what an event says (the bits of epoll(7)) is all that the call waits for, so that the kernel need not be asked: its result is 0. */
  told?(events: number, a: A, b: B): boolean;

  /** Makes the result of the number that an attempt returned. Runs right after it. */
  complete(result: number, a: A, b: B): T;

  /**
   * How many bytes an attempt asked for, if a smaller result means that a TCP socket has no more for now; 0 if it does
   * not. Only for reading.
   */
  asked?(a: A, b: B): number;

  /**
   * Whether the result shows that the kernel said would-block after it had done a part, on any kind of socket: a batch of
   * datagrams that is not full.
   */
  exhausted?(result: number, a: A, b: B): boolean;

  /** What an attempt counts for in bytes, against the budget of the turn, if not for its result. */
  cost?(result: number, a: A, b: B): number;

  /** Whether this errno passes with time and there is no event for it, so that the call is tried again after a while. */
  passes?(errno: number, a: A, b: B): boolean;

  /** Whether the call fails with EAGAIN instead of waiting: MSG_DONTWAIT. */
  nowait?(a: A, b: B): boolean;

  /**
   * What the call has received already although it waits for more; undefined for nothing. A call that is cut short resolves
   * with it, because those bytes are nowhere else any more.
   */
  received?(a: A, b: B): T | undefined;

  /** What an error says beside code and call. */
  details?(a: A, b: B): SocketErrorDetails | undefined;

  /** Bytes that have gone out although the call fails; undefined if the call has no such notion. */
  transferred?(a: A, b: B): number;
}

const FIELDS: Readonly<Record<keyof Operation<unknown, unknown, unknown>, undefined>> = {
  syscall: undefined,
  eager: undefined,
  idle: undefined,
  movesBytes: undefined,
  attempt: undefined,
  told: undefined,
  complete: undefined,
  asked: undefined,
  exhausted: undefined,
  cost: undefined,
  passes: undefined,
  nowait: undefined,
  received: undefined,
  details: undefined,
  transferred: undefined,
};

/**
 * An operation with every field in the same place, those included that it has no use for: a direction runs all kinds of them,
 * and finds each field where it was in the one before.
 */
export function operation<A, B, T>(parts: Operation<A, B, T>): Operation<A, B, T> {
  return { ...FIELDS, ...parts } as Operation<A, B, T>;
}

/** The error of a call whose deadline has passed. */
export function late<A, B, T>(failed: Operation<A, B, T>, a: A, b: B): Error {
  const details = failed.details?.(a, b);
  if (failed.transferred === undefined) return timeoutError(failed.syscall, details);
  return timeoutError(failed.syscall, { ...details, transferred: failed.transferred(a, b) });
}

/** The error of a call that ends with `errno`. */
export function failure<A, B, T>(failed: Operation<A, B, T>, errno: number, a: A, b: B): Error {
  const details = failed.details?.(a, b);
  if (failed.transferred === undefined) return socketError(errno, failed.syscall, details);
  return socketError(errno, failed.syscall, { ...details, transferred: failed.transferred(a, b) });
}
