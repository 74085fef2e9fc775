// SpliceFlow: moves bytes from one socket to another, until the source ends or a limit is reached. It is a state
// machine without promises.
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
import { shutDownDestination, progressOf, type SpliceProgress } from "../ops/spliceOptions.js";
import { SEND_ALL, type SendProgress } from "../ops/send.js";
import { descriptorOf, runnerOf } from "./promiseRunner.js";
import type { Socket } from "./socket.js";

/** The time of the last transfer of bytes, on the clock of `performance.now()`. */
export interface LastActivity {
  last: number;
}

/** Gets the result of a flow. The flow calls these methods synchronously, so they must not run code of users. */
export interface FlowOwner {
  /** Whether the flow calls shutdown(2) with `SHUT_WR` on the destination when the source has ended. */
  shutsDownDestination(flow: SpliceFlow): boolean;
  onFlowEnded(flow: SpliceFlow): void;
  onFlowFailed(flow: SpliceFlow, error: unknown): void;
}

/** Maximum milliseconds from `failOnResetLater()` until `failOnReset()`. Most short connections end before that. */
const WATCH_DELAY = 100;
/** The flows for which one timer will call `failOnReset()`. */
const flowsToWatch: SpliceFlow[] = [];

/** Calls `flow.failOnReset()` after at most WATCH_DELAY. */
export function failOnResetLater(flow: SpliceFlow): void {
  if (flowsToWatch.push(flow) > 1) return;
  setTimeout(() => {
    for (const waiting of flowsToWatch.splice(0)) waiting.failOnReset();
  }, WATCH_DELAY).unref();
}

export class SpliceFlow implements Flow<Descriptor>, CompletionHandler<number | void> {
  // The public fields are those of Flow.
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
  /** Set when the flow begins to wait for the end of its destination's connection. */
  #hangupHandler: CompletionHandler<SocketError> | undefined;
  /** The bytes that a stream has read ahead from the source, until the destination has taken all of them. */
  #readAhead: SendProgress | undefined;

  /**
   * @param limit maximum number of bytes to move
   * @param activity `last` is set to the time whenever bytes have moved
   */
  constructor(
    source: Socket,
    destination: Socket,
    pipes: PipePool,
    limit: number,
    activity: LastActivity | undefined,
    owner: FlowOwner,
  ) {
    this.from = descriptorOf(source);
    this.to = descriptorOf(destination);
    this.pipes = pipes;
    this.limit = limit;
    this.pipe = this.relay = undefined;
    this.#source = source;
    this.#destination = destination;
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

  /** Stores bytes that a stream has read ahead. `#advance()` sends them first. */
  #storeReadAhead(data: Uint8Array): void {
    this.received = data.length;
    if (data.length > 0) this.#readAhead = { data, total: data.length, sent: 0 };
  }

  #onReadAheadSent(): void {
    this.sent = this.received;
    this.#readAhead = undefined;
    this.noteActivity();
  }

  /** Whether bytes are left to send, or may be left to read. */
  #hasMore(): boolean {
    return this.#pipeHoldsBytes || this.#readAhead !== undefined || this.received < this.limit;
  }

  /** Runs one operation after the other, until one of them has to wait or the flow ends. */
  #advance(): void {
    const { reading } = this.from;
    const { writing } = this.to;
    try {
      while (this.#hasMore()) {
        const ahead = this.#readAhead;
        if (ahead !== undefined) {
          const outcome = writing.submit(this, this.#destination, SEND_ALL, ahead, 0, null);
          if (!this.#running) {
            // cancel() was called during submit() and has ended the flow, so the operation must not wait any longer.
            if (outcome === PENDING) writing.withdraw(ahead, undefined);
            return;
          }
          if (outcome === PENDING) return;
          this.#onReadAheadSent();
          continue;
        }
        const outcome = this.#pipeHoldsBytes
          ? writing.submit(this, this.#destination, SPLICE_REST, this, undefined, null)
          : reading.submit(this, this.#source, SPLICE, this, undefined, null);
        if (!this.#running) {
          // As above, cancel() has ended the flow. submit() may have started a relay after that.
          detachRelay(this);
          if (outcome === PENDING) (this.#pipeHoldsBytes ? writing : reading).withdraw(this, undefined);
          return;
        }
        if (outcome === PENDING) return;
        if (outcome === SPLICE_DONE) break;
        // SPLICE has left bytes in the pipe (DESTINATION_FULL), or SPLICE_REST has emptied the pipe.
        this.#pipeHoldsBytes = !this.#pipeHoldsBytes;
      }
    } catch (error) {
      this.onFailed(error);
      return;
    }
    this.#finish();
  }

  /** Called with the value of an operation that had to wait: a number for SPLICE, undefined for the others. */
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

  /** Called with the error of an operation that had to wait. */
  onFailed(error: unknown): void {
    if (!this.#running) return;
    this.#release();
    this.#owner.onFlowFailed(this, error);
  }

  /**
   * Waits for the end of the destination's connection. The flow fails if a reset was the end. While the source sends
   * nothing, the flow writes nothing, so no write reports the reset.
   */
  failOnReset(): void {
    this.#watchDestination((error) => {
      // EPIPE is the error of an orderly end.
      if (error.code !== "EPIPE") this.cancel(error);
    });
  }

  /** Like `failOnReset()`, but the flow also fails if the connection has ended in order. */
  failOnHangup(): void {
    this.#watchDestination((error) => this.cancel(error));
  }

  #watchDestination(onHangup: (error: SocketError) => void): void {
    if (!this.#running || this.#hangupHandler !== undefined) return;
    // onFailed() does nothing: the flow has ended, or it fails with the same cause.
    const handler = { onCompleted: onHangup, onFailed: () => undefined };
    this.#hangupHandler = handler;
    try {
      // The handler is also the first operand, so that #release() can withdraw the operation.
      const outcome = this.to.hangup.submit(handler, this.#destination, HANGUP, handler, this.to, null);
      if (outcome !== PENDING) onHangup(outcome);
    } catch (error) {
      this.cancel(error);
    }
  }

  #finish(): void {
    try {
      if (this.#owner.shutsDownDestination(this)) shutDownDestination(this.from.reactor.calls, this);
    } catch (error) {
      this.onFailed(error);
      return;
    }
    this.#release();
    this.#owner.onFlowEnded(this);
  }

  /**
   * Marks the flow as ended. Ends its relay and its wait for a hang-up, and removes its listeners. A pipe with unsent
   * bytes stays in `pipe`.
   */
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
  noteActivity(time: number = clock()): void {
    const activity = this.#activity;
    if (activity !== undefined && time > activity.last) activity.last = time;
  }

  /** The time when the open relay moved bytes last. Undefined if no relay is open, or if it has moved none. */
  lastRelayTime(): number | undefined {
    return this.relay?.lastActive();
  }

  /** Called when one of the descriptors was closed. */
  onClosed(): void {
    this.cancel(socketError(ECANCELED, "splice", { transferred: this.closeRelayAndGetSent() }));
  }

  /** Closes the relay, which adds its bytes to `sent`. Returns the number of bytes that the flow has sent. */
  closeRelayAndGetSent(): number {
    closeAndMergeRelay(this);
    return this.#readAhead === undefined ? this.sent : this.#readAhead.sent;
  }

  /** Ends the flow now: it fails with `reason`. */
  cancel(reason: unknown): void {
    if (!this.#running) return;
    // closeAndMergeRelay() sets `sourceMayHaveData`.
    closeAndMergeRelay(this);
    const sourceMayHaveData = this.relay?.sourceMayHaveData === true;
    this.onFailed(reason);
    this.from.reading.withdraw(this, reason);
    this.to.writing.withdraw(this.#readAhead ?? this, reason);
    // Native code has received the event for the data of the source, so no event wakes the waiting reads there.
    if (sourceMayHaveData) this.from.reading.wake();
  }

  /** The progress of a failed flow. Reads the unsent bytes out of the pipe. */
  progress(): SpliceProgress {
    const ahead = this.#readAhead;
    // Until the bytes of `#readAhead` are sent, the flow reads nothing from the socket, so the pipe is empty.
    if (ahead !== undefined) {
      const { data, sent } = ahead;
      return { transferred: sent, undelivered: Buffer.from((data as Uint8Array).subarray(sent)) };
    }
    return progressOf(this.from.reactor.calls, this);
  }
}
