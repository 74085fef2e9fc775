// The options of serveWorkers(), their checks, and the parts of them that a worker gets.

import { isAbsolute } from "node:path";
import { pathToFileURL } from "node:url";
import type { ResourceLimits } from "node:worker_threads";
import type { Address } from "../addr/index.js";
import { bindCallback } from "../admission/index.js";
import { os } from "../builtins.js";
import { checkNames, checkOptions, flag, integer, quote } from "../check/index.js";
import type { TlsListenOptions } from "../net/index.js";
import { checkStreamLimits, prepareListenerTls, STREAM_OPTIONS } from "../net/serverAccess.js";
import type { StreamOptions } from "../stream/index.js";
import { millisecondsOr, millisecondsWithin } from "../wait/waitOptions.js";
import { type CheckedServe, checkServe, listenOptions, SERVE_OPTIONS, type ServeOptions } from "./serverOptions.js";

/** A connection of a worker whose handler has failed. */
export interface WorkerConnection {
  /** The number of the worker, from 1 on. */
  readonly worker: number;
  /** As in the context of the handler. */
  readonly id: number;
  readonly peer: Address | undefined;
  readonly client: Address | undefined;
}

/** A worker has become ready, or has ended. */
export type WorkerEvent =
  | {
      readonly state: "ready";
      /** The number of the worker, from 1 on. A worker that replaces another one has the same number. */
      readonly worker: number;
      /** The id of the thread or of the process. */
      readonly id: number;
    }
  | {
      readonly state: "ended";
      readonly worker: number;
      /** The id of the thread or of the process; -1 if it did not start. */
      readonly id: number;
      /** The exit status; null if a signal has ended the process. */
      readonly code: number | null;
      readonly signal: NodeJS.Signals | null;
      /** The uncaught error of a thread, or a `WorkerError`; undefined if the server has requested the end. */
      readonly error: unknown;
      /** Connections that have ended with the worker. */
      readonly lost: number;
      /** Milliseconds until another worker takes its place; undefined if none does. */
      readonly restartIn: number | undefined;
    };

/** Options of {@link serveWorkers}: those of `serve()`, and those of the workers. */
export interface ServeWorkersOptions extends Omit<ServeOptions, "onError"> {
  /** Number of workers. `"auto"` is `os.availableParallelism()`. Default `"auto"`. */
  readonly workers?: number | "auto" | undefined;
  /** Uses child processes instead of worker threads. Default false. */
  readonly processes?: boolean | undefined;
  /**
   * Gives each worker a listening socket of its own (SO_REUSEPORT). The kernel chooses one of these sockets by a hash
   * of the addresses of a connection. Default false: the server accepts, and hands each connection to the worker with
   * the fewest.
   */
  readonly reusePort?: boolean | undefined;
  /** A value for `setup` of the module. It is copied to each worker. */
  readonly data?: unknown;
  /** Limits of the memory of each worker thread. */
  readonly resourceLimits?: ResourceLimits | undefined;
  /**
   * Milliseconds in which a worker must answer the server. A silent worker is ended and replaced. Its handler may be in
   * an endless loop. null for no limit. Default 30,000.
   */
  readonly responseTimeout?: number | null | undefined;
  /**
   * Milliseconds before a worker that has ended is replaced. The pause doubles with each end, up to `maxRestartDelay`.
   * After a worker has run for ten seconds, the next pause is the shortest one again. Default 100.
   */
  readonly minRestartDelay?: number | undefined;
  /** The longest pause, in milliseconds. Default 30,000, or `minRestartDelay` if that is longer. */
  readonly maxRestartDelay?: number | undefined;
  /**
   * Called with the error that a handler has thrown or rejected with: an `Error` with the same name, message, stack and
   * code. The connection of the handler is closed. Without this function the worker emits a `CallbackWarning`. With the
   * option `log`, the process of the server emits it instead.
   */
  readonly onError?: ((error: unknown, connection: WorkerConnection) => void) | undefined;
  /**
   * Called when a worker has become ready, and when it has ended. Without this function the process emits a
   * `CallbackWarning` when a worker ends by itself.
   */
  readonly onWorker?: ((event: WorkerEvent) => void) | undefined;
}

/** The options, checked. */
export interface CheckedWorkers {
  readonly serve: CheckedServe;
  /** The number of workers. */
  readonly count: number;
  readonly processes: boolean;
  readonly reusePort: boolean;
  readonly data: unknown;
  readonly resourceLimits: ResourceLimits | undefined;
  readonly responseTimeout: number | null;
  readonly minRestartDelay: number;
  readonly maxRestartDelay: number;
  readonly onError: ServeWorkersOptions["onError"];
  readonly onWorker: ServeWorkersOptions["onWorker"];
  readonly onHandshakeError: TlsListenOptions["onHandshakeError"];
  /** The limits, stream options and TLS options that are sent to each worker. */
  readonly limits: ServeOptions;
  readonly streams: StreamOptions;
  readonly tls: TlsListenOptions | undefined;
}

const WORKER_OPTIONS: readonly string[] = [
  "workers",
  "processes",
  "reusePort",
  "data",
  "resourceLimits",
  "responseTimeout",
  "minRestartDelay",
  "maxRestartDelay",
  "onWorker",
];
const MAX_WORKERS = 1024;
/** The maximum of `minRestartDelay` and `maxRestartDelay`, in ms. */
const MAX_RESTART_DELAY = 3_600_000;
/** A limit that no worker reaches first, because `maxConnections` of the server is at most this number. */
const UNREACHED_LIMIT = 1_000_000;

/** Throws if a value can't be copied to a worker. */
function checkCopy(value: unknown, action: string, name: string): void {
  try {
    structuredClone(value);
  } catch (cause) {
    throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a value that structuredClone() takes`, {
      cause,
    });
  }
}

/** Checks the options of TLS. Returns those that are sent to each worker. */
function checkTls(opts: TlsListenOptions | undefined, action: string): TlsListenOptions {
  // Reads the keys and the certificates, so that a mistake in them is an error of this call. Also throws if `opts` is
  // undefined.
  prepareListenerTls(opts, action);
  const { onHandshakeError: _, ...tls } = opts!;
  for (const [name, value] of Object.entries(tls)) {
    // checkCopy() would refuse a context too, but its message would not name the options to use instead.
    if (name === "context" && value !== undefined) {
      throw new TypeError(`Cannot ${action}: tls.context can't be copied to a worker, required cert and key, or pfx`);
    }
    checkCopy(value, action, `tls.${name}`);
  }
  return tls;
}

/** With `reusePort`: the options of one worker, with its share of the limits. Throws if an option can't be shared. */
function shareOfWorker(opts: ServeWorkersOptions, checked: CheckedServe, count: number, action: string): ServeOptions {
  const { acceptRate, allow, deny, maxConnectionsPerAddress, whenFull } = opts;
  if (typeof maxConnectionsPerAddress === "number") {
    throw new TypeError(
      `Cannot ${action}: maxConnectionsPerAddress counts the connections of all workers, required null with reusePort`,
    );
  }
  for (const name of ["onRefused", "onPressure"] as const) {
    if (opts[name] === undefined) continue;
    throw new TypeError(`Cannot ${action}: ${name} is for a server that accepts itself, required none with reusePort`);
  }
  for (const [name, list] of [
    ["allow", allow],
    ["deny", deny],
    ["proxyProtocol.from", opts.proxyProtocol?.from],
  ] as const) {
    if (list === undefined || Array.isArray(list)) continue;
    throw new TypeError(`Cannot ${action}: ${name} is a net.BlockList, required an array of networks with reusePort`);
  }
  const share = (total: number, name: string): number => {
    if (total >= count) return Math.floor(total / count);
    throw new RangeError(`Cannot ${action}: ${name} is ${total}, required at least one for each of ${count} workers`);
  };
  return {
    maxConnections: share(checked.maxConnections, "maxConnections"),
    acceptRate: typeof acceptRate === "number" ? share(acceptRate, "acceptRate") : acceptRate,
    allow,
    deny,
    whenFull,
    reserve: opts.reserve,
    proxyProtocol: opts.proxyProtocol,
  };
}

/**
 * The option `proxyProtocol` of a worker. The server has checked the proxy, and the whole header is in the receive
 * buffer. So the worker allows all addresses and needs no timeout.
 */
function proxyProtocolOfWorker({ proxyProtocol }: CheckedServe): ServeOptions["proxyProtocol"] {
  if (proxyProtocol === undefined) return undefined;
  const { maxBytes } = proxyProtocol;
  return { from: ["0.0.0.0/0", "::/0"], timeout: null, maxBytes, maxPending: UNREACHED_LIMIT };
}

/** @param usesTls whether the endpoint is `tls://` */
export function checkWorkers(opts: ServeWorkersOptions, usesTls: boolean, action: string): CheckedWorkers {
  checkOptions(opts, action);
  checkNames(opts, [...SERVE_OPTIONS, ...WORKER_OPTIONS], action, "serveWorkers");
  const {
    workers = "auto",
    processes: givenProcesses,
    reusePort: givenReusePort,
    data,
    resourceLimits,
    responseTimeout,
    minRestartDelay,
    maxRestartDelay,
    onError,
    onWorker,
    ...serveOpts
  } = opts;
  const serve = checkServe(serveOpts, action);
  const count = workers === "auto" ? os().availableParallelism() : integer(workers, action, "workers", 1, MAX_WORKERS);
  const processes = flag(givenProcesses, false, action, "processes");
  const reusePort = flag(givenReusePort, false, action, "reusePort");
  if (resourceLimits !== undefined && processes) {
    throw new TypeError(`Cannot ${action}: resourceLimits are for threads; use NODE_OPTIONS for processes`);
  }
  if (usesTls && serve.proxyProtocol !== undefined && !reusePort) {
    throw new TypeError(`Cannot ${action}: proxyProtocol on a tls endpoint needs reusePort: true with workers`);
  }
  checkCopy(data, action, "data");
  const { tls, ...listen } = listenOptions(serveOpts, usesTls, action);
  const streams: Record<string, unknown> = {};
  for (const name of STREAM_OPTIONS) {
    const value = (listen as Record<string, unknown>)[name];
    if (value === undefined) continue;
    checkCopy(value, action, `listen.${name}`);
    streams[name] = value;
  }
  const admission: ServeOptions = reusePort
    ? { ...shareOfWorker(opts, serve, count, action), maxConnectionsPerAddress: null }
    : {
        // The server applies the limits.
        maxConnections: UNREACHED_LIMIT,
        // With a number here, a worker reports the client key of each ended connection, for the server's limit.
        maxConnectionsPerAddress: serve.maxConnectionsPerAddress === Infinity ? null : UNREACHED_LIMIT,
        // The server keeps the reserve of descriptors for all threads. A process has descriptors of its own.
        reserve: processes ? opts.reserve : 0,
        proxyProtocol: proxyProtocolOfWorker(serve),
      };
  const { idleTimeout, maxLifetime, minReadRate } = opts;
  const minDelay = millisecondsWithin(minRestartDelay, 100, action, "minRestartDelay", 1, MAX_RESTART_DELAY);
  return {
    serve,
    count,
    processes,
    reusePort,
    data,
    resourceLimits,
    responseTimeout: millisecondsOr(responseTimeout, 30_000, action, "responseTimeout"),
    minRestartDelay: minDelay,
    maxRestartDelay: millisecondsWithin(
      maxRestartDelay,
      Math.max(minDelay, 30_000),
      action,
      "maxRestartDelay",
      minDelay,
      MAX_RESTART_DELAY,
    ),
    onError: bindCallback(onError, action, "onError"),
    onWorker: bindCallback(onWorker, action, "onWorker"),
    onHandshakeError: bindCallback(tls?.onHandshakeError, action, "onHandshakeError"),
    limits: { ...admission, idleTimeout, maxLifetime, minReadRate },
    streams: checkStreamLimits(streams, action),
    tls: usesTls ? checkTls(tls, action) : undefined,
  };
}

/** Checks the argument `module`, and returns the URL of the module with the handler. */
export function checkModule(module: unknown, action: string): string {
  if (typeof module === "string" && isAbsolute(module)) return pathToFileURL(module).href;
  const href = module instanceof URL ? module.href : module;
  if (typeof href === "string" && /^(?:file|data|node):/.test(href)) return href;
  throw new TypeError(
    `Cannot ${action}: module is ${quote(module)}, required a URL such as new URL("./handler.js", ` +
      "import.meta.url), or an absolute path",
  );
}
