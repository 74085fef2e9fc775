// TlsReader: the reading side of a TLS connection, with the decrypted bytes that were not read yet.
//
// Node delivers decrypted bytes by calling `push()`. If a read waits, they go into its buffer. Otherwise the reader
// stores the bytes and pauses Node: `push()` returns false, and Node stops reading the connection below. Node still
// delivers the rest of its last read, which has fewer than 64 KiB. So the reader stores fewer than 64 KiB.
//
// While Node is paused, it does not report the end. So after a call of `whenEnded()` the reader stores more: it pauses
// Node only when `READ_AHEAD` bytes are stored.

import { isUint8Array } from "node:util/types";
import { quote } from "../check/index.js";
import { BusyError, type SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { EndWaiters } from "../stream/endWaiters.js";
import type { TimerRefs } from "../wait/timerRefs.js";
import { clock } from "../builtins.js";
import { registry } from "../registry/index.js";
import { optionsError, PendingCall } from "../wait/pendingCall.js";
import { localError, timeoutError } from "../wait/localError.js";
import { rejection } from "../wait/rejection.js";

// oxlint-disable-next-line typescript/unbound-method -- it is called with an explicit `this`
const { set } = Uint8Array.prototype;

/** Copies a chunk into `target`, as much as fits. Returns the rest of the chunk; undefined if there is none. */
function copyInto(target: Uint8Array, chunk: Buffer): Buffer | undefined {
  const { length } = target;
  if (chunk.length <= length) {
    target.set(chunk);
    return undefined;
  }
  target.set(chunk.subarray(0, length));
  return chunk.subarray(length);
}

/** The number of stored bytes at which the reader pauses Node after a call of `whenEnded()`. */
const READ_AHEAD = 65_536;

/** Values of `#reading`: no read, a read into the caller's buffer, or a read of a chunk. */
const NO_READ = 0;
const READ_INTO = 1;
const READ_CHUNK = 2;
const EMPTY = new Uint8Array(0);

/** Replaces the resolve function of a settled promise. That function would keep the result alive. */
function ignore(): void {}

type Resolve = (result: number | Buffer | null | Promise<never>) => void;

// The executor of a promise runs during `new Promise()`. So a shared executor can pass the resolve function in a
// variable, which saves a closure for each promise.
let lastResolve: (value: never) => void;
function storeResolve(resolve: (value: never) => void): void {
  lastResolve = resolve;
}

/** A read with a timeout or a signal. */
class TimedRead<T> extends PendingCall<T> {
  readonly #remove: () => void;

  /** @param remove removes the read from the reader, after the timeout or an abort */
  constructor(opts: IoOptions, refs: TimerRefs, remove: () => void) {
    super(opts, undefined, refs);
    this.#remove = remove;
  }

  protected override cancel(): SocketError {
    this.#remove();
    return timeoutError("read");
  }
}

/** Node's TLS socket, the source of the bytes. It calls `push()` of the reader. */
export interface Source {
  /** Makes Node deliver bytes again after `push()` returned false. */
  resume(): void;
  /** Sets whether a read waits. A waiting read keeps the process alive. */
  setWaiting(waiting: boolean): void;
}

export class TlsReader {
  readonly #source: Source;
  readonly #refs: TimerRefs;
  /** The stored bytes, which no read has returned yet. */
  readonly #chunks: Buffer[] = [];
  // At most one read is pending. The next three fields describe it, because an object for each read would cost time. A
  // stored reject function would cost time in the garbage collector. So to reject a read, the reader calls
  // `#resolve` with a rejected promise.
  #reading: typeof NO_READ | typeof READ_INTO | typeof READ_CHUNK = NO_READ;
  /** The caller's buffer, for READ_INTO. */
  #buffer: Uint8Array = EMPTY;
  #resolve: Resolve = ignore;
  /** When the pending read began, as of `clock()`. */
  since: number = 0;
  /** The number of bytes that reads have returned. */
  bytes: number = 0;
  /** The number of reads that have returned bytes. */
  reads: number = 0;
  /** Whether Node is paused. */
  #paused = false;
  #ended = false;
  /** Whether this side has closed. Bytes that arrive afterwards are discarded. */
  #discarding = false;
  /** The error after which no bytes arrive. */
  #failure: { readonly error: unknown } | undefined;
  #endWaiters: EndWaiters | undefined;

  constructor(source: Source, refs: TimerRefs) {
    this.#source = source;
    this.#refs = refs;
  }

  /** Whether Node is paused. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Whether a read waits. */
  get waiting(): boolean {
    return this.#reading !== NO_READ;
  }

  /** Decrypted bytes that no read has returned yet. */
  get buffered(): number {
    return this.#chunks.reduce((sum, { length }) => sum + length, 0);
  }

  #countRead(bytes: number): void {
    this.bytes += bytes;
    this.reads++;
  }

  /** Whether the end or an error was reported. */
  get endedOrFailed(): boolean {
    return this.#ended || this.#failure !== undefined;
  }

  /** See {@link Reader.whenEnded}. The first call makes Node read ahead, so that Node reports the end. */
  whenEnded(opts: IoOptions | undefined): Promise<unknown> {
    if (this.#endWaiters === undefined) {
      this.#endWaiters = new EndWaiters("whenEnded");
      if (this.endedOrFailed) this.#endWaiters.resolveAll(this.#failure?.error);
      if (this.#discarding) this.#endWaiters.close();
      else if (!this.endedOrFailed && this.buffered < READ_AHEAD) this.#resume();
    }
    return this.#endWaiters.wait(opts);
  }

  /** Reads into `target`; resolves with the number of bytes, 0 at the end. */
  read(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    const refused = this.#refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (!isUint8Array(target)) {
      return Promise.reject(new TypeError(`Cannot read: buffer is ${quote(target)}, required a Uint8Array`));
    }
    if (target.length === 0) {
      return Promise.reject(new RangeError("Cannot read: buffer has 0 bytes, required at least 1"));
    }
    if (this.#chunks.length > 0) return Promise.resolve(this.#readStored(target));
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#ended) return Promise.resolve(0);
    this.#buffer = target;
    return this.#startRead<number>(READ_INTO, opts);
  }

  /** Reads the next chunk that was pushed, without a further copy; null at the end. */
  readChunk(opts: IoOptions | undefined): Promise<Buffer | null> {
    const refused = this.#refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#countRead(chunk.length);
      this.#resumeWhenEmpty();
      return Promise.resolve(chunk);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#ended) return Promise.resolve(null);
    return this.#startRead<Buffer | null>(READ_CHUNK, opts);
  }

  /** Node calls this method with a chunk of decrypted bytes. Returns false to pause Node. */
  push(chunk: Buffer): boolean {
    /** The bytes to store, because no read takes them. */
    let rest: Buffer | undefined = chunk;
    // If the caller's buffer has no bytes any more, its ArrayBuffer was detached during the wait. The result 0 would
    // look like the end.
    if (this.#reading === READ_INTO && this.#buffer.length === 0) this.#rejectRead(localError("EFAULT", "read"));
    if (this.#reading === READ_INTO) {
      const target = this.#buffer;
      const resolve = this.#removeRead();
      rest = copyInto(target, chunk);
      const count = rest === undefined ? chunk.length : target.length;
      this.#countRead(count);
      resolve(count);
    } else if (this.#reading === READ_CHUNK) {
      rest = undefined;
      this.#countRead(chunk.length);
      this.#settleRead(chunk);
    } else if (this.#discarding) {
      return true;
    }
    this.#paused = false;
    if (rest === undefined) return true;
    this.#chunks.push(rest);
    this.#paused = this.#endWaiters === undefined || this.buffered >= READ_AHEAD;
    return !this.#paused;
  }

  /** Does the same as `push()`, for bytes that are valid only during the call. */
  pushCopy(bytes: Buffer): boolean {
    if (this.#reading === READ_INTO && bytes.length <= this.#buffer.length) {
      // The caller may have overridden `set` of its buffer. Its code must not get `bytes`, which other connections use.
      set.call(this.#buffer, bytes);
      this.#countRead(bytes.length);
      this.#settleRead(bytes.length);
      return true;
    }
    return this.#discarding || this.push(Buffer.from(bytes));
  }

  /** Stores the end, and completes the pending read. */
  end(): void {
    if (this.endedOrFailed) return;
    this.#ended = true;
    this.#endWaiters?.resolveAll(undefined);
    this.#settleRead(this.#reading === READ_INTO ? 0 : null);
  }

  /** Stores the error, and rejects the pending read. Bytes that arrived before can still be read. */
  fail(error: unknown): void {
    if (this.endedOrFailed) return;
    this.#failure = { error };
    this.#endWaiters?.resolveAll(error);
    this.#rejectRead(error);
  }

  /**
   * Rejects the pending read and drops the stored bytes, because this side closes. Later bytes are discarded, so that
   * the peer's writes do not block.
   */
  cancel(): void {
    this.#chunks.length = 0;
    this.#endWaiters?.close();
    this.#rejectRead(localError("ECANCELED", "read"));
    this.#discarding = true;
    if (!this.endedOrFailed) this.#resume();
  }

  #rejectRead(error: unknown): void {
    if (this.#reading !== NO_READ) this.#settleRead(rejection(error));
  }

  /** Removes and resolves the pending read, if there is one. */
  #settleRead(result: Parameters<Resolve>[0]): void {
    if (this.#reading === NO_READ) return;
    const resolve = this.#removeRead();
    resolve(result);
  }

  /** Removes the pending read, and returns its resolve function. */
  #removeRead(): Resolve {
    const resolve = this.#resolve;
    this.#reading = NO_READ;
    this.#buffer = EMPTY;
    this.#resolve = ignore;
    this.#source.setWaiting(false);
    if (registry !== undefined) registry.removeCall(this);
    return resolve;
  }

  /** The error for a call that must not start, or undefined. */
  #refusal(opts: IoOptions | undefined): { readonly error: unknown } | undefined {
    return this.#reading === NO_READ ? optionsError(opts, "read") : { error: new BusyError("read") };
  }

  #startRead<T extends number | Buffer | null>(
    reading: typeof READ_INTO | typeof READ_CHUNK,
    opts: IoOptions | undefined,
  ): Promise<T> {
    let promise: Promise<T>;
    if (opts?.timeout === undefined && opts?.signal === undefined) {
      promise = new Promise<T>(storeResolve);
      this.#resolve = lastResolve as Resolve;
    } else {
      const timed = new TimedRead<T>(opts, this.#refs, () => void this.#removeRead());
      promise = timed.promise;
      this.#resolve = (value) => timed.resolve(value as T);
    }
    this.#reading = reading;
    this.since = clock();
    if (registry !== undefined) registry.addCall(this, "read", this);
    this.#source.setWaiting(true);
    this.#resume();
    return promise;
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#source.resume();
  }

  #resumeWhenEmpty(): void {
    if (this.#chunks.length === 0 && !this.endedOrFailed) this.#resume();
  }

  /** Copies stored bytes into `target`. Returns their number. */
  #readStored(target: Uint8Array): number {
    const chunks = this.#chunks;
    let filled = 0;
    for (let chunk = chunks[0]; chunk !== undefined && filled < target.length; chunk = chunks[0]) {
      const rest = copyInto(filled === 0 ? target : target.subarray(filled), chunk);
      filled += chunk.length - (rest?.length ?? 0);
      if (rest === undefined) chunks.shift();
      else chunks[0] = rest;
    }
    this.#resumeWhenEmpty();
    this.#countRead(filled);
    return filled;
  }
}
