// The reading side of a TLS connection: what was decrypted and nobody has read.
//
// Node hands over what it decrypts. With a reader waiting that goes straight into the reader's buffer; else it is kept, and
// Node is told to stop. What one read of the connection below had brought still comes, so what is kept stays under the
// 64 KiB that Node reads at a time.

import { isUint8Array } from "node:util/types";
import { quote } from "../check/index.js";
import { BusyError, type SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import type { TimerRefs } from "../wait/timerRefs.js";
import { refusal, Wait } from "../wait/pendingCall.js";
import { localError, timeoutError } from "../wait/localError.js";

// oxlint-disable-next-line typescript/unbound-method -- it is called with a `this` of its own
const { set } = Uint8Array.prototype;

/** Puts the beginning of a chunk into `target`; returns the rest. */
function fill(target: Uint8Array, chunk: Buffer): Buffer | undefined {
  const room = target.length;
  if (chunk.length <= room) {
    target.set(chunk);
    return undefined;
  }
  target.set(chunk.subarray(0, room));
  return chunk.subarray(room);
}

/** What a read waits for: nothing, bytes in its buffer, or a chunk. */
const IDLE = 0;
const INTO = 1;
const CHUNK = 2;
const NO_ROOM = new Uint8Array(0);

/** In the place of a promise's function, which would keep alive what it was resolved with. */
function forget(): void {}

type Resolve = (value: number | Buffer | null | Promise<never>) => void;

// The executor of a promise runs at once, so its function can be handed over in a variable withoutReplaced of a closure.
let takenResolve: (value: never) => void;
function take(resolve: (value: never) => void): void {
  takenResolve = resolve;
}

class TimedRead<T> extends Wait<T> {
  readonly #drop: () => void;

  constructor(opts: IoOptions, refs: TimerRefs, drop: () => void) {
    super(opts, undefined, refs);
    this.#drop = drop;
  }

  protected override cut(): SocketError {
    this.#drop();
    return timeoutError("read");
  }
}

/** Who pushes. */
export interface Source {
  /** Asks for more after `push` returned false. */
  resume(): void;
  /** A read waits, or none does any more: whether the process shall stay alive for it. */
  waiting(yes: boolean): void;
}

export class TlsReader {
  readonly #source: Source;
  readonly #refs: TimerRefs;
  readonly #chunks: Buffer[] = [];
  /**
   * The read that waits. There is one at a time, so it takes no object of its own; and one function settles it, because each
   * that is kept here is one more for the collector to know of. An error is resolved with as a promise that was rejected.
   */
  #waits: typeof IDLE | typeof INTO | typeof CHUNK = IDLE;
  #target: Uint8Array = NO_ROOM;
  #resolve: Resolve = forget;
  #paused = false;
  #ended = false;
  #dropping = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(source: Source, refs: TimerRefs) {
    this.#source = source;
    this.#refs = refs;
  }

  /** Whether Node was told to stop. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Whether a read waits. */
  get waiting(): boolean {
    return this.#waits !== IDLE;
  }

  /** Whether nothing more will come. */
  get over(): boolean {
    return this.#ended || this.#failure !== undefined;
  }

  /** Into `target`. */
  read(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    const refused = this.#refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (!isUint8Array(target)) {
      return Promise.reject(new TypeError(`Cannot read: buffer is ${quote(target)}, required a Uint8Array`));
    }
    if (target.length === 0) {
      return Promise.reject(new RangeError("Cannot read: buffer has no room, required at least 1 byte"));
    }
    if (this.#chunks.length > 0) return Promise.resolve(this.#serve(target));
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#ended) return Promise.resolve(0);
    this.#target = target;
    return this.#wait<number>(INTO, opts);
  }

  /** What was decrypted in one piece, without a copy; null at the end. */
  readChunk(opts: IoOptions | undefined): Promise<Buffer | null> {
    const refused = this.#refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#resumeWhenEmpty();
      return Promise.resolve(chunk);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#ended) return Promise.resolve(null);
    return this.#wait<Buffer | null>(CHUNK, opts);
  }

  /** Takes what was decrypted; false asks for a pause. */
  push(chunk: Buffer): boolean {
    let rest: Buffer | undefined = chunk;
    // 0 bytes would look like the end.
    if (this.#waits === INTO && this.#target.length === 0) this.#refuse(localError("EFAULT", "read"));
    if (this.#waits === INTO) {
      const target = this.#target;
      const resolve = this.#settle();
      rest = fill(target, chunk);
      resolve(rest === undefined ? chunk.length : target.length);
    } else if (this.#waits === CHUNK) {
      rest = undefined;
      this.#settle()(chunk);
    } else if (this.#dropping) return true;
    this.#paused = rest !== undefined;
    if (rest === undefined) return true;
    this.#chunks.push(rest);
    return false;
  }

  /** As `push`, of bytes that are gone when it returns. */
  copy(bytes: Buffer): boolean {
    if (this.#waits === INTO && bytes.length <= this.#target.length) {
      // Not a method of the target, which may be one of users: nobody is to see the slab.
      set.call(this.#target, bytes);
      this.#settle()(bytes.length);
      return true;
    }
    return this.#dropping || this.push(Buffer.from(bytes));
  }

  end(): void {
    if (this.over) return;
    this.#ended = true;
    const waited = this.#waits;
    if (waited !== IDLE) this.#settle()(waited === INTO ? 0 : null);
  }

  /** What came before it can still be read. */
  fail(error: unknown): void {
    if (this.over) return;
    this.#failure = { error };
    this.#refuse(error);
  }

  /** The connection was given up on this side. What still comes is dropped, so that the peer is not held up by it. */
  cancel(): void {
    this.#chunks.length = 0;
    this.#refuse(localError("ECANCELED", "read"));
    this.#dropping = true;
    if (!this.over) this.#resume();
  }

  #refuse(error: unknown): void {
    if (this.#waits !== IDLE) this.#settle()(Promise.reject(error));
  }

  /** No read waits any more. Returns what answers the one that did. */
  #settle(): Resolve {
    const resolve = this.#resolve;
    this.#waits = IDLE;
    this.#target = NO_ROOM;
    this.#resolve = forget;
    this.#source.waiting(false);
    return resolve;
  }

  #refusal(opts: IoOptions | undefined): { readonly error: unknown } | undefined {
    return this.#waits === IDLE ? refusal(opts) : { error: new BusyError("read") };
  }

  #wait<T extends number | Buffer | null>(what: typeof INTO | typeof CHUNK, opts: IoOptions | undefined): Promise<T> {
    let promise: Promise<T>;
    if (opts?.timeout === undefined && opts?.signal === undefined) {
      promise = new Promise<T>(take);
      this.#resolve = takenResolve as Resolve;
    } else {
      const timed = new TimedRead<T>(opts, this.#refs, () => void this.#settle());
      promise = timed.promise;
      this.#resolve = (value) => timed.resolve(value as T);
    }
    this.#waits = what;
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
    return filled;
  }
}
