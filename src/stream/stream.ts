// Stream: a connection with a bounded read buffer. Its methods read lines, frames, and exact numbers of bytes.

import type { Socket as NetSocket } from "node:net";
import type { Duplex } from "node:stream";
import { isUint8Array } from "node:util/types";
import { brand, checkOptions } from "../check/index.js";
import type {
  Conn,
  Data,
  EndOptions,
  EndResult,
  IoOptions,
  ReadAhead,
  SecuredConn,
  SocketSettings,
  TransferStats,
  Writer,
} from "../io.js";
import { EndWaiters } from "./endWaiters.js";
import { BufferedReader } from "./bufferedReader.js";
import type { ConnDuplex, ToDuplexOptions } from "./connDuplex.js";
import { FROM_DUPLEX_NAMES, fromDuplex, type FromDuplexOptions } from "./fromDuplex.js";
import { type Codec, frameFinder, type FrameOptions } from "./frames.js";
import { Items } from "./itemIterator.js";
import { lineFinder, type LineOptions, lineRule } from "../reading/lines.js";
import { makeDescribable, Inspectable } from "../registry/index.js";
import { describeStream, type StreamDescription } from "./describeStream.js";
import { detachToNetSocket, type ToNetSocketOptions } from "./netSocket.js";
import { dataSize, NO_WRITE, Outbox, type OutboxCounts } from "./outbox.js";
import { pipe, type PipeOptions } from "./pipe.js";
import { ANY_CHUNK_RULE, ChunkRule, ExactRule, findChunk, PeekRule, UntilRule } from "../reading/readRules.js";
import type { SecureConnDuplex } from "./secureConnDuplex.js";
import {
  delimiterBytes,
  LINE_NAMES,
  checkSize,
  UNTIL_NAMES,
  type UntilOptions,
  pickWaitOptions,
} from "../reading/readArguments.js";
import {
  completeStreamLimits,
  STREAM_NAMES,
  type StreamLimits,
  type StreamOptions,
  systemNow,
} from "./streamArguments.js";
import { type SocketBelow, socketBelow } from "./socketBelow.js";
import { toDuplex } from "./toDuplex.js";
import { optionsError } from "../wait/pendingCall.js";
import { rejection } from "../wait/rejection.js";
import { toWeb, type ToWebOptions, type WebPair } from "./webStreams.js";

/** Returns the reading side of a stream, for code that moves the bytes of the stream or ends the stream. */
export let readerOf: (stream: Stream) => BufferedReader;
/** Returns the outbox of a stream, and makes it if necessary; undefined for a value that is no stream. */
export let outboxOf: (stream: unknown) => Outbox | undefined;

/**
 * A connection with a buffer for reading. It is a {@link Conn} itself.
 *
 * Every reading method takes a `timeout`, for the whole call, and a `signal`. If one of them ends a call, the
 * call rejects with `ETIMEDOUT` or the signal's reason, and all bytes that have arrived stay in the buffer for the next
 * call. One call reads at a time: a second one rejects with a {@link BusyError}. The stream reads from the connection
 * only while a call waits, and at most `readSize` bytes more than the call needs. So a peer that sends faster fills the
 * buffers of the kernel and must wait.
 *
 * After a {@link LimitError} (a line or a frame is too long) or an error of a codec, all later reads reject with the
 * same error. If the peer ends too early, the call rejects with an {@link IncompleteReadError}, which has the bytes
 * that have arrived. All other errors are those of the connection.
 *
 * `write` calls `write` of the connection, without a buffer and without a copy. The waiting writes are the `outbox`,
 * and `maxOutbox` limits them.
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
export class Stream<C extends Conn = Conn>
  extends Inspectable<StreamDescription>
  implements Conn, AsyncIterable<Buffer>
{
  static {
    brand(Stream.prototype, "Stream");
    makeDescribable<Stream, StreamDescription>(Stream.prototype, "Stream", (stream) =>
      describeStream(stream.#conn, stream.#reader),
    );
    readerOf = (stream) => stream.#reader;
    outboxOf = (stream) => (stream instanceof Stream ? stream.#getOutbox() : undefined);
  }

  readonly #conn: C;
  readonly #reader: BufferedReader;
  readonly #limits: StreamLimits;
  /** Undefined until a write has to wait, or `outboxOf()` is called. */
  #outbox: Outbox | undefined;
  /** The counters of `stats()`, used only if the connection has no `stats()`. */
  #writes = 0;
  #bytesSent = 0;
  /** The waiting calls of `whenBroken` and of `whenEnded`, if the connection has no such method. */
  #brokenWaiters: EndWaiters | undefined;
  #endedWaiters: EndWaiters | undefined;

  /**
   * Puts a buffer on `conn`. Other code must not read from `conn` from now on.
   *
   * @throws TypeError or RangeError for an option that is wrong
   * @throws BufferedError when another stream on `conn` has bytes in its buffer
   */
  constructor(conn: C, opts: StreamOptions = {}) {
    super();
    checkOptions(opts, "make a stream", STREAM_NAMES);
    this.#conn = conn;
    this.#limits = completeStreamLimits(opts, "make a stream");
    this.#reader = new BufferedReader(conn, this.#limits.readSize, opts.now ?? systemNow);
    conn.registerReadAhead?.(this.#reader);
  }

  /** Makes a stream over a `Duplex` of bytes. The stream owns the Duplex; see {@link fromDuplex}. */
  static fromDuplex(duplex: Duplex, opts: StreamOptions & FromDuplexOptions = {}): Stream {
    checkOptions(opts, "make a stream", [...STREAM_NAMES, ...FROM_DUPLEX_NAMES]);
    const { closeTimeout, ...limits } = opts;
    return new Stream(fromDuplex(duplex, { closeTimeout }), limits);
  }

  /** Registers a layer that reads from this stream. See {@link Conn.registerReadAhead}. */
  registerReadAhead(layer: ReadAhead): void {
    this.#reader.registerReadAhead(layer);
  }

  /** The connection below. It no longer has the bytes in the buffer of the stream; see `buffered`. */
  get conn(): C {
    return this.#conn;
  }

  /** The socket below, for options, addresses and the descriptor; see {@link SocketBelow}. */
  get socket(): SocketBelow<C> {
    return socketBelow(this.#conn);
  }

  /** Whether a read is pending. */
  get reading(): boolean {
    return this.#reader.reading;
  }

  /** The number of bytes in the buffer: read from the connection, and not returned by a call yet. */
  get buffered(): number {
    return this.#reader.buffer.length;
  }

  /** The writes that the connection below has not taken: over a socket, those that have not reached the kernel. */
  get outbox(): OutboxCounts {
    return this.#outbox?.counts ?? { bytes: 0, writes: 0 };
  }

  /** See {@link Writer.writeProgress}. */
  get writeProgress(): number | undefined {
    return this.#conn.writeProgress;
  }

  get localAddress(): C["localAddress"] {
    return this.#conn.localAddress;
  }

  get remoteAddress(): C["remoteAddress"] {
    return this.#conn.remoteAddress;
  }

  /**
   * Reads the next bytes: as many as there are, at most `max`. Waits only if there are none. Resolves with null at the
   * end. The Buffer belongs to the caller. It may be a view of a larger block of memory, so copy it if you keep it for
   * long.
   *
   * @throws TypeError or RangeError (by rejecting) for a `max` that is no whole number from 1
   */
  read(max?: number, opts?: IoOptions): Promise<Buffer | null>;
  read(opts: IoOptions): Promise<Buffer | null>;
  /** Reads into `buffer`; see {@link Reader.read}. If the stream has no bytes, the connection fills `buffer` itself. */
  read(buffer: Uint8Array, opts?: IoOptions): Promise<number>;
  read(first?: number | IoOptions | Uint8Array, opts?: IoOptions): Promise<Buffer | null | number> {
    if (first === undefined) return this.#reader.read(ANY_CHUNK_RULE, opts);
    if (isUint8Array(first)) return this.#reader.readInto(first, opts);
    if (typeof first === "object") return this.#reader.read(ANY_CHUNK_RULE, first);
    try {
      return this.#reader.read(new ChunkRule(checkSize(first, "read", "max", 1)), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Reads exactly `size` bytes. Rejects with an {@link IncompleteReadError} if the peer ends earlier. `maxLine` and
   * `maxFrame` do not limit `size`, so check a `size` that a peer has sent. Memory is allocated as bytes arrive. With a
   * `size` of 0 it reads nothing, and resolves at once.
   *
   * @throws TypeError or RangeError (by rejecting) for a `size` that is no whole number from 0
   */
  readExactly(size: number, opts?: IoOptions): Promise<Buffer> {
    if (size === 0) {
      const refused = optionsError(opts, "read");
      return refused === undefined ? Promise.resolve(Buffer.alloc(0)) : rejection(refused.error);
    }
    try {
      return this.#reader.read(new ExactRule(checkSize(size, "readExactly", "size", 0)), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Reads up to and including `delimiter`. Resolves with null at the end. Rejects with an {@link IncompleteReadError}
   * if the peer ends after some bytes without a delimiter. Rejects with a {@link LimitError} if the delimiter is not
   * within `max` bytes.
   *
   * @throws TypeError or RangeError (by rejecting) for an empty `delimiter` or a wrong `max`
   */
  readUntil(delimiter: string | Uint8Array, opts?: UntilOptions): Promise<Buffer | null> {
    try {
      const bytes = delimiterBytes(delimiter, "readUntil");
      const wait = pickWaitOptions(opts, "readUntil", UNTIL_NAMES);
      const max = opts?.max;
      if (max === undefined) return this.#reader.read(new UntilRule(bytes, this.#limits.maxLine, "maxLine"), wait);
      return this.#reader.read(new UntilRule(bytes, checkSize(max, "readUntil", "max", 1), "max"), wait);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Reads the next line, without its LF or CR LF. Resolves with null at the end. The last line may have no LF; use
   * `readUntil("\n")` to detect that. Rejects with a {@link LimitError} if the line has more than `max` bytes.
   *
   * @throws TypeError or RangeError (by rejecting) for a wrong `max` or `encoding`
   */
  readLine(opts?: LineOptions): Promise<string | null> {
    try {
      const wait = pickWaitOptions(opts, "readLine", LINE_NAMES);
      return this.#reader.read(lineRule(opts, this.#limits.maxLine, "readLine"), wait);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Returns an iterator over the lines; see `readLine`. `timeout` applies to each line. */
  lines(opts?: LineOptions): Items<string> {
    const wait = pickWaitOptions(opts, "read lines", LINE_NAMES);
    return new Items(this.#reader, lineFinder(lineRule(opts, this.#limits.maxLine, "read lines")), wait);
  }

  /** Returns an iterator over the frames of `codec`. `timeout` applies to each frame. */
  frames<T>(codec: Codec<T, never>, opts?: FrameOptions): Items<T> {
    const wait = pickWaitOptions(opts, "read frames", UNTIL_NAMES);
    const givenMax = opts?.max ?? codec.max;
    const max = givenMax === undefined ? this.#limits.maxFrame : checkSize(givenMax, "read frames", "max", 0);
    const find = frameFinder(codec, max, givenMax === undefined ? "maxFrame" : "max");
    const runsUserCode = true; // the decoder of the codec
    return new Items(this.#reader, find, wait, runsUserCode);
  }

  /**
   * Returns the next `size` bytes and leaves them unread. Resolves with fewer bytes if the peer ends earlier, and with
   * null if there are none.
   *
   * @throws TypeError or RangeError (by rejecting) for a `size` that is no whole number from 1
   */
  peek(size: number, opts?: IoOptions): Promise<Buffer | null> {
    try {
      return this.#reader.read(new PeekRule(checkSize(size, "peek", "size", 1)), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Returns an iterator over the chunks that `read()` returns. The stream stays open when a loop ends early. */
  [Symbol.asyncIterator](): Items<Buffer> {
    return new Items(this.#reader, findChunk, undefined);
  }

  /**
   * The counters of the connection, also after `close()`: see {@link TransferStats}. Over TLS they count the bytes
   * before encryption, without the headers of the records. If the connection has no `stats()`, the stream counts, and
   * counts a write as soon as `write()` is called.
   *
   * @example
   * ```ts
   * import { connect, listen } from "berkeley";
   *
   * await using listener = await listen("tcp://127.0.0.1:8888");
   * await using client = await connect("tcp://127.0.0.1:8888");
   * await client.write("hello\n");
   * console.log(client.stats()); // prints: { bytesReceived: 0, bytesSent: 6, reads: 0, writes: 1 }
   * ```
   */
  stats(): TransferStats {
    const counted = this.#conn.stats?.();
    if (counted !== undefined) return counted;
    const { bytes, reads } = this.#reader;
    return { bytesReceived: bytes, bytesSent: this.#bytesSent, reads, writes: this.#writes };
  }

  /**
   * Writes all of `data`. Resolves when the connection has taken it. See {@link Writer.write}. Several writes may wait.
   * If other writes wait and this write would exceed `maxOutbox` or `maxOutboxWrites`, it rejects at once.
   *
   * @throws OutboxFullError (by rejecting); nothing of `data` is written
   */
  write(data: Data, opts?: IoOptions): Promise<void> {
    const conn = this.#conn;
    if (conn.stats === undefined) {
      this.#writes++;
      this.#bytesSent += dataSize(data) ?? 0;
    }
    if (this.#outbox !== undefined) return this.#outbox.write(data, opts);
    const writing = conn.write(data, opts);
    // NO_WRITE: the connection has taken the whole write already.
    return conn.writeProgress === NO_WRITE ? writing : this.#getOutbox().countWrite(data, writing);
  }

  #getOutbox(): Outbox {
    if (this.#outbox === undefined) {
      this.#outbox = new Outbox(this.#conn, this.#limits);
      this.#reader.outbox = this.#outbox;
    }
    return this.#outbox;
  }

  /**
   * Writes as many bytes as the connection takes at once, without waiting and without a promise. See
   * {@link Writer.tryWrite}. A connection that has no such call (a Duplex, a web stream) takes nothing.
   */
  tryWrite(data: Uint8Array): number {
    const conn = this.#conn;
    const count = conn.tryWrite?.(data) ?? 0;
    if (conn.stats === undefined && count > 0) {
      this.#writes++;
      this.#bytesSent += count;
    }
    return count;
  }

  /** Ends the writing side; reading goes on. See {@link Writer.closeWrite}. */
  closeWrite(opts?: IoOptions): Promise<void> {
    return this.#conn.closeWrite(opts);
  }

  /**
   * Waits until no write can succeed any more. See {@link Writer.whenBroken}. If the connection has no such method, the
   * promise settles only with a timeout, a signal or `close()`.
   */
  whenBroken(opts?: IoOptions): Promise<unknown> {
    return this.#conn.whenBroken?.(opts) ?? (this.#brokenWaiters ??= new EndWaiters()).wait(opts);
  }

  /**
   * Waits until the peer has ended its direction. It reads nothing. See {@link Reader.whenEnded}. If the connection has
   * no such method, the promise settles only with a timeout, a signal or `close()`.
   */
  whenEnded(opts?: IoOptions): Promise<unknown> {
    return this.#conn.whenEnded?.(opts) ?? (this.#endedWaiters ??= new EndWaiters("whenEnded")).wait(opts);
  }

  /**
   * Writes all bytes that arrive to `destination`, one write at a time. At the end it calls `closeWrite()` of the
   * destination. Resolves with the number of bytes.
   *
   * If either side fails, the promise rejects with that error, and neither side is closed. A broken destination ends
   * the pipe even while no bytes arrive ({@link Writer.whenBroken}). If a timeout or a signal ends a read, no byte is
   * lost. If a write times out, the bytes that the destination has not taken stay in this stream. If a signal ends a
   * write, the number of taken bytes is unknown.
   */
  pipeTo(destination: Writer, opts?: PipeOptions): Promise<number> {
    return pipe(this.#reader, destination, opts);
  }

  /** This stream as a Duplex of `node:stream`. The Duplex owns the stream; see {@link toDuplex}. */
  toDuplex(opts?: ToDuplexOptions): ConnDuplex | SecureConnDuplex {
    return toDuplex(this, opts);
  }

  /** This stream as web streams. They own the stream; see {@link toWeb}. */
  toWeb(opts?: ToWebOptions): WebPair {
    return toWeb(this, opts);
  }

  /**
   * Makes a `net.Socket` of the connection, for libraries that require one: `node:http`, `node:http2`, `node:tls`,
   * `ws`, `pg` and others. The `net.Socket` gets the bytes of the stream's buffer first. Node owns the descriptor from
   * now on, and the stream is closed.
   *
   * @throws BusyError while a read is pending
   * @throws SocketError `EBADF` after `close()`; `EBUSY` while a write is pending, or for a family that Node does not
   *   support
   * @throws TypeError for a connection without a socket of its own: TLS, a pair in memory, a Duplex. Use `toDuplex()`
   *   there
   * @example
   * ```ts
   * import { connect, listen } from "berkeley";
   * import { createServer } from "node:http";
   *
   * const http = createServer((request, response) => response.end(`you want ${request.url}`));
   * await using listener = await listen("tcp://127.0.0.1:8888");
   * await using client = await connect("tcp://127.0.0.1:8888");
   * await client.write("GET /tea HTTP/1.0\r\n\r\n");
   * const stream = await listener.accept();
   * http.emit("connection", stream.toNetSocket({ allowHalfOpen: true }));
   * for await (const line of client.lines()) if (line.startsWith("you")) console.log(line); // prints: you want /tea
   * ```
   */
  toNetSocket(opts: ToNetSocketOptions = {}): NetSocket {
    const socket = detachToNetSocket(this.#conn, this.#reader.peekUnread(), opts);
    this.#reader.close();
    return socket;
  }

  /**
   * Lets the process end while calls wait on this stream. From now on neither present nor later calls, nor their
   * deadlines, keep the process alive.
   */
  unref(): this {
    this.#conn.unref?.();
    return this;
  }

  /** Undoes `unref()`: waiting calls keep the process alive, as by default. */
  ref(): this {
    this.#conn.ref?.();
    return this;
  }

  /**
   * Ends the connection so that the peer receives the last bytes that were written. It calls `closeWrite`, discards the
   * bytes that the peer still sends until the peer ends too, and closes. `close()` alone resets a TCP connection that
   * has unread bytes or receives more, and a reset discards bytes that the peer has not read yet. Over TLS, `end()`
   * first sends close_notify.
   *
   * `timeout` limits the whole call ({@link END_TIMEOUT} by default), and `maxBytes` limits the discarded bytes ({@link
   * END_MAX_BYTES}). When the promise settles, the connection is always closed. If not all bytes could be written in
   * time, `end()` resets the connection. A second call waits for the first. `close()` and `abort()` end a pending call
   * at once.
   *
   * @returns how the connection ended, and how many bytes were discarded
   * @throws BusyError while a read is pending; the connection stays as it is
   * @throws TypeError or RangeError for an option that is wrong; the connection stays as it is
   * @throws the reason of `signal`; the connection is closed
   * @see RFC 9112, section 9.6; shutdown(2)
   */
  end(opts?: EndOptions): Promise<EndResult> {
    return this.#reader.end(this.#conn, opts);
  }

  /** Closes the connection and drops the bytes of the buffer. See {@link Conn.close}. */
  close(): Promise<void> {
    this.#closeReader();
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

  /** Ends the connection at once, over TCP with a reset. See {@link Conn.abort}. */
  abort(): void {
    this.#closeReader();
    this.#conn.abort();
  }

  #closeReader(): void {
    this.#reader.close();
    this.#brokenWaiters?.close();
    this.#endedWaiters?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
