// A flow of bytes from one socket to another, from its start to its end. It is a state machine without promises.
//
// It waits for its source as an operation of the source's reading queue, and, when the destination is full, as an
// operation of the destination's writing queue. ops/spliceOperation.ts has these operations.

import { clock } from "../builtins.js";
import { type Descriptor, type CompletionHandler, PENDING } from "../reactor/index.js";
import type { SocketError } from "../errors/index.js";
import { HANGUP } from "../ops/readiness.js";
import { check, ECANCELED, socketError } from "../sys/errno.js";
import { ENDED, endRelay, type Flow, closeRelay, SPLICE, SPLICE_REST } from "../ops/spliceOperation.js";
import type { PipePool } from "../ops/pipes.js";
import type { Pipe, Relay } from "../reactor/relay.js";
import { endDestination, progressOf, type SpliceProgress } from "../ops/spliceOptions.js";
import { SEND_ALL, type Sending } from "../ops/send.js";
import { descriptorOf, runnerOf } from "./promiseRunner.js";
import type { Socket } from "./socket.js";

/** The time of the last bytes, by `performance.now()`. */
export interface LastActivity {
  last: number;
}

/** Gets the end of a flow. It runs inside the work of the flow, and must not run code of users. */
export interface FlowOwner {
  /** Whether the end of the source also ends the destination (`SHUT_WR`). */
  endsDestination(flow: SpliceFlow): boolean;
  flowEnded(flow: SpliceFlow): void;
  flowFailed(flow: SpliceFlow, error: unknown): void;
}

/** The destination of a flow is watched after this time, in ms. */
const UNWATCHED_TIME = 100;
const unwatched: SpliceFlow[] = [];

function watchAll(): void {
  for (const flow of unwatched.splice(0)) flow.watchDestination(false);
}

/** Watches the destination of a flow a little later. A short connection has ended by then, and needs no watch. */
export function watchDestinationLater(flow: SpliceFlow): void {
  if (unwatched.push(flow) === 1) setTimeout(watchAll, UNWATCHED_TIME).unref();
}

export class SpliceFlow implements Flow<Descriptor>, CompletionHandler<number | void> {
  readonly from: Descriptor;
  readonly to: Descriptor;
  readonly pipes: PipePool;
  readonly limit: number;
  pipe: Pipe | undefined;
  taken: number = 0;
  sent: number = 0;
  small: boolean = true;
  relay: Relay | undefined;
  readonly #source: Socket;
  readonly #destination: Socket;
  readonly #activity: LastActivity | undefined;
  readonly #owner: FlowOwner;
  /** Whether the pipe holds bytes, because the destination is full. */
  #held = false;
  #started = false;
  #running = false;
  #hangupHandler: CompletionHandler<SocketError> | undefined;
  #ahead: Sending | undefined;

  /**
   * @param limit the most bytes to move
   * @param activity gets the time whenever bytes have moved
   */
  constructor(
    from: Socket,
    to: Socket,
    pipes: PipePool,
    limit: number,
    activity: LastActivity | undefined,
    owner: FlowOwner,
  ) {
    this.from = descriptorOf(from);
    this.to = descriptorOf(to);
    this.pipes = pipes;
    this.limit = limit;
    this.pipe = this.relay = undefined;
    this.#source = from;
    this.#destination = to;
    this.#activity = activity;
    this.#owner = owner;
  }

  /** Whether the flow was started and has ended. */
  get over(): boolean {
    return this.#started && !this.#running;
  }

  /** The flow ends when the source has ended or the limit is reached, and the destination has taken all bytes. */
  start(): void {
    this.#started = true;
    try {
      check(this.pipes.addUser(this.from.reactor.calls), "pipe");
    } catch (error) {
      this.#owner.flowFailed(this, error);
      return;
    }
    try {
      const ahead = runnerOf(this.#source)!.readAhead;
      if (ahead !== undefined && ahead.unread > 0) this.#takeAhead(ahead.takeUnread(this.limit));
    } catch (error) {
      this.pipes.removeUser(this.from.reactor.calls);
      this.#owner.flowFailed(this, error);
      return;
    }
    this.#running = true;
    // A flow that waits for one descriptor must end when the other one is closed.
    this.from.addCloseListener(this);
    this.to.addCloseListener(this);
    this.#go();
  }

  /** The bytes that a stream has read ahead from the source go first. */
  #takeAhead(data: Uint8Array): void {
    this.taken = data.length;
    if (data.length > 0) this.#ahead = { data, total: data.length, sent: 0 };
  }

  #onReadAheadSent(): void {
    this.sent = this.taken;
    this.#ahead = undefined;
    this.activity();
  }

  #go(): void {
    const { from, to } = this;
    try {
      // With a limit of 0 the flow does not wait.
      while (this.taken < this.limit || this.#held || this.#ahead !== undefined) {
        const { reading } = from;
        const { writing } = to;
        const ahead = this.#ahead;
        if (ahead !== undefined) {
          const sent = writing.submit(this, this.#destination, SEND_ALL, ahead, 0, null);
          if (!this.#running) {
            if (sent === PENDING) writing.withdraw(ahead, undefined);
            return;
          }
          if (sent === PENDING) return;
          this.#onReadAheadSent();
          continue;
        }
        const outcome = this.#held
          ? writing.submit(this, this.#destination, SPLICE_REST, this, undefined, null)
          : reading.submit(this, this.#source, SPLICE, this, undefined, null);
        if (!this.#running) {
          // A call that ran inside the attempt has ended the flow. The attempt may have started a relay after that.
          endRelay(this);
          if (outcome === PENDING) (this.#held ? writing : reading).withdraw(this, undefined);
          return;
        }
        if (outcome === PENDING) return;
        if (outcome === ENDED) break;
        this.#held = !this.#held;
      }
    } catch (error) {
      this.failed(error);
      return;
    }
    this.#finish();
  }

  /** An operation that had to wait has its result. */
  completed(outcome: number | void): void {
    if (!this.#running) return;
    if (this.#ahead !== undefined) {
      this.#onReadAheadSent();
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
    this.#owner.flowFailed(this, error);
  }

  /**
   * Ends the flow when the connection of its destination ends. While the source is silent, no write would report that.
   *
   * @param orderly whether an end without an error counts too
   */
  watchDestination(orderly: boolean): void {
    if (!this.#running || this.#hangupHandler !== undefined) return;
    const completed = (error: SocketError): void => {
      if (orderly || error.code !== "EPIPE") this.cancel(error);
    };
    // The flow reports other failures itself.
    this.#hangupHandler = { completed, failed: () => undefined };
    try {
      const { hangup } = this.to;
      const outcome = hangup.submit(this.#hangupHandler, this.#destination, HANGUP, this.#hangupHandler, this.to, null);
      if (outcome !== PENDING) completed(outcome);
    } catch (error) {
      this.cancel(error);
    }
  }

  #finish(): void {
    try {
      if (this.#owner.endsDestination(this)) endDestination(this.from.reactor.calls, this);
    } catch (error) {
      this.failed(error);
      return;
    }
    this.#leave();
    this.#owner.flowEnded(this);
  }

  #leave(): void {
    this.#running = false;
    const { from, to } = this;
    endRelay(this);
    if (this.#hangupHandler !== undefined) to.hangup.withdraw(this.#hangupHandler, undefined);
    from.removeCloseListener(this);
    to.removeCloseListener(this);
    this.pipes.removeUser(from.reactor.calls);
  }

  /** Bytes have moved. */
  activity(at: number = clock()): void {
    const activity = this.#activity;
    if (activity !== undefined && at > activity.last) activity.last = at;
  }

  /** The time of the last bytes that the relay passed on; undefined if there were none. */
  lastRelayed(): number | undefined {
    return this.relay?.lastActive();
  }

  /** One of the descriptors was closed. */
  ended(): void {
    this.cancel(socketError(ECANCELED, "splice", { transferred: this.passed() }));
  }

  /** The bytes that went out. */
  passed(): number {
    closeRelay(this);
    return this.#ahead === undefined ? this.sent : this.#ahead.sent;
  }

  /** Ends the flow now, with `reason`. */
  cancel(reason: unknown): void {
    if (!this.#running) return;
    closeRelay(this);
    const pending = this.relay?.pending === true;
    this.failed(reason);
    this.from.reading.withdraw(this, reason);
    this.to.writing.withdraw(this.#ahead ?? this, reason);
    // The relay has got an event for the source and not passed it on.
    if (pending) this.from.reading.wake();
  }

  /** The progress of a flow that has failed. Takes the bytes of the pipe. */
  progress(): SpliceProgress {
    const ahead = this.#ahead;
    // The flow takes nothing from the socket before these bytes are out.
    if (ahead !== undefined) {
      const { data, sent } = ahead;
      return { transferred: sent, undelivered: Buffer.from((data as Uint8Array).subarray(sent)) };
    }
    return progressOf(this.from.reactor.calls, this);
  }
}
