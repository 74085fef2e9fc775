// pump(): two flows between two sockets, one for each direction. ops/spliceOperation.ts explains how the bytes move.

import type { CompletionHandler } from "../reactor/index.js";
import { addProgress, pumpLimits, type PumpCounts, type PumpOptions, type PumpProgress } from "../ops/spliceOptions.js";
import type { PipePool } from "../ops/pipes.js";
import { enforceLimits } from "./flowLimits.js";
import { spliceEndOf, lockStreams } from "./spliceEnd.js";
import type { Socket } from "./socket.js";
import { pumpStreams } from "./streamPump.js";
import type { Stream } from "../stream/index.js";
import { failOnResetLater, type FlowOwner, type LastActivity, SpliceFlow } from "./spliceFlow.js";
import { rejection } from "../wait/rejection.js";

/** The two flows between a pair of sockets. */
export class Pump implements FlowOwner {
  readonly aToB: SpliceFlow;
  readonly bToA: SpliceFlow;
  readonly #owner: CompletionHandler<PumpCounts>;
  readonly #ownerCloses: boolean;
  #failed = false;

  /**
   * @param ownerCloses whether `owner` closes both sockets at the end. Then the direction that ends last needs no
   *   shutdown(2)
   */
  constructor(
    a: Socket,
    b: Socket,
    pipes: PipePool,
    activity: LastActivity | undefined,
    ownerCloses: boolean,
    owner: CompletionHandler<PumpCounts>,
  ) {
    this.#owner = owner;
    this.#ownerCloses = ownerCloses;
    this.aToB = new SpliceFlow(a, b, pipes, Infinity, activity, this);
    this.bToA = new SpliceFlow(b, a, pipes, Infinity, activity, this);
  }

  start(): void {
    this.aToB.start();
    // A flow can fail during its start.
    if (!this.#failed) this.bToA.start();
  }

  #other(flow: SpliceFlow): SpliceFlow {
    return flow === this.aToB ? this.bToA : this.aToB;
  }

  shutsDownDestination(flow: SpliceFlow): boolean {
    return !this.#ownerCloses || !this.#other(flow).over;
  }

  onFlowEnded(flow: SpliceFlow): void {
    if (this.#failed) return;
    const other = this.#other(flow);
    if (!other.over) {
      // The source of this flow is the destination of the other flow. This flow has ended, so no read of that socket
      // reports a reset any more.
      failOnResetLater(other);
      return;
    }
    this.#owner.onCompleted({ aToB: this.aToB.sent, bToA: this.bToA.sent });
  }

  /**
   * An error of one direction cancels the other direction. The owner is called in a microtask, because a method of the
   * flow may be on the stack.
   */
  onFlowFailed(flow: SpliceFlow, error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#other(flow).cancel(error);
    queueMicrotask(() => this.#owner.onFailed(error));
  }

  /** Ends both directions now: the pump fails with `reason`. */
  cancel(reason: unknown): void {
    this.aToB.cancel(reason);
    this.bToA.cancel(reason);
  }

  /** The progress of both directions, after a failure. Takes the bytes out of the pipes. */
  progress(): PumpProgress {
    return { aToB: this.aToB.progress(), bToA: this.bToA.progress() };
  }
}

/**
 * Moves bytes between two connections in both directions. A connection is a stream socket or a {@link Stream}, also
 * over TLS. Bytes that a stream has read ahead are sent first, also if its socket is passed (`stream.conn.socket`).
 * Between two sockets the remaining bytes move inside the kernel, as with {@link splice}. When one source ends, `pump`
 * shuts down writing to its destination (`SHUT_WR`), and the other direction continues. The promise resolves when both
 * directions have ended. An error in one direction ends both. The connections stay open; the caller closes them.
 *
 * If the call fails or is cancelled, the error (or the reason of the abort, if it is an object) has the properties of
 * {@link PumpProgress}: for each direction the number of bytes sent, and the bytes that were read and not sent. If one
 * of the streams has no socket, unsent bytes stay in the stream from which they were read.
 *
 * @returns the number of bytes moved in each direction
 * @throws SocketError the errors of {@link splice}; BusyError while a read of a stream is pending
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
export async function pump(a: Socket | Stream, b: Socket | Stream, opts?: PumpOptions): Promise<PumpCounts> {
  const action = "pump";
  const [sideA, sideB] = [spliceEndOf(a, "a", action), spliceEndOf(b, "b", action)];
  const limits = pumpLimits(opts, action);
  limits.signal?.throwIfAborted();
  const { socket: socketA } = sideA;
  const { socket: socketB } = sideB;
  if (socketA === undefined || socketB === undefined) return pumpStreams(sideA, sideB, limits);
  const activity = limits.idleTimeout === null ? undefined : { last: performance.now() };
  // The sockets stay open.
  const ownerCloses = false;
  let pumping: Pump | undefined;
  let stopLimits: (() => void) | undefined;
  let unlockStreams: (() => void) | undefined;
  try {
    return await new Promise<PumpCounts>((resolve) => {
      const onFailed = (error: unknown): void => resolve(rejection(error));
      unlockStreams = lockStreams(sideA, sideB);
      pumping = new Pump(socketA, socketB, limits.pipes, activity, ownerCloses, { onCompleted: resolve, onFailed });
      stopLimits = enforceLimits([pumping.aToB, pumping.bToA], limits, activity);
      pumping.start();
    });
  } catch (error) {
    // No Pump was made, because lockStreams() has failed: a stream has a pending read.
    if (pumping === undefined) throw error;
    throw addProgress(error, pumping.progress());
  } finally {
    unlockStreams?.();
    stopLimits?.();
  }
}
