// splice and pump: the check of their arguments, the shutdown of the destination, and the progress in their errors.

import { checkOptions, flag, integer, quoteNonInstance } from "../check/index.js";
import { milliseconds, signalOf } from "../wait/waitOptions.js";
import type { Calls } from "../sys/calls.js";
import { SHUT_WR, SOCK_STREAM } from "../sys/constants.js";
import { closedError, ENOTCONN, socketError } from "../sys/errno.js";
import type { Flow } from "./spliceOperation.js";
import { type PipePool, pipePool } from "./pipes.js";

/** Options of `pump`, and of `splice`. */
export interface PumpOptions {
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Deadline in ms of the whole call; the default is none. The call does not use the `timeout` of the sockets. */
  readonly timeout?: number | null | undefined;
  /**
   * Ends the call with `ETIMEDOUT` when no byte has moved in either direction for this many ms; the default is none.
   */
  readonly idleTimeout?: number | null | undefined;
  /**
   * The capacity of the pipes in bytes: 4096 to 1048576, rounded up to a power of two; the default is 262144. The
   * kernel may grant less (pipe(7), pipe-max-size and pipe-user-pages-soft).
   */
  readonly pipeSize?: number | undefined;
}

/** Options of `splice`. */
export interface SpliceOptions extends PumpOptions {
  /** The number of bytes to move; the default is all until the source ends. */
  readonly count?: number | undefined;
  /** Whether to shut down writing to the destination (`SHUT_WR`) when the source has ended; the default is true. */
  readonly end?: boolean | undefined;
}

/** The progress of one direction. The error of a failed `splice` has these properties. */
export interface SpliceProgress {
  /** The number of bytes that the destination has taken. */
  readonly transferred: number;
  /** The bytes that were read from the source and that the destination has not taken. Send them there next. */
  readonly undelivered: Buffer;
}

/** The number of bytes moved in each direction. */
export interface PumpCounts {
  readonly aToB: number;
  readonly bToA: number;
}

/** The progress of both directions. The error of a failed `pump` has these properties. */
export interface PumpProgress {
  readonly aToB: SpliceProgress;
  readonly bToA: SpliceProgress;
}

const DEFAULT_PIPE = 256 << 10;
const SMALLEST_PIPE = 4096;
const LARGEST_PIPE = 1 << 20;

/** The checked options of `pump`, with their defaults. */
export interface PumpLimits {
  readonly signal: AbortSignal | undefined;
  readonly timeout: number | null;
  readonly idleTimeout: number | null;
  readonly pipes: PipePool;
}

const PUMP_NAMES: readonly string[] = ["signal", "timeout", "idleTimeout", "pipeSize"];

/**
 * Checks the options that `pump` and `splice` have in common.
 *
 * @param otherNames the names of the other options that the call takes
 */
export function pumpLimits(
  opts: PumpOptions | undefined,
  action: string,
  otherNames: readonly string[] = [],
): PumpLimits {
  checkOptions(opts, action, [...PUMP_NAMES, ...otherNames]);
  return {
    signal: signalOf(opts, action),
    timeout: milliseconds(opts?.timeout, action),
    idleTimeout: milliseconds(opts?.idleTimeout, action, "idleTimeout"),
    pipes: pipesOf(opts?.pipeSize, action),
  };
}

/** Checks a size in bytes, rounds it up to a power of two, and returns the pool of pipes of that size. */
export function pipesOf(pipeSize: unknown, action: string): PipePool {
  const size = integer(pipeSize ?? DEFAULT_PIPE, action, "pipeSize", SMALLEST_PIPE, LARGEST_PIPE);
  return pipePool(2 ** Math.ceil(Math.log2(size)));
}

/** The part of a socket that `checkStreamSocket` uses. */
export interface SpliceSocket {
  readonly type: number;
  readonly closed: boolean;
}

/** Throws unless `socket` is an open socket of type SOCK_STREAM. */
export function checkStreamSocket<S extends SpliceSocket>(
  socket: unknown,
  isSocket: (value: unknown) => value is S,
  name: string,
  action: string,
): asserts socket is S {
  if (!isSocket(socket))
    throw new TypeError(`Cannot ${action}: ${name} is ${quoteNonInstance(socket, "Socket")}, required a Socket`);
  if (socket.type !== SOCK_STREAM) {
    throw new TypeError(
      `Cannot ${action}: ${name} is a socket of type ${socket.type}, required a stream (SOCK_STREAM)`,
    );
  }
  if (socket.closed) throw closedError(action);
}

/** The checked options `count` and `end`, with their defaults. */
export function countAndEnd(opts: SpliceOptions | undefined): { count: number; end: boolean } {
  const count =
    opts?.count === undefined ? Infinity : integer(opts.count, "splice", "count", 0, Number.MAX_SAFE_INTEGER);
  return { count, end: flag(opts?.end, true, "splice", "end") };
}

/** Shuts down writing to the destination, if the source has ended before the limit was reached. */
export function shutDownDestination(calls: Calls, flow: Flow): void {
  if (flow.received >= flow.limit) return;
  const result = calls.shutdown(flow.to.fd, SHUT_WR);
  // ENOTCONN is no failure: all bytes were sent, and the connection has ended since.
  if (result < 0 && result !== ENOTCONN) throw socketError(result, "shutdown", { transferred: flow.sent });
}

/** The progress of a direction that has failed. Reads the undelivered bytes out of the pipe and closes the pipe. */
export function progressOf(calls: Calls, flow: Flow): SpliceProgress {
  const { pipe } = flow;
  const undelivered = Buffer.alloc(flow.received - flow.sent);
  if (pipe !== undefined) {
    let filled = 0;
    while (filled < undelivered.length) {
      const count = calls.read(pipe.readEnd, undelivered.subarray(filled));
      if (count <= 0) throw socketError(count, "read");
      filled += count;
    }
    flow.pipe = undefined;
    flow.pipes.discard(calls, pipe);
  }
  return { transferred: flow.sent, undelivered };
}

/**
 * Adds the progress to an error as properties, and returns the error. An abort reason is unchanged if it is not an
 * object or not extensible.
 */
export function addProgress(error: unknown, properties: object): unknown {
  if (typeof error !== "object" || error === null || !Object.isExtensible(error)) return error;
  for (const [name, value] of Object.entries(properties)) {
    Object.defineProperty(error, name, {
      value,
      configurable: true,
      // Only numbers are shown when the error is printed. Buffers and the objects of `pump` would be too long.
      enumerable: typeof value === "number",
      writable: true,
    });
  }
  return error;
}
