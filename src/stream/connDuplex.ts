// A Duplex over a Conn, with the members of Node's own sockets. `node:http` and its libraries use the timeout, the
// addresses and the TLS members of a socket. If a member is missing, they skip the feature that needs the member,
// without an error.
//
// setNoDelay() and setKeepAlive() do nothing if there is no TCP socket below, as in a net.Socket. So no method throws
// only because the connection is not over TCP.

import type { Duplex } from "node:stream";
import type { Address } from "../addr/index.js";
import { stream } from "../builtins.js";
import { quote } from "../check/index.js";
import type { Conn } from "../io.js";
import { MAX_TIMER_DELAY } from "../wait/waitOptions.js";
import { ReadBuffer } from "../reading/readBuffer.js";

/** The options of `toDuplex()`. */
export interface ToDuplexOptions {
  /** The Duplex reads ahead until it has this number of bytes. One read returns at most as many. Default 64 KiB. */
  readonly readableHighWaterMark?: number | undefined;
  /** `write()` returns false while at least this number of bytes waits to be written. Default 64 KiB. */
  readonly writableHighWaterMark?: number | undefined;
  /**
   * Whether the writing side stays open when the peer has finished. Default true. With false, the default of
   * `net.Socket`, the Duplex then ends its writing side and closes; some libraries rely on that.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

const HIGH_WATER_MARK = 65_536;

// The base class of ConnDuplex until the first Duplex is made. Then loadDuplex() replaces this class by `Duplex` of
// node:stream. So a program without a Duplex does not load node:stream.
// oxlint-disable-next-line typescript/no-extraneous-class -- a placeholder
const DuplexPlaceholder: typeof Duplex = class {} as unknown as typeof Duplex;

/** Makes `Duplex` the base class of {@link ConnDuplex}. Must be called before the first ConnDuplex is made. */
export function loadDuplex(): void {
  const { Duplex } = stream();
  if (Object.getPrototypeOf(ConnDuplex) === Duplex) return;
  // The first call is for super(), the second one for the inherited methods.
  Object.setPrototypeOf(ConnDuplex, Duplex);
  Object.setPrototypeOf(ConnDuplex.prototype, Duplex.prototype);
}

/** While a timeout is set, large writes are split into pieces of this many bytes. Each piece restarts the timer. */
const PIECE_SIZE = 262_144;

type WriteCallback = (error?: Error | null) => void;

/** An address as Node's sockets return it. */
export interface DuplexAddress {
  readonly address?: string;
  readonly family?: string;
  readonly port?: number;
}

/** The address in the form of a `net.Socket`; `{}` if it has no port. */
function duplexAddress(address: Address | undefined): DuplexAddress {
  if (address === undefined || !("host" in address) || !("port" in address)) return {};
  const { host, port } = address;
  return { address: host, family: host.includes(":") ? "IPv6" : "IPv4", port };
}

/**
 * The `Duplex` of {@link toDuplex}. It also has the members of a `net.Socket` that describe a connection or change its
 * settings, with the same names and meanings. Over TLS it is a {@link SecureConnDuplex}.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { connect, listen } from "berkeley";
 *
 * const http = createServer((request, response) => response.end(`hello, ${request.socket.remoteAddress}`));
 * http.keepAliveTimeout = 5000;
 * await using listener = await listen("tcp://127.0.0.1:8888");
 * await using client = await connect("tcp://127.0.0.1:8888");
 * http.emit("connection", (await listener.accept()).toDuplex());
 * await client.write("GET / HTTP/1.0\r\n\r\n");
 * for await (const line of client.lines()) if (line.startsWith("hello")) console.log(line); // prints: hello, 127.0.0.1
 * ```
 */
export class ConnDuplex extends DuplexPlaceholder {
  /** Bytes that were read from the connection. */
  bytesRead = 0;
  /** The server of Node that the connection belongs to. Node sets this member, to report timeouts to the server. */
  server: unknown = null;
  /** The milliseconds of `setTimeout()`; undefined if it was not called. */
  timeout: number | undefined = undefined;
  readonly connecting: boolean = false;
  readonly pending: boolean = false;
  /** True over TLS. */
  readonly encrypted: true | undefined = undefined;
  readonly #conn: Conn;
  readonly #buffer: ReadBuffer;
  #reading = false;
  /** Bytes of writes that the connection has taken. */
  #bytesTaken = 0;
  /** The timer of `setTimeout()`; undefined without a timeout. */
  #timer: NodeJS.Timeout | undefined;

  /** @internal Made by {@link toDuplex}. */
  constructor(conn: Conn, opts: ToDuplexOptions) {
    const { readableHighWaterMark = HIGH_WATER_MARK, writableHighWaterMark = HIGH_WATER_MARK } = opts;
    super({ allowHalfOpen: opts.allowHalfOpen ?? true, readableHighWaterMark, writableHighWaterMark });
    this.#conn = conn;
    this.#buffer = new ReadBuffer(Math.max(1, readableHighWaterMark));
    // While a program pipes a silent source into this Duplex, there is no write that could fail. Then only whenBroken()
    // reports that the connection is broken. A strong reference in the pending whenBroken() would prevent garbage
    // collection of the Duplex.
    const weakDuplex = new WeakRef(this);
    const onBroken = (error: unknown): void => {
      const duplex = weakDuplex.deref();
      // After the end of writing, or after EPIPE (the peer has closed without an error), bytes may be unread. So the
      // Duplex stays open.
      if (duplex === undefined || duplex.writableEnded) return;
      if ((error as NodeJS.ErrnoException | null)?.code !== "EPIPE") duplex.#fail(error);
    };
    conn.whenBroken?.().then(onBroken, () => undefined);
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#conn.read(this.#buffer.prepareSpace()).then(
      (count) => {
        this.#reading = false;
        this.#buffer.commit(count);
        this.bytesRead += count;
        this.#timer?.refresh();
        this.push(count === 0 ? null : this.#buffer.take(count));
      },
      (error: unknown) => this.#fail(error),
    );
  }

  override _write(chunk: Uint8Array, _encoding: string, done: WriteCallback): void {
    this.#writeChunks([chunk], chunk.length, done);
  }

  override _writev(chunks: readonly { readonly chunk: Uint8Array }[], done: WriteCallback): void {
    const parts = chunks.map(({ chunk }) => chunk);
    const size = parts.reduce((sum, { length }) => sum + length, 0);
    this.#writeChunks(parts, size, done);
  }

  /** Writes chunks of `size` bytes in all. */
  #writeChunks(chunks: readonly Uint8Array[], size: number, done: WriteCallback): void {
    this.#timer?.refresh();
    const data = chunks.length === 1 ? (chunks[0] as Uint8Array) : chunks;
    const needsPieces = this.#timer !== undefined && size > PIECE_SIZE;
    const writing = needsPieces ? this.#writePieces(chunks) : this.#conn.write(data);
    writing.then(() => {
      this.#bytesTaken += size;
      this.#timer?.refresh();
      done();
    }, done);
  }

  override _final(done: WriteCallback): void {
    this.#conn.closeWrite().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: WriteCallback): void {
    this.#stopTimer();
    // After an error the peer must not see a regular end.
    if (error !== null) this.#conn.abort();
    this.#conn.close().then(() => done(error), done);
  }

  #fail(error: unknown): void {
    // A destroyed Duplex has closed the connection, and close() has rejected the pending read with this error.
    if (!this.destroyed) this.destroy(error as Error);
  }

  async #writePieces(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) {
      for (let offset = 0; offset < chunk.length; offset += PIECE_SIZE) {
        await this.#conn.write(chunk.subarray(offset, offset + PIECE_SIZE));
        this.#timer?.refresh();
      }
    }
  }

  get remoteAddress(): string | undefined {
    return duplexAddress(this.#conn.remoteAddress).address;
  }

  get remotePort(): number | undefined {
    return duplexAddress(this.#conn.remoteAddress).port;
  }

  /** `"IPv4"` or `"IPv6"`. */
  get remoteFamily(): string | undefined {
    return duplexAddress(this.#conn.remoteAddress).family;
  }

  get localAddress(): string | undefined {
    return duplexAddress(this.#conn.localAddress).address;
  }

  get localPort(): number | undefined {
    return duplexAddress(this.#conn.localAddress).port;
  }

  /** `"IPv4"` or `"IPv6"`. */
  get localFamily(): string | undefined {
    return duplexAddress(this.#conn.localAddress).family;
  }

  /** The address of this end; `{}` if it has no port. */
  address(): DuplexAddress {
    return duplexAddress(this.#conn.localAddress);
  }

  /** Bytes that were written to the Duplex, including those that the connection has not taken yet. */
  get bytesWritten(): number {
    return this.#bytesTaken + this.writableLength;
  }

  get readyState(): "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /**
   * Emits `'timeout'` when no byte was read or written for `milliseconds`, as a `net.Socket` does. 0 turns the timeout
   * off. The event has no effect on the connection, which a listener may close. The timer does not keep the process
   * alive.
   *
   * @param milliseconds a finite number from 0. As in Node, more than 2147483647 counts as 2147483647
   * @param listener is added for the next `'timeout'`; with 0 milliseconds it is removed
   * @throws TypeError or RangeError for an argument that is wrong
   */
  setTimeout(milliseconds: number, listener?: () => void): this {
    if (typeof milliseconds !== "number" || !(milliseconds >= 0 && milliseconds < Infinity)) {
      const text = `Cannot setTimeout: milliseconds is ${quote(milliseconds)}, required a finite number from 0`;
      throw typeof milliseconds === "number" ? new RangeError(text) : new TypeError(text);
    }
    if (listener !== undefined && typeof listener !== "function") {
      throw new TypeError(`Cannot setTimeout: listener is ${quote(listener)}, required a function`);
    }
    if (this.destroyed) return this;
    this.timeout = milliseconds;
    this.#stopTimer();
    if (milliseconds === 0) {
      if (listener !== undefined) this.removeListener("timeout", listener);
      return this;
    }
    this.#timer = setTimeout(() => this.emit("timeout"), Math.min(milliseconds, MAX_TIMER_DELAY)).unref();
    if (listener !== undefined) this.once("timeout", listener);
    return this;
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Sets TCP_NODELAY on the socket below. Does nothing if there is no TCP socket below. */
  setNoDelay(enable: boolean = true): this {
    this.#conn.settings?.()?.setNoDelay(enable);
    return this;
  }

  /**
   * Sets SO_KEEPALIVE and TCP_KEEPIDLE on the socket below. Does nothing if there is no TCP socket below.
   *
   * @param initialDelay milliseconds of silence before the first probe, rounded down to seconds; 0 keeps the system's
   *   value
   */
  setKeepAlive(enable: boolean = false, initialDelay: number = 0): this {
    this.#conn.settings?.()?.setKeepAlive(enable, initialDelay);
    return this;
  }

  /** Waiting for bytes keeps the process alive, if the connection has `ref()`. */
  ref(): this {
    this.#conn.ref?.();
    return this;
  }

  /** Waiting for bytes does not keep the process alive, if the connection has `unref()`. */
  unref(): this {
    this.#conn.unref?.();
    return this;
  }

  /** Ends the writing side, and closes when all bytes are written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** Aborts the connection (over TCP with a reset), and destroys the Duplex. */
  resetAndDestroy(): this {
    this.#conn.abort();
    return this.destroy();
  }
}

/** Makes a Duplex without the members of TLS, also over a TLS connection. */
export function makePlainDuplex(conn: Conn, opts: ToDuplexOptions): ConnDuplex {
  loadDuplex();
  return new ConnDuplex(conn, opts);
}
