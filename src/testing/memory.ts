// Two connected ends in memory, which behave as a connection of the kernel does, or as badly as a test wants.

import type { Address } from "../addr/address.js";
import { BusyError } from "../errors/index.js";
import type { Conn, Data, IoOptions } from "../io.js";
import { type Clock, systemClock } from "../wait/clock.js";
import { toParts, wrongTarget } from "../stream/data.js";
import { refusal } from "../wait/pendingCall.js";
import { localError } from "../wait/localError.js";
import { type Fault, FaultScript } from "./faults.js";
import { MemoryPipe } from "./memoryPipe.js";

/** How a connection in memory behaves; both directions alike. */
export interface MemoryOptions {
  /** Bytes that each direction holds before writes wait. Default 64 KiB. */
  readonly capacity?: number | undefined;
  /** Milliseconds from a write to the read that may get it. Default 0. */
  readonly latency?: number | undefined;
  /**
   * Most bytes that one read gives: a number, or a function of how many it could give (see {@link seededChunks}).
   * Default: all that the buffer holds.
   */
  readonly chunking?: number | ((available: number) => number) | undefined;
  /** Failures by script. */
  readonly faults?: readonly Fault[] | undefined;
  /** Where latency and timeouts take their time from. Default: the system's clock. */
  readonly clock?: Clock | undefined;
  /** The addresses of the two ends. Default: none. */
  readonly addresses?: readonly [Address | undefined, Address | undefined] | undefined;
}

/** One end of a connection in memory. */
export class MemoryConn implements Conn {
  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
  readonly #incoming: MemoryPipe;
  readonly #outgoing: MemoryPipe;
  #closed = false;
  #finishing: Promise<void> | undefined;

  /** @internal Made by {@link memoryPair}. */
  constructor(incoming: MemoryPipe, outgoing: MemoryPipe, local: Address | undefined, remote: Address | undefined) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.localAddress = local;
    this.remoteAddress = remote;
  }

  /** Bytes that were written here and not read by the other end. */
  get unread(): number {
    return this.#outgoing.held;
  }

  /** Whether `close()` or `abort()` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  get reading(): boolean {
    return this.#incoming.reading;
  }

  read(buffer: Uint8Array, opts?: IoOptions): Promise<number> {
    if (this.#closed) return Promise.reject(localError("EBADF", "read"));
    if (this.#incoming.reading) return Promise.reject(new BusyError("read"));
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    const wrong = wrongTarget(buffer);
    if (wrong !== undefined) return Promise.reject(wrong);
    return this.#incoming.read(buffer, opts);
  }

  write(data: Data, opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "write"));
    let parts;
    try {
      parts = toParts(data);
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#finishing !== undefined) return Promise.reject(localError("EPIPE", "write"));
    return this.#outgoing.write(parts, opts);
  }

  closeWrite(opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "closeWrite"));
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    // The first call queues the end; a later one only waits for it.
    const ending = this.#outgoing.end(opts);
    this.#finishing ??= ending;
    return ending;
  }

  whenBroken(opts?: IoOptions): Promise<unknown> {
    return this.#outgoing.whenBroken(opts);
  }

  close(): Promise<void> {
    this.#leave(false);
    return Promise.resolve();
  }

  abort(): void {
    this.#leave(true);
  }

  /**
   * Lets the process end while calls wait here: neither these, those that wait already among them, nor their deadlines keep it alive
   * from now on.
   */
  unref(): this {
    this.#incoming.readerRefs.held = this.#outgoing.writerRefs.held = false;
    return this;
  }

  /** Undoes `unref()`: a call that waits keeps the process alive, as it does from the beginning. */
  ref(): this {
    this.#incoming.readerRefs.held = this.#outgoing.writerRefs.held = true;
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #leave(reset: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#outgoing.leave(reset);
    this.#incoming.refuse(reset);
  }
}

/**
 * Two connected ends.
 *
 * @example
 * ```ts
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, b] = memoryPair({ chunking: 3 });
 * await a.write("hello");
 * console.log(await b.read(new Uint8Array(16))); // prints: 3
 * ```
 */
export function memoryPair(opts: MemoryOptions = {}): [MemoryConn, MemoryConn] {
  const { capacity = 65_536, latency = 0, chunking = Infinity, faults = [], clock = systemClock, addresses } = opts;
  if (!(capacity >= 1)) throw new RangeError(`capacity must be at least 1 byte, found ${capacity}`);
  if (!(latency >= 0)) throw new RangeError(`latency must be at least 0 milliseconds, found ${latency}`);
  const chunk = typeof chunking === "number" ? (): number => chunking : chunking;
  const pipe = (from: "a" | "b", to: "a" | "b"): MemoryPipe =>
    new MemoryPipe(
      { capacity, latency, chunk, clock },
      {
        read: new FaultScript(faults, to, "read"),
        write: new FaultScript(faults, from, "write"),
        closeWrite: new FaultScript(faults, from, "closeWrite"),
      },
    );
  const forth = pipe("a", "b");
  const back = pipe("b", "a");
  const [a, b] = addresses ?? [undefined, undefined];
  return [new MemoryConn(back, forth, a, b), new MemoryConn(forth, back, b, a)];
}

/**
 * Chunk sizes from 1 to `most` in an order that depends on `seed` only, for `chunking`.
 *
 * @example
 * ```ts
 * import { memoryPair, seededChunks } from "berkeley/testing";
 *
 * const [a, b] = memoryPair({ chunking: seededChunks(7, 100) });
 * ```
 */
export function seededChunks(seed: number, most: number): (available: number) => number {
  const next = seededNumbers(seed);
  return () => 1 + Math.floor(next() * most);
}

/** A function that returns numbers from 0 to 1. They depend on `seed` only (mulberry32). */
export function seededNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
