// Bytes from one blocking socket to another inside the kernel: splice() one way, pump() both ways. ops/splice.ts
// explains how.

import { calls } from "../sys/calls.js";
import { POLLIN, POLLOUT } from "../sys/constants.js";
import { check, EAGAIN, EINTR, socketError } from "../sys/errno.js";
import { timeoutError } from "../wait/localError.js";
import { ENDED, type Flow, type FlowEnd, SPLICE, SPLICE_REST } from "../ops/splice.js";
import { errorOf, PROGRESS } from "../reactor/operation.js";
import { type Entry, PollTable } from "../ops/pollTable.js";
import {
  annotate,
  checkStream,
  endOf,
  extentOf,
  type Limits,
  limitsOf,
  progressOf,
  type PumpCounts,
  type PumpOptions as AwaitablePump,
  type SpliceOptions as AwaitableSplice,
} from "../ops/spliceOptions.js";
import { deadlineIn, sliceUntil } from "./blockingCall.js";
import { isSocket, runnerOf } from "./blockingRunner.js";
import { interrupted } from "./interrupts.js";
import { timeoutOf } from "./syncOptions.js";
import type { Socket } from "./syncSocket.js";

export { type PumpCounts, type PumpProgress, type SpliceProgress } from "../ops/spliceOptions.js";

/** What `pump` takes: `timeout`, `idleTimeout`, `pipeSize`. */
export type PumpOptions = Omit<AwaitablePump, "signal">;
/** What `splice` takes: that, and `count` and `end`. */
export type SpliceOptions = Omit<AwaitableSplice, "signal">;

/** The table polls no Socket. */
function isNothing(_value: unknown): _value is never {
  return false;
}

/** No other call writes during this one, and there is no budget. */
function endAt(socket: Socket): FlowEnd {
  return {
    fd: runnerOf(socket)!.descriptor.fd,
    // poll(2) is level-triggered, so a further read costs nothing.
    reading: { shortMeansEmpty: false, shortMeansEnd: false },
    writing: { busy: false, setNotReady: () => undefined, wake: () => undefined },
    reactor: { spendBytes: () => undefined },
  };
}

/** One direction. */
class Splice {
  readonly flow: Flow;
  readonly #end: boolean;
  /** There are bytes in the pipe, which the destination did not take. */
  #held = false;
  ended = false;
  /** It was stopped after a piece, and need not wait for anything. */
  goesOn = false;

  constructor(from: Socket, to: Socket, { pipes }: Limits, limit: number, end: boolean, activity: () => void) {
    const ends = { from: endAt(from), to: endAt(to), pipes, limit, activity };
    this.flow = { ...ends, pipe: undefined, taken: 0, sent: 0, small: true };
    this.#end = end;
  }

  /**
   * Moves a piece, so that deadlines, signals and the other direction have their turn. Returns what it waits for then; nothing at its end, and
   * nothing when it goes on.
   */
  advance(): Entry<never>[] {
    const { flow } = this;
    this.goesOn = false;
    while (flow.taken < flow.limit || this.#held) {
      const result = this.#held
        ? SPLICE_REST.attempt(calls, flow.to.fd, flow, undefined)
        : SPLICE.attempt(calls, flow.from.fd, flow, undefined);
      if (result === EAGAIN) {
        return [this.#held ? { fd: flow.to.fd, events: POLLOUT } : { fd: flow.from.fd, events: POLLIN }];
      }
      if (result === EINTR) continue;
      if (result < 0 && result > PROGRESS) throw errorOf(SPLICE, result, flow, undefined);
      if (!this.#held && result === ENDED) break;
      const moved = this.#held || result <= PROGRESS;
      if (result > PROGRESS) this.#held = !this.#held;
      if (!moved || (flow.taken >= flow.limit && !this.#held)) continue;
      this.goesOn = true;
      return [];
    }
    if (this.#end) endOf(calls, flow);
    this.ended = true;
    return [];
  }
}

/** Runs directions to their end, blocking. */
function run(splices: readonly Splice[], { idleTimeout, pipes, timeout }: Limits, clock: { last: number }): void {
  const deadline = deadlineIn(timeout);
  let users = 0;
  try {
    for (; users < splices.length; users++) check(pipes.enter(calls), "pipe");
    for (;;) {
      const entries = splices.flatMap((one) => (one.ended ? [] : one.advance()));
      const busy = splices.some((one) => one.goesOn);
      if (entries.length === 0 && !busy) return;
      const idle = idleTimeout === null ? Infinity : clock.last + idleTimeout;
      const slice = sliceUntil(Math.min(deadline, idle));
      if (slice === 0) throw timeoutError("splice", { transferred: splices[0]!.flow.sent });
      // In each round, because a flow that goes on for ever would else never hear of a signal.
      if (interrupted(calls)) throw socketError(EINTR, "splice", { transferred: splices[0]!.flow.sent });
      const ready = busy ? EAGAIN : new PollTable<Entry<never>>(entries, isNothing).ask(calls, slice);
      if (ready < 0 && ready !== EAGAIN && ready !== EINTR) throw socketError(ready, "poll");
    }
  } finally {
    for (; users > 0; users--) pipes.leave(calls);
  }
}

/**
 * Moves bytes from one connected stream socket to another until the first has ended, then ends the second's direction
 * (`SHUT_WR`): splice(2) through a pipe. Blocks until `to` has taken all of them. When it fails, the error has the properties
 * of `SpliceProgress`: `transferred` and `undelivered`.
 *
 * @returns the number of bytes moved
 * @throws SocketError `ECONNRESET`, `EPIPE`, `ENOTCONN`, `ETIMEDOUT`, `EMFILE`, `EINVAL` …
 * @see splice(2), pipe(7)
 * @example
 * ```ts
 * import { SHUT_WR, socketpair, splice } from "berkeley/sync";
 *
 * const [client, a] = socketpair();
 * const [b, server] = socketpair();
 * client.sendAll("from end to end");
 * client.shutdown(SHUT_WR);
 * console.log(splice(a, b)); // prints: 15
 * console.log(server.recv(100).toString()); // prints: from end to end
 * for (const socket of [client, a, b, server]) socket.close();
 * ```
 */
export function splice(from: Socket, to: Socket, opts?: SpliceOptions): number {
  checkStream(from, isSocket, "from", "splice");
  checkStream(to, isSocket, "to", "splice");
  timeoutOf(opts, null, "splice");
  const limits = limitsOf(opts, "splice");
  const { count, end } = extentOf(opts);
  const clock = { last: performance.now() };
  const one = new Splice(from, to, limits, count, end, () => {
    clock.last = performance.now();
  });
  try {
    run([one], limits, clock);
    return one.flow.sent;
  } catch (error) {
    throw annotate(error, progressOf(calls, one.flow));
  }
}

/**
 * Connects two stream sockets: what comes from either goes to the other, until both have ended; see {@link splice}. Blocks
 * meanwhile, which makes a proxy of a worker. When it fails, the error has the properties of `PumpProgress`.
 *
 * @returns the number of bytes moved in each direction
 * @throws SocketError as {@link splice}
 * @see splice(2), pipe(7)
 */
export function pump(a: Socket, b: Socket, opts?: PumpOptions): PumpCounts {
  checkStream(a, isSocket, "a", "pump");
  checkStream(b, isSocket, "b", "pump");
  timeoutOf(opts, null, "pump");
  const limits = limitsOf(opts, "pump");
  const clock = { last: performance.now() };
  const activity = (): void => {
    clock.last = performance.now();
  };
  const there = new Splice(a, b, limits, Infinity, true, activity);
  const back = new Splice(b, a, limits, Infinity, true, activity);
  try {
    run([there, back], limits, clock);
    return { aToB: there.flow.sent, bToA: back.flow.sent };
  } catch (error) {
    throw annotate(error, { aToB: progressOf(calls, there.flow), bToA: progressOf(calls, back.flow) });
  }
}
