// SpliceFlow: moves bytes from one socket to another until the source ends. It is a state machine without promises.
//
// To wait for bytes, it queues the operation SPLICE on the source's reading queue. While the destination is full, it
// queues SPLICE_REST on the destination's writing queue. ops/spliceOperation.ts has both operations.

import { clock } from "../builtins.js";
import { type Descriptor, type CompletionHandler, PENDING } from "../reactor/index.js";
import type { SocketError } from "../errors/index.js";
import { HANGUP } from "../ops/readiness.js";
import { check, ECANCELED, socketError } from "../sys/errno.js";
import {
  SPLICE_DONE,
  detachRelay,
  type Flow,
  closeAndMergeRelay,
  SPLICE,
  SPLICE_REST,
} from "../ops/spliceOperation.js";
import type { PipePool } from "../ops/pipes.js";
import type { Pipe, Relay } from "../reactor/relay.js";
import { endDestination, progressOf, type SpliceProgress } from "../ops/spliceOptions.js";
import { SEND_ALL, type SendProgress } from "../ops/send.js";
import { descriptorOf, runnerOf } from "./promiseRunner.js";
import type { Socket } from "./socket.js";

/** The time of the last transfer of bytes, on the clock of `performance.now()`. */
export interface LastActivity {
  last: number;
}

/** Receives the result of a flow. The flow calls these methods synchronously, so they must not run code of users. */
export interface FlowOwner {
  /** Whether to call shutdown(2) with `SHUT_WR` on the destination when the source has ended. */
  endsDestination(flow: SpliceFlow): boolean;
  onFlowEnded(flow: SpliceFlow): void;
  onFlowFailed(flow: SpliceFlow, error: unknown): void;
}

/** Maximum milliseconds until a flow given to `watchDestinationLater()` watches its destination. */
const UNWATCHED_TIME = 100;
/** The flows whose destinations one timer will watch. */
const unwatched: SpliceFlow[] = [];

function watchDestinations(): void {
  for (const flow of unwatched.splice(0)) flow.watchDestination({ errorsOnly: true });
}

/** Watches the destination after at most UNWATCHED_TIME. Most short connections have ended by then. */
export function watchDestinationLater(flow: SpliceFlow): void {
  if (unwatched.push(flow) === 1) setTimeout(watchDestinations, UNWATCHED_TIME).unref();
}

export class SpliceFlow implements Flow<Descriptor>, CompletionHandler<number | void> {
  readonly from: Descriptor;
  readonly to: Descriptor;
  readonly pipes: PipePool;
  readonly limit: number;
  pipe: Pipe | undefined;
  received: number = 0;
  sent: number = 0;
  smallReads: boolean = true;
  relay: Relay | undefined;
  readonly #source: Socket;
  readonly #destination: Socket;
  readonly #activity: LastActivity | undefined;
  readonly #owner: FlowOwner;
  /** Whether the pipe holds bytes that the full destination has not taken. */
  #pipeHoldsBytes = false;
  #started = false;
  #running = false;
  #hangupHandler: CompletionHandler<SocketError> | undefined;
  #readAhead: SendProgress | undefined;

  /**
   * @param limit maximum number of bytes to move
   * @param activity `last` is set to the time whenever bytes have moved
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

  /**
   * Starts the flow. It ends when the source has ended or `limit` is reached, and the destination has taken all bytes.
   */
  start(): void {
    this.#started = true;
    try {
      check(this.pipes.addUser(this.from.reactor.calls), "pipe");
    } catch (error) {
      this.#owner.onFlowFailed(this, error);
      return;
    }
    try {
      const ahead = runnerOf(this.#source)!.readAhead;
      if (ahead !== undefined && ahead.unread > 0) this.#storeReadAhead(ahead.takeUnread(this.limit));
    } catch (error) {
      this.pipes.removeUser(this.from.reactor.calls);
      this.#owner.onFlowFailed(this, error);
      return;
    }
    this.#running = true;
    // The flow waits on one of the descriptors and must also end when the other one is closed.
    this.from.addCloseListener(this);
    this.to.addCloseListener(this);
    this.#advance();
  }

  /** Stores the bytes that a stream has read ahead from the source. `#advance()` sends them first. */
  #storeReadAhead(data: Uint8Array): void {
    this.received = data.length;
    if (data.length > 0) this.#readAhead = { data, total: data.length, sent: 0 };
  }

  #onReadAheadSent(): void {
    this.sent = this.received;
    this.#readAhead = undefined;
    this.noteActivity();
  }

  #advance(): void {
    const { from, to } = this;
    try {
      // With a limit of 0 the flow does not wait.
      while (this.received < this.limit || this.#pipeHoldsBytes || this.#readAhead !== undefined) {
        const { reading } = from;
        const { writing } = to;
        const ahead = this.#readAhead;
        if (ahead !== undefined) {
          const sent = writing.submit(this, this.#destination, SEND_ALL, ahead, 0, null);
          if (!this.#running) {
            // A call of cancel() during submit() has ended the flow.
            if (sent === PENDING) writing.withdraw(ahead, undefined);
            return;
          }
          if (sent === PENDING) return;
          this.#onReadAheadSent();
          continue;
        }
        const outcome = this.#pipeHoldsBytes
          ? writing.submit(this, this.#destination, SPLICE_REST, this, undefined, null)
          : reading.submit(this, this.#source, SPLICE, this, undefined, null);
        if (!this.#running) {
          // A call of cancel() during submit() has ended the flow. submit() may have started a relay after that call.
          detachRelay(this);
          if (outcome === PENDING) (this.#pipeHoldsBytes ? writing : reading).withdraw(this, undefined);
          return;
        }
        if (outcome === PENDING) return;
        if (outcome === SPLICE_DONE) break;
        this.#pipeHoldsBytes = !this.#pipeHoldsBytes;
      }
    } catch (error) {
      this.onFailed(error);
      return;
    }
    this.#finish();
  }

  /** Called with the result of an operation that had to wait. */
  onCompleted(outcome: number | void): void {
    if (!this.#running) return;
    if (this.#readAhead !== undefined) {
      this.#onReadAheadSent();
      this.#advance();
      return;
    }
    if (outcome === SPLICE_DONE) {
      this.#finish();
      return;
    }
    this.#pipeHoldsBytes = !this.#pipeHoldsBytes;
    this.#advance();
  }

  onFailed(error: unknown): void {
    if (!this.#running) return;
    this.#release();
    this.#owner.onFlowFailed(this, error);
  }

  /**
   * Cancels the flow when the connection of its destination ends. While the source sends nothing, the flow writes
   * nothing, so no write reports that end.
   *
   * @param opts `errorsOnly`: the flow continues if both directions of that connection have ended without an error, for
   *   which the wait reports EPIPE
   */
  watchDestination({ errorsOnly }: { readonly errorsOnly: boolean }): void {
    if (!this.#running || this.#hangupHandler !== undefined) return;
    const completed = (error: SocketError): void => {
      if (!errorsOnly || error.code !== "EPIPE") this.cancel(error);
    };
    // If this wait fails, the flow itself fails with the same cause.
    this.#hangupHandler = { onCompleted: completed, onFailed: () => undefined };
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
      this.onFailed(error);
      return;
    }
    this.#release();
    this.#owner.onFlowEnded(this);
  }

  /** Ends all that the flow has registered. A pipe with unsent bytes stays in `pipe`. */
  #release(): void {
    this.#running = false;
    const { from, to } = this;
    detachRelay(this);
    if (this.#hangupHandler !== undefined) to.hangup.withdraw(this.#hangupHandler, undefined);
    from.removeCloseListener(this);
    to.removeCloseListener(this);
    this.pipes.removeUser(from.reactor.calls);
  }

  /** Records the time at which bytes have moved. */
  noteActivity(at: number = clock()): void {
    const activity = this.#activity;
    if (activity !== undefined && at > activity.last) activity.last = at;
  }

  /** The time when the relay moved bytes last; undefined if it has moved none. */
  lastRelayTime(): number | undefined {
    return this.relay?.lastActive();
  }

  /** Called when one of the descriptors was closed. */
  onClosed(): void {
    this.cancel(socketError(ECANCELED, "splice", { transferred: this.closeRelayAndGetSent() }));
  }

  /**
   * Returns the number of bytes that were sent. Closes the relay first, because an open relay changes its counts at any
   * time.
   */
  closeRelayAndGetSent(): number {
    closeAndMergeRelay(this);
    return this.#readAhead === undefined ? this.sent : this.#readAhead.sent;
  }

  /** Ends the flow now, with `reason`. */
  cancel(reason: unknown): void {
    if (!this.#running) return;
    closeAndMergeRelay(this);
    const sourceMayHaveData = this.relay?.sourceMayHaveData === true;
    this.onFailed(reason);
    this.from.reading.withdraw(this, reason);
    this.to.writing.withdraw(this.#readAhead ?? this, reason);
    // The relay, in native code, got the event for this data. No further event will wake reads that wait.
    if (sourceMayHaveData) this.from.reading.wake();
  }

  /** The progress of a failed flow. Reads the unsent bytes out of the pipe. */
  progress(): SpliceProgress {
    const ahead = this.#readAhead;
    // Until these bytes are sent, the flow reads nothing from the socket.
    if (ahead !== undefined) {
      const { data, sent } = ahead;
      return { transferred: sent, undelivered: Buffer.from((data as Uint8Array).subarray(sent)) };
    }
    return progressOf(this.from.reactor.calls, this);
  }
}
