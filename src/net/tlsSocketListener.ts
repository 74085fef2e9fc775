// A listening socket whose connections have done their handshake.

import type { IoOptions } from "../io.js";
import type { Socket } from "../socket/index.js";
import { Stream, type StreamOptions } from "../stream/index.js";
import { type TlsConn, type TlsContext, TlsListener, type TlsListenerOptions } from "../tls/index.js";
import { type ListenAddress, SocketListener } from "./socketListener.js";

/**
 * What `listen("tls://…")` gives: the connections to an endpoint whose handshake has succeeded, as streams over a
 * {@link TlsConn}, which is the stream's `conn`.
 *
 * Handshakes run beside each other, as {@link TlsListener} says; one that fails is no error of `accept()`, but withSocketErrors to
 * `onHandshakeError`. A new certificate is put in place by `context.reload()`.
 *
 * @example
 * ```ts no-run
 * import { readFileSync } from "node:fs";
 * import { listen } from "berkeley";
 *
 * const read = () => ({ cert: readFileSync("server.pem"), key: readFileSync("server.key") });
 * await using listener = await listen("tls://[::]:4433", { tls: { ...read(), alpnProtocols: ["echo"] } });
 * process.on("SIGHUP", () => listener.context.reload(read()));
 * for await (const stream of listener) {
 *   console.log(`${stream.remoteAddress} speaks ${stream.conn.protocol}`);
 *   await stream.close();
 * }
 * ```
 */
export class TlsSocketListener extends SocketListener {
  readonly #secured: TlsListener;
  readonly #limits: StreamOptions;

  /** @internal */
  constructor(
    socket: Socket,
    address: ListenAddress,
    limits: StreamOptions,
    tls: TlsListenerOptions,
    signal: AbortSignal | undefined,
  ) {
    super(socket, address, limits, { signal });
    this.#limits = limits;
    this.#secured = new TlsListener(new SocketListener(socket, address, {}), tls);
  }

  /** The keys and certificates, to be reloaded with new ones. */
  get context(): TlsContext {
    return this.#secured.context;
  }

  /** Connections in a handshake, and those that nobody has accepted yet. */
  get pending(): { readonly handshakes: number; readonly ready: number } {
    return this.#secured.pending;
  }

  /**
   * Waits for the next connection whose handshake has succeeded. Several calls may wait: they are served in order.
   *
   * @throws SocketError `ETIMEDOUT`, `ECANCELED` when it is closed meanwhile, `EBADF` when it was before; the signal's reason
   */
  override async accept(opts?: IoOptions): Promise<Stream<TlsConn>> {
    return new Stream(await this.#secured.accept(opts), this.#limits);
  }

  /**
   * Lets the process end while calls wait here: neither these, those that wait already among them, nor their deadlines keep it alive
   * from now on.
   */
  override unref(): this {
    this.#secured.unref();
    return this;
  }

  /** Undoes `unref()`: a call that waits keeps the process alive, as it does from the beginning. */
  override ref(): this {
    this.#secured.ref();
    return this;
  }

  /** Takes no more connections; those in a handshake or not accepted yet are cut, those that were accepted stay. */
  override close(): Promise<void> {
    // A signal that is aborted already closes it before it is whole.
    if (!(#secured in this)) return super.close();
    return this.#secured.close().then(() => super.close());
  }

  /** The connections, one after the other, until the listener is closed. Leaving the loop does not close it. */
  override [Symbol.asyncIterator](): AsyncIterableIterator<Stream<TlsConn>> {
    return super[Symbol.asyncIterator]() as AsyncIterableIterator<Stream<TlsConn>>;
  }
}
