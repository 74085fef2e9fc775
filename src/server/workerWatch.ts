// Finds workers that do not answer: those in an endless loop, or in a blocking call.

import { clock } from "../builtins.js";
import { WorkerError } from "./workerError.js";
import type { WorkerSlot } from "./workerSlot.js";

/** Pings in the time of `responseTimeout`. */
const PINGS = 4;

/** Sends a ping to each worker, again and again. Ends a worker by force that does not answer for `timeout` ms. */
export function watchWorkers(slots: readonly WorkerSlot[], timeout: number): NodeJS.Timeout {
  const silent = (): WorkerSlot[] => slots.filter((slot) => clock() - slot.ping(clock()) >= timeout);
  const check = (): void => {
    if (silent().length === 0) return;
    // This thread may have been busy, with the answers in its queue. So it looks again after the next events.
    setImmediate(() =>
      setImmediate(() => {
        for (const slot of silent()) {
          slot.fail(new WorkerError("ERR_WORKER_SILENT", slot.number, `has not answered for ${timeout} ms`));
        }
      }),
    );
  };
  return setInterval(check, Math.max(timeout / PINGS, 1)).unref();
}
