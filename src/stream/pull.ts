// The engine below every reading method of a stream: ask the buffer, and as long as it has too little, ask the source.
//
// What a method wants is a Take: a rule that looks at the buffer and either takes its result or asks for more. One runs
// at a time. Bytes that came for a Take that was cut short stay in the buffer, which is why no cut loses any.
//
// A source that reads on behalf of others (io.ts, `DirectReader`) is handed the Take itself, by way of this class: it reads until
// the Take has its result, which settles the one promise that there is. A Take that runs code of users, such as a decoder,
// is not handed down, because that code may not run while the source deals with its events; nor is there anything to hand it to
// where the source is another connection. Then the source is asked for bytes, read by read.
//
// No timer is made here: timeout and signal go down with the read, and a Take that needs several reads passes on what is
// left of its time. The usual read waits once, so this way costs one derived promise and no closure.

import { BufferedError, BusyError, IncompleteReadError } from "../errors/index.js";
import type { Conn, Consumer, DirectReader, EndOptions, EndResult, IoOptions, ReadAhead, Reader } from "../io.js";
import { ReadBuffer } from "./buffer.js";
import { wrongTarget } from "./data.js";
import { endConn, endRefusal } from "./ending.js";
import { refusal } from "../wait/pendingCall.js";
import { localError } from "../wait/localError.js";

/** What a reading method wants. */
export interface Take<T> {
  /**
   * Takes its result from the buffer, or returns `undefined` to ask for more bytes. `ended` says that no more will come.
   * What it throws ends the reading for good, except an `IncompleteReadError`.
   */
  take(buffer: ReadBuffer, ended: boolean): T | undefined;
  /** Whether `take` runs code of users. */
  readonly foreign?: boolean;
}

/** That there are bytes to look at, or the end. */
const SOMETHING: Take<boolean> = { take: (buffer, ended) => (buffer.length > 0 ? true : ended ? false : undefined) };

/** Whether a source reads on behalf of others. */
function isDirect(source: Reader): source is DirectReader {
  return typeof (source as Partial<DirectReader>).readFor === "function";
}

/** Reads from one source, one Take at a time. */
export class Pull implements Consumer<unknown>, ReadAhead {
  readonly buffer: ReadBuffer;
  readonly #source: Reader;
  readonly #direct: DirectReader | undefined;
  readonly #now: () => number;
  #busy = false;
  #lent = false;
  #ended = false;
  #closed = false;
  #failure: { readonly error: unknown } | undefined;
  #take: Take<unknown> | undefined;
  #opts: IoOptions | undefined;
  #deadline = 0;
  /** Memory of the caller's that a direct read fills, in place of the buffer. */
  #target: Uint8Array | undefined;
  #result: unknown;
  start = 0;
  size = 0;
  #ending: Promise<EndResult> | undefined;
  /** Who reads from here and holds what it has read. */
  #above: ReadAhead | undefined;

  constructor(source: Reader, readSize: number, now: () => number) {
    this.#source = source;
    this.#direct = isDirect(source) ? source : undefined;
    this.#now = now;
    this.buffer = new ReadBuffer(readSize);
  }

  /** Whether the source has given its end; bytes may still be unread. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether a read is pending, here or, by somebody else, at the source. */
  get reading(): boolean {
    return this.#busy || this.#source.reading === true;
  }

  /** Gives `take` its result, at once or after as many reads as it needs. */
  run<T>(take: Take<T>, opts: IoOptions | undefined): Promise<T> {
    const refused = this.#refusal() ?? refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.buffer.length > 0 || this.#ended) {
      let result;
      try {
        result = this.#attempt(take);
      } catch (error) {
        return Promise.reject(error);
      }
      if (result !== undefined) return Promise.resolve(result);
    }
    this.#take = take;
    if (this.#direct !== undefined && take.foreign !== true) {
      this.#target = undefined;
      return this.#direct.readFor(this as Consumer<T>, opts);
    }
    return this.#first(opts).then(this.#filled, this.#failed) as Promise<T>;
  }

  // What a direct read asks for, in this order. See `Consumer`.

  room(): Uint8Array {
    const target = this.#target;
    if (target !== undefined) {
      this.start = 0;
      this.size = target.length;
      return target;
    }
    const { buffer } = this;
    const own = this.#take === SOMETHING || this.#direct?.atOnce !== true;
    const memory = own ? buffer.ownRoom() : buffer.roomNow();
    this.start = buffer.roomAt;
    this.size = buffer.roomSize;
    return memory;
  }

  filled(count: number): boolean {
    if (count === 0) this.#ended = true;
    if (this.#target !== undefined) {
      this.#result = count;
      return true;
    }
    if (count > 0) this.buffer.commit(count);
    this.#result = this.#attempt(this.#take as Take<unknown>);
    return this.#result !== undefined;
  }

  result(): unknown {
    const result = this.#result;
    this.#result = this.#target = this.#take = undefined;
    return result;
  }

  /** Gives `take` its result from what was read already, `undefined` when that is too little. */
  poll<T>(take: Take<T>): T | undefined {
    const refused = this.#refusal();
    if (refused !== undefined) throw refused.error;
    return this.buffer.length > 0 || this.#ended ? this.#attempt(take) : undefined;
  }

  /** Reads into `target`, past the buffer when that is empty. */
  into(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    const refused = this.#refusal() ?? refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    const wrong = wrongTarget(target);
    if (wrong !== undefined) return Promise.reject(wrong);
    if (this.buffer.length > 0) return Promise.resolve(this.buffer.copyInto(target));
    if (this.#ended) return Promise.resolve(0);
    if (this.#direct !== undefined) {
      this.#target = target;
      return this.#direct.readFor(this as Consumer<number>, opts);
    }
    this.#busy = true;
    return this.#read(target, opts).then(this.#passed, this.#failed);
  }

  /** Takes the reading side for a caller that works on the buffer itself; `unlock` gives it back. */
  lock(): void {
    const refused = this.#refusal();
    if (refused !== undefined) throw refused.error;
    this.#busy = true;
  }

  /** As `lock`, for a caller that reads from what is below, and takes what is buffered here before. */
  lend(): void {
    this.lock();
    this.#lent = true;
  }

  unlock(): void {
    this.#busy = this.#lent = false;
  }

  /** For the holder of the lock: reads once into the buffer; false at the end. */
  fill(opts: IoOptions | undefined): Promise<boolean> {
    if (this.#direct === undefined || this.#ended) return this.#fillBy(opts);
    this.#take = SOMETHING;
    this.#target = undefined;
    return this.#direct.readFor(this as Consumer<boolean>, opts);
  }

  async #fillBy(opts: IoOptions | undefined): Promise<boolean> {
    if (this.#ended) return false;
    this.#accept(await this.#read(this.buffer.room(), opts));
    return !this.#ended;
  }

  /** As `ReadAhead` says. What the layer above has read from here comes first. */
  get unread(): number {
    return this.buffer.length + (this.#above?.unread ?? 0);
  }

  takeUnread(max: number): Uint8Array {
    const refused = this.#closed || this.#lent ? undefined : this.#refusal();
    if (refused !== undefined) throw refused.error;
    const above = this.#above;
    if (above === undefined || above.unread === 0) return this.buffer.take(max);
    const first = above.takeUnread(max);
    return Buffer.concat([first, this.buffer.take(max - first.length)]);
  }

  /** Another layer reads from here. */
  readAheadBy(layer: ReadAhead): void {
    const unread = this.#above?.unread ?? 0;
    if (unread > 0 && this.#above !== layer) throw new BufferedError("put a stream on the connection", unread);
    this.#above = layer;
  }

  /** What was read and not taken, which stays so; for handing it on. Throws when a read is pending or reading is over. */
  rest(): Buffer {
    const refused = this.#refusal();
    if (refused !== undefined) throw refused.error;
    const above = this.#above?.unread ?? 0;
    if (above > 0) throw new BufferedError("hand the connection over", above);
    return this.buffer.peek(this.buffer.length);
  }

  /** Refuses all further reading as of something closed. Its error is made when somebody wants one: most never do. */
  close(): void {
    this.#closed = true;
    this.buffer.clear();
  }

  /** Takes the reading side for good, whatever has ended it, and drops what was not taken; returns how many bytes. */
  seize(): number {
    if (this.#busy || this.#direct?.reading === true) throw new BusyError("read");
    this.#busy = true;
    const { length } = this.buffer;
    this.buffer.clear();
    return length;
  }

  get closed(): boolean {
    return this.#closed;
  }

  now(): number {
    return this.#now();
  }

  /** Ends the connection; see `Stream.end`. Further calls wait for the first. */
  end(conn: Conn, opts: EndOptions | undefined): Promise<EndResult> {
    const refused = endRefusal(opts);
    if (refused !== undefined) return Promise.reject(refused);
    const before = this.#ending;
    if (before !== undefined) return before.then((result) => result);
    if (!this.#closed && (this.#busy || this.#direct?.reading === true)) return Promise.reject(new BusyError("end"));
    const ending = endConn(conn, this, opts).finally(() => this.close());
    this.#ending = ending;
    return ending.then((result) => result);
  }

  /** Refuses all further reading with `error`. */
  #stop(error: unknown): void {
    this.#failure = { error };
    this.buffer.clear();
  }

  #refusal(): { readonly error: unknown } | undefined {
    if (this.#closed) return { error: localError("EBADF", "read") };
    if (this.#failure !== undefined) return this.#failure;
    return this.#busy || this.#direct?.reading === true ? { error: new BusyError("read") } : undefined;
  }

  #attempt<T>(take: Take<T>): T | undefined {
    try {
      return take.take(this.buffer, this.#ended);
    } catch (error) {
      if (!(error instanceof IncompleteReadError)) this.#stop(error);
      throw error;
    }
  }

  #first(opts: IoOptions | undefined): Promise<number> {
    this.#busy = true;
    this.#opts = opts;
    const timeout = opts?.timeout;
    if (timeout !== undefined && timeout !== null) {
      try {
        this.#deadline = this.#now() + timeout;
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#read(this.buffer.room(), opts);
  }

  /** A source is promised to reject, not to throw; one that throws must not leave the reading side taken. */
  #read(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    try {
      return this.#source.read(target, opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #accept(count: number): void {
    // Closed meanwhile: the buffer that these bytes were read into is gone.
    if (this.#closed) throw localError("ECANCELED", "read");
    if (count === 0) this.#ended = true;
    else this.buffer.commit(count);
  }

  readonly #filled = (count: number): unknown => {
    let result;
    try {
      this.#accept(count);
      result = this.#attempt(this.#take as Take<unknown>);
    } catch (error) {
      this.#release();
      throw error;
    }
    if (result === undefined) return this.#further();
    this.#release();
    return result;
  };

  async #further(): Promise<unknown> {
    try {
      for (;;) {
        this.#accept(await this.#read(this.buffer.room(), this.#remaining()));
        const result = this.#attempt(this.#take as Take<unknown>);
        if (result !== undefined) return result;
      }
    } finally {
      this.#release();
    }
  }

  #remaining(): IoOptions | undefined {
    const opts = this.#opts;
    if (opts?.timeout === undefined || opts.timeout === null) return opts;
    return { timeout: Math.max(0, this.#deadline - this.#now()), signal: opts.signal };
  }

  readonly #passed = (count: number): number => {
    this.#busy = false;
    if (count === 0) this.#ended = true;
    return count;
  };

  readonly #failed = (error: unknown): never => {
    this.#release();
    throw error;
  };

  #release(): void {
    this.#busy = false;
    this.#take = undefined;
    this.#opts = undefined;
  }
}
