// The reading side of a stream: a buffer, and the loop that reads from the source until a read rule has its result.
//
// Each reading method of a stream is a read rule (reading/readRules.ts). The rule takes its result from the buffer, or
// returns `undefined` if it needs more bytes. One rule runs at a time. If a timeout or a signal ends a call, the bytes
// that have arrived stay in the buffer, so no call loses bytes.
//
// If the source is a `DirectReader` (io.ts), the BufferedReader is its consumer. The source reads until the rule has a
// result, and then settles the only promise of the call. Two kinds of calls use `read()` of the source instead:
// - calls on a source without `readFor()`;
// - calls whose rule runs code of the user (a decoder), which must not run while the reactor dispatches events.
//
// A call that finds its bytes in the buffer makes no system call. Such a call counts against the budget of the turn
// (wait/turnBudget.ts). When the budget is spent, the call continues in the next turn, and the reading side stays
// locked until then.
//
// The source gets the timeout and the signal, so this file makes no timer. If a call needs `read()` several times, each
// `read()` gets the remaining time as its timeout. If one `read()` is enough, the call adds one promise and no closure.

import { BufferedError, BusyError, IncompleteReadError } from "../errors/index.js";
import type { Conn, Consumer, DirectReader, EndOptions, EndResult, IoOptions, ReadAhead, Reader } from "../io.js";
import { localError } from "../wait/localError.js";
import { optionsError } from "../wait/pendingCall.js";
import { threadTurnBudget } from "../wait/turnBudget.js";
import { endConnection, endOptionsError } from "./endConnection.js";
import { readInNextTurn } from "./nextTurn.js";
import { isDirect, type ReadHandlers } from "./readSource.js";
import { ReadBuffer } from "../reading/readBuffer.js";
import { HAS_BYTES_RULE, type ReadRule } from "../reading/readRules.js";
import { targetError } from "../reading/readTarget.js";

/** Reads from one source through a buffer, one read rule at a time. */
export class BufferedReader implements Consumer<unknown>, ReadAhead {
  readonly buffer: ReadBuffer;
  readonly #source: Reader;
  readonly #direct: DirectReader | undefined;
  readonly #now: () => number;
  /** Whether a call uses `read()` of the source, or `lock()` was called. */
  #locked = false;
  /** Whether `lockForTransfer()` has locked the reading side. */
  #lockedForTransfer = false;
  #ended = false;
  #closed = false;
  /** The error after which no read is possible. */
  #failure: { readonly error: unknown } | undefined;
  /** The rule of the call that runs. */
  #rule: ReadRule<unknown> | undefined;
  /** Made for the first read that is not direct, and used again. */
  #handlers: ReadHandlers | undefined;
  /** The options of a call that uses `read()` of the source, and its deadline if it has a timeout. */
  #opts: IoOptions | undefined;
  #deadline = 0;
  /** The caller's memory that a direct read fills, instead of the buffer. */
  #target: Uint8Array | undefined;
  /** The result of the rule, until the source calls `result()`. */
  #result: unknown;
  /** The free part of the memory that `room()` returned; see `Consumer`. */
  start = 0;
  size = 0;
  /** Bytes that the source has returned, and reads that have returned bytes. */
  bytes: number = 0;
  reads: number = 0;
  #ending: Promise<EndResult> | undefined;
  /** The outbox of the stream; undefined before it has one. */
  outbox: { readonly counts: { readonly bytes: number } } | undefined;
  /** The layer that reads from this reader. That layer may have unread bytes too. */
  #layerAbove: ReadAhead | undefined;

  constructor(source: Reader, readSize: number, now: () => number) {
    this.#source = source;
    this.#direct = isDirect(source) ? source : undefined;
    this.#now = now;
    this.buffer = new ReadBuffer(readSize);
  }

  /** Whether the source has returned its end. The buffer may still have bytes. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether a read of this reader, or another read of the source, is pending. */
  get reading(): boolean {
    return this.#locked || this.#source.reading === true;
  }

  /** Whether a rule may get its result without a read of the source. */
  get #hasBytesOrEnd(): boolean {
    return this.buffer.length > 0 || this.#ended;
  }

  /** Resolves with the result of `rule`, at once or after as many reads as the rule needs. */
  read<T>(rule: ReadRule<T>, opts: IoOptions | undefined): Promise<T> {
    const refused = this.#readError() ?? optionsError(opts, "read");
    if (refused !== undefined) return threadTurnBudget.reject(refused.error);
    if (this.#hasBytesOrEnd && !threadTurnBudget.spend()) {
      return readInNextTurn(this, opts, (remainingOpts) => this.#startRead(rule, remainingOpts));
    }
    return this.#startRead(rule, opts);
  }

  /** Starts a read, whose options are checked. */
  #startRead<T>(rule: ReadRule<T>, opts: IoOptions | undefined): Promise<T> {
    if (this.#hasBytesOrEnd) {
      let result;
      try {
        result = this.#apply(rule);
      } catch (error) {
        return Promise.reject(error);
      }
      if (result !== undefined) return Promise.resolve(result);
    }
    this.#rule = rule;
    if (this.#direct !== undefined && rule.runsUserCode !== true) {
      this.#target = undefined;
      return this.#direct.readFor(this as Consumer<T>, opts);
    }
    const { onError, onFirstRead } = (this.#handlers ??= this.#makeHandlers());
    return this.#firstRead(opts).then(onFirstRead, onError) as Promise<T>;
  }

  // The methods of `Consumer`, in the order of the calls.

  room(): Uint8Array {
    const target = this.#target;
    if (target !== undefined) {
      this.start = 0;
      this.size = target.length;
      return target;
    }
    const { buffer } = this;
    // The slab must not be shared if the caller of fill() gets a view, or if other code may run before filled().
    const needsOwnSlab = this.#rule === HAS_BYTES_RULE || this.#direct?.atOnce !== true;
    const memory = needsOwnSlab ? buffer.prepareOwnSlab() : buffer.prepareSharedSlab();
    this.start = buffer.freeStart;
    this.size = buffer.freeSize;
    return memory;
  }

  filled(count: number): boolean {
    this.#countRead(count);
    if (this.#target !== undefined) {
      this.#result = count;
      return true;
    }
    if (count > 0) this.buffer.commit(count);
    this.#result = this.#apply(this.#rule as ReadRule<unknown>);
    return this.#result !== undefined;
  }

  result(): unknown {
    const result = this.#result;
    this.#result = this.#target = this.#rule = undefined;
    return result;
  }

  /** The result of `rule` from the bytes in the buffer, or `undefined` if it needs more. Makes no read. */
  tryRead<T>(rule: ReadRule<T>): T | undefined {
    const refused = this.#readError();
    if (refused !== undefined) throw refused.error;
    if (!this.#hasBytesOrEnd) return undefined;
    // tryRead() can't wait for the next turn. It only counts against the budget.
    threadTurnBudget.spend();
    return this.#apply(rule);
  }

  /** Reads into `target`. If the buffer is empty, the source fills `target` without a copy. */
  readInto(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    const refused = this.#readError() ?? optionsError(opts, "read");
    if (refused !== undefined) return threadTurnBudget.reject(refused.error);
    const bufferError = targetError(target);
    if (bufferError !== undefined) return Promise.reject(bufferError);
    if (this.#hasBytesOrEnd && !threadTurnBudget.spend()) {
      return readInNextTurn(this, opts, (remainingOpts) => this.#startReadInto(target, remainingOpts));
    }
    return this.#startReadInto(target, opts);
  }

  #startReadInto(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    if (this.buffer.length > 0) return Promise.resolve(this.buffer.copyInto(target));
    if (this.#ended) return Promise.resolve(0);
    if (this.#direct !== undefined) {
      this.#target = target;
      return this.#direct.readFor(this as Consumer<number>, opts);
    }
    this.#locked = true;
    const { onError, onTargetRead } = (this.#handlers ??= this.#makeHandlers());
    return this.#readSource(target, opts).then(onTargetRead, onError);
  }

  /** Locks the reading side until `unlock()`. The caller then uses `buffer` directly. */
  lock(): void {
    const refused = this.#readError();
    if (refused !== undefined) throw refused.error;
    this.#locked = true;
  }

  /** Like `lock()`, but allows `takeUnread()`, for a caller that later reads from the socket below. */
  lockForTransfer(): void {
    this.lock();
    this.#lockedForTransfer = true;
  }

  unlock(): void {
    this.#locked = this.#lockedForTransfer = false;
  }

  /** Reads once into the buffer, after the caller has called `lock()`. Resolves with false at the end. */
  fill(opts: IoOptions | undefined): Promise<boolean> {
    if (this.#direct === undefined || this.#ended) return this.#fillByRead(opts);
    this.#rule = HAS_BYTES_RULE;
    this.#target = undefined;
    return this.#direct.readFor(this as Consumer<boolean>, opts);
  }

  async #fillByRead(opts: IoOptions | undefined): Promise<boolean> {
    if (this.#ended) return false;
    this.#commit(await this.#readSource(this.buffer.prepareSpace(), opts));
    return !this.#ended;
  }

  /** See `ReadAhead`. Includes bytes that the layer above has read from this reader and not returned. */
  get unread(): number {
    return this.buffer.length + (this.#layerAbove?.unread ?? 0);
  }

  get unsent(): number {
    return this.outbox?.counts.bytes ?? 0;
  }

  /** See `ReadAhead`. After `close()` it returns no bytes. */
  takeUnread(max: number): Uint8Array {
    const refused = this.#closed || this.#lockedForTransfer ? undefined : this.#readError();
    if (refused !== undefined) throw refused.error;
    const above = this.#layerAbove;
    if (above === undefined || above.unread === 0) return this.buffer.take(max);
    const first = above.takeUnread(max);
    return Buffer.concat([first, this.buffer.take(max - first.length)]);
  }

  /** See {@link Conn.registerReadAhead}. */
  registerReadAhead(layer: ReadAhead): void {
    const unread = this.#layerAbove?.unread ?? 0;
    if (unread > 0 && this.#layerAbove !== layer) throw new BufferedError("put a stream on the connection", unread);
    this.#layerAbove = layer;
  }

  /** Returns the buffered bytes and leaves them unread. Throws if a read would reject or `#layerAbove` has bytes. */
  peekUnread(): Buffer {
    const refused = this.#readError();
    if (refused !== undefined) throw refused.error;
    const above = this.#layerAbove?.unread ?? 0;
    if (above > 0) throw new BufferedError("hand the connection over", above);
    return this.buffer.peek(this.buffer.length);
  }

  /** Drops the buffered bytes. Further reads reject with `EBADF`. */
  close(): void {
    this.#closed = true;
    this.buffer.clear();
  }

  /** Locks the reading side permanently, even after a failure. Drops the buffered bytes, and returns their number. */
  lockAndDiscard(): number {
    if (this.#locked || this.#direct?.reading === true) throw new BusyError("read");
    this.#locked = true;
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

  /** See `Stream.end`. Further calls wait for the first, each with a promise of its own. */
  end(conn: Conn, opts: EndOptions | undefined): Promise<EndResult> {
    const refused = endOptionsError(opts);
    if (refused !== undefined) return Promise.reject(refused);
    if (this.#ending !== undefined) return this.#ending.then((result) => result);
    if (!this.#closed && (this.#locked || this.#direct?.reading === true)) return Promise.reject(new BusyError("end"));
    this.#ending = endConnection(conn, this, opts).finally(() => this.close());
    return this.#ending.then((result) => result);
  }

  /** The error with which a new read rejects; undefined if a read can start. */
  #readError(): { readonly error: unknown } | undefined {
    if (this.#closed) return { error: localError("EBADF", "read") };
    if (this.#failure !== undefined) return this.#failure;
    return this.#locked || this.#direct?.reading === true ? { error: new BusyError("read") } : undefined;
  }

  /** The result of `rule`. After any error except an IncompleteReadError, all further reads reject with the error. */
  #apply<T>(rule: ReadRule<T>): T | undefined {
    try {
      return rule.apply(this.buffer, this.#ended);
    } catch (error) {
      if (!(error instanceof IncompleteReadError)) {
        this.#failure = { error };
        this.buffer.clear();
      }
      throw error;
    }
  }

  #firstRead(opts: IoOptions | undefined): Promise<number> {
    this.#locked = true;
    this.#opts = opts;
    const timeout = opts?.timeout;
    if (timeout !== undefined && timeout !== null) {
      // `#now` may be a function of the user, which may throw.
      try {
        this.#deadline = this.#now() + timeout;
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#readSource(this.buffer.prepareSpace(), opts);
  }

  /** Reads from the source. An exception becomes a rejection: otherwise the reading side would stay locked. */
  #readSource(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    try {
      return this.#source.read(target, opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Counts a read of the source. A read of 0 bytes is the end. */
  #countRead(count: number): void {
    if (count === 0) this.#ended = true;
    else this.reads++;
    this.bytes += count;
  }

  #commit(count: number): void {
    // close() has released the memory into which these bytes were read.
    if (this.#closed) throw localError("ECANCELED", "read");
    // commit() comes first, because it checks `count`, which may come from a read() of the user.
    if (count !== 0) this.buffer.commit(count);
    this.#countRead(count);
  }

  #makeHandlers(): ReadHandlers {
    const onFirstRead = (count: number): unknown => this.#onFirstRead(count);
    const onError = (error: unknown): never => {
      this.#endCall();
      throw error;
    };
    const onTargetRead = (count: number): number => {
      this.#locked = false;
      this.#countRead(count);
      return count;
    };
    return { onFirstRead, onError, onTargetRead };
  }

  #onFirstRead(count: number): unknown {
    let result;
    try {
      this.#commit(count);
      result = this.#apply(this.#rule as ReadRule<unknown>);
    } catch (error) {
      this.#endCall();
      throw error;
    }
    if (result === undefined) return this.#readMore();
    this.#endCall();
    return result;
  }

  async #readMore(): Promise<unknown> {
    try {
      for (;;) {
        this.#commit(await this.#readSource(this.buffer.prepareSpace(), this.#remaining()));
        const result = this.#apply(this.#rule as ReadRule<unknown>);
        if (result !== undefined) return result;
      }
    } finally {
      this.#endCall();
    }
  }

  /** The options of the next read of the same call, with the remaining time as `timeout`. */
  #remaining(): IoOptions | undefined {
    const opts = this.#opts;
    if (opts?.timeout === undefined || opts.timeout === null) return opts;
    return { timeout: Math.max(0, this.#deadline - this.#now()), signal: opts.signal };
  }

  /** Unlocks the reading side after a call that has used `read()` of the source. */
  #endCall(): void {
    this.#locked = false;
    this.#rule = undefined;
    this.#opts = undefined;
  }
}
