// A Conn over a Duplex of node:stream.

import type { Duplex } from "node:stream";
import { isUint8Array } from "node:util/types";
import { checkOptions, quote } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import type { Conn } from "../io.js";
import { localError } from "../wait/localError.js";
import { milliseconds } from "../wait/waitOptions.js";
import { rejection } from "../wait/rejection.js";
import { type ChunkTransport, TransportConn } from "./transportConn.js";

/** The options of `fromDuplex()`. */
export interface FromDuplexOptions {
  /**
   * Milliseconds that `close()` waits for the Duplex to finish writing, before it destroys the Duplex; from 0 to
   * 2147483647, null for no limit. Default 5000.
   */
  readonly closeTimeout?: number | null | undefined;
}

export const FROM_DUPLEX_NAMES: readonly string[] = ["closeTimeout"];

/**
 * The codes of a failed write that only say that the Duplex has ended. `ECANCELED` is such a code too: when a read gets
 * a reset, Node (since version 22) closes the handle, and libuv then ends pending writes with `ECANCELED`, although no
 * caller has cancelled them.
 */
const ENDED_CODES: ReadonlySet<string> = new Set([
  "ECANCELED",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_WRITE_AFTER_END",
  "ERR_STREAM_PREMATURE_CLOSE",
]);

/** A Duplex as a transport. */
class NodeDuplexTransport implements ChunkTransport {
  readonly localAddress = undefined;
  readonly remoteAddress = undefined;
  readonly #duplex: Duplex;
  readonly #closeTimeout: number | null;
  /** The first error of the Duplex. */
  #error: Error | undefined;
  /** Ends the wait in `readChunk()`. */
  #wakeReader: (() => void) | undefined;

  constructor(duplex: Duplex, closeTimeout: number | null) {
    this.#duplex = duplex;
    this.#closeTimeout = closeTimeout;
    const wake = (): void => this.#wakeReader?.();
    duplex.on("readable", wake);
    duplex.on("end", wake);
    duplex.on("close", wake);
    duplex.on("error", (error: Error) => {
      this.#error ??= error;
      wake();
    });
  }

  async readChunk(): Promise<Uint8Array | null> {
    const duplex = this.#duplex;
    for (;;) {
      const chunk: unknown = duplex.read();
      if (isUint8Array(chunk)) return chunk;
      if (chunk !== null) throw new TypeError(`Cannot read: a chunk of the Duplex is ${quote(chunk)}, required bytes`);
      if (duplex.readableEnded) return null;
      const error = this.#error ?? duplex.errored;
      if (error !== undefined && error !== null) throw error;
      if (duplex.destroyed) throw localError("ECONNRESET", "read");
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }

  onBroken(listener: (error: unknown) => void): void {
    const duplex = this.#duplex;
    duplex.on("error", (error: Error) => listener(this.#writeError(error, "write")));
    duplex.on("close", () => listener(localError("EPIPE", "write")));
    if (duplex.destroyed) listener(duplex.errored ?? localError("EPIPE", "write"));
  }

  writeChunk(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#duplex.write(bytes, (error) => resolve(error ? rejection(this.#writeError(error, "write")) : undefined));
    });
  }

  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#duplex.end((error?: Error | null) => {
        resolve(error ? rejection(this.#writeError(error, "closeWrite")) : undefined);
      });
    });
  }

  async close(): Promise<void> {
    const duplex = this.#duplex;
    if (!duplex.destroyed) {
      await new Promise<void>((resolve) => {
        const timer = this.#closeTimeout === null ? undefined : setTimeout(resolve, this.#closeTimeout);
        const done = (): void => {
          clearTimeout(timer);
          resolve();
        };
        duplex.once("close", done);
        duplex.once("error", done);
        // Node calls `done` also after an error, when the Duplex discards its pending writes.
        duplex.end(done);
      });
      duplex.destroy();
    }
    if (!duplex.closed) await new Promise<void>((resolve) => duplex.once("close", () => resolve()));
  }

  setKeepsAlive(keepsAlive: boolean): void {
    // A net.Socket, a tls.TLSSocket and a Duplex of toDuplex() have these methods.
    const { ref, unref } = this.#duplex as { ref?: unknown; unref?: unknown };
    const method = keepsAlive ? ref : unref;
    if (typeof method === "function") method.call(this.#duplex);
  }

  abort(error: SocketError): void {
    const duplex = this.#duplex as Duplex & { resetAndDestroy?: () => unknown };
    if (typeof duplex.resetAndDestroy === "function") duplex.resetAndDestroy();
    else duplex.destroy(error);
  }

  /**
   * The error for a failed write: `error`, unless its code only says that the Duplex has ended. In that case it is the
   * error that ended the Duplex, or `EPIPE` if there is none.
   */
  #writeError(error: Error, syscall: string): Error {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || !ENDED_CODES.has(code)) return error;
    const firstError = this.#error ?? this.#duplex.errored;
    return firstError && firstError !== error ? firstError : localError("EPIPE", syscall, { cause: error });
  }
}

/**
 * A connection over a `Duplex` of bytes. The connection owns the Duplex: other code must neither read from the Duplex
 * nor write to it. `close()` lets the Duplex finish writing and then destroys it. `abort()` resets a `net.Socket`, and
 * destroys any other Duplex with an error. `read` and `write` reject with the errors of the Duplex. The Duplex reads
 * ahead up to its high water mark.
 *
 * @throws TypeError for a Duplex in object mode or with an encoding, because it returns no bytes; for a wrong option
 * @throws RangeError for a `closeTimeout` that is out of range
 * @example
 * ```ts
 * import { createServer, connect } from "node:net";
 * import { once } from "node:events";
 * import { fromDuplex } from "berkeley";
 *
 * const server = createServer((socket) => socket.end("hello")).listen(8888, "127.0.0.1");
 * await once(server, "listening");
 * const conn = fromDuplex(connect(8888, "127.0.0.1"));
 * const buffer = Buffer.alloc(16);
 * console.log(buffer.toString("utf8", 0, await conn.read(buffer))); // prints: hello
 * await conn.close();
 * server.close();
 * ```
 */
export function fromDuplex(duplex: Duplex, opts: FromDuplexOptions = {}): Conn {
  checkOptions(opts, "fromDuplex", FROM_DUPLEX_NAMES);
  const { closeTimeout = 5000 } = opts;
  const timeout = milliseconds(closeTimeout, "fromDuplex", "closeTimeout");
  if (duplex.readableObjectMode || duplex.writableObjectMode) {
    throw new TypeError("Cannot fromDuplex: duplex is in object mode, required a Duplex of bytes");
  }
  if (duplex.readableEncoding !== null) {
    const encoding = quote(duplex.readableEncoding);
    throw new TypeError(`Cannot fromDuplex: duplex has the encoding ${encoding}, required a Duplex of bytes`);
  }
  return new TransportConn(new NodeDuplexTransport(duplex, timeout));
}
