// Bytes from one socket to another inside the kernel: splice() one way, pump() both ways. operations/move.ts explains how.

import { offAbort, onAbort } from "../aborts.js";
import type { Descriptor } from "../fd/index.js";
import { check, ECANCELED, ETIMEDOUT, socketError } from "../sys/errno.js";
import { endNote, ENDED, type Flow, gather, SPLICE, SPLICE_REST } from "../sys/operations/move.js";
import type { PipePool } from "../sys/operations/pipes.js";
import {
  annotate,
  checkStream,
  endOf,
  extentOf,
  type Limits,
  limitsOf,
  progressOf,
  type PumpCounts,
  type PumpOptions,
  type SpliceOptions,
  type SpliceProgress,
} from "../sys/requests/splicing.js";
import { descriptorOf, MoveSocket } from "./moveSocket.js";
import type { Socket } from "./socket.js";

const LONGEST_TIMER = 0x7fff_ffff;

function isSocket(value: unknown): value is Socket {
  return value instanceof MoveSocket;
}

/** One direction, from its start to its end. */
class Splice {
  readonly flow: Flow<Descriptor>;
  readonly #from: MoveSocket;
  readonly #to: MoveSocket;
  readonly #end: boolean;
  #cancelled = false;
  #reason: unknown;

  constructor(
    from: MoveSocket,
    to: MoveSocket,
    pipes: PipePool,
    limit: number,
    end: boolean,
    activity: Flow["activity"],
  ) {
    this.#from = from;
    this.#to = to;
    this.#end = end;
    this.flow = {
      from: descriptorOf(from),
      to: descriptorOf(to),
      pipes,
      limit,
      pipe: undefined,
      taken: 0,
      sent: 0,
      activity,
      small: true,
    };
  }

  /** Resolves when the source has ended, or the limit is reached, and the destination has taken all of it. */
  async run(): Promise<number> {
    const { flow } = this;
    const { from, pipes, to } = flow;
    const { calls } = from.reactor;
    check(pipes.enter(calls), "pipe");
    // Who waits for the one is to hear that the other was closed.
    from.addDependant(this);
    to.addDependant(this);
    try {
      // Who wants nothing is not to wait for it.
      while (flow.taken < flow.limit) {
        const outcome = await from.reading.run(this.#from, SPLICE, flow, undefined, null, undefined);
        this.#check();
        if (outcome === ENDED) break;
        await to.writing.run(this.#to, SPLICE_REST, flow, undefined, null, undefined);
        this.#check();
      }
      if (this.#end) endOf(calls, flow);
      return flow.sent;
    } catch (error) {
      // A cancel that comes between two operations finds none of them to reject.
      throw this.#cancelled ? this.#reason : error;
    } finally {
      endNote(flow);
      from.removeDependant(this);
      to.removeDependant(this);
      pipes.leave(calls);
    }
  }

  #check(): void {
    if (this.#cancelled) throw this.#reason;
  }

  /** One of the descriptors was closed. */
  ended(): void {
    this.cancel(socketError(ECANCELED, "splice", { transferred: this.sent }));
  }

  /** Bytes that have gone out. */
  get sent(): number {
    gather(this.flow);
    return this.flow.sent;
  }

  /** Ends it now: run() rejects with `reason`. */
  cancel(reason: unknown): void {
    if (this.#cancelled) return;
    gather(this.flow);
    this.#cancelled = true;
    this.#reason = reason;
    this.flow.from.reading.withdraw(this.flow, reason);
    this.flow.to.writing.withdraw(this.flow, reason);
    if (this.flow.note?.pending === true) this.flow.from.reading.wake();
  }

  /** How far it got; for when it has failed. Takes what is in the pipe. */
  progress(): SpliceProgress {
    return progressOf(this.flow.from.reactor.calls, this.flow);
  }
}

/** Makes the deadlines and the signal end `splices`; returns what takes them away again. */
function watch(splices: readonly Splice[], limits: Limits, clock: { last: number }): () => void {
  const { idleTimeout, signal, timeout } = limits;
  const cancel = (reason: unknown): void => {
    for (const one of splices) one.cancel(reason);
  };
  const expire = (): void => cancel(socketError(ETIMEDOUT, "splice", { transferred: splices[0]!.sent }));
  const member = { aborted: cancel };
  if (signal !== undefined) onAbort(signal, member);
  let deadline: NodeJS.Timeout | undefined;
  let idle: NodeJS.Timeout | undefined;
  const later = (fire: () => void, delay: number): NodeJS.Timeout =>
    setTimeout(fire, Math.min(Math.max(Math.ceil(delay), 1), LONGEST_TIMER)).unref();
  if (timeout !== null) {
    const end = performance.now() + timeout;
    const ask = (): void => {
      const left = end - performance.now();
      if (left <= 0) expire();
      else deadline = later(ask, left);
    };
    deadline = later(ask, timeout);
  }
  if (idleTimeout !== null) {
    // One timer, which is set anew only when it fires and bytes have moved meanwhile.
    const ask = (): void => {
      for (const { flow } of splices) clock.last = Math.max(clock.last, flow.note?.lastActive() ?? 0);
      const left = clock.last + idleTimeout - performance.now();
      if (left <= 0) expire();
      else idle = later(ask, left);
    };
    idle = later(ask, idleTimeout);
  }
  return () => {
    if (signal !== undefined) offAbort(signal, member);
    clearTimeout(deadline);
    clearTimeout(idle);
  };
}

function activityOf(limits: Limits, clock: { last: number }): Flow["activity"] {
  if (limits.idleTimeout === null) return () => undefined;
  return (at = performance.now()) => {
    clock.last = Math.max(clock.last, at);
  };
}

/**
 * Moves bytes from one connected stream socket to another until the first has ended, then ends the second's direction
 * (`SHUT_WR`): splice(2) through a pipe, inside the kernel; a few bytes are copied by recv(2) and send(2), which costs less. The promise resolves when `to` has taken all
 * of them; `to` being slow holds `from` back, with at most a pipe of bytes in between. The sockets stay open.
 *
 * When it fails or is cancelled, the error (or the reason of the abort, if that is an object) has the properties of
 * {@link SpliceProgress}: `transferred` bytes have gone out, and `undelivered` is what had been taken from `from` and has
 * not. Nothing is lost: send `undelivered`, and go on. There is one exception: when the kernel has no memory for the pipe
 * (`ENOMEM`), as many as 16 KiB that had been taken are neither.
 *
 * @returns the number of bytes moved
 * @throws SocketError `ECONNRESET`, `EPIPE`, `ENOTCONN`, `ETIMEDOUT`; `ECANCELED` when one of the sockets is closed
 *   meanwhile; `EMFILE` when there are no descriptors for a pipe; `EINVAL` for a family that cannot be spliced …
 * @see splice(2), pipe(7)
 * @example
 * ```ts
 * import { SHUT_WR, socketpair, splice } from "berkeley";
 *
 * const [client, a] = socketpair();
 * const [b, server] = socketpair();
 * await client.sendAll("from end to end");
 * client.shutdown(SHUT_WR);
 * console.log(await splice(a, b)); // prints: 15
 * console.log((await server.recv(100)).toString()); // prints: from end to end
 * console.log((await server.recv(100)).length); // prints: 0
 * for (const socket of [client, a, b, server]) socket.close();
 * ```
 */
export async function splice(from: Socket, to: Socket, opts?: SpliceOptions): Promise<number> {
  const action = "splice";
  checkStream(from, isSocket, "from", action);
  checkStream(to, isSocket, "to", action);
  const limits = limitsOf(opts, action);
  const { count, end } = extentOf(opts);
  limits.signal?.throwIfAborted();
  const clock = { last: performance.now() };
  const one = new Splice(from, to, limits.pipes, count, end, activityOf(limits, clock));
  const unwatch = watch([one], limits, clock);
  try {
    return await one.run();
  } catch (error) {
    throw annotate(error, one.progress());
  } finally {
    unwatch();
  }
}

/**
 * Connects two stream sockets: what comes from either goes to the other, both ways at once, as {@link splice} does it. A
 * direction that ends is ended on the other side (`SHUT_WR`) while the opposite one goes on; the promise resolves when both
 * have ended. An error in one direction ends both. The sockets stay open, and are the caller's to close.
 *
 * When it fails or is cancelled, the error (or the reason of the abort, if that is an object) has the properties of
 * `PumpProgress`: for each direction what has gone out, and what had been taken and has not.
 *
 * @returns the number of bytes moved in each direction
 * @throws SocketError as {@link splice}
 * @see splice(2), pipe(7)
 * @example
 * ```ts
 * import { pump, SHUT_WR, socketpair } from "berkeley";
 *
 * const [client, a] = socketpair();
 * const [b, server] = socketpair();
 * const pumping = pump(a, b);
 * await client.sendAll("question");
 * console.log((await server.recv(100)).toString()); // prints: question
 * await server.sendAll("the answer");
 * console.log((await client.recv(100)).toString()); // prints: the answer
 * client.shutdown(SHUT_WR);
 * server.shutdown(SHUT_WR);
 * console.log(await pumping); // prints: { aToB: 8, bToA: 10 }
 * for (const socket of [client, a, b, server]) socket.close();
 * ```
 */
export async function pump(a: Socket, b: Socket, opts?: PumpOptions): Promise<PumpCounts> {
  const action = "pump";
  checkStream(a, isSocket, "a", action);
  checkStream(b, isSocket, "b", action);
  const limits = limitsOf(opts, action);
  limits.signal?.throwIfAborted();
  const clock = { last: performance.now() };
  const activity = activityOf(limits, clock);
  const there = new Splice(a, b, limits.pipes, Infinity, true, activity);
  const back = new Splice(b, a, limits.pipes, Infinity, true, activity);
  const unwatch = watch([there, back], limits, clock);
  let failed = false;
  let failure: unknown;
  const settle = async (one: Splice, other: Splice): Promise<number> => {
    try {
      return await one.run();
    } catch (error) {
      if (!failed) failure = error;
      failed = true;
      other.cancel(error);
      return one.flow.sent;
    }
  };
  // Neither rejects.
  const first = settle(there, back);
  const bToA = await settle(back, there);
  const aToB = await first;
  unwatch();
  if (!failed) return { aToB, bToA };
  throw annotate(failure, { aToB: there.progress(), bToA: back.progress() });
}
