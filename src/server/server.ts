// Server: accepts the connections of a listener, and calls the handler for each.

import { AsyncResource } from "node:async_hooks";
import { AcceptLoop, type AcceptOwner, ConnectionSet } from "../admission/index.js";
import type { Address } from "../addr/index.js";
import { clock } from "../builtins.js";
import { report } from "../callbacks.js";
import { checkNames, checkOptions } from "../check/index.js";
import type { Listener } from "../io.js";
import { type Handover, handoverOf, registerHandover } from "../net/serverAccess.js";
import { describable, type Description, Inspectable } from "../registry/index.js";
import type { Stream } from "../stream/index.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { localError } from "../wait/localError.js";
import { LONGEST_TIMER, millisecondsOr } from "../wait/waitOptions.js";
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
import { checkSignals } from "./signalNames.js";
import type { UpgradeOptions } from "./newProgram.js";
import { upgrade, type Upgraded, upgradeOn, type UpgradeOnOptions } from "./upgrade.js";
import { finishing, type Source, sourceOf } from "./source.js";

/** The counters of a {@link Server}. */
export interface ServerStats {
  /** Connections whose handler was called. */
  readonly accepted: number;
  /** Connections that were refused: the lists of addresses, or a limit. */
  readonly refused: number;
  /** Connections now. */
  readonly connections: number;
  /** Handlers that have failed. */
  readonly failed: number;
  /** Connections that `drain()` or `close()` has cut. */
  readonly aborted: number;
  /** Connections that each limit has cut. */
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

/** Options of {@link Server.drain}. */
export interface DrainOptions {
  /** Milliseconds for the handlers; then their connections are cut. null for no limit. Default 10,000. */
  readonly timeout?: number | null | undefined;
}

/** The fields of a {@link Server} in JSON. */
export interface ServerDescription extends Description {
  readonly kind: "Server";
  readonly state: string;
  readonly local: string | null;
  readonly connections: number;
}

/** Limits are checked every so many ms at most, and at least. */
const LONGEST_INTERVAL = 1000;
const SHORTEST_INTERVAL = 20;
/** Checks in the time of a limit. */
const CHECKS = 4;
const DRAIN_TIMEOUT = 10_000;

function limitsOf({ idleTimeout, maxLifetime, minReadRate }: CheckedServe): ConnectionLimits {
  const shortest = Math.min(
    idleTimeout ?? Infinity,
    maxLifetime ?? Infinity,
    minReadRate === 0 ? Infinity : Number.MAX_VALUE,
  );
  const interval =
    shortest === Infinity ? Infinity : Math.min(Math.max(shortest / CHECKS, SHORTEST_INTERVAL), LONGEST_INTERVAL);
  return { interval, idleTimeout, maxLifetime, minReadRate };
}

/** Only serve() calls the constructor of Server. */
export let makeServer: (listener: Listener, handler: ConnectionHandler, opts: CheckedServe) => Server;

/** The result of {@link serve}: accepts connections and runs their handlers until it is drained or closed. */
export class Server extends Inspectable<ServerDescription> implements AsyncDisposable {
  static {
    makeServer = (listener, handler, opts) => {
      const server = new Server(listener, handler, opts);
      const handover = handoverOf(listener);
      if (handover !== undefined) {
        const sockets = (): ReturnType<Handover["sockets"]> =>
          server.#state === "listening" ? handover.sockets() : undefined;
        registerHandover(server, { sockets, leave: (timeout) => server.drain({ timeout }) });
      }
      return server;
    };
    describable<Server, ServerDescription>(Server.prototype, "Server", (server) => ({
      state: server.#state,
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
  readonly #next: Source;
  readonly #loop: AcceptLoop<Stream>;
  readonly #connections = new ConnectionSet<ServedConnection>();
  readonly #draining = new AbortController();
  readonly #owner: ConnectionOwner;
  readonly #onSignal = { aborted: (): void => void this.close() };
  readonly #counts = { failed: 0, aborted: 0, idleTimeout: 0, maxLifetime: 0, minReadRate: 0 };
  readonly #bytes = { received: 0, sent: 0 };
  readonly #signals: { readonly name: NodeJS.Signals; readonly listener: () => void }[] = [];
  /** Called at the end. */
  readonly #undoOnEnd: (() => void)[] = [];
  #state: ServerStats["state"] = "listening";
  #nextId = 1;
  /** The end of the TLS handshakes that run while the server drains. */
  #finishing: Promise<void> | undefined;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  private constructor(listener: Listener, handler: ConnectionHandler, opts: CheckedServe) {
    super();
    this.#listener = listener;
    // Handlers run in the asynchronous context of the call of serve().
    this.#handler = AsyncResource.bind(handler);
    this.#opts = opts;
    this.#next = sourceOf(listener);
    this.closed = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#owner = {
      limits: limitsOf(opts),
      draining: this.#draining.signal,
      handlerFailed: (error, context) => this.#handlerFailed(error, context),
      remove: (connection, key, cut, limit) => this.#remove(connection, key, cut, limit),
    };
    if (opts.signal !== undefined) onAbort(opts.signal, this.#onSignal);
    this.#loop = new AcceptLoop(this.#acceptOwner(), opts, false);
    this.#loop.start();
  }

  /** The address of the listener. If port 0 was requested, it has the port that the kernel chose. */
  get address(): Address | undefined {
    return this.#listener.address;
  }

  /** The counters, also after the server was closed. */
  stats(): ServerStats {
    const { accepted, connections, refused, shortages } = this.#loop.counts;
    let { received, sent } = this.#bytes;
    for (const { stream } of this.#connections) {
      const { bytesReceived, bytesSent } = stream.stats();
      received += bytesReceived;
      sent += bytesSent;
    }
    const counts = { accepted, refused, connections, ...this.#counts, shortages };
    return { ...counts, bytesReceived: received, bytesSent: sent, state: this.#state };
  }

  /**
   * Lets the process end while the server waits for connections. Calls of handlers still keep it alive.
   */
  unref(): this {
    this.#listener.unref?.();
    this.#loop.keepAlive(false);
    return this;
  }

  /** Undoes `unref()`. */
  ref(): this {
    this.#listener.ref?.();
    this.#loop.keepAlive(true);
    return this;
  }

  /**
   * Closes the listener, aborts `context.draining`, and waits until the handlers have finished and their connections
   * are ended. TLS handshakes that run are finished, and their connections are served. After `timeout` it cuts the
   * connections that are left. The kernel resets the connections that are still in the accept queue, unless another
   * process has the listening socket too. A second call waits for the same end; its timeout applies too.
   *
   * @throws TypeError or RangeError (by rejecting) for a wrong `timeout`
   */
  async drain(opts: DrainOptions = {}): Promise<void> {
    checkOptions(opts, "drain");
    checkNames(opts, ["timeout"], "drain");
    const timeout = millisecondsOr(opts.timeout, DRAIN_TIMEOUT, "drain", "timeout");
    if (this.#state === "closed") return;
    if (this.#state === "listening") {
      this.#state = "draining";
      this.#finishing = finishing(this.#listener)?.then(() => this.#stopAccepting());
      if (this.#finishing === undefined) this.#stopAccepting();
      this.#draining.abort(localError("ECANCELED", "serve", { cause: new Error("the server drains") }));
    }
    const cut = (): void => {
      this.#stopAccepting();
      this.#connections.cutAll(localError("ECANCELED", "serve"));
    };
    // Referenced, because a handler may wait for something that keeps no process alive.
    const timer = timeout === null ? undefined : setTimeout(cut, Math.min(timeout, LONGEST_TIMER));
    await this.#finishing;
    await this.#connections.empty();
    clearTimeout(timer);
    this.#end(undefined);
  }

  /** Closes the listener, and resets all connections. Handlers get the abort of their signal. */
  close(): Promise<void> {
    this.#end(undefined);
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Drains the server when the process gets one of these signals. A second signal closes the server at once. The signals
   * have their default action again when the server is closed, and the process ends when nothing else keeps it alive.
   *
   * @param signals default SIGTERM and SIGINT
   * @throws TypeError or RangeError for wrong arguments
   */
  shutdownOn(signals: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT"], opts: DrainOptions = {}): this {
    const action = "shut down on signals";
    checkSignals(signals, action);
    checkOptions(opts, action);
    checkNames(opts, ["timeout"], action);
    millisecondsOr(opts.timeout, DRAIN_TIMEOUT, action, "timeout");
    if (this.#state === "closed") return this;
    const listener = (): void => {
      if (this.#state === "draining") void this.close();
      else void this.drain(opts);
    };
    for (const name of signals) {
      process.on(name, listener);
      this.#signals.push({ name, listener });
    }
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
    const undo = upgradeOn([this], signals, opts);
    if (this.#state === "closed") undo();
    else this.#undoOnEnd.push(undo);
    return this;
  }

  #stopAccepting(): void {
    this.#loop.stop();
    void this.#listener.close();
  }

  #acceptOwner(): AcceptOwner<Stream> {
    return {
      owed: 0,
      next: this.#next,
      peerOf: (stream) => stream.remoteAddress,
      refuse: (stream) => stream.abort(),
      begin: (stream, _peer, key) => this.#begin(stream, key),
      retryWork: () => false,
      acceptFailed: (error) => this.#end({ error }),
    };
  }

  #begin(stream: Stream, key: string | undefined): void {
    const connection = new ServedConnection(this.#owner, this.#nextId++, stream, stream.remoteAddress, key);
    this.#connections.add(connection);
    this.#connections.arm(nextCheck(clock(), this.#owner.limits.interval));
    connection.start(this.#handler);
  }

  #handlerFailed(error: unknown, context: ConnectionContext): void {
    this.#counts.failed++;
    const { onError } = this.#opts;
    if (onError !== undefined) {
      report("onError", onError, error, context);
      return;
    }
    report("the handler of serve()", () => {
      throw error;
    });
  }

  #remove(
    connection: ServedConnection,
    key: string | undefined,
    cut: boolean,
    limit: ConnectionLimit | undefined,
  ): void {
    const { bytesReceived, bytesSent } = connection.stream.stats();
    this.#bytes.received += bytesReceived;
    this.#bytes.sent += bytesSent;
    if (cut) this.#counts[limit ?? "aborted"]++;
    this.#connections.delete(connection);
    this.#loop.left(key);
  }

  #end(failure: { readonly error: unknown } | undefined): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#loop.end();
    void this.#listener.close();
    for (const { name, listener } of this.#signals.splice(0)) process.off(name, listener);
    for (const undo of this.#undoOnEnd.splice(0)) undo();
    if (this.#opts.signal !== undefined) offAbort(this.#opts.signal, this.#onSignal);
    this.#connections.cutAll(failure?.error ?? localError("ECANCELED", "serve"));
    if (failure === undefined) this.#resolve();
    else this.#reject(failure.error);
  }
}
