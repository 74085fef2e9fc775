// A bounded queue of datagrams to send: they collect while the kernel is busy with others, and leave in batches.
//
// The queue is a ring of the places of one batch. What is added in one turn of the program goes out in one call: the flush
// starts in a microtask. While it waits for the kernel, the ring fills up; when it is full, trySend() says so and send()
// waits. Nothing is dropped by the queue itself.

import { AsyncResource } from "node:async_hooks";
import { offAbort, onAbort } from "../wait/aborts.js";
import { type Address, type AddressLike } from "../addr/index.js";
import { checkOptions, integer, quote, quoteOther } from "../check/index.js";
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
} from "../batch/index.js";
import { EBADF, ECANCELED, socketError } from "../sys/errno.js";
import { timeoutError } from "../wait/localError.js";
import { addressDetails } from "../sys/sockaddr.js";
import { descriptorOf, MoveSocket } from "./moveSocket.js";
import { type BatchSending, SENDMMSG } from "../ops/batchCalls.js";
import { signalOf, timeoutOf, type WaitOptions } from "../wait/waitOptions.js";
import type { Socket } from "./socket.js";

/** Sizes of a {@link DatagramQueue}. */
export interface DatagramQueueOptions {
  /** Datagrams that may be waiting to be sent; 256 if not given. */
  readonly maxQueue?: number | undefined;
  /** Bytes that each may have; 2048 if not given. */
  readonly size?: number | undefined;
  /** `MSG_` flags of the sending call. */
  readonly flags?: number | undefined;
  /** Told of every datagram that the kernel refused, and where it was going. Others go on. What it throws ends the queue. */
  readonly onRefused?: ((error: SocketError, address: Address | undefined) => void) | undefined;
}

/** What became of the datagrams of a queue. */
export interface DatagramQueueStats {
  /** Waiting to be sent. */
  readonly queued: number;
  /** Taken by the kernel. */
  readonly sent: number;
  /** Refused by the kernel. */
  readonly refused: number;
}

/** One who waits: for room, or for the queue to be empty. */
interface Waiting {
  /** Datagrams that have to be through the queue before it is this one's turn; only for flush(). */
  readonly after: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A bounded queue in front of a datagram socket, for programs that send from many places. Datagrams are copied into it, leave
 * in batches (`sendmmsg`) in the order in which they came, and are counted.
 *
 * When it is full, `trySend` answers false, and `send` waits for room: that is the backpressure. It never drops a datagram by
 * itself. One that the kernel refuses is counted, told to `onRefused`, and does not hold up the others. When the socket is
 * closed, everything that waits rejects with `ECANCELED`.
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
export class DatagramQueue {
  readonly #socket: MoveSocket;
  readonly #memory: BatchMemory;
  readonly #flags: number;
  readonly #onRefused: ((error: SocketError, address: Address | undefined) => void) | undefined;
  readonly #addresses = new AddressCache(64);
  /** The place of the oldest datagram, and how many there are from there on. */
  #head = 0;
  #length = 0;
  #sent = 0;
  #refused = 0;
  #running = false;
  #sending: BatchSending | undefined;
  #failure: { readonly error: unknown } | undefined;
  #forRoom = new Set<Waiting>();
  #forEmpty = new Set<Waiting>();

  constructor(socket: Socket, options: DatagramQueueOptions = {}) {
    const action = "make a DatagramQueue";
    if (!((socket as unknown) instanceof MoveSocket))
      throw new TypeError(`Cannot ${action}: socket is ${quoteOther(socket, "Socket")}, required a Socket`);
    if (typeof options !== "object" || options === null) {
      throw new TypeError(`Cannot ${action}: options are ${quote(options)}, required an object such as { maxQueue }`);
    }
    const { maxQueue, onRefused, size } = options;
    if (onRefused !== undefined && typeof onRefused !== "function") {
      throw new TypeError(`Cannot ${action}: onRefused is ${quote(onRefused)}, required a function`);
    }
    this.#socket = socket;
    this.#flags = sendFlags(options.flags, action);
    // It runs in the asynchronous context in which the queue was made, not in that of a send.
    this.#onRefused = onRefused === undefined ? undefined : AsyncResource.bind(onRefused);
    this.#memory = allocateBatch(
      integer(maxQueue ?? 256, action, "maxQueue", 1, 1 << 14),
      integer(size ?? 2048, action, "size", 1, 1 << 16),
      0,
    );
  }

  /** Datagrams waiting to be sent, those that the kernel is being given included. */
  get length(): number {
    return this.#length;
  }

  stats(): DatagramQueueStats {
    return { queued: this.#length, sent: this.#sent, refused: this.#refused };
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#socket.closed) throw socketError(EBADF, "sendmmsg");
  }

  /**
   * Queues a datagram if there is room for it and nobody waits for that; its bytes are copied.
   *
   * @returns false if the queue is full
   * @throws TypeError or RangeError as `DatagramBatch.add`; SocketError `EBADF` once the socket is closed, or what ended the queue
   */
  trySend(data: Data, to?: AddressLike, options?: AddOptions): boolean {
    this.#check();
    if (this.#forRoom.size > 0 || this.#length === this.#memory.capacity) return false;
    this.#put(data, to, options);
    return true;
  }

  #put(data: Data, to: AddressLike | undefined, options: AddOptions | undefined): void {
    putDatagram(this.#memory, (this.#head + this.#length) % this.#memory.capacity, data, to, options);
    this.#length++;
    if (this.#running) return;
    this.#running = true;
    queueMicrotask(() => void this.#run());
  }

  /**
   * Queues a datagram, and waits for room while the queue is full. Resolves when it is queued, not when it is sent: see
   * `flush`. Calls that wait are served in order.
   *
   * @throws as `trySend`; SocketError `ETIMEDOUT`, after which the datagram is not queued
   */
  async send(data: Data, to?: AddressLike, opts?: AddOptions & WaitOptions): Promise<void> {
    checkOptions(opts, "sendmmsg");
    if (this.trySend(data, to, opts)) return;
    // Queued by who makes room, so that nobody comes in between.
    await this.#wait(this.#forRoom, () => this.#put(data, to, opts), 0, opts);
  }

  /**
   * Resolves when every datagram that is queued now has been taken by the kernel or refused.
   *
   * @throws SocketError `ETIMEDOUT`, or what ended the queue
   */
  async flush(opts?: WaitOptions): Promise<void> {
    checkOptions(opts, "sendmmsg");
    this.#check();
    if (this.#length > 0) {
      await this.#wait(this.#forEmpty, () => undefined, this.#sent + this.#refused + this.#length, opts);
    }
  }

  #wait(who: Set<Waiting>, arrive: () => void, after: number, opts: WaitOptions | undefined): Promise<void> {
    const timeout = timeoutOf(opts, this.#socket.timeout, "sendmmsg");
    const signal = signalOf(opts, "sendmmsg");
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const member = { aborted: (reason: unknown): void => waiting.reject(reason) };
      const leave = (): void => {
        who.delete(waiting);
        clearTimeout(timer);
        if (signal !== undefined) offAbort(signal, member);
      };
      const waiting: Waiting = {
        after,
        resolve: () => {
          leave();
          try {
            resolve(arrive());
          } catch (error) {
            reject(error);
          }
        },
        reject: (error) => (leave(), reject(error)),
      };
      who.add(waiting);
      if (signal !== undefined) onAbort(signal, member);
      if (timeout !== null) {
        timer = setTimeout(() => waiting.reject(timeoutError("sendmmsg")), Math.min(timeout, 0x7fff_ffff)).unref();
      }
    });
  }

  /** Sends until the queue is empty. One at a time. */
  async #run(): Promise<void> {
    const { writing } = descriptorOf(this.#socket);
    try {
      while (this.#length > 0) {
        const start = this.#head;
        const end = Math.min(start + this.#length, this.#memory.capacity);
        const sending: BatchSending = {
          memory: this.#memory,
          next: start,
          end,
          skipRefused: true,
          sent: 0,
          refused: false,
        };
        this.#sending = sending;
        await writing.run(this.#socket, SENDMMSG, sending, this.#flags, null, undefined);
        if (this.#failure !== undefined) return;
        const refused = end - start - sending.sent;
        this.#sent += sending.sent;
        this.#refused += refused;
        const errors = refused === 0 || this.#onRefused === undefined ? [] : this.#errors(start, end);
        this.#head = end % this.#memory.capacity;
        this.#length -= end - start;
        this.#serve();
        for (const [error, address] of errors) warnOnRejection("onRefused", this.#onRefused!(error, address));
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#running = false;
    }
  }

  #errors(start: number, end: number): [SocketError, Address | undefined][] {
    const { words } = this.#memory;
    const errors: [SocketError, Address | undefined][] = [];
    for (let i = start; i < end; i++) {
      const at = i * ENTRY_WORDS;
      if (words[at + ERROR] === 0) continue;
      const length = words[at + NAME_LENGTH]!;
      const address = length === 0 ? undefined : this.#addresses.lookup(words, at + NAME, length);
      errors.push([socketError(words[at + ERROR]!, "sendmmsg", addressDetails(address)), address]);
    }
    return errors;
  }

  /** Tells those who waited for this. */
  #serve(): void {
    const done = this.#sent + this.#refused;
    for (const waiting of this.#forEmpty) if (waiting.after <= done) waiting.resolve();
    // Room is counted anew for each: one whose datagram is refused takes none.
    for (const waiting of this.#forRoom) {
      if (this.#length === this.#memory.capacity) break;
      waiting.resolve();
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#length = 0;
    if (this.#sending !== undefined) descriptorOf(this.#socket).writing.withdraw(this.#sending, error);
    this.#sending = undefined;
    for (const waiting of [...this.#forEmpty, ...this.#forRoom]) waiting.reject(error);
  }

  /** Ends the queue, not the socket: what is queued is dropped, who waits gets `ECANCELED`. */
  close(): void {
    if (this.#failure === undefined) this.#fail(socketError(ECANCELED, "sendmmsg"));
  }

  /** Waits until everything is sent, and ends the queue. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#failure === undefined) await this.flush();
    } finally {
      this.close();
    }
  }
}
