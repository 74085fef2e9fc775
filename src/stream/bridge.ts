// A Conn over something that has its own idea of reading and writing: a Duplex, a pair of web streams.
//
// Such a thing gives chunks of its own size and can't take back a request for one, nor a chunk that it was handed. So:
// - a chunk that was asked for is kept when the read that asked is cut short, and the next read gets it. That is at most
//   one chunk;
// - a write is handed over in pieces, copied, each after the one before was taken. A write that is cut short counts the
//   piece under way as taken, since it will go out; nothing more is handed over until it did. That is at most one piece.

import type { Address } from "../addr/address.js";
import { BusyError, type SocketError } from "../errors/index.js";
import type { Conn, Data, IoOptions } from "../io.js";
import { Broken } from "./broken.js";
import { Parts, toParts, wrongTarget } from "./data.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { refusal, Wait } from "../wait/pendingCall.js";
import { localError, timeoutError } from "../wait/localError.js";

/** Most bytes that are handed over at a time. */
const PIECE = 65_536;

/** What a bridge needs of the other shore. No call is made while the same one is pending. */
export interface Shore {
  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
  /** The next chunk, null at the end. */
  pull(): Promise<Uint8Array | null>;
  /** Resolves when `bytes`, which are the shore's own, were taken. */
  push(bytes: Uint8Array): Promise<void>;
  /** Ends the writing side. */
  end(): Promise<void>;
  /** Gives it up; what was pushed still goes out. */
  close(): Promise<void>;
  /** Calls `tell` when nothing can be pushed any more. */
  onBroken(tell: (error: unknown) => void): void;
  /** Gives it up at once, as broken by `error`. */
  abort(error: SocketError): void;
  /** Whether a wait for it keeps the process alive; where it can say so. */
  keepAlive?(yes: boolean): void;
}

class Reading extends Wait<number> {
  readonly target: Uint8Array;
  readonly #drop: () => void;

  constructor(target: Uint8Array, opts: IoOptions | undefined, refs: TimerRefs, drop: () => void) {
    super(opts, undefined, refs);
    this.target = target;
    this.#drop = drop;
  }

  protected override cut(): SocketError {
    this.#drop();
    return timeoutError("read");
  }
}

/** A write or, without parts, the end of writing. */
class Writing extends Wait<void> {
  readonly parts: Parts | undefined;
  transferred = 0;
  readonly #drop: (job: Writing) => void;

  constructor(parts: Parts | undefined, opts: IoOptions | undefined, refs: TimerRefs, drop: (job: Writing) => void) {
    super(opts, undefined, refs);
    this.parts = parts;
    this.#drop = drop;
  }

  /** The error for a write that ends early, with how far it came. */
  failure(code: string): SocketError {
    if (this.parts === undefined) return localError(code, "closeWrite");
    return localError(code, "write", { transferred: this.transferred });
  }

  protected override cut(): SocketError {
    this.#drop(this);
    if (this.parts === undefined) return timeoutError("closeWrite");
    return timeoutError("write", { transferred: this.transferred });
  }
}

/** The Conn over a shore. */
export class BridgeConn implements Conn {
  readonly #shore: Shore;
  readonly #refs = new TimerRefs();
  #closed = false;
  #closing: Promise<void> | undefined;

  #reading: Reading | undefined;
  #pulling = false;
  #chunk: Uint8Array | undefined;
  #ended = false;
  #readError: { readonly error: unknown } | undefined;

  #queue: Writing[] = [];
  #pushing = false;
  #finishing = false;
  #finished = false;
  #writeError: { readonly error: unknown } | undefined;

  readonly #broken = new Broken();

  constructor(shore: Shore) {
    this.#shore = shore;
    shore.onBroken((error) => this.#broken.tell(error));
  }

  get localAddress(): Address | undefined {
    return this.#shore.localAddress;
  }

  get remoteAddress(): Address | undefined {
    return this.#shore.remoteAddress;
  }

  get reading(): boolean {
    return this.#reading !== undefined;
  }

  read(buffer: Uint8Array, opts?: IoOptions): Promise<number> {
    if (this.#closed) return Promise.reject(localError("EBADF", "read"));
    if (this.#reading !== undefined) return Promise.reject(new BusyError("read"));
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    const wrong = wrongTarget(buffer);
    if (wrong !== undefined) return Promise.reject(wrong);
    if (this.#chunk !== undefined) return Promise.resolve(this.#serve(buffer));
    if (this.#readError !== undefined) return Promise.reject(this.#readError.error);
    if (this.#ended) return Promise.resolve(0);
    const reading = new Reading(buffer, opts, this.#refs, () => (this.#reading = undefined));
    this.#reading = reading;
    if (!this.#pulling) void this.#pull();
    return reading.promise;
  }

  write(data: Data, opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "write"));
    let parts;
    try {
      parts = new Parts(toParts(data));
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#finishing) return Promise.reject(localError("EPIPE", "write"));
    if (this.#writeError !== undefined) return Promise.reject(this.#writeError.error);
    return this.#enqueue(parts, opts);
  }

  closeWrite(opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "closeWrite"));
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#finished) return Promise.resolve();
    if (this.#writeError !== undefined) return Promise.reject(this.#writeError.error);
    this.#finishing = true;
    return this.#enqueue(undefined, opts);
  }

  whenBroken(opts?: IoOptions): Promise<unknown> {
    return this.#broken.wait(opts);
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      const closing = this.#closed ? Promise.resolve() : this.#shore.close();
      this.#closing = closing.catch(() => undefined);
      this.#settle();
    }
    return this.#closing.then();
  }

  abort(): void {
    if (this.#closed) return;
    this.#settle();
    this.#shore.abort(localError("ECONNRESET", "abort"));
  }

  /**
   * Lets the process end while calls wait here: neither these, those that wait already among them, nor their deadlines keep it alive
   * from now on.
   */
  unref(): this {
    this.#refs.held = false;
    this.#shore.keepAlive?.(false);
    return this;
  }

  /** Undoes `unref()`: a call that waits keeps the process alive, as it does from the beginning. */
  ref(): this {
    this.#refs.held = true;
    this.#shore.keepAlive?.(true);
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #settle(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#chunk = undefined;
    this.#broken.close();
    this.#reading?.reject(localError("ECANCELED", "read"));
    this.#reading = undefined;
    for (const job of this.#queue.splice(0)) job.reject(job.failure("ECANCELED"));
  }

  async #pull(): Promise<void> {
    this.#pulling = true;
    try {
      let chunk;
      do chunk = await this.#shore.pull();
      while (chunk?.length === 0);
      if (chunk === null) this.#ended = true;
      else this.#chunk = chunk;
    } catch (error) {
      this.#readError = { error };
    } finally {
      this.#pulling = false;
    }
    const reading = this.#reading;
    if (reading === undefined) return;
    this.#reading = undefined;
    if (this.#readError !== undefined) reading.reject(this.#readError.error);
    else reading.resolve(this.#ended ? 0 : this.#serve(reading.target));
  }

  #serve(target: Uint8Array): number {
    const chunk = this.#chunk as Uint8Array;
    const count = Math.min(chunk.length, target.length);
    target.set(chunk.subarray(0, count));
    this.#chunk = count === chunk.length ? undefined : chunk.subarray(count);
    return count;
  }

  #enqueue(parts: Parts | undefined, opts: IoOptions | undefined): Promise<void> {
    const job = new Writing(parts, opts, this.#refs, (cut) => {
      // The end of writing stays due: only the wait for it was cut short.
      if (parts !== undefined) this.#queue = this.#queue.filter((other) => other !== cut);
    });
    this.#queue.push(job);
    if (!this.#pushing) void this.#push();
    return job.promise;
  }

  async #push(): Promise<void> {
    this.#pushing = true;
    try {
      for (let job = this.#queue[0]; job !== undefined; job = this.#queue[0]) {
        await this.#advance(job);
      }
    } catch (error) {
      this.#writeError = { error };
      for (const job of this.#queue.splice(0)) job.reject(error);
    } finally {
      this.#pushing = false;
    }
  }

  /** One step of a write: hands over a piece, or settles it. */
  async #advance(job: Writing): Promise<void> {
    if (job.parts === undefined) {
      if (!this.#finished) await this.#shore.end();
      this.#finished = true;
    } else if (job.parts.left > 0) {
      const piece = job.parts.take(PIECE);
      job.transferred += piece.length;
      await this.#shore.push(piece);
      if (job.parts.left > 0) return;
    }
    if (this.#queue[0] === job) this.#queue.shift();
    job.resolve();
  }
}
