// splice() and pump(), blocking. ops/spliceOperation.ts explains how the bytes move.

import { calls } from "../sys/calls.js";
import { POLLIN, POLLOUT } from "../sys/constants.js";
import { check, EAGAIN, EINTR, socketError } from "../sys/errno.js";
import { timeoutError } from "../wait/localError.js";
import { SPLICE_DONE, type Flow, type FlowEnd, SPLICE, SPLICE_REST } from "../ops/spliceOperation.js";
import { errorOf, PROGRESS } from "../reactor/operation.js";
import { SEND_ALL, type SendProgress } from "../ops/send.js";
import { type Entry, PollTable } from "../ops/pollTable.js";
import {
  addProgress,
  checkStreamSocket,
  shutDownDestination,
  countAndEnd,
  type PumpLimits,
  pumpLimits,
  progressOf,
  type PumpCounts,
  type PumpOptions as AwaitablePump,
  type SpliceOptions as AwaitableSplice,
  type SpliceProgress,
} from "../ops/spliceOptions.js";
import { deadlineIn, sliceUntil } from "./blockingCall.js";
import { isBlockingSocket, blockingRunnerOf } from "./blockingRunner.js";
import { takeInterrupt } from "./interrupts.js";
import { blockingTimeoutOf } from "./syncOptions.js";
import type { Socket } from "./syncSocket.js";

export { type PumpCounts, type PumpProgress, type SpliceProgress } from "../ops/spliceOptions.js";

/** Options of `pump`: `timeout`, `idleTimeout`, `pipeSize`. */
export type PumpOptions = Omit<AwaitablePump, "signal">;
/** Options of `splice`: those of `pump`, and `count` and `end`. */
export type SpliceOptions = Omit<AwaitableSplice, "signal">;

/** Whether an entry of the poll table is a socket. Never true: a splice puts only raw descriptors into the table. */
function isNever(_value: unknown): _value is never {
  return false;
}

/** One end of a flow. `writing` and `reactor` do nothing: the blocking call has no wait queue and no turn budget. */
function flowEndOf(socket: Socket): FlowEnd {
  return {
    fd: blockingRunnerOf(socket)!.descriptor.fd,
    // These flags only save system calls: false is always correct.
    reading: { shortMeansEmpty: false, shortMeansEnd: false },
    writing: { busy: false, setNotReady: () => undefined, wake: () => undefined },
    reactor: { spendBytes: () => undefined },
  };
}

/** One direction of a transfer: moves bytes from one socket to another. */
class Direction {
  readonly flow: Flow;
  readonly #shutsDownDestination: boolean;
  /** Bytes that the stream of the source has read ahead. They are sent first. */
  #ahead: SendProgress | undefined;
  /** Whether the pipe holds bytes, because the destination is full. */
  #pipeHoldsBytes = false;
  ended = false;
  /** Whether `advance()` has moved a piece, so that the next one can be tried without a wait. */
  canContinue = false;

  /**
   * @param limit the maximum number of bytes to move
   * @param shutsDownDestination whether the end of `from` shuts down writing to `to`
   * @param noteActivity called when bytes were moved
   */
  constructor(
    from: Socket,
    to: Socket,
    { pipes }: PumpLimits,
    limit: number,
    shutsDownDestination: boolean,
    noteActivity: () => void,
  ) {
    const fixed = { from: flowEndOf(from), to: flowEndOf(to), pipes, limit, noteActivity };
    this.flow = { ...fixed, pipe: undefined, received: 0, sent: 0, smallReads: true };
    this.#shutsDownDestination = shutsDownDestination;
    const reader = blockingRunnerOf(from)!.reader;
    if (reader === undefined || reader.unread === 0) return;
    const data = reader.takeUnread(limit);
    this.flow.received = data.length;
    if (data.length > 0) this.#ahead = { data, total: data.length, sent: 0 };
  }

  /** The progress of a failed direction. Until `#ahead` is sent, the flow reads no socket, so the pipe is empty. */
  progress(): SpliceProgress {
    const ahead = this.#ahead;
    if (ahead === undefined) return progressOf(calls, this.flow);
    const { data, sent } = ahead;
    return { transferred: sent, undelivered: Buffer.from((data as Uint8Array).subarray(sent)) };
  }

  /** The number of bytes that were sent. */
  get sent(): number {
    return this.#ahead === undefined ? this.flow.sent : this.#ahead.sent;
  }

  /** Sends the bytes that were read ahead. Returns whether all of them were sent. */
  #sendAhead(ahead: SendProgress): boolean {
    const { flow } = this;
    for (;;) {
      const before = ahead.sent;
      const result = SEND_ALL.attempt(calls, flow.to.fd, ahead, 0);
      if (ahead.sent > before) flow.noteActivity();
      if (result >= 0) {
        flow.sent = ahead.sent;
        this.#ahead = undefined;
        return true;
      }
      if (result === EAGAIN) return false;
      if (result !== EINTR && result > PROGRESS) throw errorOf(SEND_ALL, result, ahead, 0);
    }
  }

  /**
   * Moves one piece; deadlines, signals and the other direction are checked between the pieces. Returns the descriptor
   * and the event to wait for. The array is empty at the end, and if the direction can continue at once.
   */
  advance(): Entry<never>[] {
    const { flow } = this;
    this.canContinue = false;
    if (this.#ahead !== undefined && !this.#sendAhead(this.#ahead)) return [{ fd: flow.to.fd, events: POLLOUT }];
    while (flow.received < flow.limit || this.#pipeHoldsBytes) {
      const result = this.#pipeHoldsBytes
        ? SPLICE_REST.attempt(calls, flow.to.fd, flow, undefined)
        : SPLICE.attempt(calls, flow.from.fd, flow, undefined);
      if (result === EAGAIN) {
        return [this.#pipeHoldsBytes ? { fd: flow.to.fd, events: POLLOUT } : { fd: flow.from.fd, events: POLLIN }];
      }
      if (result === EINTR) continue;
      if (result < 0 && result > PROGRESS) throw errorOf(SPLICE, result, flow, undefined);
      if (!this.#pipeHoldsBytes && result === SPLICE_DONE) break;
      const operationEnded = result > PROGRESS;
      // SPLICE ends with bytes in the pipe, for SPLICE_REST to move. SPLICE_REST ends with an empty pipe.
      const movedPiece = this.#pipeHoldsBytes || !operationEnded;
      if (operationEnded) this.#pipeHoldsBytes = !this.#pipeHoldsBytes;
      // At the limit the loop ends, so that this call also ends the direction.
      const limitReached = flow.received >= flow.limit && !this.#pipeHoldsBytes;
      if (!movedPiece || limitReached) continue;
      this.canContinue = true;
      return [];
    }
    if (this.#shutsDownDestination) shutDownDestination(calls, flow);
    this.ended = true;
    return [];
  }
}

/**
 * Runs all directions until they have ended. Blocks the thread in poll(2) while none can continue.
 *
 * @param activity `last` is the time at which bytes were last moved, by performance.now()
 */
function run(
  directions: readonly Direction[],
  { idleTimeout, pipes, timeout }: PumpLimits,
  activity: { last: number },
): void {
  const deadline = deadlineIn(timeout);
  /** The number of directions that are counted in the pool of pipes. */
  let users = 0;
  try {
    for (; users < directions.length; users++) check(pipes.addUser(calls), "pipe");
    for (;;) {
      const entries = directions.flatMap((direction) => (direction.ended ? [] : direction.advance()));
      const canContinue = directions.some((direction) => direction.canContinue);
      if (entries.length === 0 && !canContinue) return;
      const idleDeadline = idleTimeout === null ? Infinity : activity.last + idleTimeout;
      const slice = sliceUntil(Math.min(deadline, idleDeadline));
      // `transferred` is for splice(), which has one direction. pump() adds the progress of both directions.
      if (slice === 0) throw timeoutError("splice", { transferred: directions[0]!.sent });
      // Checked in each round, because a signal must also end a flow that never waits.
      if (takeInterrupt(calls)) throw socketError(EINTR, "splice", { transferred: directions[0]!.sent });
      if (canContinue) continue;
      const ready = new PollTable<Entry<never>>(entries, isNever).poll(calls, slice);
      if (ready < 0 && ready !== EAGAIN && ready !== EINTR) throw socketError(ready, "poll");
    }
  } finally {
    for (; users > 0; users--) pipes.removeUser(calls);
  }
}

/**
 * Moves bytes from one connected stream socket to another, inside the kernel: splice(2) through a pipe. When `from`
 * ends, the call shuts down writing to `to` (`SHUT_WR`), unless `end` is false. It blocks until `to` has taken all
 * bytes. If it fails, the error has the properties of `SpliceProgress`: `transferred` and `undelivered`.
 *
 * @returns the number of bytes moved
 * @throws SocketError `ECONNRESET`, `EPIPE`, `ENOTCONN`, `ETIMEDOUT`, `EMFILE`, `EINVAL`; and others
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
  checkStreamSocket(from, isBlockingSocket, "from", "splice");
  checkStreamSocket(to, isBlockingSocket, "to", "splice");
  blockingTimeoutOf(opts, null, "splice");
  const limits = pumpLimits(opts, "splice", ["count", "end"]);
  const { count, end } = countAndEnd(opts);
  const activity = { last: performance.now() };
  const direction = new Direction(from, to, limits, count, end, () => {
    activity.last = performance.now();
  });
  try {
    run([direction], limits, activity);
    return direction.flow.sent;
  } catch (error) {
    throw addProgress(error, direction.progress());
  }
}

/**
 * Moves bytes between two stream sockets in both directions, until both have ended; see {@link splice}. It blocks the
 * thread until then, so a proxy runs it in a worker. If it fails, the error has the properties of `PumpProgress`.
 *
 * @returns the number of bytes moved in each direction
 * @throws SocketError the errors of {@link splice}
 * @see splice(2), pipe(7)
 */
export function pump(a: Socket, b: Socket, opts?: PumpOptions): PumpCounts {
  checkStreamSocket(a, isBlockingSocket, "a", "pump");
  checkStreamSocket(b, isBlockingSocket, "b", "pump");
  blockingTimeoutOf(opts, null, "pump");
  const limits = pumpLimits(opts, "pump");
  const activity = { last: performance.now() };
  const noteActivity = (): void => {
    activity.last = performance.now();
  };
  const shutsDownDestination = true;
  const aToB = new Direction(a, b, limits, Infinity, shutsDownDestination, noteActivity);
  const bToA = new Direction(b, a, limits, Infinity, shutsDownDestination, noteActivity);
  try {
    run([aToB, bToA], limits, activity);
    return { aToB: aToB.flow.sent, bToA: bToA.flow.sent };
  } catch (error) {
    throw addProgress(error, { aToB: aToB.progress(), bToA: bToA.progress() });
  }
}
