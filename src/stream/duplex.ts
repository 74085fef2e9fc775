// Between a Conn and node:stream, both ways: a Duplex over a Conn for libraries that want one, and a Conn over a Duplex.

import { Duplex } from "node:stream";
import type { Conn } from "../io.js";
import { BridgeConn, type Shore } from "./bridge.js";
import { ReadBuffer } from "./buffer.js";
import { socketError } from "./wait.js";
import type { SocketError } from "../errors.js";

/** How the Duplex buffers. */
export interface ToDuplexOptions {
  /** Bytes that are read ahead of the consumer, and most of one read. Default 64 KiB. */
  readonly readableHighWaterMark?: number | undefined;
  /** Bytes after which `write()` returns false. Default 64 KiB. */
  readonly writableHighWaterMark?: number | undefined;
  /**
   * Leaves the writing side open when the peer has finished. With false the Duplex ends it then, and so is closed, as a
   * `net.Socket` does by default: some libraries rely on it. Default true.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

const HIGH_WATER_MARK = 65_536;

class ConnDuplex extends Duplex {
  readonly #conn: Conn;
  readonly #buffer: ReadBuffer;
  #reading = false;

  constructor(conn: Conn, opts: ToDuplexOptions) {
    const { readableHighWaterMark = HIGH_WATER_MARK, writableHighWaterMark = HIGH_WATER_MARK } = opts;
    super({ allowHalfOpen: opts.allowHalfOpen ?? true, readableHighWaterMark, writableHighWaterMark });
    this.#conn = conn;
    this.#buffer = new ReadBuffer(Math.max(1, readableHighWaterMark));
    // A pipe to it waits for its source and hears of its end only from here. Weakly: a watch is nobody's use of it. A peer that
    // has closed in order may have left bytes to read, so only a cut ends the whole, and only while there may be more to write.
    const weak = new WeakRef(this);
    const gone = (error: unknown): void => {
      const duplex = weak.deref();
      if (duplex?.writableEnded !== false) return;
      if ((error as NodeJS.ErrnoException | null)?.code !== "EPIPE") duplex.#fail(error);
    };
    conn.whenBroken?.().then(gone, () => undefined);
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#conn.read(this.#buffer.room()).then(
      (count) => {
        this.#reading = false;
        this.#buffer.commit(count);
        this.push(count === 0 ? null : this.#buffer.take(count));
      },
      (error: unknown) => this.#fail(error),
    );
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#conn.write(chunk).then(() => done(), done);
  }

  override _writev(chunks: readonly { readonly chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this.#conn.write(chunks.map(({ chunk }) => chunk)).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#conn.closeWrite().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // A peer shall not take for complete what an error cut short.
    if (error !== null) this.#conn.abort();
    this.#conn.close().then(() => done(error), done);
  }

  #fail(error: unknown): void {
    // A read that the Duplex itself ended, by closing the connection, tells nothing new.
    if (!this.destroyed) this.destroy(error as Error);
  }
}

/**
 * A `Duplex` over a connection, for whatever takes a `node:stream`. It owns the connection from now on: when both sides
 * have ended the connection is closed; `destroy()` closes it, `destroy(error)` aborts it. `end()` ends the writing side
 * only. What the connection rejects with becomes the `'error'` event.
 *
 * @example
 * ```ts
 * import { toDuplex } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, b] = memoryPair();
 * toDuplex(a).end("hello");
 * for await (const chunk of toDuplex(b).setEncoding("utf8")) console.log(chunk); // prints: hello
 * ```
 */
export function toDuplex(conn: Conn, opts: ToDuplexOptions = {}): Duplex {
  return new ConnDuplex(conn, opts);
}

/** How a Conn treats the Duplex below it. */
export interface FromDuplexOptions {
  /** Milliseconds that `close()` gives the Duplex to finish writing before it is destroyed. Default 5000. */
  readonly closeTimeout?: number | undefined;
}

class DuplexShore implements Shore {
  readonly localAddress = undefined;
  readonly remoteAddress = undefined;
  readonly #duplex: Duplex;
  readonly #closeTimeout: number;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(duplex: Duplex, closeTimeout: number) {
    this.#duplex = duplex;
    this.#closeTimeout = closeTimeout;
    const wake = (): void => this.#wake?.();
    duplex.on("readable", wake);
    duplex.on("end", wake);
    duplex.on("close", wake);
    duplex.on("error", (error: Error) => {
      this.#error ??= error;
      wake();
    });
  }

  async pull(): Promise<Uint8Array | null> {
    const duplex = this.#duplex;
    for (;;) {
      const chunk: unknown = duplex.read();
      if (chunk instanceof Uint8Array) return chunk;
      if (chunk !== null) throw new TypeError(`A Duplex must give bytes, found ${typeof chunk}`);
      if (duplex.readableEnded) return null;
      const error = this.#error ?? duplex.errored;
      if (error !== undefined && error !== null) throw error;
      if (duplex.destroyed) throw socketError("ECONNRESET", "read");
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  onBroken(tell: (error: unknown) => void): void {
    const duplex = this.#duplex;
    duplex.on("error", (error: Error) => tell(this.#written(error, "write")));
    duplex.on("close", () => tell(socketError("EPIPE", "write")));
    if (duplex.destroyed) tell(duplex.errored ?? socketError("EPIPE", "write"));
  }

  push(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#duplex.write(bytes, (error) => (error ? reject(this.#written(error, "write")) : resolve()));
    });
  }

  end(): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error?: Error | null): void => (error ? reject(this.#written(error, "closeWrite")) : resolve());
      this.#duplex.end(done);
    });
  }

  async close(): Promise<void> {
    const duplex = this.#duplex;
    if (!duplex.destroyed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#closeTimeout);
        const done = (): void => {
          clearTimeout(timer);
          resolve();
        };
        duplex.once("close", done);
        duplex.once("error", done);
        // With or without an error: there is nothing left to be written.
        duplex.end(done);
      });
      duplex.destroy();
    }
    if (!duplex.closed) await new Promise<void>((resolve) => duplex.once("close", () => resolve()));
  }

  abort(error: SocketError): void {
    const duplex = this.#duplex as Duplex & { resetAndDestroy?: () => unknown };
    if (typeof duplex.resetAndDestroy === "function") duplex.resetAndDestroy();
    else duplex.destroy(error);
  }

  /**
   * Node's own codes for "this Duplex is over" as the kernel would say it. `ECANCELED` is what libuv says of a write on a handle
   * that is closed under it, as Node does (since version 22) to a socket whose read was reset; nobody here has cancelled it.
   */
  #written(error: Error, syscall: string): Error {
    const code: unknown = (error as NodeJS.ErrnoException).code;
    if (
      code === "ECANCELED" ||
      code === "ERR_STREAM_DESTROYED" ||
      code === "ERR_STREAM_WRITE_AFTER_END" ||
      code === "ERR_STREAM_PREMATURE_CLOSE"
    ) {
      const first = this.#error ?? this.#duplex.errored;
      return first && first !== error ? first : socketError("EPIPE", syscall, { cause: error });
    }
    return error;
  }
}

/**
 * A connection over a `Duplex` of bytes, which it owns from now on: nobody else may read from it or write to it. `close()`
 * lets it finish writing and destroys it, `abort()` destroys it with an error (a `net.Socket` is reset). Errors of the
 * Duplex are what `read` and `write` reject with. Reads ahead as far as the Duplex does by its high water mark.
 *
 * Throws a `TypeError` for a Duplex in object mode or with an encoding, which does not carry bytes.
 */
export function fromDuplex(duplex: Duplex, opts: FromDuplexOptions = {}): Conn {
  if (duplex.readableObjectMode || duplex.writableObjectMode) {
    throw new TypeError("A connection needs a Duplex of bytes, found one in object mode");
  }
  if (duplex.readableEncoding !== null) {
    throw new TypeError(`A connection needs a Duplex of bytes, found one that decodes to ${duplex.readableEncoding}`);
  }
  return new BridgeConn(new DuplexShore(duplex, opts.closeTimeout ?? 5000));
}
