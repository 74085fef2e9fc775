// Bytes between two sockets inside the kernel, both ways. operations/move.ts explains how.

import type { Settler } from "../reactor/index.js";
import { annotate, limitsOf, type PumpCounts, type PumpOptions, type PumpProgress } from "../ops/spliceOptions.js";
import type { PipePool } from "../ops/pipes.js";
import { watch } from "./flowLimits.js";
import { endOf, hold } from "./endpoints.js";
import type { Socket } from "./socket.js";
import { pumpStreams } from "./streamPump.js";
import type { Stream } from "../stream/index.js";
import { type Activity, type FlowOwner, SpliceFlow, watchLater } from "./spliceFlow.js";

/** The two flows between a pair of sockets. */
export class Pump implements FlowOwner {
  readonly there: SpliceFlow;
  readonly back: SpliceFlow;
  readonly #owner: Settler<PumpCounts>;
  readonly #closes: boolean;
  #broken = false;

  /**
   * @param closes whether `owner` closes both sockets as soon as it hears of the end, which makes it needless to end the last
   *   direction before
   */
  constructor(
    a: Socket,
    b: Socket,
    pipes: PipePool,
    activity: Activity | undefined,
    closes: boolean,
    owner: Settler<PumpCounts>,
  ) {
    this.#owner = owner;
    this.#closes = closes;
    this.there = new SpliceFlow(a, b, pipes, Infinity, activity, this);
    this.back = new SpliceFlow(b, a, pipes, Infinity, activity, this);
  }

  start(): void {
    this.there.start();
    if (this.#broken) return;
    this.back.start();
    if (this.there.over && !this.back.over) watchLater(this.back);
  }

  endsDestination(flow: SpliceFlow): boolean {
    return !this.#closes || !(flow === this.there ? this.back : this.there).over;
  }

  flowed(flow: SpliceFlow): void {
    if (this.#broken) return;
    const other = flow === this.there ? this.back : this.there;
    if (!other.over) {
      // This one read where the other writes, and would have heard of an error there. After an end in order there may be more.
      watchLater(other);
      return;
    }
    this.#owner.settled({ aToB: this.there.sent, bToA: this.back.sent });
  }

  /** An error of one direction ends the other. Whoever is under way in the kernel meanwhile comes to its end first. */
  broke(flow: SpliceFlow, error: unknown): void {
    if (this.#broken) return;
    this.#broken = true;
    (flow === this.there ? this.back : this.there).cancel(error);
    queueMicrotask(() => this.#owner.failed(error));
  }

  /** Ends both directions now, with `reason`. */
  cancel(reason: unknown): void {
    this.there.cancel(reason);
    this.back.cancel(reason);
  }

  /** How far both directions got; for when it has failed. Takes what is in the pipes. */
  progress(): PumpProgress {
    return { aToB: this.there.progress(), bToA: this.back.progress() };
  }
}

/**
 * Connects two connections: what comes from either goes to the other, both ways at once. Each is a stream socket or a
 * {@link Stream}, over TLS too. Bytes that a stream has read ahead go first, also where its socket is given (`stream.conn.socket`);
 * between two sockets the rest stays inside the kernel, as {@link splice} does it. A
 * direction that ends is ended on the other side (`SHUT_WR`) while the opposite one goes on; the promise resolves when both
 * have ended. An error in one direction ends both. The connections stay open, and are the caller's to close.
 *
 * When it fails or is cancelled, the error (or the reason of the abort, if that is an object) has the properties of
 * `PumpProgress`: for each direction what has gone out, and what had been taken and has not. Where an end is no socket, what has not gone
 * out is still unread in the stream that it came from.
 *
 * @returns the number of bytes moved in each direction
 * @throws SocketError as {@link splice}; BusyError while a read of a stream is pending
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
  const [one, other] = [endOf(a, "a", action), endOf(b, "b", action)];
  const limits = limitsOf(opts, action);
  limits.signal?.throwIfAborted();
  if (one.socket === undefined || other.socket === undefined) return pumpStreams(one, other, limits);
  const { socket } = one;
  const { socket: target } = other;
  const activity = limits.idleTimeout === null ? undefined : { last: performance.now() };
  let pumping: Pump | undefined;
  let unwatch: (() => void) | undefined;
  let release: (() => void) | undefined;
  try {
    return await new Promise<PumpCounts>((settled, failed) => {
      release = hold(one, other);
      pumping = new Pump(socket, target, limits.pipes, activity, false, { settled, failed });
      unwatch = watch([pumping.there, pumping.back], limits, activity);
      pumping.start();
    });
  } catch (error) {
    // A stream that was busy.
    if (pumping === undefined) throw error;
    throw annotate(error, pumping.progress());
  } finally {
    release?.();
    unwatch?.();
  }
}
