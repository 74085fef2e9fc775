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
  readonly target: Uint8Array;
  resolve(count: number): void;
  reject(error: unknown): void;
}

/** Without timeout and signal, which is the usual one: a promise and nothing else. */
class PlainRead implements Pending {
  readonly target: Uint8Array;
  readonly promise: Promise<number>;
  resolve!: (count: number) => void;
  reject!: (error: unknown) => void;

  constructor(target: Uint8Array) {
    this.target = target;
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

class TimedRead extends Wait<number> implements Pending {
  readonly target: Uint8Array;
  readonly #drop: () => void;

  constructor(target: Uint8Array, opts: IoOptions, drop: () => void) {
    super(opts);
    this.target = target;
    this.#drop = drop;
  }

  protected override cut(): SocketError {
    this.#drop();
    return socketError("ETIMEDOUT", "read");
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
  readonly #chunks: Uint8Array[] = [];
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

  read(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    if (this.#pending !== undefined) return Promise.reject(new BusyError("read"));
    const refused = refusal(opts);
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
    const waits = opts?.timeout !== undefined || opts?.signal !== undefined;
    const read = waits ? new TimedRead(target, opts, () => this.#settle()) : new PlainRead(target);
    this.#pending = read;
    this.#source.waiting(true);
    this.#resume();
    return read.promise;
  }

  /** Takes what was decrypted; false asks for a pause. */
  push(chunk: Uint8Array): boolean {
    if (this.#dropping) return true;
    const read = this.#settle();
    if (read === undefined) {
      this.#chunks.push(chunk);
      this.#paused = true;
      return false;
    }
    const { target } = read;
    const room = target.length;
    if (chunk.length <= room) {
      target.set(chunk);
      read.resolve(chunk.length);
      this.#paused = false;
      return true;
    }
    target.set(chunk.subarray(0, room));
    this.#chunks.push(chunk.subarray(room));
    read.resolve(room);
    this.#paused = true;
    return false;
  }

  end(): void {
    if (this.over) return;
    this.#ended = true;
    this.#settle()?.resolve(0);
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

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#source.resume();
  }

  #serve(target: Uint8Array): number {
    const chunks = this.#chunks;
    let filled = 0;
    while (filled < target.length) {
      const chunk = chunks[0];
      if (chunk === undefined) break;
      const size = Math.min(chunk.length, target.length - filled);
      target.set(size === chunk.length ? chunk : chunk.subarray(0, size), filled);
      filled += size;
      if (size === chunk.length) chunks.shift();
      else chunks[0] = chunk.subarray(size);
    }
    if (chunks.length === 0 && !this.over) this.#resume();
    return filled;
  }
}
