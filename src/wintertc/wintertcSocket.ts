// The proposal's Socket: two web streams that exist before the connection does, and the promises that tell of its life.
//
// Where the proposal leaves a choice, or is of two minds:
// - `readable` is a byte stream, so that a reader can bring its own memory; any other reader sees no difference.
// - When the connection fails, `readable` errors; it would be the end of an empty stream if it were cancelled only.
// - A reset closes the socket, with `allowHalfOpen` too: there is no half left.
// - Both ends having come, `closed` resolves, with `allowHalfOpen` too. Cancelling the readable and closing the
//   writable do not resolve it, but release the connection.
// - `startTls()` waits for the write that is under way. One that was only queued is refused, as later ones are.

import type { ReadableStream, WritableStream, WritableStreamDefaultController } from "node:stream/web";
import { isAnyArrayBuffer, isUint8Array } from "node:util/types";
import { streamWeb } from "../builtins.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { quote } from "../check/index.js";
import type { Conn } from "../io.js";
import { ReadBuffer } from "../stream/readBuffer.js";
import { type ByteController, pullBytes } from "../stream/webStreams.js";
import { TlsConn } from "../tls/index.js";
import { SocketError, socketErrorOf } from "./wintertcError.js";
import type { CheckedOptions, SecureTransportKind, SocketInfo } from "./wintertcOptions.js";

/** A connection as the WinterTC sockets proposal has it. Made by `connect()`. */
export interface Socket extends AsyncDisposable {
  /** What comes from the peer. Nothing is read before someone asks. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What goes to the peer: bytes, or text as UTF-8. A write resolves when the kernel has it. */
  readonly writable: WritableStream<string | ArrayBuffer | ArrayBufferView>;
  /** Resolves when the connection stands, with TLS after the handshake; rejects with a `SocketError`. */
  readonly opened: Promise<SocketInfo>;
  /** Resolves when the socket is closed, by `close()` or by the peer; rejects when it never opened. */
  readonly closed: Promise<void>;
  /** Whether `startTls()` was called; then another socket has the connection. */
  readonly upgraded: boolean;
  readonly secureTransport: SecureTransportKind;
  /**
   * Closes the socket. What was written is still delivered; reads end, writes reject with `reason`, and so does
   * `opened` where it is pending. Returns `closed`.
   */
  close(reason?: unknown): Promise<void>;
  /**
   * Puts TLS on the connection and returns the socket for it; this one is closed, its readers and writers no longer
   * work.
   *
   * @throws SocketError unless `secureTransport` is `"starttls"`, or when it was called before
   */
  startTls(): Socket;
}

interface Settling<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** A promise that nobody need handle. */
function settling<T>(): Settling<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]));
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** The controller of the readable. */
interface Reader extends ByteController {
  error(reason: unknown): void;
}

const READ_SIZE = 65_536;

export class WinterSocket implements Socket {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<string | ArrayBuffer | ArrayBufferView>;
  readonly secureTransport: SecureTransportKind;
  readonly #secure: (conn: Conn, signal: AbortSignal) => Promise<Conn>;
  readonly #options: CheckedOptions;
  readonly #opened = settling<SocketInfo>();
  readonly #closed = settling<void>();
  /** The connection; rejects when there will be none. */
  readonly #conn: Promise<Conn>;
  /** Aborted by the end, whoever brings it: it ends what waits. */
  readonly #ending = new AbortController();
  readonly #buffer = new ReadBuffer(READ_SIZE);
  #reader!: Reader;
  #writer!: WritableStreamDefaultController;
  #upgraded = false;
  /** Closed, upgraded or failed. */
  #over = false;
  #failed = false;
  #pulling = false;
  #readEnded = false;
  #writeEnded = false;
  #cancelled = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(
    open: (signal: AbortSignal) => Promise<Conn>,
    secure: (conn: Conn, signal: AbortSignal) => Promise<Conn>,
    options: CheckedOptions,
  ) {
    this.secureTransport = options.secureTransport;
    this.#secure = secure;
    this.#options = options;
    this.readable = new (streamWeb().ReadableStream)({
      type: "bytes",
      start: (controller) => void (this.#reader = controller as unknown as Reader),
      pull: () => this.#pull(),
      cancel: () => this.#cancel(),
    });
    this.writable = new (streamWeb().WritableStream)({
      start: (controller) => void (this.#writer = controller),
      write: (chunk) => this.#write(chunk),
      close: () => this.#finish(),
      abort: (reason) => this.#abort(reason),
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
      conn = await open(this.#ending.signal);
    } catch (cause) {
      const error = socketErrorOf(cause);
      this.#end(error, true);
      throw error;
    }
    if (this.#ending.signal.aborted) {
      await conn.close();
      throw this.#ending.signal.reason;
    }
    this.#opened.resolve({
      remoteAddress: conn.remoteAddress === undefined ? null : String(conn.remoteAddress),
      localAddress: conn.localAddress === undefined ? null : String(conn.localAddress),
      alpn: (conn instanceof TlsConn ? conn.alpnProtocol : undefined) ?? null,
    });
    return conn;
  }

  async #pull(): Promise<void> {
    this.#pulling = true;
    try {
      if ((await pullBytes(this.#reader, this.#buffer, this.#read)) > 0 || this.#over) return;
      this.#readEnded = true;
      await this.#peerEnded();
    } catch (error) {
      // Where it never opened the reader has been told.
      if (this.#over) return;
      const why = socketErrorOf(error);
      this.#reader.error(why);
      this.#end(why);
    } finally {
      this.#pulling = false;
    }
  }

  readonly #read = async (target: Uint8Array): Promise<number> => {
    try {
      const conn = await this.#conn;
      return await conn.read(target, { signal: this.#ending.signal });
    } catch (error) {
      // What was closed from here has ended for its reader, without an error.
      if (this.#over && !this.#failed) return 0;
      throw error;
    }
  };

  /** The peer has finished. */
  async #peerEnded(): Promise<void> {
    if (this.#options.allowHalfOpen) {
      if (this.#writeEnded) this.#end();
      return;
    }
    // What was written before goes out; a writer that is held by somebody can only be told.
    if (!this.writable.locked && !this.#writeEnded) await this.writable.close().catch(() => undefined);
    else await this.#writing.catch(() => undefined);
    this.#end(new SocketError("the peer has finished, and allowHalfOpen is false"));
  }

  /** What was written is not complete: the peer shall not take it for that. */
  async #abort(reason: unknown): Promise<void> {
    this.#writeEnded = true;
    const cut = this.#conn.then(
      (conn) => conn.abort(),
      () => undefined,
    );
    this.#end(reason);
    await cut;
  }

  async #cancel(): Promise<void> {
    this.#cancelled = true;
    this.#readEnded = true;
    if (this.#writeEnded) await this.#release();
  }

  async #writeDone(): Promise<void> {
    this.#writeEnded = true;
    if (!this.#readEnded) return;
    if (this.#cancelled) await this.#release();
    else this.#end();
  }

  /** Nobody wants it any more, which does not say that it is closed. */
  async #release(): Promise<void> {
    if (!this.#upgraded) await (await this.#conn.catch(() => undefined))?.close();
  }

  async #write(chunk: unknown): Promise<void> {
    const bytes = bytesOf(chunk);
    const { signal } = this.#ending;
    const writing = this.#conn.then((conn) => conn.write(bytes, { signal }));
    this.#writing = writing;
    try {
      await writing;
    } catch (error) {
      throw this.#over ? error : socketErrorOf(error);
    }
  }

  async #finish(): Promise<void> {
    const conn = await this.#conn;
    try {
      await conn.closeWrite();
    } catch (error) {
      throw socketErrorOf(error);
    } finally {
      await this.#writeDone();
    }
  }

  /**
   * The socket is closed, and `reason` is what writers hear.
   *
   * @param failed it never opened, by no will of its owner: readers and `closed` hear of it too
   */
  #end(reason?: unknown, failed = false): void {
    if (this.#over) return;
    this.#over = true;
    this.#failed = failed;
    const why = reason ?? new SocketError("the socket is closed");
    this.#opened.reject(why);
    if (failed) this.#reader.error(why);
    else if (!this.#pulling) this.#endReader();
    this.#writer.error(why);
    this.#ending.abort(why);
    if (failed) this.#closed.reject(why);
    else this.#closed.resolve();
    void this.#release();
  }

  #endReader(): void {
    if (this.#readEnded) return;
    this.#readEnded = true;
    this.#reader.close();
  }

  close(reason?: unknown): Promise<void> {
    this.#end(reason);
    return this.closed;
  }

  startTls(): Socket {
    if (this.secureTransport !== "starttls") {
      throw new SocketError(`startTls() takes secureTransport "starttls", found ${quote(this.secureTransport)}`);
    }
    if (this.#upgraded) throw new SocketError("startTls() was called before: use the socket that it gave");
    if (this.#over) throw new SocketError("startTls() takes an open socket, found one that is closed");
    this.#upgraded = true;
    const why = new SocketError("the socket was upgraded by startTls(): use the socket that it gave");
    const open = async (signal: AbortSignal): Promise<Conn> => {
      const abandoned = { aborted: (reason: unknown): void => this.#ending.abort(reason) };
      onAbort(signal, abandoned);
      try {
        const conn = await this.#conn;
        await this.#writing.catch(() => undefined);
        this.#ending.abort(why);
        return await this.#secure(conn, signal);
      } finally {
        offAbort(signal, abandoned);
      }
    };
    this.#over = true;
    this.#writer.error(why);
    if (!this.#pulling) this.#endReader();
    this.#closed.resolve();
    return new WinterSocket(open, this.#secure, { ...this.#options, secureTransport: "on" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function bytesOf(chunk: unknown): string | Uint8Array {
  if (typeof chunk === "string" || isUint8Array(chunk)) return chunk;
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (isAnyArrayBuffer(chunk)) return new Uint8Array(chunk);
  throw new TypeError(`a chunk is ${quote(chunk)}, required bytes or text`);
}
