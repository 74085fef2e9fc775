// The options of serve(), and their checks.

import {
  ADMISSION_OPTIONS,
  type AdmissionOptions,
  checkAdmission,
  type CheckedAdmission,
  bindCallback,
} from "../admission/index.js";
import { checkNames, checkOptions, quote } from "../check/index.js";
import type { ListenOptions } from "../net/index.js";
import { abortSignal, millisecondsOr } from "../wait/waitOptions.js";
import type { ConnectionContext } from "./servedConnection.js";

/** Options of {@link serve}: limits, events, and the options of `listen()`. */
export interface ServeOptions extends AdmissionOptions {
  /** Maximum number of connections at a time. Default 10,000. */
  readonly maxConnections?: number | undefined;
  /**
   * Maximum number of connections at a time from one address; null for no limit. Further ones are reset. IPv6 addresses
   * count by their /64, and mapped IPv4 addresses as IPv4. Clients of UNIX sockets and vsock are not counted. Behind a
   * proxy, all clients have one address: use `proxyProtocol`, or null. Default 2,500.
   */
  readonly maxConnectionsPerAddress?: number | null | undefined;
  /** Milliseconds for a TLS handshake; null for no limit. Only for a `tls://` endpoint. Default 10,000. */
  readonly handshakeTimeout?: number | null | undefined;
  /**
   * Bytes per second that a client must send while it sends a request; null for no limit. The check begins 20 seconds
   * after the first byte that the server has not answered. So it ends clients that send a request very slowly, but
   * no client that is silent between two requests. Default 0.5.
   */
  readonly minReadRate?: number | null | undefined;
  /** Options of `listen()`. Not for a listener that exists already. */
  readonly listen?: ListenOptions | undefined;
  /** Closes the server, as `close()` does. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with the error that a handler has thrown or rejected with. The connection of the handler is closed. Without
   * this function, the process emits a `CallbackWarning`.
   */
  readonly onError?: ((error: unknown, context: ConnectionContext) => void) | undefined;
}

/** The functions by which a server in a worker numbers and counts its connections. */
export interface WorkerHooks {
  /** Called when a connection begins. Returns its id. */
  nextId(): number;
  /** Called when a connection has ended. `key` is the key under which its client was counted. */
  onEnded(key: string | undefined): void;
}

/** The options of serve(), checked. */
export interface CheckedServe extends CheckedAdmission {
  /** Only in a worker. */
  readonly worker?: WorkerHooks | undefined;
  /** Bytes per second; 0 for no limit. */
  readonly minReadRate: number;
  readonly onError: ServeOptions["onError"];
  readonly signal: AbortSignal | undefined;
}

/** The names of the options of serve(). */
export const SERVE_OPTIONS: readonly string[] = [
  ...ADMISSION_OPTIONS,
  "handshakeTimeout",
  "minReadRate",
  "listen",
  "signal",
  "onError",
];
const DEFAULT_LIMITS = { maxConnections: 10_000, maxConnectionsPerAddress: 2_500 };
/** In bytes per second. */
const DEFAULT_MIN_READ_RATE = 0.5;

export function checkServe(opts: ServeOptions, action: string): CheckedServe {
  checkOptions(opts, action);
  checkNames(opts, SERVE_OPTIONS, action, "serve");
  // Only the check counts here: listenOptions() passes this option on.
  millisecondsOr(opts.handshakeTimeout, null, action, "handshakeTimeout");
  const rate: unknown = opts.minReadRate === undefined ? DEFAULT_MIN_READ_RATE : opts.minReadRate;
  const isRate = typeof rate === "number" && rate > 0 && rate < Infinity;
  if (rate !== null && !isRate) {
    const required = "bytes per second above 0, or null for no limit";
    const message = `Cannot ${action}: minReadRate is ${quote(rate)}, required ${required}`;
    throw typeof rate === "number" ? new RangeError(message) : new TypeError(message);
  }
  return {
    ...checkAdmission(opts, action, DEFAULT_LIMITS),
    minReadRate: rate ?? 0,
    onError: bindCallback(opts.onError, action, "onError"),
    signal: abortSignal(opts.signal, action),
  };
}

/** The options of listen(), with `handshakeTimeout` among those of TLS. `usesTls`: whether the endpoint is `tls://`. */
export function listenOptions(opts: ServeOptions, usesTls: boolean, action: string): ListenOptions {
  const { handshakeTimeout, listen = {} } = opts;
  checkOptions(listen, `${action}, listen`);
  if (handshakeTimeout === undefined) return listen;
  if (!usesTls) throw new TypeError(`Cannot ${action}: handshakeTimeout is for TLS, required a tls:// endpoint`);
  return { ...listen, tls: { ...listen.tls, handshakeTimeout } };
}
