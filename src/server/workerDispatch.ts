// Chooses the worker for each connection: the one with the fewest connections. Workers with the same number of
// connections take turns.

import type { AcceptedConnection } from "../net/serverAccess.js";
import { leastLoaded, type WorkerSlot } from "./workerSlot.js";

/** A connection that no worker has taken, and the key under which its client is counted. */
interface WaitingConnection {
  readonly connection: AcceptedConnection;
  readonly key: string | undefined;
}

export class WorkerDispatch {
  /** In the order in which they began to wait. */
  readonly #waiting: WaitingConnection[] = [];
  readonly #slots: readonly WorkerSlot[];
  /** The index after that of the slot that got the most recent connection. The next search begins there. */
  #next = 0;

  constructor(slots: readonly WorkerSlot[]) {
    this.#slots = slots;
  }

  /** Whether a worker takes connections. */
  get available(): boolean {
    return this.#slots.some(({ available }) => available);
  }

  /** Whether connections wait for a worker. */
  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Hands a connection over to a worker. If no worker takes connections, the connection waits. */
  give(connection: AcceptedConnection, key: string | undefined): void {
    if (!this.#tryToGive(connection, key)) this.hold(connection, key);
  }

  /** Makes a connection wait until `giveWaiting()`. */
  hold(connection: AcceptedConnection, key: string | undefined): void {
    this.#waiting.push({ connection, key });
  }

  /** Hands the waiting connections over. Returns whether none is left. */
  giveWaiting(): boolean {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (!this.#tryToGive(first.connection, first.key)) return false;
      this.#waiting.shift();
    }
    return true;
  }

  /** Removes and returns the waiting connections. */
  takeWaiting(): readonly WaitingConnection[] {
    return this.#waiting.splice(0);
  }

  #tryToGive(connection: AcceptedConnection, key: string | undefined): boolean {
    for (;;) {
      const best = leastLoaded(this.#slots, this.#next);
      if (best === undefined) return false;
      // If give() fails, it has made the worker unavailable. So the loop ends at the latest after all workers.
      if (!best.give(connection, key)) continue;
      // Worker numbers begin at 1, so this number is the index after that of `best`.
      this.#next = best.number;
      return true;
    }
  }
}
