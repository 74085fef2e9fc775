// Passes the events and the errors of workers to the callbacks of the program.

import type { ServerEvents } from "../admission/index.js";
import { runCallback, reportFailure } from "../callbacks.js";
import { decodeAddress } from "../net/serverAccess.js";
import { errorOfCopy, type FromWorker } from "./workerMessages.js";
import type { CheckedWorkers, WorkerEvent } from "./workerOptions.js";

/** Calls `onWorker`. Without that function, a failure of a worker becomes a warning of the process. */
export function reportWorker(onWorker: CheckedWorkers["onWorker"], event: WorkerEvent, failure?: unknown): void {
  if (onWorker !== undefined) runCallback("onWorker", onWorker, event);
  else if (failure !== undefined) reportFailure("a worker of serveWorkers()", failure);
}

/** A message about a failed handler or a failed TLS handshake. */
export type ErrorFromWorker = Extract<FromWorker, { readonly type: "error" | "handshake" }>;

/** Reports an error of a worker to the callback of its kind. */
export function reportWorkerError(
  { onError, onHandshakeError }: CheckedWorkers,
  events: ServerEvents,
  worker: number,
  message: ErrorFromWorker,
): void {
  const peer = message.peer && decodeAddress(message.peer);
  const error = errorOfCopy(message.error);
  if (message.type === "handshake") {
    runCallback("onHandshakeError", onHandshakeError!, error, peer);
    return;
  }
  const client = message.client && decodeAddress(message.client);
  const { id } = message;
  events.reportHandlerError(id, client, peer, error);
  if (onError !== undefined) runCallback("onError", onError, error, { worker, id, peer, client });
  else reportFailure("the handler of serveWorkers()", error);
}
