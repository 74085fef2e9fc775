// Server: accepts the connections of a listener, and calls the handler for each.

import { AsyncResource } from "node:async_hooks";
import {
  AcceptLoop,
  type AcceptOwner,
  checkSignals,
  DeadlineSet,
  type DrainOptions,
  checkDrainTimeout,
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
  type ConnectionLimit,
  type ConnectionLimits,
  type ConnectionOwner,
  nextCheck,
  ServedConnection,
} from "./servedConnection.js";
import type { CheckedServe } from "./serverOptions.js";
import type { UpgradeOptions } from "./newProgram.js";
import { upgrade, type Upgraded, upgradeOn, type UpgradeOnOptions } from "./upgrade.js";
import { closeListener, finishHandshakesOf, gateOfListener, type Source, sourceOf, isClosedError } from "./source.js";

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

/** The longest and the shortest interval between two checks of the limits, in ms. */
const MAX_INTERVAL = 1000;
const MIN_INTERVAL = 20;
/** The number of checks during the time of the shortest limit. */
const CHECKS_PER_LIMIT = 4;

function connectionLimits({ idleTimeout, maxLifetime, minReadRate }: CheckedServe): ConnectionLimits {
  const shortest = Math.min(
    idleTimeout ?? Infinity,
    maxLifetime ?? Infinity,
    // minReadRate needs checks too, but does not shorten their interval. So it counts as a very long limit.
    minReadRate === 0 ? Infinity : Number.MAX_VALUE,
  );
  const interval =
    shortest === Infinity ? Infinity : Math.min(Math.max(shortest / CHECKS_PER_LIMIT, MIN_INTERVAL), MAX_INTERVAL);
  return { interval, idleTimeout, maxLifetime, minReadRate };
}

/** Only serve() calls the constructor of Server. */
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
  readonly #acceptNext: Source;
  readonly #loop: AcceptLoop<Stream>;
  readonly #connections = new DeadlineSet<ServedConnection>();
  readonly #life: Lifecycle;
  readonly #owner: ConnectionOwner;
  readonly #counts = { failed: 0, aborted: 0, idleTimeout: 0, maxLifetime: 0, minReadRate: 0 };
  /** The PROXY headers that came before the TLS handshake, by TLS connection. */
  readonly #headersBelowTls = new WeakMap<Conn, ProxyHeader>();
  readonly #bytes = { received: 0, sent: 0 };
  /** Functions that remove the listeners of `upgradeOn()`, by signal. */
  readonly #upgradeSignals = new Map<NodeJS.Signals, () => void>();
  /** Resolves when the TLS handshakes that ran at the start of the drain have finished. Undefined without TLS. */
  #handshakesFinished: Promise<void> | undefined;
  #nextId = 1;

  private constructor(listener: Listener, handler: ConnectionHandler, opts: CheckedServe) {
    super();
    this.#listener = listener;
    // Handlers run in the asynchronous context of the call of serve().
    this.#handler = AsyncResource.bind(handler);
    this.#opts = opts;
    this.#acceptNext = sourceOf(listener);
    this.#life = new Lifecycle(
      {
        stop: () => {
          this.#loop.reportDrain();
          this.#handshakesFinished = finishHandshakesOf(listener)?.then(() => this.#stopAccepting());
          if (this.#handshakesFinished === undefined) this.#stopAccepting();
        },
        whenEmpty: async () => {
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
          for (const undo of this.#upgradeSignals.values()) undo();
          return undefined;
        },
      },
      "serve",
      opts.signal,
    );
    this.closed = this.#life.closed;
    this.#owner = {
      limits: connectionLimits(opts),
      draining: this.#life.draining,
      onHandlerError: (error, context) => this.#handlerFailed(error, context),
      onEnded: (connection, key, aborted, limit) => this.#remove(connection, key, aborted, limit),
    };
    this.#loop = new AcceptLoop(this.#acceptOwner(), opts, false);
    if (opts.proxyProtocol !== undefined) this.#readHeadersBelowTls(listener);
    this.#loop.start(gateOfListener(listener));
  }

  /** The address of the listener. If port 0 was requested, it has the port that the kernel chose. */
  get address(): Address | undefined {
    return this.#listener.address;
  }

  /** The counters, also after the server was closed. */
  stats(): ServerStats {
    const { accepted, connections, proxyRefused, refused, shortages } = this.#loop.counts;
    let { received, sent } = this.#bytes;
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
      const undo = upgradeOn([this], [name], opts);
      this.#upgradeSignals.get(name)?.();
      this.#upgradeSignals.set(name, undo);
      if (this.#life.state === "closed") undo();
    }
    return this;
  }

  #stopAccepting(): void {
    if (this.#loop.stopped) return;
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
      headerOf: (stream) => this.#headersBelowTls.get(stream.conn),
      handle: (stream, client, key, header) => this.#handle(stream, client, key, header),
      retryWork: () => false,
      onAcceptFailed: (error) => {
        const closed = isClosedError(this.#listener, error);
        if (!closed) this.#loop.events.reportListenerError(error);
        this.#life.end(closed ? undefined : { error });
      },
    };
  }

  #handle(stream: Stream, client: Address | undefined, key: string | undefined, header: ProxyHeader | undefined): void {
    const peer = stream.remoteAddress;
    const origin = { client: client ?? peer, peer, proxyHeader: header };
    const id = this.#opts.worker?.nextId() ?? this.#nextId++;
    const connection = new ServedConnection(this.#owner, id, stream, origin, key);
    this.#connections.add(connection);
    this.#connections.arm(nextCheck(clock(), this.#owner.limits.interval));
    this.#loop.events.reportConnection(connection.context.id, origin.client, peer);
    connection.start(this.#handler);
  }

  /** Reads the PROXY header of each connection before its TLS handshake. */
  #readHeadersBelowTls(listener: Listener): void {
    if (!(listener instanceof TlsSocketListener || listener instanceof TlsListener)) return;
    callBeforeHandshake(listener, async (stream) => {
      const header = await this.#loop.readHeaderBeforeTls(stream);
      return header === undefined ? undefined : (secured) => void this.#headersBelowTls.set(secured, header);
    });
  }

  #handlerFailed(error: unknown, context: ConnectionContext): void {
    this.#counts.failed++;
    this.#loop.events.reportHandlerError(context.id, context.client, context.peer, error);
    const { onError } = this.#opts;
    if (onError !== undefined) {
      runCallback("onError", onError, error, context);
      return;
    }
    reportFailure("the handler of serve()", error);
  }

  #remove(
    connection: ServedConnection,
    key: string | undefined,
    aborted: boolean,
    limit: ConnectionLimit | undefined,
  ): void {
    const { bytesReceived, bytesSent } = connection.stream.stats();
    this.#bytes.received += bytesReceived;
    this.#bytes.sent += bytesSent;
    if (aborted) this.#counts[limit ?? "aborted"]++;
    const { context, failed, startedAt } = connection;
    const reason = aborted ? (limit ?? "aborted") : failed ? "failed" : "ended";
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
    this.#loop.onConnectionEnded(key);
    this.#opts.worker?.onEnded(key);
  }

  /** Aborts the connections, and the reads of headers. */
  #abortAll(error: unknown): void {
    this.#loop.end();
    this.#connections.abortAll(error);
  }
}
