// The program of a worker: it loads the module with the handler, and serves the connections that the server hands over.
//
// Here "the server" is the WorkerServer that has started the worker. `#server` is a Server inside the worker.

import { clientKey, type ClosedEvent, type ServerEvent } from "../admission/index.js";
import type { Address } from "../addr/index.js";
import { workerThreads } from "../builtins.js";
import { quote } from "../check/index.js";
import { ChannelListener, encodeAddress, secureChannel, takeListener } from "../net/serverAccess.js";
import type { ConnectionContext, ConnectionHandler } from "./servedConnection.js";
import { makeServer, type Server } from "./server.js";
import { type CheckedServe, checkServe } from "./serverOptions.js";
import {
  copyOfError,
  type FromWorker,
  marked,
  type ToWorker,
  type WorkerCounts,
  type WorkerStart,
} from "./workerMessages.js";

/** Milliseconds between two reports while bytes flow. */
const REPORT_INTERVAL = 1000;
/** Maximum number of records of ended connections in one report. Others are dropped; the counters stay complete. */
const MAX_RECORDS = 1000;

/** The connection of a worker to its server, for messages. */
interface Link {
  send(message: FromWorker): void;
  /** Ends the worker after all messages were sent. */
  exit(code: number): void;
  onMessage(listener: (message: ToWorker) => void): void;
}

function threadLink(): Link {
  const port = workerThreads().parentPort!;
  return {
    send: (message) => port.postMessage(marked(message)),
    exit: (code) => process.exit(code),
    onMessage: (listener) => void port.on("message", listener),
  };
}

function processLink(): Link {
  // A terminal sends SIGINT to the whole process group, and a service manager may send SIGTERM to each process of the
  // service. The worker ignores both signals, because the server ends it.
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => undefined);
  return {
    send: (message) => {
      if (process.connected) process.send!(marked(message));
    },
    exit: (code) => {
      if (!process.connected) process.exit(code);
      // The callback of this last message runs when all messages are sent. The message itself has no effect.
      process.send!(marked({ type: "pong" }), () => process.exit(code));
    },
    onMessage: (listener) => void process.on("message", listener),
  };
}

/** The exports of a module with a handler. */
interface HandlerModule {
  readonly handler: ConnectionHandler;
  readonly setup: ((worker: { readonly worker: number; readonly data: unknown }) => unknown) | undefined;
}

/** The function import() of the script that runs the worker. */
type Load = (url: string) => Promise<Record<string, unknown>>;

/**
 * If the program runs under tsx, which compiles TypeScript: registers tsx in this worker thread, because tsx registers
 * itself only in the main thread. A worker process gets the flag of Node.js that loads tsx.
 */
async function registerTsx(load: Load): Promise<void> {
  // The flag that loads the compiler, and not the one that loads the file `preflight` of tsx.
  const flag = process.execArgv.find((arg) => /(?:^|[/=])tsx(?:\/|$)/.test(arg) && !/preflight/.test(arg));
  if (flag === undefined) return;
  // The command `tsx` makes a flag with the URL of a file of its package. `node --import tsx` has the package's name.
  const directory = /file:.*\/tsx\/dist\//.exec(flag)?.[0];
  const api = await load(directory === undefined ? "tsx/esm/api" : `${directory}esm/api/index.mjs`);
  (api["register"] as () => void)();
}

async function loadHandler(url: string, load: Load): Promise<HandlerModule> {
  if (!workerThreads().isMainThread && /\.[cm]?tsx?$/.test(url)) await registerTsx(load);
  const loaded = await load(url);
  // import() of a CommonJS module returns its exports as the default export. They may have a property `default` too.
  const defaultExport = loaded["default"] as Record<string, unknown> | undefined;
  const exportOf = (name: string): unknown =>
    loaded[name] ?? (typeof defaultExport === "object" ? defaultExport?.[name] : undefined);
  const handler = typeof defaultExport === "function" ? defaultExport : (exportOf("handler") ?? exportOf("default"));
  if (typeof handler !== "function") {
    throw new TypeError(
      `Cannot serve: module ${quote(url)} exports ${quote(handler)} as its handler, required a function as the ` +
        `default export or as "handler"`,
    );
  }
  const setup = exportOf("setup");
  if (setup !== undefined && typeof setup !== "function") {
    throw new TypeError(`Cannot serve: setup of module ${quote(url)} is ${quote(setup)}, required a function`);
  }
  return { handler: handler as ConnectionHandler, setup: setup as HandlerModule["setup"] };
}

class WorkerProgram {
  readonly #link: Link;
  readonly #start: WorkerStart;
  readonly #load: Load;
  /** Undefined until the module is loaded. */
  #server: Server | undefined;
  /** The id of the next connection. */
  #nextId: number;
  /** The number of connections that have ended since the previous report. */
  #endedCount = 0;
  /** The client keys of these connections. */
  readonly #endedKeys: string[] = [];
  /** The records of these connections. */
  readonly #closedEvents: ClosedEvent[] = [];
  /** The option `log` of `#server`. Undefined exactly while the worker makes no records. */
  #log: ((event: ServerEvent) => void) | undefined;
  #reportScheduled = false;
  /** Whether the message "abort" has arrived. */
  #aborting = false;
  /** The counters of the previous report, as text. */
  #lastCounts = "";

  constructor(link: Link, start: WorkerStart, load: Load) {
    this.#link = link;
    this.#load = load;
    this.#start = start;
    this.#nextId = start.firstId;
    this.#setRecording(start.recordsClosed);
    link.onMessage((message) => {
      if (message.type === "ping") link.send({ type: "pong" });
      else if (message.type === "record") this.#setRecording(message.enabled);
      else this.#abort();
    });
  }

  /** Begins or stops making records of ended connections. */
  #setRecording(enabled: boolean): void {
    const log = (event: ServerEvent): void => {
      if (event.event === "closed" && this.#closedEvents.length < MAX_RECORDS) this.#closedEvents.push(event);
    };
    this.#log = enabled ? log : undefined;
  }

  #abort(): void {
    this.#aborting = true;
    void this.#server?.close();
  }

  async run(): Promise<void> {
    const { module, worker, data } = this.#start;
    /** The result of `setup`. If it is a function, it is called before the worker ends. */
    let cleanUp: unknown;
    try {
      const { handler, setup } = await loadHandler(module, this.#load);
      if (!this.#aborting) cleanUp = await setup?.({ worker, data });
      this.#server = this.#serve(handler);
    } catch (error) {
      this.#link.send({ type: "failed", error: copyOfError(error) });
      this.#link.exit(1);
      return;
    }
    setInterval(() => this.#report(), REPORT_INTERVAL).unref();
    this.#link.send({ type: "ready" });
    // The message "abort" may have arrived while `#server` did not exist yet.
    if (this.#aborting) void this.#server.close();
    await this.#server.closed;
    this.#report();
    if (typeof cleanUp === "function") await (cleanUp as () => unknown)();
    this.#link.exit(0);
  }

  #serve(handler: ConnectionHandler): Server {
    const { channel, listenerCopy, limits, listening, streams, reportsErrors } = this.#start;
    const opts = reportsErrors
      ? { ...limits, onError: (error: unknown, context: ConnectionContext) => this.#sendHandlerError(error, context) }
      : limits;
    const currentLog = (): CheckedServe["log"] => this.#log;
    const checked = {
      ...checkServe(opts, "serve"),
      // A getter, because a message "record" changes `#log` later.
      get log() {
        return currentLog();
      },
      worker: {
        nextId: () => this.#beginConnection(),
        onEnded: (key: string | undefined) => this.#countEnded(key),
      },
    };
    let draining = false;
    const drainOnce = (): void => {
      if (draining) return;
      draining = true;
      void this.#server?.drain({ timeout: null });
    };
    // The server drains a worker by ending the channel.
    const channelListener = new ChannelListener(channel, listenerCopy, streams, drainOnce);
    const tls = this.#start.tls && {
      ...this.#start.tls,
      onHandshakeError: (error: unknown, peer: Address | undefined) => this.#onHandshakeError(error, peer),
    };
    if (listening === undefined) {
      const listener = tls === undefined ? channelListener : secureChannel(channelListener, tls, streams);
      return makeServer(listener, handler, checked);
    }
    const server = makeServer(takeListener(listening, listenerCopy, streams, tls), handler, checked);
    // No connection comes over this channel. accept() waits for the end of the channel, and then calls drainOnce().
    channelListener.accept().catch(() => undefined);
    const close = (): void => void channelListener.close();
    server.closed.then(close, close);
    return server;
  }

  #sendHandlerError(error: unknown, { client, id, peer }: ConnectionContext): void {
    const copies = { peer: peer && encodeAddress(peer), client: client && encodeAddress(client) };
    this.#link.send({ type: "error", error: copyOfError(error), id, ...copies });
  }

  #onHandshakeError(error: unknown, peer: Address | undefined): void {
    const { listening, reportsHandshakes } = this.#start;
    // The server has counted the connection when it was handed over. No handler runs, so the end is counted here.
    if (listening === undefined) this.#countEnded(clientKey(peer));
    if (reportsHandshakes) {
      this.#link.send({ type: "handshake", error: copyOfError(error), peer: peer && encodeAddress(peer) });
    }
  }

  /** Called when a connection begins. Returns its id. */
  #beginConnection(): number {
    const id = this.#nextId;
    this.#nextId += this.#start.idStep;
    // Without `reusePort`, the server has counted the connection itself.
    if (this.#start.listening !== undefined) this.#scheduleReport();
    return id;
  }

  #countEnded(key: string | undefined): void {
    this.#endedCount++;
    if (key !== undefined) this.#endedKeys.push(key);
    this.#scheduleReport();
  }

  #scheduleReport(): void {
    if (this.#reportScheduled) return;
    this.#reportScheduled = true;
    // The report is delayed, so that one report is enough for all connections of this turn.
    setImmediate(() => this.#report());
  }

  /** Sends the counters to the server, unless nothing has changed since the previous report. */
  #report(): void {
    this.#reportScheduled = false;
    const { state: _, ...counts } = this.#server!.stats();
    const text = Object.values(counts satisfies WorkerCounts).join();
    if (this.#endedCount === 0 && text === this.#lastCounts) return;
    this.#lastCounts = text;
    this.#link.send({
      type: "report",
      counts,
      ended: this.#endedCount,
      keys: this.#endedKeys.splice(0),
      closed: this.#closedEvents.splice(0),
    });
    this.#endedCount = 0;
  }
}

/** Runs a worker, in the thread or the process that the server has started for it. */
export function runWorker(load: Load): void {
  const threads = workerThreads();
  if (!threads.isMainThread) {
    void new WorkerProgram(threadLink(), threads.workerData as WorkerStart, load).run();
    return;
  }
  const link = processLink();
  process.once("message", (start: WorkerStart) => void new WorkerProgram(link, start, load).run());
}
