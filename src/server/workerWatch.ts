// Finds workers that do not answer: those in an endless loop, or in a blocking call.

import { clock } from "../builtins.js";
import { WorkerError } from "./workerError.js";
import type { WorkerSlot } from "./workerSlot.js";

/** What the watch needs of a worker. */
export type WatchedWorker = Pick<WorkerSlot, "fail" | "number" | "ping" | "state">;

/** Pings in the time of `responseTimeout`. */
const PINGS = 4;

/** Milliseconds that a worker may need at least to load its module, during which it does not answer. */
const LOADING = 30_000;

/** Sends a ping to each worker, again and again. Ends a worker by force that does not answer for `timeout` ms. */
export function watchWorkers(slots: readonly WatchedWorker[], timeout: number): NodeJS.Timeout {
  const patience = ({ state }: WatchedWorker): number => (state === "starting" ? Math.max(timeout, LOADING) : timeout);
  const silent = (): WatchedWorker[] => slots.filter((slot) => clock() - slot.ping(clock()) >= patience(slot));
  const check = (): void => {
    if (silent().length === 0) return;
    // This thread may have been busy, with the answers in its queue. So it looks again after the next events.
    setImmediate(() =>
      setImmediate(() => {
        for (const slot of silent()) {
          slot.fail(new WorkerError("ERR_WORKER_SILENT", slot.number, `has not answered for ${patience(slot)} ms`));
        }
      }),
    );
  };
  return setInterval(check, Math.max(timeout / PINGS, 1)).unref();
}
