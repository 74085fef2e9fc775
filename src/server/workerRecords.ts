// Records of connections that end in workers. A worker makes them only while the server has a receiver of records: the
// option `log`, or a subscriber of the channel.

import type { ClosedEvent, ServerEvents } from "../admission/index.js";

/** A worker that can make records. */
interface RecordingWorker {
  /** Makes the worker begin or stop making records. */
  setRecording(enabled: boolean): void;
}

export class WorkerRecords {
  /** Whether the workers make records. */
  enabled: boolean;
  /** All workers of the server; set by its constructor. */
  slots: readonly RecordingWorker[] = [];
  readonly #events: ServerEvents;

  constructor(events: ServerEvents) {
    this.#events = events;
    this.enabled = events.wantsClosed;
  }

  /** Makes the workers begin to make records if there is a receiver now, and stop if there is none any more. */
  update(): void {
    const enabled = this.#events.wantsClosed;
    if (enabled === this.enabled) return;
    this.enabled = enabled;
    for (const slot of this.slots) slot.setRecording(enabled);
  }

  /** Passes the records of a worker to the receivers. Calls `update()` first. */
  report(worker: number, records: readonly ClosedEvent[]): void {
    this.update();
    for (const record of records) this.#events.reportClosedInWorker(record, worker);
  }
}
