// WorkerServer: accepts connections, and hands each one to the worker with the fewest connections.
//
// With `reusePort`, each worker accepts from a listening socket of its own. Without it, only the server's thread
// accepts: if several threads waited on one listening socket, one of them would get most of the connections (see
// docs/design.md). The server's thread then also applies the limits, which hold for all workers together.

import {
  AcceptLoop,
  type AcceptHandler,
  type AcceptOwner,
  clientKey,
  type DrainOptions,
  checkDrainTimeout,
  Lifecycle,
  ServerEvents,
} from "../admission/index.js";
import type { Address } from "../addr/index.js";
import {
  type AcceptedConnection,
  acceptRaw,
  gateOf,
  HeaderPeeker,
  registerServer,
  copyOfListener,
  peerOfConnection,
  resetConnection,
  type SocketListener,
  type SocketKind,
} from "../net/serverAccess.js";
import { makeDescribable, Inspectable } from "../registry/index.js";
import { closeListener, isClosedError } from "./source.js";
import { WorkerDispatch } from "./workerDispatch.js";
import { WorkerError } from "./workerError.js";
import type { CheckedWorkers } from "./workerOptions.js";
import { WorkerRecords } from "./workerRecords.js";
import { reportWorker, reportWorkerError } from "./workerReports.js";
import type { WorkerEnd, WorkerOwner } from "./workerOwner.js";
import { WorkerSlot } from "./workerSlot.js";
import { sumCounts, type WorkerServerDescription, type WorkerServerStats } from "./workerStats.js";
import { watchWorkers } from "./workerWatch.js";

/**
 * Makes a WorkerServer. Resolves when all workers are ready. Only serveWorkers() calls this function. `module` has the
 * handler, and `packageUrl` is the module that exports `serveWorkers`.
 */
export let startWorkers: (
  listeners: readonly SocketListener[],
  opts: CheckedWorkers,
  module: string,
  packageUrl: string,
) => Promise<WorkerServer>;

/** The result of {@link serveWorkers}: a server whose handlers run in several threads or processes. */
export class WorkerServer extends Inspectable<WorkerServerDescription> implements AsyncDisposable {
  static {
    startWorkers = async (listeners, opts, module, packageUrl) => {
      const server = new WorkerServer(listeners, opts, module, packageUrl);
      await server.#startAll();
      const [listener] = listeners;
      const isListening = (): boolean => server.#life.state === "listening";
      // With reusePort each worker has an accept queue of its own, which upgrade() does not hand over.
      if (!opts.reusePort) registerServer(server, listener!, isListening, (timeout) => server.drain({ timeout }));
      return server;
    };
    makeDescribable<WorkerServer, WorkerServerDescription>(WorkerServer.prototype, "WorkerServer", (server) => ({
      state: server.#life.state,
      local: String(server.address),
      connections: server.stats().connections,
      workers: server.#slots.length,
    }));
  }

  /**
   * Resolves when the server is closed and its workers have ended: after `close()`, or when `drain()` has finished.
   * Rejects if the listener fails for another reason than a shortage.
   */
  readonly closed: Promise<void>;
  readonly #listeners: readonly SocketListener[];
  readonly #opts: CheckedWorkers;
  readonly #socketKind: SocketKind;
  /** Reads PROXY headers and leaves them in the receive buffer. Undefined without `proxyProtocol`. */
  readonly #headerPeeker: HeaderPeeker | undefined;
  /** Undefined with `reusePort`: then the workers accept. */
  readonly #loop: AcceptLoop<AcceptedConnection> | undefined;
  readonly #events: ServerEvents;
  readonly #records: WorkerRecords;
  readonly #slots: readonly WorkerSlot[];
  readonly #dispatch: WorkerDispatch;
  /** The handler of the accept loop, while the loop waits for an available worker. */
  #waitingHandler: AcceptHandler<AcceptedConnection> | undefined;
  readonly #life: Lifecycle;
  /** The timer that finds workers that do not answer. Undefined without `responseTimeout`. */
  readonly #watchTimer: NodeJS.Timeout | undefined;
  /** Settles the promise of `#startAll()`. Undefined exactly when no start is in progress. */
  #starting: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  /** Whether the server has aborted its connections. Then it also resets connections that wait for a worker. */
  #aborting = false;
  #keepsAlive = true;
  /** Connections that ended because their worker ended by itself. */
  #lost = 0;
  /** Connections that were aborted, and that no worker has counted. */
  #otherAborts = 0;
  /** Resolves when all workers have ended. */
  readonly #workersEnded: Promise<void>;
  #resolveWorkersEnded!: () => void;
  /** Whether `#workersEnded` is resolved. */
  #ended = false;

  private constructor(listeners: readonly SocketListener[], opts: CheckedWorkers, module: string, packageUrl: string) {
    super();
    this.#listeners = listeners;
    this.#opts = opts;
    const [listener] = listeners;
    const listenerCopy = copyOfListener(listener!.socket, listener!.address);
    this.#socketKind = listenerCopy.kind;
    const { proxyProtocol } = opts.serve;
    this.#headerPeeker = proxyProtocol && new HeaderPeeker(listenerCopy.kind, proxyProtocol.maxBytes);
    this.#workersEnded = new Promise((resolve) => (this.#resolveWorkersEnded = resolve));
    this.#life = new Lifecycle(
      {
        stop: () => {
          this.#loop?.reportDrain();
          this.#stopAccepting();
          this.#endIfIdle();
        },
        whenEmpty: () => this.#workersEnded,
        abort: () => this.#abort(),
        release: (error) => {
          // If the signal has ended the start, serveWorkers() rejects with the reason of the signal.
          this.#starting?.reject(opts.serve.signal?.aborted === true ? opts.serve.signal.reason : error);
          this.#loop?.end();
          this.#stopAccepting();
          this.#abort();
          return this.#workersEnded;
        },
      },
      "serveWorkers",
      opts.serve.signal,
    );
    this.closed = this.#life.closed;
    this.#loop = opts.reusePort
      ? undefined
      : new AcceptLoop(this.#acceptOwner(listener!), opts.serve, { needsPeer: false });
    this.#events = this.#loop?.events ?? new ServerEvents("serveWorkers", () => this.address, opts.serve);
    this.#records = new WorkerRecords(this.#events);
    const workerOwner = this.#workerOwner({ module, idStep: opts.count, listenerCopy }, packageUrl);
    this.#slots = Array.from({ length: opts.count }, (_, index) => {
      const listeningFd = opts.reusePort ? listeners[index]!.socket.fileno() : undefined;
      return new WorkerSlot(workerOwner, index + 1, listeningFd);
    });
    this.#records.slots = this.#slots;
    this.#dispatch = new WorkerDispatch(this.#slots);
    const { responseTimeout } = opts;
    this.#watchTimer = responseTimeout === null ? undefined : watchWorkers(this.#slots, responseTimeout);
  }

  async #startAll(): Promise<void> {
    const ready = new Promise<void>((resolve, reject) => (this.#starting = { resolve, reject }));
    for (const slot of this.#slots) slot.start();
    try {
      await ready;
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      this.#starting = undefined;
    }
    this.#loop?.start(gateOf(this.#listeners[0]!));
  }

  /** The address of the listener. If port 0 was requested, it has the port that the kernel chose. */
  get address(): Address {
    return this.#listeners[0]!.address;
  }

  /**
   * The counters of all workers, also after the server was closed. `workers` has those of each. A worker sends its
   * counters when a connection ends, and every second while bytes flow.
   */
  stats(): WorkerServerStats {
    const { aborted, ...sums } = sumCounts(this.#slots, this.#loop?.counts);
    return { ...sums, aborted: aborted + this.#otherAborts, state: this.#life.state, lost: this.#lost };
  }

  /** Lets the process end while the server runs. Threads then end with the process. */
  unref(): this {
    return this.#setKeepAlive(false);
  }

  /** Undoes `unref()`. */
  ref(): this {
    return this.#setKeepAlive(true);
  }

  #setKeepAlive(keepsAlive: boolean): this {
    this.#keepsAlive = keepsAlive;
    for (const listener of this.#listeners) {
      if (keepsAlive) listener.ref();
      else listener.unref();
    }
    this.#loop?.setRef(keepsAlive);
    for (const slot of this.#slots) slot.setKeepsAlive(keepsAlive);
    return this;
  }

  /**
   * Closes the listener, aborts `context.draining` in all workers, and waits until the handlers have finished, their
   * connections are ended, and the workers have ended. After `timeout` it resets the connections that are left. Then a
   * worker has half a second to end, or 5 seconds if it still loads its module, before it is ended by force.
   *
   * @throws TypeError or RangeError (by rejecting) for a wrong `timeout`
   */
  async drain(opts: DrainOptions = {}): Promise<void> {
    await this.#life.drain(checkDrainTimeout(opts));
    await this.#workersEnded;
  }

  /** Closes the listener, resets all connections, and waits until the workers have ended. */
  async close(): Promise<void> {
    this.#life.end();
    await this.#workersEnded;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** As `shutdownOn()` of a {@link Server}. */
  shutdownOn(signals: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT"], opts: DrainOptions = {}): this {
    this.#life.shutdownOn(signals, opts);
    return this;
  }

  #acceptOwner(listener: SocketListener): AcceptOwner<AcceptedConnection> {
    return {
      call: "serveWorkers",
      address: listener.address,
      pendingDescriptors: 0,
      descriptorsPerConnection: 0,
      acceptNext: (handler) => {
        if (this.#dispatch.available) return acceptRaw(listener, handler);
        // No worker takes connections, so new ones stay in the accept queue until `#resume()`.
        this.#waitingHandler = handler;
        return undefined;
      },
      peerOf: peerOfConnection,
      refuse: (connection) => {
        this.#headerPeeker?.release(connection);
        resetConnection(this.#socketKind, connection);
      },
      streamOf: (connection) => this.#headerPeeker!.sourceOf(connection),
      handle: (connection, _client, key) => {
        this.#headerPeeker?.release(connection);
        // The program may have added or removed a receiver of records.
        this.#records.update();
        this.#dispatch.give(connection, key);
      },
      // No connection of this thread waits for a descriptor.
      retryWork: () => false,
      onAcceptFailed: (error) => {
        const wasClosed = isClosedError(listener, error);
        if (!wasClosed) this.#events.reportListenerError(error);
        this.#life.end(wasClosed ? undefined : { error });
      },
    };
  }

  #workerOwner(common: WorkerOwner["common"], packageUrl: string): WorkerOwner {
    return {
      opts: this.#opts,
      packageUrl,
      common,
      keepsAlive: () => this.#keepsAlive,
      restartsWorkers: () => this.#life.state === "listening" && this.#starting === undefined,
      records: this.#records,
      onReady: (slot) => this.#onReady(slot),
      onAvailable: () => this.#resume(),
      clientKeyOf: (connection) => this.#clientKeyOf(connection),
      onConnectionsEnded: (count, keys) => {
        const countsByClient = this.#opts.serve.maxConnectionsPerAddress !== Infinity;
        for (let index = 0; index < count; index++)
          this.#loop?.onConnectionEnded(countsByClient ? keys[index] : undefined);
      },
      onError: (slot, message) => reportWorkerError(this.#opts, this.#events, slot.number, message),
      onWorkerEnded: (slot, end, restartIn) => this.#onWorkerEnded(slot, end, restartIn),
    };
  }

  /** The key under which the client of a connection is counted; undefined if clients are not counted. */
  #clientKeyOf(connection: AcceptedConnection): string | undefined {
    if (this.#opts.serve.maxConnectionsPerAddress === Infinity) return undefined;
    return clientKey(this.#headerPeeker?.headerOf(connection)?.source ?? peerOfConnection(connection));
  }

  /** Hands waiting connections over, and resumes the accept loop. Called when a worker may have become available. */
  #resume(): void {
    const noneWaits = this.#dispatch.giveWaiting();
    const handler = this.#waitingHandler;
    if (noneWaits && handler !== undefined && this.#dispatch.available) {
      this.#waitingHandler = undefined;
      try {
        const connection = acceptRaw(this.#listeners[0]!, handler);
        if (connection !== undefined) handler.onCompleted(connection);
      } catch (error) {
        handler.onFailed(error);
      }
    }
    this.#endIfIdle();
  }

  #onReady(slot: WorkerSlot): void {
    reportWorker(this.#opts.onWorker, { state: "ready", worker: slot.number, id: slot.id! });
    if (this.#starting !== undefined && this.#slots.every(({ state }) => state === "ready")) this.#starting.resolve();
    this.#resume();
  }

  #onWorkerEnded(slot: WorkerSlot, end: WorkerEnd, restartIn: number | undefined): void {
    const { code, error, expected, id, lost, signal, untaken } = end;
    if (expected) this.#otherAborts += lost;
    else this.#lost += lost;
    for (const connection of untaken) this.#dispatch.hold(connection, this.#clientKeyOf(connection));
    if (this.#aborting) this.#resetWaiting();
    const how = signal === null ? `with status ${code}` : `by ${signal}`;
    const workerError =
      error instanceof Error ? error : new WorkerError("ERR_WORKER_ENDED", slot.number, `has ended ${how}`, error);
    const failure = expected ? undefined : workerError;
    const event = { state: "ended", worker: slot.number, id, code, signal, error: failure, lost, restartIn } as const;
    if (this.#starting !== undefined && failure !== undefined) this.#starting.reject(failure);
    else reportWorker(this.#opts.onWorker, event, failure);
    this.#resume();
  }

  #stopAccepting(): void {
    this.#loop?.stop();
    this.#waitingHandler = undefined;
    for (const listener of this.#listeners) closeListener(listener);
    // The workers must not end before the connections with a pending header were handed over.
    void this.#loop?.whenHeadersRead().then(() => this.#endIfIdle());
  }

  /**
   * Ends the workers when the server has stopped accepting and no connection waits. Ends the server when all workers
   * have ended.
   */
  #endIfIdle(): void {
    const mayGetConnections = this.#life.state === "listening" || this.#loop?.hasPendingHeaders === true;
    if (this.#ended || mayGetConnections) return;
    if (this.#dispatch.hasWaiting) {
      // If all workers have ended or are ending, another one must start to serve the waiting connections.
      if (!this.#slots.some(({ restarting, state }) => restarting || state === "starting" || state === "ready")) {
        this.#slots.find(({ active }) => !active)?.scheduleRestart();
      }
      return;
    }
    for (const slot of this.#slots) {
      slot.cancelRestart();
      slot.finish();
    }
    if (!this.#slots.some(({ active }) => active)) this.#end();
  }

  /** Resets the connections that wait for a worker. */
  #resetWaiting(): void {
    for (const { connection, key } of this.#dispatch.takeWaiting()) {
      this.#otherAborts++;
      resetConnection(this.#socketKind, connection);
      this.#loop?.onConnectionEnded(key);
    }
  }

  /** Resets all connections, and ends the workers. */
  #abort(): void {
    this.#aborting = true;
    // Ends the reading of headers, for which `#endIfIdle()` waits.
    this.#loop?.end();
    this.#resetWaiting();
    for (const slot of this.#slots) slot.abort();
    this.#endIfIdle();
  }

  /** Called when all workers have ended. */
  #end(): void {
    this.#ended = true;
    this.#loop?.end();
    clearInterval(this.#watchTimer);
    this.#resolveWorkersEnded();
  }
}
