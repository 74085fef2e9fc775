// Records of connections that end in workers. A worker makes them only while the server's thread has a receiver.

import type { ClosedEvent, ServerEvents } from "../admission/index.js";

/** A worker. */
interface Observed {
  /** Tells it whether records are wanted. */
  observe(closed: boolean): void;
}

export class WorkerRecords {
  /** Whether the workers make records. */
  wanted: boolean;
  /** All workers of the server; set by its constructor. */
  slots: readonly Observed[] = [];
  readonly #events: ServerEvents;

  constructor(events: ServerEvents) {
    this.#events = events;
    this.wanted = events.wantsClosed;
  }

  /** Subscribers may have come or gone. */
  update(): void {
    const wanted = this.#events.wantsClosed;
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    for (const slot of this.slots) slot.observe(wanted);
  }

  /** Connections of a worker have ended. */
  received(worker: number, records: readonly ClosedEvent[]): void {
    this.update();
    for (const record of records) this.#events.closedInWorker(record, worker);
  }
}
