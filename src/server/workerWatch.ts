// Finds workers that do not answer: those in an endless loop, or in a blocking call.

import { clock } from "../builtins.js";
import { WorkerError } from "./workerError.js";
import type { WorkerSlot } from "./workerSlot.js";

/** The part of a worker that the watch uses. */
export type WatchedWorker = Pick<WorkerSlot, "kill" | "number" | "ping" | "state">;

/** The number of pings during `responseTimeout`. */
const PINGS_PER_TIMEOUT = 4;

/** The shortest timeout of a worker that loads its module, in ms. A worker can't answer while the module runs. */
const LOADING_TIMEOUT = 30_000;

/**
 * Sends pings to each worker. Ends a worker by force if it has not answered for `timeout` ms. Returns the timer of the
 * pings.
 */
export function watchWorkers(slots: readonly WatchedWorker[], timeout: number): NodeJS.Timeout {
  const timeoutOf = ({ state }: WatchedWorker): number =>
    state === "starting" ? Math.max(timeout, LOADING_TIMEOUT) : timeout;
  // Sends a ping to each worker without a pending one, and returns the workers whose pending ping is too old.
  const pingAndFindSilent = (): WatchedWorker[] =>
    slots.filter((slot) => clock() - slot.ping(clock()) >= timeoutOf(slot));
  const check = (): void => {
    if (pingAndFindSilent().length === 0) return;
    // If this thread was busy, answers may still wait in its event queue. They are read within two turns.
    setImmediate(() =>
      setImmediate(() => {
        for (const slot of pingAndFindSilent()) {
          slot.kill(new WorkerError("ERR_WORKER_SILENT", slot.number, `has not answered for ${timeoutOf(slot)} ms`));
        }
      }),
    );
  };
  return setInterval(check, Math.max(timeout / PINGS_PER_TIMEOUT, 1)).unref();
}
