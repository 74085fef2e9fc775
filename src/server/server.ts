// Server: accepts the connections of a listener, and calls the handler for each.

import { AsyncResource } from "node:async_hooks";
import {
  AcceptLoop,
  type AcceptOwner,
  checkSignals,
  DeadlineSet,
  type DrainOptions,
  checkDrainTimeout,
  type EndReason,
  Lifecycle,
} from "../admission/index.js";
import type { Address } from "../addr/index.js";
import { clock } from "../builtins.js";
import { runCallback, reportFailure } from "../callbacks.js";
import type { Conn, Listener } from "../io.js";
import { callBeforeHandshake, registerServer, TlsListener, TlsSocketListener } from "../net/serverAccess.js";
import type { ProxyHeader } from "../proxyProtocol/index.js";
import { makeDescribable, type Description, Inspectable } from "../registry/index.js";
import type { Stream } from "../stream/index.js";
import {
  type ConnectionContext,
  type ConnectionHandler,
  type ConnectionLimits,
  type ConnectionOwner,
  nextCheck,
  ServedConnection,
} from "./servedConnection.js";
import type { CheckedServe } from "./serverOptions.js";
import type { UpgradeOptions } from "./newProgram.js";
import { upgrade, type Upgraded, upgradeOn, type UpgradeOnOptions } from "./upgrade.js";
import {
  closeListener,
  finishHandshakesOf,
  gateOfListener,
  type AcceptNext,
  acceptNextOf,
  isClosedError,
} from "./source.js";

/** The counters of a {@link Server}. */
export interface ServerStats {
  /** Connections whose handler was called. */
  readonly accepted: number;
  /** Connections that were refused because of an address list, a limit, or `proxyProtocol`. */
  readonly refused: number;
  /** The connections that were refused because of `proxyProtocol`. */
  readonly proxyRefused: number;
  /** Open connections. */
  readonly connections: number;
  /** Handlers that have failed. */
  readonly failed: number;
  /** Connections that `drain()` or `close()` has reset. */
  readonly aborted: number;
  /** Connections that were reset, by the limit that was the reason. */
  readonly idleTimeout: number;
  readonly maxLifetime: number;
  readonly minReadRate: number;
  /** Shortages of descriptors or memory that have begun. */
  readonly shortages: number;
  /** Bytes of all connections, as in `stats()` of a stream. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly state: "listening" | "draining" | "closed";
}

/** The fields of a {@link Server} in JSON. */
export interface ServerDescription extends Description {
  readonly kind: "Server";
  readonly state: string;
  readonly local: string | null;
  readonly connections: number;
}

/** The longest and the shortest time between two checks of the limits, in ms. */
const MAX_CHECK_INTERVAL = 1000;
const MIN_CHECK_INTERVAL = 20;
/** The number of checks during the time of the shortest limit. */
const CHECKS_PER_LIMIT = 4;

function connectionLimits({ idleTimeout, maxLifetime, minReadRate }: CheckedServe): ConnectionLimits {
  const shortestLimit = Math.min(
    idleTimeout ?? Infinity,
    maxLifetime ?? Infinity,
    // minReadRate needs checks, but does not shorten the interval between them. So it counts as a very long limit.
    minReadRate === 0 ? Infinity : Number.MAX_VALUE,
  );
  const interval =
    shortestLimit === Infinity
      ? Infinity
      : Math.min(Math.max(shortestLimit / CHECKS_PER_LIMIT, MIN_CHECK_INTERVAL), MAX_CHECK_INTERVAL);
  return { interval, idleTimeout, maxLifetime, minReadRate };
}

/** Calls the constructor of Server, which is private. Only serve() and the program of a worker call this function. */
export let makeServer: (listener: Listener, handler: ConnectionHandler, opts: CheckedServe) => Server;

/** The result of {@link serve}: accepts connections and runs their handlers until it is drained or closed. */
export class Server extends Inspectable<ServerDescription> implements AsyncDisposable {
  static {
    makeServer = (listener, handler, opts) => {
      const server = new Server(listener, handler, opts);
      const isListening = (): boolean => server.#life.state === "listening";
      registerServer(server, listener, isListening, (timeout) => server.drain({ timeout }));
      return server;
    };
    makeDescribable<Server, ServerDescription>(Server.prototype, "Server", (server) => ({
      state: server.#life.state,
      local: server.address === undefined ? null : String(server.address),
      connections: server.#connections.size,
    }));
  }

  /**
   * Resolves when the server is closed: after `close()`, or when `drain()` has finished. Rejects if the listener fails
   * for another reason than a shortage. If no code handles that, it is an unhandled rejection.
   */
  readonly closed: Promise<void>;
  readonly #listener: Listener;
  readonly #handler: ConnectionHandler;
  readonly #opts: CheckedServe;
  readonly #acceptNext: AcceptNext;
  readonly #loop: AcceptLoop<Stream>;
  readonly #connections = new DeadlineSet<ServedConnection>();
  readonly #life: Lifecycle;
  readonly #connectionOwner: ConnectionOwner;
  readonly #counts = { failed: 0, aborted: 0, idleTimeout: 0, maxLifetime: 0, minReadRate: 0 };
  /** By TLS connection, the PROXY header that came before the TLS handshake. */
  readonly #tlsHeaders = new WeakMap<Conn, ProxyHeader>();
  /** The bytes of the connections that have ended. */
  readonly #endedBytes = { received: 0, sent: 0 };
  /** By signal, the function that removes the listener of `upgradeOn()`. */
  readonly #upgradeRemovers = new Map<NodeJS.Signals, () => void>();
  /** Resolves when the TLS handshakes that ran at the start of the drain have finished. Undefined without TLS. */
  #handshakesFinished: Promise<void> | undefined;
  #nextId = 1;

  private constructor(listener: Listener, handler: ConnectionHandler, opts: CheckedServe) {
    super();
    this.#listener = listener;
    // Handlers run in the asynchronous context of the call of serve().
    this.#handler = AsyncResource.bind(handler);
    this.#opts = opts;
    this.#acceptNext = acceptNextOf(listener);
    this.#life = new Lifecycle(
      {
        stop: () => {
          this.#loop.reportDrain();
          // The server still accepts the connections whose TLS handshake runs.
          this.#handshakesFinished = finishHandshakesOf(listener)?.then(() => this.#stopAccepting());
          if (this.#handshakesFinished === undefined) this.#stopAccepting();
        },
        whenEmpty: async () => {
          // In the order in which a connection passes these steps.
          await this.#handshakesFinished;
          await this.#loop.whenHeadersRead();
          await this.#connections.whenEmpty();
        },
        abort: (error) => {
          this.#stopAccepting();
          this.#abortAll(error);
        },
        release: (error) => {
          this.#stopAccepting();
          this.#abortAll(error);
          for (const remove of this.#upgradeRemovers.values()) remove();
          return undefined;
        },
      },
      "serve",
      opts.signal,
    );
    this.closed = this.#life.closed;
    this.#connectionOwner = {
      limits: connectionLimits(opts),
      draining: this.#life.draining,
      onHandlerError: (error, context) => this.#onHandlerError(error, context),
      onEnded: (connection, reason) => this.#onConnectionEnded(connection, reason),
    };
    this.#loop = new AcceptLoop(this.#acceptOwner(), opts, { needsPeer: false });
    if (opts.proxyProtocol !== undefined) this.#readHeadersBeforeTls(listener);
    this.#loop.start(gateOfListener(listener));
  }

  /** The address of the listener. If port 0 was requested, it has the port that the kernel chose. */
  get address(): Address | undefined {
    return this.#listener.address;
  }

  /** The counters, also after the server was closed. */
  stats(): ServerStats {
    const { accepted, connections, proxyRefused, refused, shortages } = this.#loop.counts;
    let { received, sent } = this.#endedBytes;
    for (const { stream } of this.#connections) {
      const { bytesReceived, bytesSent } = stream.stats();
      received += bytesReceived;
      sent += bytesSent;
    }
    const counts = { accepted, refused, proxyRefused, connections, ...this.#counts, shortages };
    return { ...counts, bytesReceived: received, bytesSent: sent, state: this.#life.state };
  }

  /**
   * Lets the process end while the server waits for connections. Waiting calls of handlers still keep it alive.
   */
  unref(): this {
    this.#listener.unref?.();
    this.#loop.setRef(false);
    return this;
  }

  /** Undoes `unref()`. */
  ref(): this {
    this.#listener.ref?.();
    this.#loop.setRef(true);
    return this;
  }

  /**
   * Closes the listener, aborts the signal `context.draining`, and waits until the handlers have finished and their
   * connections are ended. TLS handshakes that run are finished, and their connections are served. After `timeout` it
   * resets the connections that are left. The kernel resets the connections that are still in the accept queue, unless
   * another process has the listening socket too. A second call waits for the same end, and its `timeout` applies too.
   *
   * @throws TypeError or RangeError (by rejecting) for a wrong `timeout`
   */
  async drain(opts: DrainOptions = {}): Promise<void> {
    await this.#life.drain(checkDrainTimeout(opts));
  }

  /** Closes the listener, resets all connections, and aborts the signal of each handler. */
  close(): Promise<void> {
    this.#life.end();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Drains the server when the process gets one of these signals. A second signal closes the server at once. The
   * signals have their default action again when the server is closed, and the process ends when nothing else keeps it
   * alive.
   *
   * @param signals default SIGTERM and SIGINT
   * @throws TypeError or RangeError for wrong arguments
   */
  shutdownOn(signals: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT"], opts: DrainOptions = {}): this {
    this.#life.shutdownOn(signals, opts);
    return this;
  }

  /** Starts the new version of this program, and hands the listener over to it. See {@link upgrade}. */
  upgrade(opts?: UpgradeOptions): Promise<Upgraded> {
    return upgrade([this], opts);
  }

  /**
   * Calls `upgrade()` when the process gets one of these signals. See {@link upgradeOn}.
   *
   * @param signals default SIGUSR2
   * @throws TypeError or RangeError for wrong arguments
   */
  upgradeOn(signals: readonly NodeJS.Signals[] = ["SIGUSR2"], opts: UpgradeOnOptions = {}): this {
    // A second call for a signal replaces the earlier listener, because two listeners would start two upgrades.
    for (const name of checkSignals(signals, "upgrade on signals")) {
      const remove = upgradeOn([this], [name], opts);
      this.#upgradeRemovers.get(name)?.();
      this.#upgradeRemovers.set(name, remove);
      if (this.#life.state === "closed") remove();
    }
    return this;
  }

  #stopAccepting(): void {
    if (this.#loop.stopped) return;
    // After stop() the loop ignores errors. One of them comes from an accept() that waits while the listener is closed.
    this.#loop.stop();
    closeListener(this.#listener);
  }

  #acceptOwner(): AcceptOwner<Stream> {
    return {
      call: "serve",
      address: this.#listener.address,
      pendingDescriptors: 0,
      descriptorsPerConnection: 0,
      acceptNext: this.#acceptNext,
      peerOf: (stream) => stream.remoteAddress,
      refuse: (stream) => stream.abort(),
      streamOf: (stream) => stream,
      headerOf: (stream) => this.#tlsHeaders.get(stream.conn),
      handle: (stream, client, key, header) => this.#serveConnection(stream, client, key, header),
      // No connection of this server waits for a descriptor.
      retryWork: () => false,
      onAcceptFailed: (error) => {
        const wasClosed = isClosedError(this.#listener, error);
        if (!wasClosed) this.#loop.events.reportListenerError(error);
        this.#life.end(wasClosed ? undefined : { error });
      },
    };
  }

  #serveConnection(
    stream: Stream,
    client: Address | undefined,
    key: string | undefined,
    header: ProxyHeader | undefined,
  ): void {
    const peer = stream.remoteAddress;
    const origin = { client: client ?? peer, peer, proxyHeader: header };
    const id = this.#opts.worker?.nextId() ?? this.#nextId++;
    const connection = new ServedConnection(this.#connectionOwner, id, stream, origin, key);
    this.#connections.add(connection);
    this.#connections.arm(nextCheck(clock(), this.#connectionOwner.limits.interval));
    this.#loop.events.reportConnection(connection.context.id, origin.client, peer);
    connection.start(this.#handler);
  }

  /** Reads the PROXY header of each connection before its TLS handshake. */
  #readHeadersBeforeTls(listener: Listener): void {
    if (!(listener instanceof TlsSocketListener || listener instanceof TlsListener)) return;
    callBeforeHandshake(listener, async (stream) => {
      const header = await this.#loop.readHeaderBeforeTls(stream);
      // The listener calls the returned function with the TLS connection. With undefined there is no handshake.
      return header === undefined ? undefined : (tlsConn) => void this.#tlsHeaders.set(tlsConn, header);
    });
  }

  #onHandlerError(error: unknown, context: ConnectionContext): void {
    this.#counts.failed++;
    this.#loop.events.reportHandlerError(context.id, context.client, context.peer, error);
    const { onError } = this.#opts;
    if (onError !== undefined) {
      runCallback("onError", onError, error, context);
      return;
    }
    reportFailure("the handler of serve()", error);
  }

  #onConnectionEnded(connection: ServedConnection, reason: EndReason): void {
    const { context, key, startedAt, stream } = connection;
    const { bytesReceived, bytesSent } = stream.stats();
    this.#endedBytes.received += bytesReceived;
    this.#endedBytes.sent += bytesSent;
    // A failed handler was counted when it failed.
    if (reason !== "ended" && reason !== "failed") this.#counts[reason]++;
    this.#loop.events.reportClosed(
      context.id,
      context.client,
      context.peer,
      startedAt,
      bytesReceived,
      bytesSent,
      reason,
    );
    this.#connections.delete(connection);
    // After reportClosed(), because this call may report the end of the server.
    this.#loop.onConnectionEnded(key);
    this.#opts.worker?.onEnded(key);
  }

  /** Ends the accept loop and its reads of headers, and aborts the connections. */
  #abortAll(error: unknown): void {
    this.#loop.end();
    this.#connections.abortAll(error);
  }
}
