// splice and pump: the check of their arguments, the end of a direction, and the progress in their errors.

import { checkOptions, flag, integer, quoteOther } from "../check/index.js";
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
  /** The bytes that were read from the source and that the destination has not taken. Send them to it next. */
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
const LARGEST_PIPE = 1 << 20;

export interface Limits {
  readonly signal: AbortSignal | undefined;
  readonly timeout: number | null;
  readonly idleTimeout: number | null;
  readonly pipes: PipePool;
}

const PUMP_NAMES: readonly string[] = ["signal", "timeout", "idleTimeout", "pipeSize"];

export function limitsOf(opts: PumpOptions | undefined, action: string, further: readonly string[] = []): Limits {
  checkOptions(opts, action, [...PUMP_NAMES, ...further]);
  return {
    signal: signalOf(opts, action),
    timeout: milliseconds(opts?.timeout, action),
    idleTimeout: milliseconds(opts?.idleTimeout, action, "idleTimeout"),
    pipes: pipesOf(opts?.pipeSize, action),
  };
}

/** The pipes of a size in bytes, after a check of the size. */
export function pipesOf(pipeSize: unknown, action: string): PipePool {
  const size = integer(pipeSize ?? DEFAULT_PIPE, action, "pipeSize", 4096, LARGEST_PIPE);
  return pipePool(2 ** Math.ceil(Math.log2(size)));
}

/** The part of a socket that the check uses. */
export interface SpliceSocket {
  readonly type: number;
  readonly closed: boolean;
}

export function checkStream<S extends SpliceSocket>(
  socket: unknown,
  isSocket: (value: unknown) => value is S,
  name: string,
  action: string,
): asserts socket is S {
  if (!isSocket(socket))
    throw new TypeError(`Cannot ${action}: ${name} is ${quoteOther(socket, "Socket")}, required a Socket`);
  if (socket.type !== SOCK_STREAM) {
    throw new TypeError(
      `Cannot ${action}: ${name} is a socket of type ${socket.type}, required a stream (SOCK_STREAM)`,
    );
  }
  if (socket.closed) throw closedError(action);
}

/** The options `count` and `end`. */
export function countAndEnd(opts: SpliceOptions | undefined): { count: number; end: boolean } {
  const count =
    opts?.count === undefined ? Infinity : integer(opts.count, "splice", "count", 0, Number.MAX_SAFE_INTEGER);
  return { count, end: flag(opts?.end, true, "splice", "end") };
}

/** Shuts down writing to the destination, if the source has ended. */
export function endDestination(calls: Calls, flow: Flow): void {
  if (flow.taken >= flow.limit) return;
  const result = calls.shutdown(flow.to.fd, SHUT_WR);
  // ENOTCONN: the connection has ended after it took all bytes.
  if (result < 0 && result !== ENOTCONN) throw socketError(result, "shutdown", { transferred: flow.sent });
}

/** The progress of a direction that has failed. Takes the bytes out of the pipe. */
export function progressOf(calls: Calls, flow: Flow): SpliceProgress {
  const { pipe } = flow;
  const undelivered = Buffer.alloc(flow.taken - flow.sent);
  if (pipe !== undefined) {
    for (let at = 0; at < undelivered.length;) {
      const count = calls.read(pipe.readEnd, undelivered.subarray(at));
      if (count <= 0) throw socketError(count, "read");
      at += count;
    }
    flow.pipe = undefined;
    flow.pipes.discard(calls, pipe);
  }
  return { transferred: flow.sent, undelivered };
}

/** Adds the progress to an error as properties. An abort reason that is not an object is returned unchanged. */
export function addProgress(error: unknown, properties: object): unknown {
  if (typeof error !== "object" || error === null || !Object.isExtensible(error)) return error;
  for (const [name, value] of Object.entries(properties)) {
    Object.defineProperty(error, name, {
      value,
      configurable: true,
      enumerable: typeof value === "number",
      writable: true,
    });
  }
  return error;
}
