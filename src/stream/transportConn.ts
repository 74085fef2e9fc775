// A Conn over a transport that has no descriptor: a Duplex or a pair of web streams. The transport chooses the size of
// the chunks that it returns.
//
// Neither a read nor a write of the transport can be cancelled. So:
// - If a caller cancels a read, the chunk that arrives later is stored for the next read. At most one chunk is stored.
// - A write is divided into pieces. Each piece is a copy, and the transport has at most one piece at a time. If a
//   caller cancels a write, the current piece counts as written, because the transport will send it.

import type { Address } from "../addr/address.js";
import { BusyError, type SocketError } from "../errors/index.js";
import type { Conn, Data, IoOptions } from "../io.js";
import { localError } from "../wait/localError.js";
import { optionsError } from "../wait/pendingCall.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { EndWaiters } from "./endWaiters.js";
import { NO_WRITE } from "./outbox.js";
import { PendingRead, PendingWrite } from "./pendingTransfers.js";
import { targetError } from "../reading/readTarget.js";
import { toParts, WriteParts } from "./writeParts.js";

/** Maximum number of bytes that the transport gets at a time. */
const MAX_PIECE = 65_536;

/** The calls of the transport. `TransportConn` makes no call while the same call is pending. */
export interface ChunkTransport {
  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
  /** Resolves with the next chunk, or with null at the end. */
  readChunk(): Promise<Uint8Array | null>;
  /** Resolves when the transport has taken `bytes`, which belong to it from then on. */
  writeChunk(bytes: Uint8Array): Promise<void>;
  /** Ends the writing side. */
  end(): Promise<void>;
  /** Closes the transport. It still sends the chunks that it has taken. */
  close(): Promise<void>;
  /** Calls `listener` when the transport can take no more chunks. */
  onBroken(listener: (error: unknown) => void): void;
  /** Closes the transport at once, with `error` as the reason. */
  abort(error: SocketError): void;
  /** Sets whether the transport keeps the process alive. Optional: not every transport can do that. */
  setKeepsAlive?(keepsAlive: boolean): void;
}

/** The Conn over a transport. */
export class TransportConn implements Conn {
  readonly #transport: ChunkTransport;
  readonly #refs = new TimerRefs();
  #closed = false;
  #closing: Promise<void> | undefined;

  #pendingRead: PendingRead | undefined;
  /** Whether `readChunk()` of the transport is pending. */
  #readingChunk = false;
  /** The unread bytes of the latest chunk. */
  #unread: Uint8Array | undefined;
  /** Whether `readChunk()` has returned the end. */
  #ended = false;
  #readError: { readonly error: unknown } | undefined;

  /** The calls of `write()` and `closeWrite()` that wait. */
  #writes: PendingWrite[] = [];
  /** Whether `#writeAll()` runs. */
  #writing = false;
  /** Whether `closeWrite()` was called. */
  #endRequested = false;
  /** Whether the transport has ended its writing side. */
  #finished = false;
  #writeError: { readonly error: unknown } | undefined;

  readonly #brokenWaiters = new EndWaiters();

  constructor(transport: ChunkTransport) {
    this.#transport = transport;
    transport.onBroken((error) => this.#brokenWaiters.resolveAll(error));
  }

  get localAddress(): Address | undefined {
    return this.#transport.localAddress;
  }

  get remoteAddress(): Address | undefined {
    return this.#transport.remoteAddress;
  }

  get reading(): boolean {
    return this.#pendingRead !== undefined;
  }

  read(buffer: Uint8Array, opts?: IoOptions): Promise<number> {
    if (this.#closed) return Promise.reject(localError("EBADF", "read"));
    if (this.#pendingRead !== undefined) return Promise.reject(new BusyError("read"));
    const refused = optionsError(opts, "read");
    if (refused !== undefined) return Promise.reject(refused.error);
    const bufferError = targetError(buffer);
    if (bufferError !== undefined) return Promise.reject(bufferError);
    if (this.#unread !== undefined) return Promise.resolve(this.#takeUnread(buffer));
    if (this.#readError !== undefined) return Promise.reject(this.#readError.error);
    if (this.#ended) return Promise.resolve(0);
    const remove = (): void => {
      // `readChunk()` of the transport stays pending, and its chunk is stored for the next read.
      this.#pendingRead = undefined;
    };
    this.#pendingRead = new PendingRead(buffer, opts, { refs: this.#refs, remove });
    const { promise } = this.#pendingRead;
    if (!this.#readingChunk) void this.#readChunk();
    return promise;
  }

  write(data: Data, opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "write"));
    let parts;
    try {
      parts = new WriteParts(toParts(data, "write"));
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = optionsError(opts, "write");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#endRequested) return Promise.reject(localError("EPIPE", "write"));
    if (this.#writeError !== undefined) return Promise.reject(this.#writeError.error);
    return this.#enqueue(parts, opts);
  }

  get writeProgress(): number {
    return this.#writes[0]?.transferred ?? NO_WRITE;
  }

  closeWrite(opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "closeWrite"));
    const refused = optionsError(opts, "closeWrite");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#finished) return Promise.resolve();
    if (this.#writeError !== undefined) return Promise.reject(this.#writeError.error);
    this.#endRequested = true;
    return this.#enqueue(undefined, opts);
  }

  whenBroken(opts?: IoOptions): Promise<unknown> {
    return this.#brokenWaiters.wait(opts);
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      const closing = this.#closed ? Promise.resolve() : this.#transport.close();
      this.#closing = closing.catch(() => undefined);
      this.#markClosed();
    }
    return this.#closing.then();
  }

  abort(): void {
    if (this.#closed) return;
    this.#markClosed();
    this.#transport.abort(localError("ECONNRESET", "abort"));
  }

  /**
   * Lets the process end while calls wait on this connection. From now on neither present nor later calls, nor their
   * deadlines, keep the process alive.
   */
  unref(): this {
    this.#refs.keepsAlive = false;
    this.#transport.setKeepsAlive?.(false);
    return this;
  }

  /** Undoes `unref()`: waiting calls keep the process alive, as by default. */
  ref(): this {
    this.#refs.keepsAlive = true;
    this.#transport.setKeepsAlive?.(true);
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Rejects the waiting calls, and makes later ones reject with `EBADF`. */
  #markClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unread = undefined;
    this.#brokenWaiters.close();
    this.#pendingRead?.reject(localError("ECANCELED", "read"));
    this.#pendingRead = undefined;
    for (const write of this.#writes.splice(0)) write.reject(write.errorWith("ECANCELED"));
  }

  /** Reads one chunk from the transport, and settles the pending read unless it was cancelled. */
  async #readChunk(): Promise<void> {
    this.#readingChunk = true;
    try {
      // An empty chunk would look like the end.
      let chunk;
      do chunk = await this.#transport.readChunk();
      while (chunk?.length === 0);
      if (chunk === null) this.#ended = true;
      else this.#unread = chunk;
    } catch (error) {
      this.#readError = { error };
    } finally {
      this.#readingChunk = false;
    }
    const read = this.#pendingRead;
    if (read === undefined) return;
    this.#pendingRead = undefined;
    if (this.#readError !== undefined) read.reject(this.#readError.error);
    else read.resolve(this.#ended ? 0 : this.#takeUnread(read.target));
  }

  /** Copies unread bytes into `target`. Returns their number. */
  #takeUnread(target: Uint8Array): number {
    const chunk = this.#unread as Uint8Array;
    const count = Math.min(chunk.length, target.length);
    target.set(chunk.subarray(0, count));
    this.#unread = count === chunk.length ? undefined : chunk.subarray(count);
    return count;
  }

  #enqueue(parts: WriteParts | undefined, opts: IoOptions | undefined): Promise<void> {
    const remove = (cancelled: PendingWrite): void => {
      // A cancelled closeWrite() stays in the queue, because the writing side must still end.
      if (parts !== undefined) this.#writes = this.#writes.filter((other) => other !== cancelled);
    };
    const write = new PendingWrite(parts, opts, { refs: this.#refs, remove });
    this.#writes.push(write);
    if (!this.#writing) void this.#writeAll();
    return write.promise;
  }

  /** Writes until no call waits. */
  async #writeAll(): Promise<void> {
    this.#writing = true;
    try {
      for (let write = this.#writes[0]; write !== undefined; write = this.#writes[0]) await this.#writePiece(write);
    } catch (error) {
      this.#writeError = { error };
      for (const write of this.#writes.splice(0)) write.reject(error);
    } finally {
      this.#writing = false;
    }
  }

  /** Writes the next piece, or the end, to the transport. Resolves the call after its last piece. */
  async #writePiece(write: PendingWrite): Promise<void> {
    if (write.parts === undefined) {
      if (!this.#finished) await this.#transport.end();
      this.#finished = true;
    } else if (write.parts.remaining > 0) {
      const piece = write.parts.shift(MAX_PIECE);
      write.transferred += piece.length;
      await this.#transport.writeChunk(piece);
      if (write.parts.remaining > 0) return;
    }
    // A cancelled write is not in the queue any more.
    if (this.#writes[0] === write) this.#writes.shift();
    write.resolve();
  }
}
