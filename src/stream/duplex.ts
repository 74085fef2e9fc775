// A Conn over a Duplex of node:stream.

import type { Duplex } from "node:stream";
import { isUint8Array } from "node:util/types";
import type { Conn } from "../io.js";
import { BridgeConn, type Shore } from "./bridge.js";
import { localError } from "../wait/localError.js";
import type { SocketError } from "../errors/index.js";

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
      if (isUint8Array(chunk)) return chunk;
      if (chunk !== null) throw new TypeError(`A Duplex must give bytes, found ${typeof chunk}`);
      if (duplex.readableEnded) return null;
      const error = this.#error ?? duplex.errored;
      if (error !== undefined && error !== null) throw error;
      if (duplex.destroyed) throw localError("ECONNRESET", "read");
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  onBroken(tell: (error: unknown) => void): void {
    const duplex = this.#duplex;
    duplex.on("error", (error: Error) => tell(this.#written(error, "write")));
    duplex.on("close", () => tell(localError("EPIPE", "write")));
    if (duplex.destroyed) tell(duplex.errored ?? localError("EPIPE", "write"));
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

  keepAlive(yes: boolean): void {
    // A net.Socket, a tls.TLSSocket and a Duplex of toDuplex() have these.
    const { ref, unref } = this.#duplex as { ref?: unknown; unref?: unknown };
    const change = yes ? ref : unref;
    if (typeof change === "function") change.call(this.#duplex);
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
      return first && first !== error ? first : localError("EPIPE", syscall, { cause: error });
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
