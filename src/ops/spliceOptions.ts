// splice and pump: their arguments, checked; how a direction ends, and what is told of it when it fails.

import { checkOptions, flag, integer, quoteOther } from "../check/index.js";
import { milliseconds, signalOf } from "../wait/waitOptions.js";
import type { Calls } from "../sys/calls.js";
import { SHUT_WR, SOCK_STREAM } from "../sys/constants.js";
import { EBADF, ENOTCONN, socketError } from "../sys/errno.js";
import type { Flow } from "./splice.js";
import { type PipePool, pipePool } from "./pipes.js";

/** What `splice` and `pump` take. */
export interface PumpOptions {
  /** Cancels it; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Deadline in ms for all of it; none if not given. The sockets' own `timeout` does not count here. */
  readonly timeout?: number | null | undefined;
  /** Ends it with `ETIMEDOUT` when for so many ms no byte moved in either direction; never if not given. */
  readonly idleTimeout?: number | null | undefined;
  /**
   * Bytes of the pipes: 4096 to 1048576, rounded up to a power of two; 262144 if not given. The kernel may grant less
   * (pipe(7), pipe-max-size and pipe-user-pages-soft).
   */
  readonly pipeSize?: number | undefined;
}

/** What `splice` takes. */
export interface SpliceOptions extends PumpOptions {
  /** Bytes to move; until the source ends if not given. */
  readonly count?: number | undefined;
  /** Whether to end the destination's direction (`SHUT_WR`) when the source has ended; true if not given. */
  readonly end?: boolean | undefined;
}

/** How far one direction got; properties of what `splice` rejects with. */
export interface SpliceProgress {
  /** Bytes that the destination has taken. */
  readonly transferred: number;
  /** Bytes that were taken from the source, and that the destination has not taken: the next ones to send to it. */
  readonly undelivered: Buffer;
}

/** Bytes moved in each direction. */
export interface PumpCounts {
  readonly aToB: number;
  readonly bToA: number;
}

/** How far both directions got; properties of what `pump` rejects with. */
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

export function limitsOf(opts: PumpOptions | undefined, action: string): Limits {
  checkOptions(opts, action);
  return {
    signal: signalOf(opts, action),
    timeout: milliseconds(opts?.timeout, action),
    idleTimeout: milliseconds(opts?.idleTimeout, action),
    pipes: pipesOf(opts?.pipeSize, action),
  };
}

/** The pipes of a size, which is checked. */
export function pipesOf(pipeSize: unknown, action: string): PipePool {
  const size = integer(pipeSize ?? DEFAULT_PIPE, action, "pipeSize", 4096, LARGEST_PIPE);
  return pipePool(2 ** Math.ceil(Math.log2(size)));
}

/** What is to be known of a socket that is spliced. */
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
  if (socket.closed) throw socketError(EBADF, action);
}

/** How many bytes to move, and whether to end the destination's direction. */
export function extentOf(opts: SpliceOptions | undefined): { count: number; end: boolean } {
  const count =
    opts?.count === undefined ? Infinity : integer(opts.count, "splice", "count", 0, Number.MAX_SAFE_INTEGER);
  return { count, end: flag(opts?.end, true, "splice", "end") };
}

/** Ends the destination's direction, if the source has ended. */
export function endOf(calls: Calls, flow: Flow): void {
  if (flow.taken >= flow.limit) return;
  const result = calls.shutdown(flow.to.fd, SHUT_WR);
  // A destination that is gone has taken all that there was.
  if (result < 0 && result !== ENOTCONN) throw socketError(result, "shutdown", { transferred: flow.sent });
}

/** How far a direction got that has failed. Takes what is in the pipe. */
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

/** Says on an error how far things got. Reasons of an abort that are no objects can't carry anything. */
export function annotate(error: unknown, properties: object): unknown {
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
