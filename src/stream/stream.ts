// Stream: a connection with a bounded buffer for reading, so that one reads what a protocol is made of.

import { brand, checkOptions, kindOf } from "../check/index.js";
import type { Socket as NetSocket } from "node:net";
import type { Duplex } from "node:stream";
import { isUint8Array } from "node:util/types";
import type { Address } from "../addr/address.js";
import type {
  Conn,
  Data,
  EndOptions,
  EndResult,
  IoOptions,
  ReadAhead,
  SecuredConn,
  SocketSettings,
  Writer,
} from "../io.js";
import { Broken } from "./broken.js";
import { type ConnDuplex, type SecureConnDuplex, toDuplex, type ToDuplexOptions } from "./connDuplex.js";
import { fromDuplex, type FromDuplexOptions } from "./duplex.js";
import { type Codec, frameFinder, type FrameOptions } from "./frames.js";
import { Items } from "./items.js";
import { lineFinder, type LineOptions, LineTake } from "./lines.js";
import { handOver, type ToNetSocketOptions } from "./netSocket.js";
import { pipe, type PipeOptions } from "./pipe.js";
import { Pull } from "./pull.js";
import { ANY_CHUNK, ChunkTake, ExactTake, PeekTake, UntilTake } from "./takes.js";
import { toWeb, type ToWebOptions, type WebPair } from "./web.js";
import { toBytes } from "./data.js";

/** The limits of a stream. */
export interface StreamOptions {
  /** Most bytes asked of the connection at a time, and so most that are read beyond what a call needs. Default 64 KiB. */
  readonly readSize?: number | undefined;
  /** Most bytes of a line or of what `readUntil` gives, where the call names no `max`. Default 64 KiB. */
  readonly maxLine?: number | undefined;
  /** Most bytes of a frame, where neither call nor codec names a `max`. Default 1 MiB. */
  readonly maxFrame?: number | undefined;
  /** The time in milliseconds, by which a timeout is shared among the reads of one call. Default `performance.now`. */
  readonly now?: (() => number) | undefined;
}

/** How to read up to a delimiter. */
export interface UntilOptions extends IoOptions {
  /** Most bytes, the delimiter included. Default: the stream's `maxLine`. */
  readonly max?: number | undefined;
}

/** The reading side of a stream, for what moves its bytes on. */
export let pullOf: (stream: Stream) => Pull;

/**
 * A connection with a buffer for reading. It is a {@link Conn} itself.
 *
 * Every reading method takes a `timeout` (for the whole call) and a `signal`; a call that these end rejects with
 * `ETIMEDOUT` or the signal's reason, and all bytes that had come are there for the next call. One reads at a time: a
 * second call meanwhile rejects with a {@link BusyError}. Nothing is read before a call asks, and never more than the call
 * needs plus `readSize`: a peer that sends faster is held back by the connection.
 *
 * A {@link LimitError} (a line or frame is too long) or an error of a codec ends the reading for good: all later reads
 * reject with it. An early end is an {@link IncompleteReadError} with what had come. Other errors are the connection's.
 *
 * Writing has no buffer: `write` is the connection's.
 *
 * @example
 * ```ts
 * import { Stream } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, b] = memoryPair();
 * const stream = new Stream(b);
 * await a.write(["GET key\r\n", Uint8Array.of(0, 2), "ok"]);
 * console.log(await stream.readLine()); // prints: GET key
 * const size = (await stream.readExactly(2)).readUInt16BE();
 * console.log((await stream.readExactly(size)).toString()); // prints: ok
 * ```
 */
export class Stream<C extends Conn = Conn> implements Conn, AsyncIterable<Buffer> {
  static {
    brand(Stream.prototype, "Stream");
    pullOf = (stream) => stream.#pull;
  }

  readonly #conn: C;
  readonly #pull: Pull;
  readonly #maxLine: number;
  readonly #maxFrame: number;
  /** For a connection that has no `whenBroken`. */
  #broken: Broken | undefined;

  /** Puts a buffer on `conn`, which nobody else may read from now on. */
  constructor(conn: C, opts: StreamOptions = {}) {
    checkOptions(opts, "make a stream");
    this.#conn = conn;
    this.#pull = new Pull(conn, count("readSize", opts.readSize ?? 65_536, 1), opts.now ?? systemNow);
    conn.readAheadBy?.(this.#pull);
    this.#maxLine = count("maxLine", opts.maxLine ?? 65_536, 1);
    this.#maxFrame = count("maxFrame", opts.maxFrame ?? 1_048_576, 1);
  }

  /** A stream over a `Duplex` of bytes, which it owns from now on; see {@link fromDuplex}. */
  static fromDuplex(duplex: Duplex, opts: StreamOptions & FromDuplexOptions = {}): Stream {
    return new Stream(fromDuplex(duplex, opts), opts);
  }

  /** Another layer reads from this stream. See {@link Conn.readAheadBy}. */
  readAheadBy(layer: ReadAhead): void {
    this.#pull.readAheadBy(layer);
  }

  /** The connection below. Bytes that were read and not taken are here, not there: see `buffered`. */
  get conn(): C {
    return this.#conn;
  }

  /** Whether a read is pending. */
  get reading(): boolean {
    return this.#pull.reading;
  }

  /** Bytes that were read from the connection and not taken. */
  get buffered(): number {
    return this.#pull.buffer.length;
  }

  get localAddress(): Address | undefined {
    return this.#conn.localAddress;
  }

  get remoteAddress(): Address | undefined {
    return this.#conn.remoteAddress;
  }

  /**
   * The next bytes, as many as there are, at most `max`; null at the end. Waits only while there are none. The Buffer is
   * the caller's, but a part of a larger block of memory: copy what is kept for long.
   */
  read(max?: number, opts?: IoOptions): Promise<Buffer | null>;
  read(opts: IoOptions): Promise<Buffer | null>;
  /** Reads into `buffer` as {@link Reader.read} says, straight from the connection when nothing is buffered. */
  read(buffer: Uint8Array, opts?: IoOptions): Promise<number>;
  read(first?: number | IoOptions | Uint8Array, opts?: IoOptions): Promise<Buffer | null | number> {
    if (first === undefined) return this.#pull.run(ANY_CHUNK, opts);
    if (isUint8Array(first)) return this.#pull.into(first, opts);
    if (typeof first === "object") return this.#pull.run(ANY_CHUNK, first);
    if (!isCount(first, 1)) return refuse("max", first, 1);
    return this.#pull.run(new ChunkTake(first), opts);
  }

  /**
   * Exactly `size` bytes. Rejects with an {@link IncompleteReadError} when the end comes before. `size` is the only limit,
   * so check one that a peer sent; memory grows with what comes, not with `size`.
   */
  readExactly(size: number, opts?: IoOptions): Promise<Buffer> {
    if (!isCount(size, 0)) return refuse("size", size, 0);
    if (size === 0) return Promise.resolve(Buffer.alloc(0));
    return this.#pull.run(new ExactTake(size), opts);
  }

  /**
   * The bytes up to and with `delimiter`; null at the end. Rejects with an {@link IncompleteReadError} when the end comes
   * after some bytes without a delimiter, with a {@link LimitError} when it is not within `max` bytes.
   */
  readUntil(delimiter: string | Uint8Array, opts?: UntilOptions): Promise<Buffer | null> {
    if (typeof delimiter !== "string" && !isUint8Array(delimiter)) {
      return Promise.reject(new TypeError(`delimiter must be a string or a Uint8Array, found ${kindOf(delimiter)}`));
    }
    const bytes = toBytes(delimiter);
    if (bytes.length === 0) return Promise.reject(new RangeError("delimiter must have at least 1 byte, found 0"));
    let max;
    try {
      max = opts?.max;
    } catch (error) {
      return Promise.reject(error);
    }
    if (max === undefined) return this.#pull.run(new UntilTake(bytes, this.#maxLine, "maxLine"), opts);
    if (!isCount(max, 1)) return refuse("max", max, 1);
    return this.#pull.run(new UntilTake(bytes, max, "max"), opts);
  }

  /**
   * The next line without its end, which is LF or CR LF; null at the end. The last line may lack its end: where that
   * matters, use `readUntil("\n")`. Rejects with a {@link LimitError} when the line has more than `max` bytes.
   */
  readLine(opts?: LineOptions): Promise<string | null> {
    try {
      return this.#pull.run(this.#checkedLine(opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The lines, one after the other, each as `readLine` gives it; `timeout` is for each. */
  lines(opts?: LineOptions): Items<string> {
    return new Items(this.#pull, lineFinder(this.#checkedLine(opts)), opts);
  }

  /** The frames that `codec` finds, one after the other; `timeout` is for each. */
  frames<T>(codec: Codec<T, never>, opts?: FrameOptions): Items<T> {
    const named = opts?.max ?? codec.max;
    const max = named === undefined ? this.#maxFrame : count("max", named, 0);
    return new Items(this.#pull, frameFinder(codec, max, named === undefined ? "maxFrame" : "max"), opts, true);
  }

  /** The next `size` bytes, which stay unread; fewer when the end comes before, null when there are none. */
  peek(size: number, opts?: IoOptions): Promise<Buffer | null> {
    if (!isCount(size, 1)) return refuse("size", size, 1);
    return this.#pull.run(new PeekTake(size), opts);
  }

  /** The chunks as `read` gives them, until the end. Leaving the loop leaves the stream open. */
  [Symbol.asyncIterator](): Items<Buffer> {
    return new Items(
      this.#pull,
      (buffer, ended) => {
        const value = ANY_CHUNK.take(buffer, ended);
        return value ? { value } : value;
      },
      undefined,
    );
  }

  /** Writes all of `data`; resolves when the connection has taken it. See {@link Writer.write}. */
  write(data: Data, opts?: IoOptions): Promise<void> {
    return this.#conn.write(data, opts);
  }

  /**
   * Writes what the connection takes at once, without a wait and without a promise: what a server that answers small requests is
   * spared a turn of the event queue by. A connection that can't do that (a Duplex, a web stream) takes nothing.
   *
   * @returns the number of bytes taken, from the start of `data` on; 0 when it would have to wait. The rest is for `write`
   * @throws SocketError what `write` would reject with
   * @example
   * ```ts
   * import { socketpair } from "berkeley";
   *
   * const [left, right] = socketpair();
   * const stream = left.stream();
   * const answer = Buffer.from("hello\n");
   * const taken = stream.tryWrite(answer);
   * if (taken < answer.length) await stream.write(answer.subarray(taken));
   * console.log(await right.stream().readLine()); // prints: hello
   * ```
   */
  tryWrite(data: Uint8Array): number {
    return this.#conn.tryWrite?.(data) ?? 0;
  }

  /** Ends the writing side; reading goes on. See {@link Writer.closeWrite}. */
  closeWrite(opts?: IoOptions): Promise<void> {
    return this.#conn.closeWrite(opts);
  }

  /** Waits until no write can succeed any more. See {@link Writer.whenBroken}; a connection that lacks it never is. */
  whenBroken(opts?: IoOptions): Promise<unknown> {
    return this.#conn.whenBroken?.(opts) ?? (this.#broken ??= new Broken()).wait(opts);
  }

  /**
   * Writes all that comes to `destination`, waiting for each write, and passes the end on by `closeWrite()`. Returns the
   * number of bytes. When either side fails it rejects with that error and closes neither, also when the destination is gone
   * while nothing comes ({@link Writer.whenBroken}). A read that is cut short loses
   * nothing; of a write that timed out, the rest is still unread here; of one that a signal ended, nobody knows.
   */
  pipeTo(destination: Writer, opts?: PipeOptions): Promise<number> {
    return pipe(this.#pull, destination, opts);
  }

  /** This stream as a `node:stream` Duplex, which owns it from now on; see {@link toDuplex}. */
  toDuplex(opts?: ToDuplexOptions): ConnDuplex | SecureConnDuplex {
    return toDuplex(this, opts);
  }

  /** This stream as web streams, which own it from now on; see {@link toWeb}. */
  toWeb(opts?: ToWebOptions): WebPair {
    return toWeb(this, opts);
  }

  /**
   * Hands the connection to `node:net`, for libraries that want a `net.Socket` and nothing else: `node:http`, `node:http2`,
   * `node:tls`, `ws`, `pg` and their kin. Bytes that were read and not taken come first there, none is lost. From then on
   * the stream counts as closed, and Node has the descriptor: all goes on at its speed and by its rules.
   *
   * @throws BusyError while a read is pending
   * @throws SocketError `EBADF` after `close()`; `EBUSY` while a write is pending, or for a family that Node has no handle for
   * @throws TypeError for a connection that is no socket's: TLS, a pair in memory, a Duplex. Those have `toDuplex()`
   * @example
   * ```ts
   * import { connect, listen } from "berkeley";
   * import { createServer } from "node:http";
   *
   * const http = createServer((request, response) => response.end(`you asked for ${request.url}`));
   * await using listener = await listen("tcp://127.0.0.1:8888");
   * await using client = await connect("tcp://127.0.0.1:8888");
   * await client.write("GET /tea HTTP/1.0\r\n\r\n");
   * const stream = await listener.accept();
   * http.emit("connection", stream.toNetSocket({ allowHalfOpen: true }));
   * for await (const line of client.lines()) if (line.startsWith("you")) console.log(line); // prints: you asked for /tea
   * ```
   */
  toNetSocket(opts: ToNetSocketOptions = {}): NetSocket {
    const rest = this.#pull.rest();
    const socket = handOver(this.#conn, rest, opts);
    this.#pull.close();
    return socket;
  }

  /**
   * Lets the process end while calls wait here: neither these, those that wait already among them, nor their deadlines keep it alive
   * from now on.
   */
  unref(): this {
    this.#conn.unref?.();
    return this;
  }

  /** Undoes `unref()`: a call that waits keeps the process alive, as it does from the beginning. */
  ref(): this {
    this.#conn.ref?.();
    return this;
  }

  /**
   * Ends the conversation so that the peer gets what was written last: finishes writing (`closeWrite`), reads and drops what the
   * peer still sends, until it finishes too, and closes. `close()` alone would reset a TCP connection on which bytes are unread
   * or still come, and a reset takes the answer from a peer that has not read it. Over TLS, close_notify goes first.
   *
   * The bounds are `timeout` (for all of it, {@link END_TIMEOUT} by default) and `maxBytes` ({@link END_MAX_BYTES}). The
   * connection is closed when the promise settles, whatever became of it; what could not be written in time is cut off by
   * `abort()`. A second call waits for the first. `close()` and `abort()` meanwhile end it at once.
   *
   * @returns how it ended, and how many bytes were dropped
   * @throws BusyError while a read is pending; nothing has been done then
   * @throws TypeError or RangeError for an option that is wrong; nothing has been done then
   * @throws the reason of `signal`; the connection is closed
   * @see RFC 9112, section 9.6; shutdown(2)
   * @example
   * ```ts
   * import { connect, listen } from "berkeley";
   *
   * await using listener = await listen("tcp://127.0.0.1:8888");
   * await using client = await connect("tcp://127.0.0.1:8888");
   * await client.write(Buffer.alloc(100_000, "an upload that nobody wants "));
   *
   * const stream = await listener.accept();
   * await stream.write("413 too much\n");
   * const ending = stream.end({ timeout: 5_000, maxBytes: 1_000_000 });
   * console.log(await client.readLine()); // prints: 413 too much
   * await client.close();
   * console.log(await ending); // prints: { how: 'finished', dropped: 100000 }
   * ```
   */
  end(opts?: EndOptions): Promise<EndResult> {
    return this.#pull.end(this.#conn, opts);
  }

  /** Closes the connection and forgets what was not taken. See {@link Conn.close}. */
  close(): Promise<void> {
    this.#pull.close();
    this.#broken?.close();
    return this.#conn.close();
  }

  /** See {@link Conn.secured}. */
  get secured(): SecuredConn | undefined {
    return this.#conn.secured;
  }

  /** See {@link Conn.settings}. */
  settings(fd?: () => number): SocketSettings | undefined {
    return this.#conn.settings?.(fd);
  }

  /** Cuts the connection. See {@link Conn.abort}. */
  abort(): void {
    this.#pull.close();
    this.#broken?.close();
    this.#conn.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkedLine(opts: LineOptions | undefined): LineTake {
    if (opts === undefined) return new LineTake(this.#maxLine, "maxLine", "utf8");
    const encoding = opts?.encoding ?? "utf8";
    const max = opts?.max;
    if (max !== undefined) count("max", max, 0);
    if (!isEncoding(encoding)) throw wrongEncoding(encoding);
    return max === undefined ? new LineTake(this.#maxLine, "maxLine", encoding) : new LineTake(max, "max", encoding);
  }
}

const systemNow = (): number => performance.now();

/** Text, too: code that makes one would run while events are dealt with. */
function isEncoding(value: unknown): boolean {
  return typeof value === "string" && Buffer.isEncoding(value);
}

function wrongEncoding(value: unknown): TypeError {
  const found = typeof value === "string" ? JSON.stringify(value) : kindOf(value);
  return new TypeError(`encoding must be one that Buffer knows, found ${found}`);
}

function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

function wrong(name: string, value: unknown, least: number): Error {
  const found = typeof value === "number" ? String(value) : kindOf(value);
  const text = `${name} must be an integer of at least ${least}, found ${found}`;
  return typeof value === "number" ? new RangeError(text) : new TypeError(text);
}

function refuse(name: string, value: unknown, least: number): Promise<never> {
  return Promise.reject(wrong(name, value, least));
}

function count(name: string, value: number, least: number): number {
  if (!isCount(value, least)) throw wrong(name, value, least);
  return value;
}
