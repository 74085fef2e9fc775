// TlsReader: the reading side of a TLS connection, with the decrypted bytes that were not read yet.
//
// Node delivers decrypted bytes. If a read waits, they go into its buffer. Otherwise they are stored, and Node is
// paused. Node still delivers the rest of its last read of the connection below, so the stored bytes stay below 64 KiB.
// While Node is paused, it does not report the end. So after a call of `whenEnded()` Node is paused only at
// `READ_AHEAD` bytes.

import { isUint8Array } from "node:util/types";
import { quote } from "../check/index.js";
import { BusyError, type SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { BrokenWaiters } from "../stream/brokenWaiters.js";
import type { TimerRefs } from "../wait/timerRefs.js";
import { clock } from "../builtins.js";
import { registry } from "../registry/index.js";
import { optionsError, PendingCall } from "../wait/pendingCall.js";
import { localError, timeoutError } from "../wait/localError.js";
import { rejection } from "../wait/rejection.js";

// oxlint-disable-next-line typescript/unbound-method -- it is called with a `this` of its own
const { set } = Uint8Array.prototype;

/** Copies the beginning of a chunk into `target`; returns the rest. */
function fill(target: Uint8Array, chunk: Buffer): Buffer | undefined {
  const room = target.length;
  if (chunk.length <= room) {
    target.set(chunk);
    return undefined;
  }
  target.set(chunk.subarray(0, room));
  return chunk.subarray(room);
}

/** The stored bytes at which Node is paused after a call of `whenEnded()`. */
const READ_AHEAD = 65_536;

/** The state of the pending read: none, a read into a buffer, or a read of a chunk. */
const IDLE = 0;
const INTO = 1;
const CHUNK = 2;
const NO_ROOM = new Uint8Array(0);

/** Replaces the resolve function of a settled promise, which would keep the result alive. */
function ignore(): void {}

type Resolve = (value: number | Buffer | null | Promise<never>) => void;

// The executor of a promise runs at once, so its resolve function is passed in a variable. That saves a closure.
let takenResolve: (value: never) => void;
function keepResolve(resolve: (value: never) => void): void {
  takenResolve = resolve;
}

class TimedRead<T> extends PendingCall<T> {
  readonly #drop: () => void;

  constructor(opts: IoOptions, refs: TimerRefs, drop: () => void) {
    super(opts, undefined, refs);
    this.#drop = drop;
  }

  protected override cancel(): SocketError {
    this.#drop();
    return timeoutError("read");
  }
}

/** The TLS socket, which calls `push()` of the reader. */
export interface Source {
  /** Resumes after `push` returned false. */
  resume(): void;
  /** Sets whether a read waits and keeps the process alive. */
  waiting(yes: boolean): void;
}

export class TlsReader {
  readonly #source: Source;
  readonly #refs: TimerRefs;
  readonly #chunks: Buffer[] = [];
  /**
   * The state of the pending read. There is at most one, so its state is in fields and not in an object. It stores only
   * a resolve function, because each stored function costs time in the garbage collector. To reject, it resolves with a
   * rejected promise.
   */
  #waits: typeof IDLE | typeof INTO | typeof CHUNK = IDLE;
  #target: Uint8Array = NO_ROOM;
  #resolve: Resolve = ignore;
  /** When the pending read began, as of `clock()`. */
  since: number = 0;
  /** Bytes that reads have returned, and the number of those reads. */
  bytes: number = 0;
  reads: number = 0;
  #paused = false;
  #ended = false;
  #dropping = false;
  #failure: { readonly error: unknown } | undefined;
  #ending: BrokenWaiters | undefined;

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
    return this.#waits !== IDLE;
  }

  /** Decrypted bytes that no read has returned yet. */
  get buffered(): number {
    return this.#chunks.reduce((sum, { length }) => sum + length, 0);
  }

  #count(bytes: number): void {
    this.bytes += bytes;
    this.reads++;
  }

  /** Whether the end or an error has been delivered. */
  get over(): boolean {
    return this.#ended || this.#failure !== undefined;
  }

  /** The calls of `whenEnded()`. Made for the first one. */
  get ending(): BrokenWaiters {
    if (this.#ending === undefined) {
      this.#ending = new BrokenWaiters("whenEnded");
      if (this.over) this.#ending.resolveAll(this.#failure?.error);
      if (this.#dropping) this.#ending.close();
      else if (!this.over && this.buffered < READ_AHEAD) this.#resume();
    }
    return this.#ending;
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
    if (this.#chunks.length > 0) return Promise.resolve(this.#serve(target));
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#ended) return Promise.resolve(0);
    this.#target = target;
    return this.#wait<number>(INTO, opts);
  }

  /** Reads one chunk as Node delivered it, without a copy; null at the end. */
  readChunk(opts: IoOptions | undefined): Promise<Buffer | null> {
    const refused = this.#refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#count(chunk.length);
      this.#resumeWhenEmpty();
      return Promise.resolve(chunk);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#ended) return Promise.resolve(null);
    return this.#wait<Buffer | null>(CHUNK, opts);
  }

  /** Takes a chunk of decrypted bytes. False pauses Node. */
  push(chunk: Buffer): boolean {
    let rest: Buffer | undefined = chunk;
    // The buffer was detached during the wait. A result of 0 would look like the end.
    if (this.#waits === INTO && this.#target.length === 0) this.#refuse(localError("EFAULT", "read"));
    if (this.#waits === INTO) {
      const target = this.#target;
      const resolve = this.#settle();
      rest = fill(target, chunk);
      const count = rest === undefined ? chunk.length : target.length;
      this.#count(count);
      resolve(count);
    } else if (this.#waits === CHUNK) {
      rest = undefined;
      this.#count(chunk.length);
      this.#settle()(chunk);
    } else if (this.#dropping) return true;
    this.#paused = false;
    if (rest === undefined) return true;
    this.#chunks.push(rest);
    this.#paused = this.#ending === undefined || this.buffered >= READ_AHEAD;
    return !this.#paused;
  }

  /** As `push`, for bytes that are valid only during the call. */
  copy(bytes: Buffer): boolean {
    if (this.#waits === INTO && bytes.length <= this.#target.length) {
      // Not the `set` of the target, which users may have overridden: their code must not get the record buffer.
      set.call(this.#target, bytes);
      this.#count(bytes.length);
      this.#settle()(bytes.length);
      return true;
    }
    return this.#dropping || this.push(Buffer.from(bytes));
  }

  end(): void {
    if (this.over) return;
    this.#ended = true;
    this.#ending?.resolveAll(undefined);
    const waited = this.#waits;
    if (waited !== IDLE) this.#settle()(waited === INTO ? 0 : null);
  }

  /** Stores the error. Bytes that arrived before can still be read. */
  fail(error: unknown): void {
    if (this.over) return;
    this.#failure = { error };
    this.#ending?.resolveAll(error);
    this.#refuse(error);
  }

  /** Ends reading because this side closes. Later bytes are dropped, so that the peer is not blocked. */
  cancel(): void {
    this.#chunks.length = 0;
    this.#ending?.close();
    this.#refuse(localError("ECANCELED", "read"));
    this.#dropping = true;
    if (!this.over) this.#resume();
  }

  #refuse(error: unknown): void {
    if (this.#waits !== IDLE) this.#settle()(rejection(error));
  }

  /** Clears the pending read, and returns its resolve function. */
  #settle(): Resolve {
    const resolve = this.#resolve;
    this.#waits = IDLE;
    this.#target = NO_ROOM;
    this.#resolve = ignore;
    this.#source.waiting(false);
    if (registry !== undefined) registry.removeCall(this);
    return resolve;
  }

  #refusal(opts: IoOptions | undefined): { readonly error: unknown } | undefined {
    return this.#waits === IDLE ? optionsError(opts, "read") : { error: new BusyError("read") };
  }

  #wait<T extends number | Buffer | null>(what: typeof INTO | typeof CHUNK, opts: IoOptions | undefined): Promise<T> {
    let promise: Promise<T>;
    if (opts?.timeout === undefined && opts?.signal === undefined) {
      promise = new Promise<T>(keepResolve);
      this.#resolve = takenResolve as Resolve;
    } else {
      const timed = new TimedRead<T>(opts, this.#refs, () => void this.#settle());
      promise = timed.promise;
      this.#resolve = (value) => timed.resolve(value as T);
    }
    this.#waits = what;
    this.since = clock();
    if (registry !== undefined) registry.addCall(this, "read", this);
    this.#source.waiting(true);
    this.#resume();
    return promise;
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#source.resume();
  }

  #resumeWhenEmpty(): void {
    if (this.#chunks.length === 0 && !this.over) this.#resume();
  }

  #serve(target: Uint8Array): number {
    const chunks = this.#chunks;
    let filled = 0;
    for (let chunk = chunks[0]; chunk !== undefined && filled < target.length; chunk = chunks[0]) {
      const rest = fill(filled === 0 ? target : target.subarray(filled), chunk);
      filled += chunk.length - (rest?.length ?? 0);
      if (rest === undefined) chunks.shift();
      else chunks[0] = rest;
    }
    this.#resumeWhenEmpty();
    this.#count(filled);
    return filled;
  }
}
