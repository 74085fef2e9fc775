// The counters of a server with workers, and the fields that describe it.

import type { AdmissionCounts } from "../admission/index.js";
import type { Description } from "../registry/index.js";
import type { ServerStats } from "./server.js";
import { NO_COUNTS, type WorkerCounts } from "./workerMessages.js";
import type { WorkerState } from "./workerOwner.js";
import type { WorkerSlot } from "./workerSlot.js";

/** A worker. The counters are sums over this worker and the workers that it has replaced. */
export interface WorkerStats extends WorkerCounts {
  /** From 1 on. */
  readonly worker: number;
  readonly state: WorkerState;
  /** The id of the thread or the process; undefined while none runs. */
  readonly id: number | undefined;
  /** How often a worker with this number was replaced. */
  readonly restarts: number;
}

/** The counters of a `WorkerServer`. */
export interface WorkerServerStats extends ServerStats {
  /** Connections that have ended because their worker has ended. */
  readonly lost: number;
  readonly workers: readonly WorkerStats[];
}

/** The fields of a `WorkerServer` in JSON. */
export interface WorkerServerDescription extends Description {
  readonly kind: "WorkerServer";
  readonly state: string;
  readonly local: string | null;
  readonly connections: number;
  readonly workers: number;
}

/**
 * The sums of the counters of all workers, and the counters of each.
 *
 * @param loopCounts the counters of the server's accept loop; undefined if the workers accept
 */
export function sumCounts(
  slots: readonly WorkerSlot[],
  loopCounts: AdmissionCounts | undefined,
): WorkerCounts & { readonly workers: readonly WorkerStats[] } {
  const workers = slots.map((slot) => ({
    worker: slot.number,
    state: slot.state,
    id: slot.id,
    restarts: slot.restartCount,
    ...slot.counts,
    connections: slot.connections,
  }));
  const sums: { -readonly [K in keyof WorkerCounts]: WorkerCounts[K] } = { ...NO_COUNTS };
  for (const worker of workers) {
    for (const name of Object.keys(sums) as (keyof WorkerCounts)[]) sums[name] += worker[name];
  }
  if (loopCounts === undefined) return { ...sums, workers };
  // The server counts connections also while they wait for a worker.
  const { accepted, connections, proxyRefused, refused, shortages } = loopCounts;
  return { ...sums, accepted, connections, refused, proxyRefused, shortages: sums.shortages + shortages, workers };
}
