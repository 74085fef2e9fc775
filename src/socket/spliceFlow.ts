// One direction of bytes from socket to socket, from its start to its end: a machine of two states, which needs no promise.
//
// It waits for its source as an operation of the source's reading direction, and, when the destination takes no more, as one of
// the destination's writing direction. operations/move.ts explains what these do.

import { clock } from "../builtins.js";
import { type Descriptor, type Settler, WAITS } from "../reactor/index.js";
import type { SocketError } from "../errors/index.js";
import { GONE } from "../ops/readiness.js";
import { check, ECANCELED, socketError } from "../sys/errno.js";
import { ENDED, endNote, type Flow, gather, SPLICE, SPLICE_REST } from "../ops/splice.js";
import type { PipePool } from "../ops/pipes.js";
import type { Note, Pipe } from "../reactor/relay.js";
import { endOf, progressOf, type SpliceProgress } from "../ops/spliceOptions.js";
import { SEND_ALL, type Sending } from "../ops/send.js";
import { descriptorOf, runnerOf } from "./promiseRunner.js";
import type { Socket } from "./socket.js";

/** When bytes last moved, by `performance.now()`. */
export interface Activity {
  last: number;
}

/** Who hears of the end of a flow. It hears of it within the flow's own work, and must not run code of users. */
export interface FlowOwner {
  /** Whether the flow's destination is to hear of its end (`SHUT_WR`), should the source have ended. */
  tellsEnd(flow: SpliceFlow): boolean;
  flowed(flow: SpliceFlow): void;
  broke(flow: SpliceFlow, error: unknown): void;
}

/** Milliseconds after which the destination of a flow is watched. */
const UNWATCHED_TIME = 100;
const unwatched: SpliceFlow[] = [];

function watchAll(): void {
  for (const flow of unwatched.splice(0)) flow.watch(false);
}

/** Watches the destination of a flow that still runs in a moment. A short connection is over by then, and pays for no watch. */
export function watchLater(flow: SpliceFlow): void {
  if (unwatched.push(flow) === 1) setTimeout(watchAll, UNWATCHED_TIME).unref();
}

export class SpliceFlow implements Flow<Descriptor>, Settler<number | void> {
  readonly from: Descriptor;
  readonly to: Descriptor;
  readonly pipes: PipePool;
  readonly limit: number;
  pipe: Pipe | undefined;
  taken: number = 0;
  sent: number = 0;
  small: boolean = true;
  note: Note | undefined;
  readonly #source: Socket;
  readonly #destination: Socket;
  readonly #activity: Activity | undefined;
  readonly #owner: FlowOwner;
  /** The destination is waited for. */
  #held = false;
  #started = false;
  #running = false;
  #watch: Settler<SocketError> | undefined;
  #ahead: Sending | undefined;

  /**
   * @param limit bytes to move at most
   * @param activity is told when bytes have moved
   */
  constructor(
    from: Socket,
    to: Socket,
    pipes: PipePool,
    limit: number,
    activity: Activity | undefined,
    owner: FlowOwner,
  ) {
    this.from = descriptorOf(from);
    this.to = descriptorOf(to);
    this.pipes = pipes;
    this.limit = limit;
    this.pipe = this.note = undefined;
    this.#source = from;
    this.#destination = to;
    this.#activity = activity;
    this.#owner = owner;
  }

  /** Whether it has been started, and has ended. */
  get over(): boolean {
    return this.#started && !this.#running;
  }

  /** It is over when the source has ended, or the limit is reached, and the destination has taken all of it. */
  start(): void {
    this.#started = true;
    try {
      check(this.pipes.enter(this.from.reactor.calls), "pipe");
    } catch (error) {
      this.#owner.broke(this, error);
      return;
    }
    try {
      const ahead = runnerOf(this.#source)!.readAhead;
      if (ahead !== undefined && ahead.unread > 0) this.#takeAhead(ahead.takeUnread(this.limit));
    } catch (error) {
      this.pipes.leave(this.from.reactor.calls);
      this.#owner.broke(this, error);
      return;
    }
    this.#running = true;
    // Who waits for the one is to hear that the other was closed.
    this.from.addDependant(this);
    this.to.addDependant(this);
    this.#go();
  }

  /** What a stream had read from the source goes first. */
  #takeAhead(data: Uint8Array): void {
    this.taken = data.length;
    if (data.length > 0) this.#ahead = { data, total: data.length, sent: 0 };
  }

  #aheadSent(): void {
    this.sent = this.taken;
    this.#ahead = undefined;
    this.activity();
  }

  #go(): void {
    const { from, to } = this;
    try {
      // Who wants nothing is not to wait for it.
      while (this.taken < this.limit || this.#held || this.#ahead !== undefined) {
        const { reading } = from;
        const { writing } = to;
        const ahead = this.#ahead;
        if (ahead !== undefined) {
          const sent = writing.submit(this, this.#destination, SEND_ALL, ahead, 0, null);
          if (!this.#running) {
            if (sent === WAITS) writing.withdraw(ahead, undefined);
            return;
          }
          if (sent === WAITS) return;
          this.#aheadSent();
          continue;
        }
        const outcome = this.#held
          ? writing.submit(this, this.#destination, SPLICE_REST, this, undefined, null)
          : reading.submit(this, this.#source, SPLICE, this, undefined, null);
        if (!this.#running) {
          // Ended by somebody who went on within the attempt, which may have left a note since.
          endNote(this);
          if (outcome === WAITS) (this.#held ? writing : reading).withdraw(this, undefined);
          return;
        }
        if (outcome === WAITS) return;
        if (outcome === ENDED) break;
        this.#held = !this.#held;
      }
    } catch (error) {
      this.failed(error);
      return;
    }
    this.#finish();
  }

  /** An operation that had to wait is through. */
  settled(outcome: number | void): void {
    if (!this.#running) return;
    if (this.#ahead !== undefined) {
      this.#aheadSent();
      this.#go();
      return;
    }
    if (outcome === ENDED) {
      this.#finish();
      return;
    }
    this.#held = !this.#held;
    this.#go();
  }

  failed(error: unknown): void {
    if (!this.#running) return;
    this.#leave();
    this.#owner.broke(this, error);
  }

  /**
   * Ends the flow when its destination is gone: while the source is silent nothing is written, and no write would tell.
   *
   * @param orderly also when the peer has closed without an error
   */
  watch(orderly: boolean): void {
    if (!this.#running || this.#watch !== undefined) return;
    const settled = (error: SocketError): void => {
      if (orderly || error.code !== "EPIPE") this.cancel(error);
    };
    // A flow that was ended by somebody else tells that itself.
    this.#watch = { settled, failed: () => undefined };
    try {
      const { gone } = this.to;
      const outcome = gone.submit(this.#watch, this.#destination, GONE, this.#watch, undefined, null);
      if (outcome !== WAITS) settled(outcome);
    } catch (error) {
      this.cancel(error);
    }
  }

  #finish(): void {
    try {
      if (this.#owner.tellsEnd(this)) endOf(this.from.reactor.calls, this);
    } catch (error) {
      this.failed(error);
      return;
    }
    this.#leave();
    this.#owner.flowed(this);
  }

  #leave(): void {
    this.#running = false;
    const { from, to } = this;
    endNote(this);
    if (this.#watch !== undefined) to.gone.withdraw(this.#watch, undefined);
    from.removeDependant(this);
    to.removeDependant(this);
    this.pipes.leave(from.reactor.calls);
  }

  /** Bytes have moved. */
  activity(at: number = clock()): void {
    const activity = this.#activity;
    if (activity !== undefined && at > activity.last) activity.last = at;
  }

  /** When bytes last moved that the poller has passed on since it took the flow over; undefined if none have. */
  lastRelayed(): number | undefined {
    return this.note?.lastActive();
  }

  /** One of the descriptors was closed. */
  ended(): void {
    this.cancel(socketError(ECANCELED, "splice", { transferred: this.passed() }));
  }

  /** Bytes that have gone out. */
  passed(): number {
    gather(this);
    return this.#ahead === undefined ? this.sent : this.#ahead.sent;
  }

  /** Ends it now, with `reason`. */
  cancel(reason: unknown): void {
    if (!this.#running) return;
    gather(this);
    const unheard = this.note?.pending === true;
    this.failed(reason);
    this.from.reading.withdraw(this, reason);
    this.to.writing.withdraw(this.#ahead ?? this, reason);
    // The source had an event that nobody but the poller has heard of.
    if (unheard) this.from.reading.wake();
  }

  /** How far it got; for when it has failed. Takes what is in the pipe. */
  progress(): SpliceProgress {
    const ahead = this.#ahead;
    // Nothing has been taken from the socket before that was out.
    if (ahead !== undefined) {
      const { data, sent } = ahead;
      return { transferred: sent, undelivered: Buffer.from((data as Uint8Array).subarray(sent)) };
    }
    return progressOf(this.from.reactor.calls, this);
  }
}
