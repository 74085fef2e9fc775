// The reading side of a TLS connection: what was decrypted and nobody has read.
//
// Node pushes what it decrypts. With a reader waiting that goes straight into the reader's buffer; else it is kept, and
// Node is told to stop. What one read of the connection below had brought still comes, so what is kept stays under the
// 64 KiB that Node reads at a time.

import { BusyError, type SocketError } from "../errors.js";
import type { IoOptions } from "../io.js";
import { refusal, socketError, Wait } from "../stream/wait.js";

/** A read that waits. */
interface Pending {
  /** Answers it; returns what is left of the chunk. */
  take(chunk: Buffer): Buffer | undefined;
  end(): void;
  reject(error: unknown): void;
}

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

/** A promise and nothing else, for a read without timeout and signal, which is the usual one. */
class Plain<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

class Timed<T> extends Wait<T> {
  readonly #drop: () => void;

  constructor(opts: IoOptions, drop: () => void) {
    super(opts);
    this.#drop = drop;
  }

  protected override cut(): SocketError {
    this.#drop();
    return socketError("ETIMEDOUT", "read");
  }
}

/** What a promise is made of, with or without a timeout. */
interface Answer<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

class IntoBuffer implements Pending {
  readonly #target: Uint8Array;
  readonly #answer: Answer<number>;

  constructor(target: Uint8Array, answer: Answer<number>) {
    this.#target = target;
    this.#answer = answer;
  }

  take(chunk: Buffer): Buffer | undefined {
    const rest = fill(this.#target, chunk);
    this.#answer.resolve(rest === undefined ? chunk.length : this.#target.length);
    return rest;
  }

  end(): void {
    this.#answer.resolve(0);
  }

  reject(error: unknown): void {
    this.#answer.reject(error);
  }
}

class AsChunk implements Pending {
  readonly #answer: Answer<Buffer | null>;

  constructor(answer: Answer<Buffer | null>) {
    this.#answer = answer;
  }

  take(chunk: Buffer): undefined {
    this.#answer.resolve(chunk);
  }

  end(): void {
    this.#answer.resolve(null);
  }

  reject(error: unknown): void {
    this.#answer.reject(error);
  }
}

/** Who pushes. */
export interface Source {
  /** Asks for more after `push` returned false. */
  resume(): void;
  /** A read waits, or none does any more: whether the process shall stay alive for it. */
  waiting(yes: boolean): void;
}

export class Incoming {
  readonly #source: Source;
  readonly #chunks: Buffer[] = [];
  #pending: Pending | undefined;
  #paused = false;
  #ended = false;
  #dropping = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(source: Source) {
    this.#source = source;
  }

  /** Whether Node was told to stop. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Whether a read waits. */
  get waiting(): boolean {
    return this.#pending !== undefined;
  }

  /** Whether nothing more will come. */
  get over(): boolean {
    return this.#ended || this.#failure !== undefined;
  }

  /** Into `target`. */
  read(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    const refused = this.#refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (!(target instanceof Uint8Array)) {
      return Promise.reject(new TypeError(`Cannot read: buffer is a ${typeof target}, required a Uint8Array`));
    }
    if (target.length === 0) {
      return Promise.reject(new RangeError("Cannot read: buffer has no room, required at least 1 byte"));
    }
    if (this.#chunks.length > 0) return Promise.resolve(this.#serve(target));
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#ended) return Promise.resolve(0);
    const answer = this.#answer<number>(opts);
    this.#wait(new IntoBuffer(target, answer));
    return answer.promise;
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
    const answer = this.#answer<Buffer | null>(opts);
    this.#wait(new AsChunk(answer));
    return answer.promise;
  }

  /** Takes what was decrypted; false asks for a pause. */
  push(chunk: Buffer): boolean {
    if (this.#dropping) return true;
    const rest = this.#pending === undefined ? chunk : this.#settle()!.take(chunk);
    this.#paused = rest !== undefined;
    if (rest === undefined) return true;
    this.#chunks.push(rest);
    return false;
  }

  end(): void {
    if (this.over) return;
    this.#ended = true;
    this.#settle()?.end();
  }

  /** What came before it can still be read. */
  fail(error: unknown): void {
    if (this.over) return;
    this.#failure = { error };
    this.#settle()?.reject(error);
  }

  /** The connection was given up on this side. What still comes is dropped, so that the peer is not held up by it. */
  cancel(): void {
    this.#chunks.length = 0;
    this.#settle()?.reject(socketError("ECANCELED", "read"));
    this.#dropping = true;
    if (!this.over) this.#resume();
  }

  #settle(): Pending | undefined {
    const read = this.#pending;
    if (read === undefined) return undefined;
    this.#pending = undefined;
    this.#source.waiting(false);
    return read;
  }

  #refusal(opts: IoOptions | undefined): { readonly error: unknown } | undefined {
    return this.#pending === undefined ? refusal(opts) : { error: new BusyError("read") };
  }

  #answer<T>(opts: IoOptions | undefined): Answer<T> {
    if (opts?.timeout === undefined && opts?.signal === undefined) return new Plain<T>();
    return new Timed<T>(opts, () => this.#settle());
  }

  #wait(pending: Pending): void {
    this.#pending = pending;
    this.#source.waiting(true);
    this.#resume();
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
