// Which worker gets a connection: the one with the fewest; of equal ones, the next in turn.

import type { AcceptedConnection } from "../net/serverAccess.js";
import { leastLoaded, type WorkerSlot } from "./workerSlot.js";

/** A connection that no worker has taken, and the key under which its client is counted. */
interface WaitingConnection {
  readonly connection: AcceptedConnection;
  readonly key: string | undefined;
}

export class WorkerDispatch {
  /** In the order in which they were accepted. */
  readonly #waiting: WaitingConnection[] = [];
  readonly #slots: readonly WorkerSlot[];
  #next = 0;

  constructor(slots: readonly WorkerSlot[]) {
    this.#slots = slots;
  }

  /** Whether a worker takes connections. */
  get available(): boolean {
    return this.#slots.some(({ available }) => available);
  }

  /** Whether connections wait for a worker. */
  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  /** Hands a connection over. Without a worker that takes it, it waits. */
  give(connection: AcceptedConnection, key: string | undefined): void {
    if (!this.#tryToGive(connection, key)) this.hold(connection, key);
  }

  /** Lets a connection wait. */
  hold(connection: AcceptedConnection, key: string | undefined): void {
    this.#waiting.push({ connection, key });
  }

  /** Hands over those that wait. Returns whether none is left. */
  giveWaiting(): boolean {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (!this.#tryToGive(first.connection, first.key)) return false;
      this.#waiting.shift();
    }
    return true;
  }

  /** Takes those that wait out. */
  takeWaiting(): readonly WaitingConnection[] {
    return this.#waiting.splice(0);
  }

  #tryToGive(connection: AcceptedConnection, key: string | undefined): boolean {
    for (;;) {
      const best = leastLoaded(this.#slots, this.#next);
      if (best === undefined) return false;
      // A worker that has no room is not available any more.
      if (!best.give(connection, key)) continue;
      this.#next = best.number;
      return true;
    }
  }
}
