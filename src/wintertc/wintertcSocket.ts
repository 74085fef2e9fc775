// The Socket of the WinterTC sockets proposal: two web streams, which exist before the connection is established, and
// promises that settle when the socket is open and when it is closed.
//
// The proposal leaves some choices open, and contradicts itself in places. This implementation decides:
// - `readable` is a byte stream, so a reader can read into its own memory. For other readers there is no difference.
// - When the socket can't connect, reads of `readable` reject. The end of an empty stream would hide the failure.
// - A reset closes the socket, even with `allowHalfOpen`: no direction is left.
// - When the peer has ended its direction and the program has closed the writable, `closed` resolves, even with
//   `allowHalfOpen`. If the program has cancelled the readable and closed the writable, the connection is closed, but
//   `closed` does not resolve.
// - `startTls()` waits for the running write. Queued and later writes reject.

import type { ReadableStream, WritableStream, WritableStreamDefaultController } from "node:stream/web";
import { isAnyArrayBuffer, isUint8Array } from "node:util/types";
import { streamWeb } from "../builtins.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { quote } from "../check/index.js";
import type { Conn } from "../io.js";
import { ReadBuffer } from "../reading/readBuffer.js";
import { type ByteController, pullBytes } from "../stream/webStreams.js";
import { TlsConn } from "../tls/index.js";
import { SocketError, toSocketError } from "./wintertcError.js";
import type { CheckedOptions, SecureTransportKind, SocketInfo } from "./wintertcOptions.js";

/** A connection with the interface of the WinterTC sockets proposal. Made by `connect()`. */
export interface Socket extends AsyncDisposable {
  /** The bytes from the peer. The stream reads from the connection only when a reader reads. */
  readonly readable: ReadableStream<Uint8Array>;
  /** The bytes to the peer; text is sent as UTF-8. A write resolves when the kernel has taken it. */
  readonly writable: WritableStream<string | ArrayBuffer | ArrayBufferView>;
  /**
   * Resolves when the connection is established, with TLS after the handshake. Rejects with a `SocketError`, or with
   * the reason that was passed to `close()`.
   */
  readonly opened: Promise<SocketInfo>;
  /** Resolves when the socket is closed, by `close()` or by the peer. Rejects when the socket could not connect. */
  readonly closed: Promise<void>;
  /** Whether `startTls()` was called. Then the socket that it returned has the connection. */
  readonly upgraded: boolean;
  readonly secureTransport: SecureTransportKind;
  /**
   * Closes the socket. The kernel still delivers the bytes of writes that have resolved. Reads end. All other writes
   * reject with `reason`, and so does `opened` if it is pending. Returns `closed`.
   */
  close(reason?: unknown): Promise<void>;
  /**
   * Starts TLS on the connection and returns the socket for it. This socket is closed; its readers and writers no
   * longer work.
   *
   * @throws SocketError if `secureTransport` is not `"starttls"`, for a second call, or if the socket is closed
   */
  startTls(): Socket;
}

interface Resolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** Makes a promise, and the functions that settle it. The process ignores an unhandled rejection of this promise. */
function withResolvers<T>(): Resolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((resolvePromise, rejectPromise) => {
    resolve = resolvePromise;
    reject = rejectPromise;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** The controller of the readable. */
interface ReadableController extends ByteController {
  error(reason: unknown): void;
}

/** The maximum number of bytes of a read. */
const READ_SIZE = 65_536;

export class WintertcSocket implements Socket {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<string | ArrayBuffer | ArrayBufferView>;
  readonly secureTransport: SecureTransportKind;
  readonly #startTls: (conn: Conn, signal: AbortSignal) => Promise<Conn>;
  readonly #options: CheckedOptions;
  readonly #opened = withResolvers<SocketInfo>();
  readonly #closed = withResolvers<void>();
  /** Resolves with the connection, or rejects if it can't be made. */
  readonly #conn: Promise<Conn>;
  /** Aborted when the socket is closed: the abort ends the waiting calls of the connection. */
  readonly #callAborter = new AbortController();
  readonly #buffer = new ReadBuffer(READ_SIZE);
  #readableController!: ReadableController;
  #writableController!: WritableStreamDefaultController;
  #upgraded = false;
  /** Whether the socket was closed or upgraded, or could not connect. */
  #ended = false;
  /** Whether the connection could not be made. */
  #failed = false;
  /**
   * Whether a read of the connection is pending. If it is, `#end()` aborts that read and leaves the readable to
   * `#pull()`, which closes it.
   */
  #pulling = false;
  /** Whether the readable is at its end, closed or cancelled. */
  #readEnded = false;
  /** Whether the writable is closed or aborted. */
  #writeEnded = false;
  /** Whether the program has cancelled the readable. */
  #cancelled = false;
  /** The most recent write. */
  #writing: Promise<void> = Promise.resolve();

  constructor(
    open: (signal: AbortSignal) => Promise<Conn>,
    startTls: (conn: Conn, signal: AbortSignal) => Promise<Conn>,
    options: CheckedOptions,
  ) {
    this.secureTransport = options.secureTransport;
    this.#startTls = startTls;
    this.#options = options;
    this.readable = new (streamWeb().ReadableStream)({
      type: "bytes",
      start: (controller) => void (this.#readableController = controller as unknown as ReadableController),
      pull: () => this.#pull(),
      cancel: () => this.#cancelReadable(),
    });
    this.writable = new (streamWeb().WritableStream)({
      start: (controller) => void (this.#writableController = controller),
      write: (chunk) => this.#write(chunk),
      close: () => this.#closeWritable(),
      abort: (reason) => this.#abortWritable(reason),
    });
    this.#conn = this.#open(open);
    this.#conn.catch(() => undefined);
  }

  get opened(): Promise<SocketInfo> {
    return this.#opened.promise;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  get upgraded(): boolean {
    return this.#upgraded;
  }

  async #open(open: (signal: AbortSignal) => Promise<Conn>): Promise<Conn> {
    let conn: Conn;
    try {
      conn = await open(this.#callAborter.signal);
    } catch (cause) {
      const error = toSocketError(cause);
      this.#end(error, { failed: true });
      throw error;
    }
    if (this.#callAborter.signal.aborted) {
      await conn.close();
      throw this.#callAborter.signal.reason;
    }
    this.#opened.resolve({
      remoteAddress: conn.remoteAddress === undefined ? null : String(conn.remoteAddress),
      localAddress: conn.localAddress === undefined ? null : String(conn.localAddress),
      alpn: (conn instanceof TlsConn ? conn.alpnProtocol : undefined) ?? null,
    });
    return conn;
  }

  /** Called when a reader needs bytes. */
  async #pull(): Promise<void> {
    this.#pulling = true;
    try {
      const count = await pullBytes(this.#readableController, this.#buffer, this.#read);
      if (count > 0 || this.#ended) return;
      this.#readEnded = true;
      await this.#onReadEnd();
    } catch (error) {
      // #end() has already put the readable into its final state.
      if (this.#ended) return;
      const socketError = toSocketError(error);
      this.#readableController.error(socketError);
      this.#end(socketError);
    } finally {
      this.#pulling = false;
    }
  }

  readonly #read = async (target: Uint8Array): Promise<number> => {
    try {
      const conn = await this.#conn;
      return await conn.read(target, { signal: this.#callAborter.signal });
    } catch (error) {
      // After close() a reader reads the end, and not an error.
      if (this.#ended && !this.#failed) return 0;
      throw error;
    }
  };

  /** Called when the peer has ended writing. */
  async #onReadEnd(): Promise<void> {
    if (this.#options.allowHalfOpen) {
      if (this.#writeEnded) this.#end();
      return;
    }
    // Pending writes are sent before the socket ends. `writable.close()` waits for all of them. It would reject if a
    // writer has locked the writable; then only the running write is awaited.
    if (!this.writable.locked && !this.#writeEnded) await this.writable.close().catch(() => undefined);
    else await this.#writing.catch(() => undefined);
    this.#end(new SocketError("The socket is closed: the peer has finished, and allowHalfOpen is false"));
  }

  /** Resets the connection: the written data is incomplete, so the peer must not get a regular end. */
  async #abortWritable(reason: unknown): Promise<void> {
    this.#writeEnded = true;
    // then() comes before #end(), so that conn.abort() runs before the conn.close() of #end().
    const aborting = this.#conn.then(
      (conn) => conn.abort(),
      () => undefined,
    );
    this.#end(reason);
    await aborting;
  }

  /** Called when the program cancels the readable. */
  async #cancelReadable(): Promise<void> {
    this.#cancelled = true;
    this.#readEnded = true;
    if (this.#writeEnded) await this.#closeConn();
  }

  /** Called when the writable is closed. */
  async #onWriteEnd(): Promise<void> {
    this.#writeEnded = true;
    if (!this.#readEnded) return;
    if (this.#cancelled) await this.#closeConn();
    else this.#end();
  }

  /** Closes the connection, unless startTls() has passed it to another socket. Does not resolve `closed`. */
  async #closeConn(): Promise<void> {
    if (!this.#upgraded) await (await this.#conn.catch(() => undefined))?.close();
  }

  /** Called for each chunk that the program writes. */
  async #write(chunk: unknown): Promise<void> {
    const data = dataOf(chunk);
    const { signal } = this.#callAborter;
    const writing = this.#conn.then((conn) => conn.write(data, { signal }));
    this.#writing = writing;
    try {
      await writing;
    } catch (error) {
      // After #end(), the error is the reason of the end, which stays as it is.
      throw this.#ended ? error : toSocketError(error);
    }
  }

  /** Called when the program closes the writable and all chunks are written. */
  async #closeWritable(): Promise<void> {
    const conn = await this.#conn;
    try {
      await conn.closeWrite();
    } catch (error) {
      throw toSocketError(error);
    } finally {
      await this.#onWriteEnd();
    }
  }

  /**
   * Closes the socket. Writes reject with `reason`.
   *
   * @param opts `failed`: the connection could not be made, so reads and `closed` reject with `reason` too
   */
  #end(reason?: unknown, { failed } = { failed: false }): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failed = failed;
    const error = reason ?? new SocketError("The socket is closed");
    this.#opened.reject(error);
    if (failed) this.#readableController.error(error);
    else if (!this.#pulling) this.#closeReadable();
    this.#writableController.error(error);
    this.#callAborter.abort(error);
    if (failed) this.#closed.reject(error);
    else this.#closed.resolve();
    void this.#closeConn();
  }

  #closeReadable(): void {
    if (this.#readEnded) return;
    this.#readEnded = true;
    this.#readableController.close();
  }

  close(reason?: unknown): Promise<void> {
    this.#end(reason);
    return this.closed;
  }

  startTls(): Socket {
    if (this.secureTransport !== "starttls") {
      throw new SocketError(`Cannot startTls: secureTransport is ${quote(this.secureTransport)}, required "starttls"`);
    }
    if (this.#upgraded) throw new SocketError("Cannot startTls: it was called before, use the socket that it returned");
    if (this.#ended) throw new SocketError("Cannot startTls: the socket is closed, required an open one");
    this.#upgraded = true;
    const upgradedError = new SocketError("The socket was upgraded by startTls(): use the socket that it returned");
    const openTls = async (signal: AbortSignal): Promise<Conn> => {
      // The new socket waits for the connection and for the running write of this socket. Closing the new socket aborts
      // them.
      const listener = { onAborted: (reason: unknown): void => this.#callAborter.abort(reason) };
      onAbort(signal, listener);
      try {
        const conn = await this.#conn;
        await this.#writing.catch(() => undefined);
        // Ends a pending read, which would take bytes of the handshake.
        this.#callAborter.abort(upgradedError);
        return await this.#startTls(conn, signal);
      } finally {
        offAbort(signal, listener);
      }
    };
    // Ends this socket, but does not close the connection, which the new socket gets.
    this.#ended = true;
    this.#writableController.error(upgradedError);
    if (!this.#pulling) this.#closeReadable();
    this.#closed.resolve();
    return new WintertcSocket(openTls, this.#startTls, { ...this.#options, secureTransport: "on" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** The bytes or the text of a chunk. */
function dataOf(chunk: unknown): string | Uint8Array {
  if (typeof chunk === "string" || isUint8Array(chunk)) return chunk;
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (isAnyArrayBuffer(chunk)) return new Uint8Array(chunk);
  throw new TypeError(`Cannot write: chunk is ${quote(chunk)}, required bytes or text`);
}
