// TlsWriter: the writing side of a TLS connection. It passes the writes to Node in order, one piece at a time.
//
// Node encrypts a piece at once, and a passed piece can't be cancelled. So `transferred` of a cancelled write counts
// all passed pieces, including the pending one. Pieces are small, so little data is pending if the peer does not read.

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

/** Called when a piece was written or has failed. */
export type Done = (error?: Error | null) => void;

/** The TLS socket, which takes the pieces. */
export interface Sink {
  /**
   * Whether the socket is destroyed. Then Node calls `done` without an error, and the owner calls `fail()`.
   */
  readonly broken: boolean;
  /**
   * Returns whether the layer below has taken the piece. `done` is called in both cases; the next piece must wait for
   * it.
   */
  put(bytes: Uint8Array, done: Done): boolean;
  /** Sends close_notify and ends the connection below for writing. */
  end(done: Done): void;
}

/** A pending write or, without data, the end of writing. */
interface PendingWrite {
  /** The remaining data. */
  data: Uint8Array | WriteParts | undefined;
  transferred: number;
  /** When the call began, as of `clock()`. */
  readonly since: number;
  resolve(): void;
  reject(error: unknown): void;
}

class PlainWrite implements PendingWrite {
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
    if (!this.#settled) this.#resolve(rejection(error));
    this.#settled = true;
  }
}

class TimedWrite extends PendingCall<void> implements PendingWrite {
  data: Uint8Array | WriteParts | undefined;
  transferred = 0;
  readonly #end: boolean;
  readonly #drop: (job: PendingWrite) => void;

  constructor(
    data: Uint8Array | WriteParts | undefined,
    opts: IoOptions,
    refs: TimerRefs,
    drop: (job: PendingWrite) => void,
  ) {
    super(opts, undefined, refs);
    this.data = data;
    this.#end = data === undefined;
    this.#drop = drop;
  }

  protected override cancel(): SocketError {
    // The end of writing is still sent. Only the wait for it ends.
    if (!this.#end) this.#drop(this);
    return this.#end ? timeoutError("closeWrite") : timeoutError("write", { transferred: this.transferred });
  }
}

function writeError(job: PendingWrite, code: string, end: boolean): SocketError {
  return end ? localError(code, "closeWrite") : localError(code, "write", { transferred: job.transferred });
}

/** One part is written as it is. Several parts are joined into pieces. */
function bodyOf(data: Data): Uint8Array | WriteParts {
  if (isUint8Array(data)) return data;
  if (typeof data === "string") return Buffer.from(data);
  const parts = toParts(data, "write");
  return parts.length === 1 ? (parts[0] as Uint8Array) : new WriteParts(parts);
}

export class TlsWriter {
  readonly #sink: Sink;
  readonly #refs: TimerRefs;
  #queue: PendingWrite[] = [];
  /** Bytes that were passed to Node, and the writes of which they are. */
  bytes: number = 0;
  writes: number = 0;
  #busy = false;
  /** The size of the piece that Node has, while `#busy`. */
  #piece = 0;
  /** closeWrite() was called. */
  #finishing = false;
  #finished = false;
  #broken = false;
  #failure: { readonly error: unknown } | undefined;
  #idle: (() => void)[] = [];

  constructor(sink: Sink, refs: TimerRefs) {
    this.#sink = sink;
    this.#refs = refs;
  }

  /** The calls that wait. */
  get jobs(): readonly Pick<PendingWrite, "data" | "since">[] {
    return this.#queue;
  }

  #count(bytes: number): void {
    this.bytes += bytes;
    this.writes++;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Whether the connection below has failed. */
  get broken(): boolean {
    return this.#broken;
  }

  /** See {@link Writer.writeProgress}. The kernel may not have the piece that Node has. */
  get progress(): number {
    const [job] = this.#queue;
    if (job === undefined) return -1;
    return this.#busy ? Math.max(0, job.transferred - this.#piece) : job.transferred;
  }

  write(data: Data, opts: IoOptions | undefined): Promise<void> {
    if (opts === undefined && !this.#busy && data instanceof Uint8Array && data.length <= MAX_PIECE) {
      if (data.length > 0 && !this.#finishing && this.#failure === undefined) return this.#writeAtOnce(data);
    }
    let body;
    try {
      body = bodyOf(data);
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = optionsError(opts, "write");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#finishing) return Promise.reject(localError("EPIPE", "write"));
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    return this.#start(body, opts);
  }

  /** Writes a single piece while no other piece is pending. If the layer below takes it, the write is complete. */
  #writeAtOnce(data: Uint8Array): Promise<void> {
    this.#busy = true;
    this.#piece = data.length;
    this.#count(data.length);
    const taken = this.#sink.put(data, this.#put);
    if (this.#failure !== undefined) {
      const { code, cause } = this.#failure.error as SocketError;
      return Promise.reject(localError(code, "write", { cause, transferred: data.length }));
    }
    if (taken || !this.#busy) return Promise.resolve();
    const job = new PlainWrite(NOTHING);
    job.transferred = data.length;
    this.#queue.push(job);
    return job.promise;
  }

  /**
   * Passes one piece to Node, if no other piece is pending. Passed bytes count as written. If the layer below does
   * not take all of them at once, the next call returns 0.
   */
  tryWrite(data: Uint8Array): number {
    if (!isUint8Array(data)) {
      throw new TypeError(`Cannot write: data is ${quote(data)}, required a Uint8Array`);
    }
    if (this.#finishing) throw localError("EPIPE", "write");
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#busy || data.length === 0) return 0;
    const piece = data.length <= MAX_PIECE ? data : data.subarray(0, MAX_PIECE);
    this.#busy = true;
    this.#piece = piece.length;
    this.#count(piece.length);
    this.#sink.put(piece, this.#put);
    const failed = this.#failure as { readonly error: unknown } | undefined;
    if (failed !== undefined) throw failed.error;
    return piece.length;
  }

  end(opts: IoOptions | undefined): Promise<void> {
    const refused = optionsError(opts, "closeWrite");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#finished) return Promise.resolve();
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    this.#finishing = true;
    return this.#start(undefined, opts);
  }

  /** Fails all pending and later writes. Each error has the `transferred` of its write. */
  fail(code: string, cause: unknown): void {
    this.#broken = true;
    this.#failure ??= { error: localError(code, "write", { cause }) };
    for (const job of this.#queue.splice(0)) {
      const details = job.data === undefined ? { cause } : { cause, transferred: job.transferred };
      job.reject(localError(code, job.data === undefined ? "closeWrite" : "write", details));
    }
    this.#release();
  }

  /** Ends writing because this side closes. */
  cancel(): void {
    this.#failure ??= { error: localError("EBADF", "write") };
    for (const job of this.#queue.splice(0)) job.reject(writeError(job, "ECANCELED", job.data === undefined));
  }

  /** Resolves when no piece is pending. */
  idle(): Promise<void> {
    return this.#busy ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve();
  }

  #start(data: Uint8Array | WriteParts | undefined, opts: IoOptions | undefined): Promise<void> {
    const plain = opts === undefined || (opts.timeout === undefined && opts.signal === undefined);
    const job = plain
      ? new PlainWrite(data)
      : new TimedWrite(data, opts, this.#refs, (cut) => (this.#queue = this.#queue.filter((other) => other !== cut)));
    this.#queue.push(job);
    if (!this.#busy) this.#advance();
    return job.promise;
  }

  #release(): void {
    this.#busy = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #advance(): void {
    for (let job = this.#queue[0]; job !== undefined; job = this.#queue[0]) {
      const { data } = job;
      if (data === undefined) {
        if (!this.#finished) {
          this.#busy = true;
          this.#sink.end(this.#ended);
          return;
        }
      } else {
        const left = data instanceof WriteParts ? data.left : data.length;
        if (left > 0) {
          let piece;
          if (data instanceof WriteParts) piece = data.take(MAX_PIECE);
          else if (left <= MAX_PIECE) {
            piece = data;
            job.data = NOTHING;
          } else {
            piece = data.subarray(0, MAX_PIECE);
            job.data = data.subarray(MAX_PIECE);
          }
          if (job.transferred === 0) this.writes++;
          job.transferred += piece.length;
          this.bytes += piece.length;
          this.#busy = true;
          this.#piece = piece.length;
          const taken = this.#sink.put(piece, this.#put);
          // Node calls `done` a turn later. The write need not wait for that.
          if (taken && left === piece.length && this.#queue[0] === job) {
            this.#queue.shift();
            job.resolve();
          }
          return;
        }
      }
      this.#queue.shift();
      job.resolve();
    }
  }

  readonly #put: Done = (error) => {
    if (!error && this.#queue.length === 0 && this.#idle.length === 0) {
      this.#busy = false;
      return;
    }
    if (this.#sink.broken && !error) return;
    if (error || this.#failure !== undefined) return this.#stop(error);
    this.#busy = false;
    if (this.#idle.length > 0) this.#release();
    this.#advance();
  };

  readonly #ended: Done = (error) => {
    if (this.#sink.broken && !error) return;
    if (error || this.#failure !== undefined) return this.#stop(error);
    this.#finished = true;
    this.#busy = false;
    if (this.#idle.length > 0) this.#release();
    this.#advance();
  };

  #stop(error: Error | null | undefined): void {
    if (error) this.fail(codeOf(error), error);
    else this.#release();
  }
}

const NOTHING = new Uint8Array(0);

/** The error code of a failed write, as the kernel would return it. */
export function codeOf(error: unknown): string {
  const code: unknown = (error as { code?: unknown } | undefined)?.code;
  return code === "ECONNRESET" || code === "ETIMEDOUT" || code === "EHOSTUNREACH" || code === "ENETUNREACH"
    ? code
    : "EPIPE";
}
