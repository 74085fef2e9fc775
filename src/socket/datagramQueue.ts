// A bounded queue of datagrams, which are sent in batches.
//
// The queue is a ring buffer of the slots of one batch. `#sendQueued()` starts in a microtask, so the datagrams that
// the program adds until then go out together. While sendmmsg(2) waits for room in the kernel, the program can add
// further datagrams. When the ring is full, trySend() returns false and send() waits.

import { AsyncResource } from "node:async_hooks";
import { offAbort, onAbort } from "../wait/aborts.js";
import { type Address, type AddressLike } from "../addr/index.js";
import { checkOptions, integer, quote, quoteNonInstance } from "../check/index.js";
import { warnOnRejection } from "../callbacks.js";
import type { SocketError } from "../errors/index.js";
import type { Data } from "../io.js";
import { sendFlags } from "../ops/flags.js";
import {
  type AddOptions,
  AddressCache,
  allocateBatch,
  type BatchMemory,
  ENTRY_WORDS,
  ERROR,
  NAME,
  NAME_LENGTH,
  putDatagram,
  SOURCE,
  SOURCE_LENGTH,
} from "../batch/index.js";
import { closedError, ECANCELED, socketError } from "../sys/errno.js";
import { makeDescribable, type Description, Inspectable } from "../registry/index.js";
import { timeoutError } from "../wait/localError.js";
import { addressDetails } from "../sys/sockaddr.js";
import { descriptorOf, isSocket } from "./promiseRunner.js";
import { type BatchSendProgress, SENDMMSG } from "../ops/mmsg.js";
import { signalOf, timeoutOf, WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";
import { rejection } from "../wait/rejection.js";
import type { Socket } from "./socket.js";

/**
 * `trySend()` with a source address. `readReplySource()` of batch/sources.ts has written it to `source`, and has
 * returned its length in bytes, `sourceSize`, a multiple of 4. If `sourceSize` is 0, the kernel chooses the source
 * address.
 */
export let trySendFrom: (
  queue: DatagramQueue,
  data: Data,
  to: AddressLike | undefined,
  source: Int32Array,
  sourceSize: number,
) => boolean;

/** Options of a {@link DatagramQueue}. */
export interface DatagramQueueOptions {
  /** Maximum number of datagrams in the queue. Default 256. */
  readonly maxQueue?: number | undefined;
  /** Maximum number of bytes of a datagram. Default 2048. */
  readonly size?: number | undefined;
  /** `MSG_` flags of `sendmmsg`. */
  readonly flags?: number | undefined;
  /** Called for each datagram that the kernel refused, with its destination. An error that it throws ends the queue. */
  readonly onRefused?: ((error: SocketError, address: Address | undefined) => void) | undefined;
}

/** The counters of a queue. */
export interface DatagramQueueStats {
  /** Datagrams that wait to be sent. */
  readonly queued: number;
  /** Datagrams that the kernel has taken. */
  readonly sent: number;
  /** Datagrams that the kernel has refused. */
  readonly refused: number;
}

/** The fields of a {@link DatagramQueue} in JSON. */
export interface DatagramQueueDescription extends Description {
  readonly kind: "DatagramQueue";
  /** The descriptor of the socket; -1 once it is closed. */
  readonly fd: number;
  readonly state: "open" | "closed" | "failed";
  readonly stats: DatagramQueueStats;
}

/** Limits and defaults of `maxQueue` and `size`. */
const DEFAULT_QUEUE = 256;
const LARGEST_QUEUE = 1 << 14;
const DEFAULT_SIZE = 2048;
const LARGEST_SIZE = 1 << 16;

/** The number of destinations that a queue keeps as Address objects, for `onRefused`. */
const CACHED_ADDRESSES = 64;

/** A call that waits for room (send) or until its datagrams are sent or refused (flush). */
interface WaitingCall {
  /** flush() resolves when the queue has sent or refused this many datagrams since it was made. 0 for send(). */
  readonly requiredCount: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A bounded queue in front of a datagram socket, for programs that send from many places. It copies the datagrams,
 * counts them, and sends them in their order, in batches (`sendmmsg`).
 *
 * When the queue is full, `trySend` returns false and `send` waits for room. While the queue and its socket are open,
 * the queue drops no datagram. A datagram that the kernel refuses is counted and reported to `onRefused`; the others
 * are sent. When the socket is closed, all waiting calls reject with `ECANCELED`.
 *
 * @see sendmmsg(2)
 * @example
 * ```ts
 * import { AF_INET, DatagramQueue, SOCK_DGRAM, Socket } from "berkeley";
 *
 * await using receiver = new Socket(AF_INET, SOCK_DGRAM);
 * await receiver.bind("127.0.0.1:0");
 * await using socket = new Socket(AF_INET, SOCK_DGRAM);
 *
 * const queue = new DatagramQueue(socket, { maxQueue: 2 });
 * const address = receiver.getsockname();
 * console.log(queue.trySend("one", address), queue.trySend("two", address), queue.trySend("three", address));
 * // prints: true true false
 * await queue.send("three", address);
 * await queue.flush();
 * console.log(queue.stats()); // prints: { queued: 0, sent: 3, refused: 0 }
 * ```
 */
export class DatagramQueue extends Inspectable<DatagramQueueDescription> {
  static {
    makeDescribable<DatagramQueue, DatagramQueueDescription>(DatagramQueue.prototype, "DatagramQueue", (queue) => ({
      fd: descriptorOf(queue.#socket).fd,
      state: queue.#ended?.state ?? (queue.#socket.closed ? "closed" : "open"),
      stats: queue.stats(),
    }));
    trySendFrom = (queue, data, to, source, sourceSize) => {
      if (!queue.trySend(data, to)) return false;
      if (sourceSize === 0) return true;
      // trySend() has put the datagram into the newest slot of the ring. The source address is in the table entry of
      // that slot.
      const { capacity, words } = queue.#memory;
      const entryStart = ((queue.#head + queue.#length - 1) % capacity) * ENTRY_WORDS;
      words[entryStart + SOURCE_LENGTH] = sourceSize;
      for (let i = 0; i < sourceSize / 4; i++) words[entryStart + SOURCE + i] = source[i]!;
      return true;
    };
  }

  readonly #socket: Socket;
  readonly #memory: BatchMemory;
  readonly #flags: number;
  readonly #onRefused: ((error: SocketError, address: Address | undefined) => void) | undefined;
  /** The destinations of refused datagrams, for `onRefused`. */
  readonly #addresses = new AddressCache(CACHED_ADDRESSES);
  /** The slot of the oldest datagram. */
  #head = 0;
  /** The number of queued datagrams. */
  #length = 0;
  #sent = 0;
  #refused = 0;
  /** Whether `#sendQueued()` runs or will start in a microtask. It must not run twice at the same time. */
  #running = false;
  /** The latest batch that `#sendQueued()` has passed to SENDMMSG. */
  #sending: BatchSendProgress | undefined;
  /** Set when the queue ends: further calls throw `error`. */
  #ended: { readonly error: unknown; readonly state: "closed" | "failed" } | undefined;
  #waitingForRoom = new Set<WaitingCall>();
  #waitingForFlush = new Set<WaitingCall>();

  constructor(socket: Socket, options: DatagramQueueOptions = {}) {
    super();
    const action = "make a DatagramQueue";
    if (!isSocket(socket))
      throw new TypeError(`Cannot ${action}: socket is ${quoteNonInstance(socket, "Socket")}, required a Socket`);
    if (typeof options !== "object" || options === null) {
      throw new TypeError(`Cannot ${action}: options are ${quote(options)}, required an object such as { maxQueue }`);
    }
    const { maxQueue, onRefused, size } = options;
    if (onRefused !== undefined && typeof onRefused !== "function") {
      throw new TypeError(`Cannot ${action}: onRefused is ${quote(onRefused)}, required a function`);
    }
    this.#socket = socket;
    this.#flags = sendFlags(options.flags, action);
    // The callback runs in the asynchronous context in which the queue was made.
    this.#onRefused = onRefused === undefined ? undefined : AsyncResource.bind(onRefused);
    const controlSize = 0;
    this.#memory = allocateBatch(
      integer(maxQueue ?? DEFAULT_QUEUE, action, "maxQueue", 1, LARGEST_QUEUE),
      integer(size ?? DEFAULT_SIZE, action, "size", 1, LARGEST_SIZE),
      controlSize,
    );
  }

  /** The number of datagrams that are not sent yet, including those of the running sendmmsg(2). */
  get length(): number {
    return this.#length;
  }

  stats(): DatagramQueueStats {
    return { queued: this.#length, sent: this.#sent, refused: this.#refused };
  }

  #checkOpen(): void {
    if (this.#ended !== undefined) throw this.#ended.error;
    if (this.#socket.closed) throw closedError("sendmmsg");
  }

  /**
   * Queues a copy of a datagram if there is room and no `send` waits for room.
   *
   * @returns false if the queue is full
   * @throws TypeError or RangeError as `DatagramBatch.add`; SocketError `EBADF` once the socket is closed, or the error
   *   that ended the queue
   */
  trySend(data: Data, to?: AddressLike, options?: AddOptions): boolean {
    this.#checkOpen();
    if (this.#waitingForRoom.size > 0 || this.#length === this.#memory.capacity) return false;
    this.#put(data, to, options);
    return true;
  }

  #put(data: Data, to: AddressLike | undefined, options: AddOptions | undefined): void {
    putDatagram(this.#memory, (this.#head + this.#length) % this.#memory.capacity, data, to, options);
    this.#length++;
    if (this.#running) return;
    this.#running = true;
    queueMicrotask(() => void this.#sendQueued());
  }

  /**
   * Queues a datagram, and waits for room while the queue is full. Resolves when the datagram is queued; `flush` waits
   * until it is sent. Waiting calls get room in order.
   *
   * @throws the errors of `trySend`; SocketError `ETIMEDOUT`, and then the datagram is not queued
   */
  async send(data: Data, to?: AddressLike, opts?: AddOptions & WaitOptions): Promise<void> {
    checkOptions(opts, "sendmmsg", [...WAIT_NAMES, "segmentSize"]);
    if (this.trySend(data, to, opts)) return;
    // #resolveWaiting() calls #put() at once when there is room, so no later call can take that room.
    await this.#wait(this.#waitingForRoom, () => this.#put(data, to, opts), 0, opts);
  }

  /**
   * Resolves when the kernel has taken or refused every datagram that is queued now.
   *
   * @throws SocketError `ETIMEDOUT`, or the error that ended the queue
   */
  async flush(opts?: WaitOptions): Promise<void> {
    checkOptions(opts, "sendmmsg", WAIT_NAMES);
    this.#checkOpen();
    if (this.#length > 0) {
      await this.#wait(this.#waitingForFlush, () => undefined, this.#sent + this.#refused + this.#length, opts);
    }
  }

  /**
   * Adds a call to `waiters` and waits until `#resolveWaiting()` resolves the call, and then calls `onResolve`.
   *
   * @param requiredCount see {@link WaitingCall.requiredCount}
   */
  #wait(
    waiters: Set<WaitingCall>,
    onResolve: () => void,
    requiredCount: number,
    opts: WaitOptions | undefined,
  ): Promise<void> {
    const timeout = timeoutOf(opts, this.#socket.timeout, "sendmmsg");
    const signal = signalOf(opts, "sendmmsg");
    signal?.throwIfAborted();
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const abortListener = { onAborted: (reason: unknown): void => waiting.reject(reason) };
      const removeWaiter = (): void => {
        waiters.delete(waiting);
        clearTimeout(timer);
        if (signal !== undefined) offAbort(signal, abortListener);
      };
      const waiting: WaitingCall = {
        requiredCount,
        resolve: () => {
          removeWaiter();
          try {
            resolve(onResolve());
          } catch (error) {
            resolve(rejection(error));
          }
        },
        reject: (error) => {
          removeWaiter();
          resolve(rejection(error));
        },
      };
      waiters.add(waiting);
      if (signal !== undefined) onAbort(signal, abortListener);
      if (timeout !== null) {
        timer = setTimeout(() => waiting.reject(timeoutError("sendmmsg")), timeout).unref();
      }
    });
  }

  /**
   * Sends batches until the queue is empty. The slots of a batch are consecutive. So a batch ends at the latest with
   * the last slot of `#memory`, and another batch has the datagrams from slot 0 on.
   */
  async #sendQueued(): Promise<void> {
    const { writing } = descriptorOf(this.#socket);
    try {
      while (this.#length > 0) {
        const start = this.#head;
        const end = Math.min(start + this.#length, this.#memory.capacity);
        const sending: BatchSendProgress = {
          memory: this.#memory,
          next: start,
          end,
          skipRefused: true,
          sent: 0,
          refusedOnce: false,
        };
        this.#sending = sending;
        await writing.run(this.#socket, SENDMMSG, sending, this.#flags, null, undefined);
        if (this.#ended !== undefined) return;
        const refused = end - start - sending.sent;
        this.#sent += sending.sent;
        this.#refused += refused;
        // The errors are read before the slots are free for other datagrams.
        const errors = refused === 0 || this.#onRefused === undefined ? [] : this.#refusals(start, end);
        this.#head = end % this.#memory.capacity;
        this.#length -= end - start;
        this.#resolveWaiting();
        for (const [error, address] of errors) warnOnRejection("onRefused", this.#onRefused!(error, address));
      }
    } catch (error) {
      this.#end(error);
    } finally {
      this.#running = false;
    }
  }

  /** The errors of the refused datagrams, with their destinations. */
  #refusals(start: number, end: number): [SocketError, Address | undefined][] {
    const { words } = this.#memory;
    const errors: [SocketError, Address | undefined][] = [];
    for (let i = start; i < end; i++) {
      const entryStart = i * ENTRY_WORDS;
      const errno = words[entryStart + ERROR]!;
      if (errno === 0) continue;
      const length = words[entryStart + NAME_LENGTH]!;
      const address = length === 0 ? undefined : this.#addresses.lookup(words, entryStart + NAME, length);
      errors.push([socketError(errno, "sendmmsg", addressDetails(address)), address]);
    }
    return errors;
  }

  /** Resolves the calls whose condition holds now. */
  #resolveWaiting(): void {
    const doneCount = this.#sent + this.#refused;
    for (const waiting of this.#waitingForFlush) if (doneCount >= waiting.requiredCount) waiting.resolve();
    // The room is checked for each call: a call with a wrong datagram fails and takes no room.
    for (const waiting of this.#waitingForRoom) {
      if (this.#length === this.#memory.capacity) break;
      waiting.resolve();
    }
  }

  /** Ends the queue: drops its datagrams and rejects the waiting calls with `error`. */
  #end(error: unknown, state: "closed" | "failed" = "failed"): void {
    this.#ended ??= { error, state };
    this.#length = 0;
    if (this.#sending !== undefined) descriptorOf(this.#socket).writing.withdraw(this.#sending, error);
    this.#sending = undefined;
    for (const waiting of [...this.#waitingForFlush, ...this.#waitingForRoom]) waiting.reject(error);
  }

  /** Ends the queue: drops its datagrams and rejects the waiting calls with `ECANCELED`. The socket stays open. */
  close(): void {
    if (this.#ended === undefined) this.#end(socketError(ECANCELED, "sendmmsg"), "closed");
  }

  /** Waits until the kernel has taken or refused all datagrams, and ends the queue. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#ended === undefined) await this.flush();
    } finally {
      this.close();
    }
  }
}
