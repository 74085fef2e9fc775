// UdpServer: receives datagrams in batches, refuses some of them, and calls the handler.

import { AsyncResource } from "node:async_hooks";
import { DeadlineSet, type DrainOptions, checkDrainTimeout, Lifecycle } from "../admission/index.js";
import { DatagramBatch, memoryOf } from "../batch/index.js";
import { clock } from "../builtins.js";
import type { HostAddress, UdpSocket } from "../net/index.js";
import { receivingGateOf, registerServer } from "../net/serverAccess.js";
import { makeDescribable, Inspectable } from "../registry/index.js";
import { timeoutError } from "../wait/localError.js";
import { within } from "../wait/within.js";
import { DatagramAdmission } from "./datagramAdmission.js";
import { type BatchHandler, ServedBatch } from "./servedBatch.js";
import {
  type DatagramHandler,
  DatagramWork,
  type ServedDatagram,
  type Work,
  type WorkOwner,
} from "./servedDatagram.js";
import type { CheckedServeUdp, DatagramRefusalReason } from "./udpOptions.js";
import { UdpEvents } from "./udpEvents.js";
import { UdpReplies } from "./udpReplies.js";
import type { UdpServerDescription, UdpServerStats } from "./udpStats.js";

/** Milliseconds that the server pauses after a call that failed because memory was short. */
const ERROR_PAUSE = 10;
/** The server also pauses after this many errors in a row. Otherwise a lasting error would keep the thread busy. */
const ERRORS_BEFORE_PAUSE = 16;
/** Codes of errors after which the socket can't receive any more. */
const FATAL_CODES: ReadonlySet<string> = new Set(["EBADF", "ECANCELED", "EFAULT", "EINVAL", "ENOTCONN", "ENOTSOCK"]);
const SHORTAGE_CODES: ReadonlySet<string> = new Set(["ENOBUFS", "ENOMEM"]);

/** The handler of a server: for a datagram, or for a batch. */
export type UdpHandlers = { readonly datagram: DatagramHandler } | { readonly batch: BatchHandler };

/**
 * Calls the handler for the `count` datagrams of the batch that were not refused. Returns a promise if the next batch
 * must wait.
 */
type HandleBatch = (count: number) => Promise<void> | undefined;

/** Calls the constructor of UdpServer, which is private. Only serveUdp() calls this function. */
export let makeUdpServer: (udp: UdpSocket, handlers: UdpHandlers, opts: CheckedServeUdp) => UdpServer;

/** The result of {@link serveUdp}: receives datagrams and runs their handlers until it is drained or closed. */
export class UdpServer extends Inspectable<UdpServerDescription> implements AsyncDisposable {
  static {
    makeUdpServer = (udp, handlers, opts) => {
      const server = new UdpServer(udp, handlers, opts);
      const isListening = (): boolean => server.#life.state === "listening";
      registerServer(server, udp, isListening, (timeout) => server.drain({ timeout }));
      return server;
    };
    makeDescribable<UdpServer, UdpServerDescription>(UdpServer.prototype, "UdpServer", (server) => ({
      state: server.#life.state,
      local: String(server.address),
      handlers: server.#pending.size,
    }));
  }

  /**
   * Resolves when the server is closed: after `close()`, or when `drain()` has finished. Rejects if the socket can't
   * receive any more. If no code handles that, it is an unhandled rejection.
   */
  readonly closed: Promise<void>;
  readonly #udp: UdpSocket;
  readonly #opts: CheckedServeUdp;
  readonly #life: Lifecycle;
  readonly #replies: UdpReplies;
  readonly #workOwner: WorkOwner;
  readonly #admission: DatagramAdmission;
  readonly #events: UdpEvents;
  /** The calls of handlers whose promise is pending. */
  readonly #pending = new DeadlineSet<Work>();
  /** Aborted when the server stops receiving. */
  readonly #stopping = new AbortController();
  readonly #counts = {
    accepted: 0,
    refused: 0,
    ratePerAddress: 0,
    failed: 0,
    aborted: 0,
    handlerTimeout: 0,
    receiveErrors: 0,
    bytesReceived: 0,
  };
  #batch!: DatagramBatch;
  /** The places of the accepted datagrams in the batch, from index 0 on. */
  #places!: Int32Array;
  /** Whether the server has given up on its handlers, and starts no more. */
  #handlersAborted = false;
  /** Resumes `#runRest()`, which waits until a handler has finished. */
  #resumeRest: (() => void) | undefined;
  /** Resolves when the server has stopped receiving. */
  readonly #receiving: Promise<void>;

  private constructor(udp: UdpSocket, handlers: UdpHandlers, opts: CheckedServeUdp) {
    super();
    this.#udp = udp;
    this.#opts = opts;
    this.#replies = new UdpReplies(udp.socket, opts.amplification, opts.batchSize);
    this.#admission = new DatagramAdmission(opts);
    this.#events = new UdpEvents(() => udp.address, opts);
    this.#life = new Lifecycle(
      {
        stop: () => {
          this.#events.serverEvents.reportDrain(this.#pending.size);
          this.#stopping.abort();
        },
        whenEmpty: async () => {
          // In this order, because received datagrams start handlers, and handlers send replies.
          await this.#receiving;
          await this.#pending.whenEmpty();
          await this.#replies.flush();
        },
        abort: (error) => this.#abort(error),
        release: (error) => {
          this.#abort(error);
          void udp.close();
          this.#events.reportEnd(this.#counts.accepted, this.#counts.refused);
          return undefined;
        },
      },
      "serveUdp",
      opts.signal,
    );
    this.closed = this.#life.closed;
    this.#workOwner = {
      handlerTimeout: opts.handlerTimeout,
      draining: this.#life.draining,
      replies: this.#replies,
      onWorkFinished: (work, failure) => {
        this.#remove(work);
        if (failure !== undefined) this.#countFailure(failure.error, work);
      },
      onWorkAborted: (work, reason) => {
        this.#counts[reason]++;
        this.#remove(work);
      },
    };
    this.#makeBatch();
    this.#events.serverEvents.reportListening();
    // Handlers run in the asynchronous context of the call of serveUdp().
    const handleBatch =
      "batch" in handlers
        ? AsyncResource.bind((count: number) => this.#runBatch(handlers.batch, count))
        : AsyncResource.bind((count: number) => this.#runEach(handlers.datagram, count));
    const gate = receivingGateOf(udp);
    this.#receiving = gate === undefined ? this.#receive(handleBatch) : this.#receiveAfter(gate, handleBatch);
  }

  /** The address of the socket. If port 0 was requested, it has the port that the kernel chose. */
  get address(): HostAddress {
    return this.#udp.address;
  }

  /** The counters, also after the server was closed. */
  stats(): UdpServerStats {
    const { accepted, bytesReceived, ...counts } = this.#counts;
    const { bytesSent, ...replies } = this.#replies.counts;
    const { sent, refused: sendErrors } = this.#replies.sendCounts;
    const { dropped } = this.#udp.stats();
    const pending = this.#pending.size;
    const { state } = this.#life;
    return { accepted, ...counts, pending, sent, sendErrors, ...replies, dropped, bytesReceived, bytesSent, state };
  }

  /**
   * As `validate()` of a datagram: for ten minutes, the option `amplification` does not limit the replies to this
   * address and port.
   */
  validate(source: HostAddress): void {
    this.#replies.validate(source);
  }

  /** Lets the process end while the server waits for datagrams. */
  unref(): this {
    this.#udp.unref();
    return this;
  }

  /** Undoes `unref()`. */
  ref(): this {
    this.#udp.ref();
    return this;
  }

  /**
   * Stops receiving, aborts the signal `draining` of the datagrams, and waits until the handlers have finished and
   * their replies are sent. After `timeout` it gives up on the handlers that are left. Then it closes the socket. A
   * second call waits for the same end; its timeout applies too.
   *
   * @throws TypeError or RangeError (by rejecting) for a wrong `timeout`
   */
  async drain(opts: DrainOptions = {}): Promise<void> {
    await this.#life.drain(checkDrainTimeout(opts));
  }

  /** Closes the socket, and gives up on all handlers. Replies that wait to be sent are dropped. */
  close(): Promise<void> {
    this.#life.end();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Drains the server when the process gets one of these signals; see {@link Server.shutdownOn}.
   *
   * @param signals default SIGTERM and SIGINT
   * @throws TypeError or RangeError for wrong arguments
   */
  shutdownOn(signals: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT"], opts: DrainOptions = {}): this {
    this.#life.shutdownOn(signals, opts);
    return this;
  }

  #makeBatch(): void {
    const { batchSize: capacity, maxSize } = this.#opts;
    // One byte more than `maxSize`, to recognise longer datagrams: they fill that byte, or are marked as truncated.
    this.#batch = new DatagramBatch({ capacity, size: Math.min(maxSize + 1, 0xffff) });
    this.#places = new Int32Array(capacity);
  }

  /**
   * In the new program of an upgrade: waits until the gate resolves, and then receives. Until then, the old program
   * receives.
   */
  async #receiveAfter(gate: Promise<void>, handleBatch: HandleBatch): Promise<void> {
    const { signal } = this.#stopping;
    try {
      await within(gate, null, [signal], () => timeoutError("recvmmsg"));
    } catch (error) {
      if (!signal.aborted) this.#life.end({ error });
      return;
    }
    await this.#receive(handleBatch);
  }

  /** Receives until the server stops. Each batch is handled before the next one. */
  async #receive(handleBatch: HandleBatch): Promise<void> {
    const { signal } = this.#stopping;
    const opts = { signal };
    let errorsInRow = 0;
    while (!signal.aborted) {
      try {
        await this.#udp.socket.recvmmsg(this.#batch, opts);
      } catch (error) {
        if (signal.aborted) return;
        const { code = "" } = error as { readonly code?: string };
        const hasCode = error instanceof Error && code !== "";
        if (!hasCode || FATAL_CODES.has(code)) {
          const { closed } = this.#udp.socket;
          if (!closed) this.#events.serverEvents.reportListenerError(error);
          this.#life.end(closed ? undefined : { error });
          return;
        }
        this.#counts.receiveErrors++;
        errorsInRow++;
        const mustPause = SHORTAGE_CODES.has(code) || errorsInRow % ERRORS_BEFORE_PAUSE === 0;
        if (mustPause) await new Promise((resolve) => setTimeout(resolve, ERROR_PAUSE));
        continue;
      }
      errorsInRow = 0;
      const handled = handleBatch(this.#admit());
      if (handled !== undefined) await handled;
      if (this.#replies.mayOverflow(this.#opts.batchSize)) await this.#replies.flush();
    }
  }

  /** Refuses datagrams, and writes the places of the accepted ones to `#places`. Returns the number of these places. */
  #admit(): number {
    const memory = memoryOf(this.#batch);
    const now = clock();
    let count = 0;
    for (let place = 0; place < memory.count; place++) {
      const reason = this.#admission.decide(this.#batch, place, now);
      if (reason === undefined) this.#places[count++] = place;
      else this.#refuse(reason, place);
    }
    return count;
  }

  #refuse(reason: DatagramRefusalReason, place: number): void {
    this.#counts.refused++;
    if (reason === "ratePerAddress") this.#counts.ratePerAddress++;
    this.#events.reportRefused(reason, this.#batch, place);
  }

  /** Calls the handler for each datagram. Returns a promise if datagrams wait because `maxPending` handlers run. */
  #runEach(handler: DatagramHandler, count: number): Promise<void> | undefined {
    for (let index = 0; index < count; index++) {
      if (this.#pending.size >= this.#opts.maxPending && !this.#opts.refusesWhenFull) {
        return this.#runRest(handler, index, count);
      }
      this.#handleOrRefuse(handler, this.#places[index]!);
    }
    return undefined;
  }

  /** As `#runEach()` from datagram `first` on. Waits while `maxPending` handlers run. */
  async #runRest(handler: DatagramHandler, first: number, count: number): Promise<void> {
    for (let index = first; index < count; index++) {
      while (this.#pending.size >= this.#opts.maxPending && !this.#handlersAborted) {
        await new Promise<void>((resolve) => (this.#resumeRest = resolve));
      }
      this.#handleOrRefuse(handler, this.#places[index]!);
    }
  }

  #handleOrRefuse(handler: DatagramHandler, place: number): void {
    if (this.#handlersAborted || this.#pending.size >= this.#opts.maxPending) {
      this.#refuse(this.#handlersAborted ? "draining" : "maxPending", place);
      return;
    }
    // A copy, because the handler may wait, and the memory is used for the next batch.
    const data = Buffer.from(this.#batch.data(place));
    this.#counts.accepted++;
    this.#counts.bytesReceived += data.length;
    const account = this.#replies.replyAccountOf(memoryOf(this.#batch), place, data.length);
    const work = new DatagramWork(this.#workOwner, data, this.#batch.address(place) as HostAddress, account);
    this.#callHandler(work, () => handler(work, work.reply));
  }

  /** Calls the handler for the batch. Resolves when the memory of the batch may be used again. */
  async #runBatch(handler: BatchHandler, count: number): Promise<void> {
    if (count === 0) return;
    const batch = this.#batch;
    const memory = memoryOf(batch);
    if (this.#handlersAborted) {
      for (let index = 0; index < count; index++) this.#refuse("draining", this.#places[index]!);
      return;
    }
    this.#counts.accepted += count;
    for (let index = 0; index < count; index++) this.#counts.bytesReceived += batch.length(this.#places[index]!);
    const work = new ServedBatch(this.#workOwner, batch, memory, this.#places, count);
    this.#callHandler(work, () => handler(work));
    if (this.#pending.size === 0) return;
    await this.#pending.whenEmpty();
    // A handler on which the server has given up may still use the memory. So the next batch gets other memory.
    if (work.isAborted) this.#makeBatch();
  }

  /** Calls a handler, and tracks it if it returns a promise. */
  #callHandler(work: DatagramWork | ServedBatch, call: () => unknown): void {
    let result: unknown;
    try {
      result = call();
      // Reading `then` may run code of the program, too.
      if (typeof (result as PromiseLike<unknown> | null | undefined)?.then !== "function") return;
    } catch (error) {
      this.#countFailure(error, work);
      return;
    }
    this.#pending.add(work);
    this.#pending.arm(work.dueAt());
    work.follow(result as PromiseLike<unknown>);
  }

  #remove(work: Work): void {
    this.#pending.delete(work);
    this.#resume();
  }

  /** Resumes `#runRest()`, if it waits. */
  #resume(): void {
    const resume = this.#resumeRest;
    this.#resumeRest = undefined;
    resume?.();
  }

  /** Counts and reports a handler that has failed. */
  #countFailure(error: unknown, work: Work): void {
    this.#counts.failed++;
    this.#events.reportFailed(this.#counts.failed, error, work as unknown as ServedDatagram | ServedBatch);
  }

  /** Stops receiving, gives up on the handlers, and drops the replies that wait. */
  #abort(error: unknown): void {
    this.#handlersAborted = true;
    this.#stopping.abort();
    this.#pending.abortAll(error);
    this.#replies.close();
    this.#resume();
  }
}
