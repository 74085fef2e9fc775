// The messages between a server and its workers. All of them can be copied to another process.

import type { ClosedEvent } from "../admission/index.js";
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
  /** The id of the worker's first connection, and the difference between the ids of successive connections. */
  readonly firstId: number;
  readonly idStep: number;
  /** The worker's descriptor of the channel over which connections come. */
  readonly channel: ForeignDescriptor;
  /** With `reusePort`, the worker's listening socket. Then the server uses the channel only to drain the worker. */
  readonly listening: ForeignDescriptor | undefined;
  readonly copy: ListenerCopy;
  readonly limits: ServeOptions;
  readonly streams: StreamOptions;
  readonly tls: TlsListenOptions | undefined;
  /** Whether errors of handlers go to the server. */
  readonly reportsErrors: boolean;
  /** Whether failed handshakes go to the server. */
  readonly reportsHandshakes: boolean;
  /** Whether records of ended connections go to the server, until a message changes that. */
  readonly reportsClosed: boolean;
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
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly error: ErrorCopy }
  /**
   * `ended` is the number of connections that have ended since the previous report. `keys` are the keys under which
   * they were counted. `closed` are their records, if the server has requested records.
   */
  | {
      readonly type: "report";
      readonly counts: WorkerCounts;
      readonly ended: number;
      readonly keys: readonly string[];
      readonly closed: readonly ClosedEvent[];
    }
  | {
      readonly type: "error";
      readonly error: ErrorCopy;
      readonly id: number;
      readonly peer: Uint8Array | undefined;
      readonly client: Uint8Array | undefined;
    }
  | { readonly type: "handshake"; readonly error: ErrorCopy; readonly peer: Uint8Array | undefined }
  | { readonly type: "pong" };

export type ToWorker =
  | { readonly type: "ping" }
  | { readonly type: "abort" }
  /** Starts records of ended connections, or stops them. */
  | { readonly type: "observe"; readonly closed: boolean };

/** The value, or its text if it can't be copied. */
function copyable(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return String(value);
  }
}

export function copyOfError(error: unknown): ErrorCopy {
  if (!(error instanceof Error)) return { value: copyable(error) };
  const { name, message, stack } = error;
  return { name, message, stack, code: copyable((error as { readonly code?: unknown }).code) };
}

export function errorOfCopy(copy: ErrorCopy): unknown {
  if ("value" in copy) return copy.value;
  const { name, message, stack, code } = copy;
  const error = new Error(message);
  const properties = { name, stack, ...(code === undefined ? {} : { code }) };
  for (const [key, value] of Object.entries(properties)) {
    Object.defineProperty(error, key, { value, configurable: true, writable: true, enumerable: key === "code" });
  }
  return error;
}
