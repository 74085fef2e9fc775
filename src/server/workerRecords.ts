// Records of connections that end in workers. A worker makes them only while the server has a receiver of records.

import type { ClosedEvent, ServerEvents } from "../admission/index.js";

/** A worker that can make records. */
interface RecordingWorker {
  /** Makes the worker begin or stop making records. */
  observe(closed: boolean): void;
}

export class WorkerRecords {
  /** Whether the workers make records. */
  wanted: boolean;
  /** All workers of the server; set by its constructor. */
  slots: readonly RecordingWorker[] = [];
  readonly #events: ServerEvents;

  constructor(events: ServerEvents) {
    this.#events = events;
    this.wanted = events.wantsClosed;
  }

  /** Makes the workers begin or stop making records, if the first receiver was added or the last one removed. */
  update(): void {
    const wanted = this.#events.wantsClosed;
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    for (const slot of this.slots) slot.observe(wanted);
  }

  /** Passes the records of a worker to the receivers, after `update()`. */
  report(worker: number, records: readonly ClosedEvent[]): void {
    this.update();
    for (const record of records) this.#events.reportClosedInWorker(record, worker);
  }
}
