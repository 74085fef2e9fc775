// The messages between a server and its workers. All of them can be copied to another process.

import type { ClosedEvent } from "../admission/index.js";
import { quote } from "../check/index.js";
import type { StreamOptions } from "../stream/index.js";
import type { ForeignDescriptor, ListenerCopy } from "../net/serverAccess.js";
import type { TlsListenOptions } from "../net/index.js";
import type { ServeOptions } from "./serverOptions.js";

/** The first message to a worker. */
export interface WorkerStart {
  /** The URL of the module with the handler. */
  readonly module: string;
  /** The number of the worker, from 1 on. */
  readonly worker: number;
  /** The id of the worker's first connection. */
  readonly firstId: number;
  /** The difference between the ids of two successive connections of the worker. */
  readonly idStep: number;
  /** The worker's descriptor of the channel over which connections come. */
  readonly channel: ForeignDescriptor;
  /** With `reusePort`, the worker's listening socket. Then the server uses the channel only to drain the worker. */
  readonly listening: ForeignDescriptor | undefined;
  /** The address and the kind of socket of the server's listener. */
  readonly listenerCopy: ListenerCopy;
  /** The options of serve() for the worker. */
  readonly limits: ServeOptions;
  readonly streams: StreamOptions;
  readonly tls: TlsListenOptions | undefined;
  /** Whether errors of handlers go to the server. */
  readonly reportsErrors: boolean;
  /** Whether failed handshakes go to the server. */
  readonly reportsHandshakes: boolean;
  /** Whether the worker makes records of ended connections, until a message "record" changes that. */
  readonly recordsClosed: boolean;
  /** The value for `setup` of the module. */
  readonly data: unknown;
}

/** The counters of a worker. */
export interface WorkerCounts {
  readonly accepted: number;
  readonly refused: number;
  readonly proxyRefused: number;
  readonly connections: number;
  readonly failed: number;
  readonly aborted: number;
  readonly idleTimeout: number;
  readonly maxLifetime: number;
  readonly minReadRate: number;
  readonly shortages: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
}

export const NO_COUNTS: WorkerCounts = {
  accepted: 0,
  refused: 0,
  proxyRefused: 0,
  connections: 0,
  failed: 0,
  aborted: 0,
  idleTimeout: 0,
  maxLifetime: 0,
  minReadRate: 0,
  shortages: 0,
  bytesReceived: 0,
  bytesSent: 0,
};

/** A thrown error that can be sent. `value` is a thrown value that is no `Error`. */
export type ErrorCopy =
  | { readonly name: string; readonly message: string; readonly stack: string | undefined; readonly code: unknown }
  | { readonly value: unknown };

export type FromWorker =
  /** The module is loaded, and the worker takes connections. */
  | { readonly type: "ready" }
  /** The module could not be loaded. The worker ends. */
  | { readonly type: "failed"; readonly error: ErrorCopy }
  /**
   * `ended` is the number of connections that have ended since the previous report. `keys` are the keys under which
   * their clients were counted. `closed` are their records, if the server has requested records.
   */
  | {
      readonly type: "report";
      readonly counts: WorkerCounts;
      readonly ended: number;
      readonly keys: readonly string[];
      readonly closed: readonly ClosedEvent[];
    }
  /** A handler has failed. The addresses are the bytes of a `sockaddr`. */
  | {
      readonly type: "error";
      readonly error: ErrorCopy;
      readonly id: number;
      readonly peer: Uint8Array | undefined;
      readonly client: Uint8Array | undefined;
    }
  /** A TLS handshake has failed. */
  | { readonly type: "handshake"; readonly error: ErrorCopy; readonly peer: Uint8Array | undefined }
  /** The answer to a ping. */
  | { readonly type: "pong" };

export type ToWorker =
  | { readonly type: "ping" }
  /** The worker resets its connections, and ends. */
  | { readonly type: "abort" }
  /** The worker begins or stops making records of ended connections. */
  | { readonly type: "record"; readonly enabled: boolean };

/** The value, or its text if it can't be copied. */
function copyable(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return quote(value);
  }
}

/** A copy of a thrown value that can be sent. */
export function copyOfError(error: unknown): ErrorCopy {
  if (!(error instanceof Error)) return { value: copyable(error) };
  const { name, message, stack } = error;
  return { name, message, stack, code: copyable((error as { readonly code?: unknown }).code) };
}

/** The thrown value that a copy stands for. An `Error` becomes a new one with the same properties. */
export function errorOfCopy(copy: ErrorCopy): unknown {
  if ("value" in copy) return copy.value;
  const { name, message, stack, code } = copy;
  const error = new Error(message);
  const properties = { name, stack, ...(code === undefined ? {} : { code }) };
  // As in errors of Node.js, only `code` is enumerable.
  for (const [key, value] of Object.entries(properties)) {
    Object.defineProperty(error, key, { value, configurable: true, writable: true, enumerable: key === "code" });
  }
  return error;
}

/** Marks the messages to the server. The module of the user may send other messages on the same channel. */
const MARK = "berkeley.worker";

export const marked = (message: FromWorker): object => ({ ...message, [MARK]: true });

export function isFromWorker(message: unknown): message is FromWorker {
  return typeof message === "object" && message !== null && MARK in message;
}
