// The interface between the slot of a worker and its server.

import type { AcceptedConnection } from "../net/serverAccess.js";
import type { HostEnd } from "./workerHost.js";
import type { WorkerStart } from "./workerMessages.js";
import type { CheckedWorkers } from "./workerOptions.js";
import type { WorkerRecords } from "./workerRecords.js";
import type { ErrorFromWorker } from "./workerReports.js";
import type { WorkerSlot } from "./workerSlot.js";

/**
 * - `starting`: the worker loads the module
 * - `ready`: it takes connections
 * - `ending`: the server has requested the end of the worker
 * - `down`: the worker has ended; a timer may be set for the next one
 */
export type WorkerState = "starting" | "ready" | "ending" | "down";

/** How a worker has ended. */
export interface WorkerEnd extends HostEnd {
  /** The id of the thread or of the process; -1 if it did not start. */
  readonly id: number;
  /** Whether the server has requested the end, and the worker has not failed. */
  readonly expected: boolean;
  /** The number of connections that have ended with the worker. */
  readonly lost: number;
  /** Connections that were sent to the worker, and that the worker had not taken. */
  readonly untaken: readonly AcceptedConnection[];
}

/** The server of the workers. */
export interface WorkerOwner {
  readonly opts: CheckedWorkers;
  /** The URL of the module that exports `serveWorkers`. */
  readonly packageUrl: string;
  /** The fields of the first message that are the same for all workers. */
  readonly common: Pick<WorkerStart, "module" | "idStep" | "listenerCopy">;
  /** Whether the workers keep the process alive. */
  keepsAlive(): boolean;
  /** Whether another worker takes the place of one that has ended. */
  restartsWorkers(): boolean;
  /** Gets the records of connections that have ended in workers. */
  readonly records: WorkerRecords;
  /** The worker of a slot has loaded its module, and takes connections. */
  onReady(slot: WorkerSlot): void;
  /** The worker of a slot can take connections again. */
  onAvailable(): void;
  /** The key under which the client of a connection is counted; undefined if clients are not counted. */
  clientKeyOf(connection: AcceptedConnection): string | undefined;
  /** Connections of a worker have ended. If clients are counted, `keys` has the client key of each connection. */
  onConnectionsEnded(count: number, keys: readonly string[]): void;
  /** A handler or a TLS handshake of a worker has failed. */
  onError(slot: WorkerSlot, message: ErrorFromWorker): void;
  /** `restartIn`: the pause in ms before the next worker; undefined if none will start. */
  onWorkerEnded(slot: WorkerSlot, end: WorkerEnd, restartIn: number | undefined): void;
}
