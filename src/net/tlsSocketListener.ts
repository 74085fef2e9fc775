// TlsSocketListener: the result of listen("tls://…").

import type { Inet6Address, InetAddress } from "../addr/index.js";
import type { IoOptions } from "../io.js";
import type { Socket } from "../socket/index.js";
import { Stream, type StreamOptions } from "../stream/index.js";
import {
  type TlsConn,
  type TlsContext,
  TlsListener,
  type TlsListenerOptions,
  type TlsListenerStats,
} from "../tls/index.js";
import { finishHandshakes, setBeforeHandshake } from "../tls/tlsListener.js";
import type { BeforeHandshake } from "../tls/runningHandshake.js";
import { makeDescribable } from "../registry/index.js";
import { describeListener, type ListenerDescription, type ListenerStats } from "./listenerStats.js";
import { type ListenerSetup, SocketListener } from "./socketListener.js";

/** Stops accepting, and resolves when no handshake runs; see `finishHandshakes()` of tlsListener.ts. */
export let finishSocketHandshakes: (listener: TlsSocketListener) => Promise<void>;

/** Sets the function that the listener calls for each connection before its handshake. */
export let callBeforeHandshake: (listener: TlsSocketListener | TlsListener, before: BeforeHandshake) => void;

/**
 * The result of `listen("tls://…")`: accepts the connections to an endpoint after their TLS handshake, as streams. The
 * stream's `conn` is a {@link TlsConn}.
 *
 * Handshakes run concurrently, as {@link TlsListener} describes. A handshake that fails is no error of `accept()`; the
 * listener calls `onHandshakeError`. `context.reload()` replaces the certificate.
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
export class TlsSocketListener extends SocketListener<TlsConn, InetAddress | Inet6Address> {
  static {
    finishSocketHandshakes = (listener) => finishHandshakes(listener.#tlsListener);
    makeDescribable<TlsSocketListener, ListenerDescription>(
      TlsSocketListener.prototype,
      "TlsSocketListener",
      (listener) => describeListener(listener.socket, listener.address, listener.stats()),
    );
    callBeforeHandshake = (listener, before) =>
      setBeforeHandshake(listener instanceof TlsListener ? listener : listener.#tlsListener, before);
  }

  readonly #tlsListener: TlsListener;
  readonly #limits: StreamOptions;

  /** @internal */
  constructor(
    socket: Socket,
    address: InetAddress | Inet6Address,
    limits: StreamOptions,
    tls: TlsListenerOptions,
    { gate, signal }: Pick<ListenerSetup, "gate" | "signal">,
  ) {
    super(socket, address, limits, { gate, signal });
    this.#limits = limits;
    // The inner listener accepts the connections, so it gets the gate too. It gets no signal, because close() of this
    // listener closes it.
    this.#tlsListener = new TlsListener(new SocketListener(socket, address, {}, { gate }), tls);
  }

  /** The keys and certificates. `context.reload()` replaces them. */
  get context(): TlsContext {
    return this.#tlsListener.context;
  }

  /** The counters of the listener and of its handshakes, also after `close()`. */
  override stats(): ListenerStats & TlsListenerStats {
    return { ...super.stats(), ...this.#tlsListener.stats() };
  }

  /**
   * Waits for the next connection whose handshake has succeeded. Several calls may wait; they get connections in the
   * order of the calls.
   *
   * @throws SocketError `ETIMEDOUT`, `ECANCELED` if the listener is closed during the call, `EBADF` if it was closed
   *   before
   * @throws the reason of `signal`
   */
  override async accept(opts?: IoOptions): Promise<Stream<TlsConn>> {
    return new Stream(await this.#tlsListener.accept(opts), this.#limits);
  }

  /**
   * Lets the process end although calls wait here. From now on, neither waiting calls nor later ones keep it alive, nor
   * do their timeouts.
   */
  override unref(): this {
    this.#tlsListener.unref();
    return this;
  }

  /** Undoes `unref()`: waiting calls keep the process alive again. */
  override ref(): this {
    this.#tlsListener.ref();
    return this;
  }

  /**
   * Closes the listening socket, and every connection that is in a handshake or was not accepted. Accepted connections
   * stay open.
   */
  override close(): Promise<void> {
    // If the signal is aborted already, the constructor of the base class calls this method before the field exists.
    if (!(#tlsListener in this)) return super.close();
    return this.#tlsListener.close().then(() => super.close());
  }

  /** The connections, one after the other, until the listener is closed. Leaving the loop does not close it. */
  override [Symbol.asyncIterator](): AsyncIterableIterator<Stream<TlsConn>> {
    return super[Symbol.asyncIterator]();
  }
}
