// TlsWriter: the writing side of a TLS connection. It passes the writes to Node in order, one piece at a time. A piece
// is the part of a write that Node gets in one call.
//
// Node encrypts a piece immediately, and then the piece can't be cancelled. So `transferred` of a cancelled write
// counts all pieces that Node got, including a piece that Node has not written yet. Pieces are small, so that Node
// holds little data if the peer does not read.

import { isUint8Array } from "node:util/types";
import { quote } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import type { Data, IoOptions } from "../io.js";
import { WriteParts, toParts } from "../stream/writeParts.js";
import type { TimerRefs } from "../wait/timerRefs.js";
import { clock } from "../builtins.js";
import { optionsError, PendingCall } from "../wait/pendingCall.js";
import { localError, timeoutError } from "../wait/localError.js";
import { rejection } from "../wait/rejection.js";

/** Maximum number of bytes of a piece: four full records. */
const MAX_PIECE = 65_536;

const NO_BYTES = new Uint8Array(0);

/** Node calls this function after it has written a piece, or with the error of the piece. */
export type WriteCallback = (error?: Error | null) => void;

/** Node's TLS socket, to which the writer passes the pieces. */
export interface Sink {
  /**
   * Whether the socket is destroyed. A destroyed socket calls `done` without an error. The TlsConn then calls `fail()`
   * of the writer.
   */
  readonly destroyed: boolean;
  /**
   * Passes a piece. Returns whether the layer below has taken all of it. In both cases, the next piece must wait until
   * `done` was called.
   */
  writePiece(piece: Uint8Array, done: WriteCallback): boolean;
  /** Sends close_notify and ends the connection below for writing. */
  end(done: WriteCallback): void;
}

/** A call of write(), or of closeWrite(), that waits. */
interface QueuedWrite {
  /** The data that Node has not got; undefined for closeWrite(). */
  data: Uint8Array | WriteParts | undefined;
  /** The number of bytes that Node has got. */
  transferred: number;
  /** When the call began, as of `clock()`. */
  readonly since: number;
  resolve(): void;
  reject(error: unknown): void;
}

/** A call with neither a timeout nor a signal. */
class PlainWrite implements QueuedWrite {
  data: Uint8Array | WriteParts | undefined;
  transferred = 0;
  readonly since: number = clock();
  readonly promise: Promise<void>;
  #resolve!: (outcome?: Promise<never>) => void;
  #settled = false;

  constructor(data: Uint8Array | WriteParts | undefined) {
    this.data = data;
    this.promise = new Promise((resolve) => (this.#resolve = resolve));
  }

  resolve(): void {
    this.#settled = true;
    this.#resolve();
  }

  reject(error: unknown): void {
    // After the promise has settled, nothing would handle the rejected promise.
    if (!this.#settled) this.#resolve(rejection(error));
    this.#settled = true;
  }
}

/** A call with a timeout or a signal. */
class TimedWrite extends PendingCall<void> implements QueuedWrite {
  data: Uint8Array | WriteParts | undefined;
  transferred = 0;
  /** Whether the call is a closeWrite(). */
  readonly #isEnd: boolean;
  readonly #remove: (write: QueuedWrite) => void;

  constructor(
    data: Uint8Array | WriteParts | undefined,
    opts: IoOptions,
    refs: TimerRefs,
    remove: (write: QueuedWrite) => void,
  ) {
    super(opts, undefined, refs);
    this.data = data;
    this.#isEnd = data === undefined;
    this.#remove = remove;
  }

  protected override cancel(): SocketError {
    // The wait of a closeWrite() ends, but close_notify is still sent.
    if (!this.#isEnd) this.#remove(this);
    return this.#isEnd ? timeoutError("closeWrite") : timeoutError("write", { transferred: this.transferred });
  }
}

/** The error of a waiting call, with its `transferred`. */
function localWriteError({ data, transferred }: QueuedWrite, code: string, cause?: unknown): SocketError {
  if (data === undefined) return localError(code, "closeWrite", { cause });
  return localError(code, "write", { cause, transferred });
}

/** Checks and converts data. A single part stays as it is; several become WriteParts, which joins them into pieces. */
function toBytesOrParts(data: Data): Uint8Array | WriteParts {
  if (isUint8Array(data)) return data;
  if (typeof data === "string") return Buffer.from(data);
  const parts = toParts(data, "write");
  return parts.length === 1 ? (parts[0] as Uint8Array) : new WriteParts(parts);
}

/** The number of bytes of a write that Node has not got; 0 for closeWrite(). */
function bytesLeft({ data }: QueuedWrite): number {
  return data instanceof WriteParts ? data.remaining : (data?.length ?? 0);
}

/** Removes the next piece from the data of a write; undefined if no bytes are left. */
function takePiece(write: QueuedWrite): Uint8Array | undefined {
  const { data } = write;
  if (data === undefined || bytesLeft(write) === 0) return undefined;
  if (data instanceof WriteParts) return data.shift(MAX_PIECE);
  const isOnePiece = data.length <= MAX_PIECE;
  write.data = isOnePiece ? NO_BYTES : data.subarray(MAX_PIECE);
  return isOnePiece ? data : data.subarray(0, MAX_PIECE);
}

export class TlsWriter {
  readonly #sink: Sink;
  readonly #refs: TimerRefs;
  #queue: QueuedWrite[] = [];
  /** The number of bytes that Node has got. */
  bytes: number = 0;
  /** The number of writes of which Node has got bytes. */
  writes: number = 0;
  /** Whether Node has a piece, or the end (close_notify), and has not called the callback yet. */
  #busy = false;
  /** The size of the most recent piece that Node got. */
  #pieceSize = 0;
  /** Whether closeWrite() was called. */
  #endRequested = false;
  /** Whether close_notify was sent. */
  #finished = false;
  /** Whether fail() was called. */
  #broken = false;
  /** The error of later calls, after fail() or cancel(). */
  #failure: { readonly error: unknown } | undefined;
  #idleWaiters: (() => void)[] = [];

  constructor(sink: Sink, refs: TimerRefs) {
    this.#sink = sink;
    this.#refs = refs;
  }

  /** The calls that wait, in order. */
  get pending(): readonly Pick<QueuedWrite, "data" | "since">[] {
    return this.#queue;
  }

  /** Whether close_notify was sent. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Whether the connection below has failed. */
  get broken(): boolean {
    return this.#broken;
  }

  /** See {@link Writer.writeProgress}. -1 if no write waits. A piece that Node has not written does not count. */
  get writeProgress(): number {
    const [write] = this.#queue;
    if (write === undefined) return -1;
    return this.#busy ? Math.max(0, write.transferred - this.#pieceSize) : write.transferred;
  }

  write(data: Data, opts: IoOptions | undefined): Promise<void> {
    const isOnePiece = data instanceof Uint8Array && data.length > 0 && data.length <= MAX_PIECE;
    const canWriteNow = !this.#busy && !this.#endRequested && this.#failure === undefined;
    if (isOnePiece && canWriteNow && opts === undefined) return this.#writeAtOnce(data);
    let bytes;
    try {
      bytes = toBytesOrParts(data);
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = optionsError(opts, "write");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#endRequested) return Promise.reject(localError("EPIPE", "write"));
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    return this.#enqueue(bytes, opts);
  }

  /**
   * Passes a whole write as one piece, without the queue. If the layer below does not take all of the piece, the write
   * waits in the queue.
   */
  #writeAtOnce(data: Uint8Array): Promise<void> {
    this.writes++;
    const taken = this.#passPiece(data);
    // The callback may have run already, also with an error.
    if (this.#failure !== undefined) {
      const { code, cause } = this.#failure.error as SocketError;
      return Promise.reject(localError(code, "write", { cause, transferred: data.length }));
    }
    if (taken || !this.#busy) return Promise.resolve();
    // Node has got all bytes of the queued write.
    const write = new PlainWrite(NO_BYTES);
    write.transferred = data.length;
    this.#queue.push(write);
    return write.promise;
  }

  /**
   * Passes one piece to Node, unless Node still has another piece. Returns the number of bytes of the piece, or 0. Its
   * bytes count as written. Until Node has written the piece, further calls return 0.
   */
  tryWrite(data: Uint8Array): number {
    if (!isUint8Array(data)) {
      throw new TypeError(`Cannot write: data is ${quote(data)}, required a Uint8Array`);
    }
    if (this.#endRequested) throw localError("EPIPE", "write");
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#busy || data.length === 0) return 0;
    const piece = data.length <= MAX_PIECE ? data : data.subarray(0, MAX_PIECE);
    this.writes++;
    this.#passPiece(piece);
    // The callback may have run already, also with an error.
    const failed = this.#failure as { readonly error: unknown } | undefined;
    if (failed !== undefined) throw failed.error;
    return piece.length;
  }

  /** Sends close_notify after the pending writes, and ends the connection below for writing. */
  end(opts: IoOptions | undefined): Promise<void> {
    const refused = optionsError(opts, "closeWrite");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#finished) return Promise.resolve();
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    this.#endRequested = true;
    return this.#enqueue(undefined, opts);
  }

  /** Fails all pending and later writes. The error of a pending write has the `transferred` of this write. */
  fail(code: string, cause: unknown): void {
    this.#broken = true;
    this.#failure ??= { error: localError(code, "write", { cause }) };
    for (const write of this.#queue.splice(0)) write.reject(localWriteError(write, code, cause));
    this.#setIdle();
  }

  /** Rejects the pending writes with `ECANCELED` and later ones with `EBADF`, because this side closes. */
  cancel(): void {
    this.#failure ??= { error: localError("EBADF", "write") };
    for (const write of this.#queue.splice(0)) write.reject(localWriteError(write, "ECANCELED"));
  }

  /** Resolves when Node has neither a piece nor the end to write. */
  whenIdle(): Promise<void> {
    return this.#busy ? new Promise((resolve) => this.#idleWaiters.push(resolve)) : Promise.resolve();
  }

  #enqueue(data: Uint8Array | WriteParts | undefined, opts: IoOptions | undefined): Promise<void> {
    const isPlain = opts === undefined || (opts.timeout === undefined && opts.signal === undefined);
    const write = isPlain
      ? new PlainWrite(data)
      : new TimedWrite(data, opts, this.#refs, (cancelled) => {
          this.#queue = this.#queue.filter((other) => other !== cancelled);
        });
    this.#queue.push(write);
    if (!this.#busy) this.#passNext();
    return write.promise;
  }

  /** Called when Node has neither a piece nor the end. Resolves the promises of `whenIdle()`. */
  #setIdle(): void {
    this.#busy = false;
    // Without this check, each piece would make an array.
    if (this.#idleWaiters.length === 0) return;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  /** Passes the next piece of the first write, or the end, to Node. Resolves writes of which no bytes are left. */
  #passNext(): void {
    for (let write = this.#queue[0]; write !== undefined; write = this.#queue[0]) {
      if (write.data === undefined && !this.#finished) {
        this.#busy = true;
        this.#sink.end(this.#onEndSent);
        return;
      }
      const piece = takePiece(write);
      if (piece !== undefined) {
        const isLastPiece = bytesLeft(write) === 0;
        if (write.transferred === 0) this.writes++;
        write.transferred += piece.length;
        const taken = this.#passPiece(piece);
        // Node calls the callback a turn later. The write need not wait for that.
        if (taken && isLastPiece && this.#queue[0] === write) {
          this.#queue.shift();
          write.resolve();
        }
        return;
      }
      this.#queue.shift();
      write.resolve();
    }
  }

  /** Passes a piece to Node. Returns whether the layer below has taken all of it. */
  #passPiece(piece: Uint8Array): boolean {
    this.#busy = true;
    this.#pieceSize = piece.length;
    this.bytes += piece.length;
    return this.#sink.writePiece(piece, this.#onPieceWritten);
  }

  /** The callback of each piece. A property, so that no closure is made for a piece. */
  readonly #onPieceWritten: WriteCallback = (error) => {
    // The common case: no call waits.
    if (!error && this.#queue.length === 0 && this.#idleWaiters.length === 0) {
      this.#busy = false;
      return;
    }
    // In this case the TlsConn calls fail().
    if (this.#sink.destroyed && !error) return;
    if (error || this.#failure !== undefined) return this.#failOrStop(error);
    this.#setIdle();
    this.#passNext();
  };

  /** The callback of `end()` of the TLS socket. */
  readonly #onEndSent: WriteCallback = (error) => {
    // In this case the TlsConn calls fail().
    if (this.#sink.destroyed && !error) return;
    if (error || this.#failure !== undefined) return this.#failOrStop(error);
    this.#finished = true;
    this.#setIdle();
    this.#passNext();
  };

  /** Called when Node reports an error, or after fail() or cancel(). No further piece is passed. */
  #failOrStop(error: Error | null | undefined): void {
    if (error) this.fail(writeErrorCode(error), error);
    else this.#setIdle();
  }
}

/** The code of a failed write: Node's code if it says why the connection is broken, otherwise `EPIPE`. */
export function writeErrorCode(error: unknown): string {
  const code: unknown = (error as { code?: unknown } | undefined)?.code;
  return code === "ECONNRESET" || code === "ETIMEDOUT" || code === "EHOSTUNREACH" || code === "ENETUNREACH"
    ? code
    : "EPIPE";
}
