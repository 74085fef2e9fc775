// The open connections of a server. One timer checks the deadlines of all of them.

import { clock } from "../builtins.js";
import { LONGEST_TIMER } from "../wait/waitOptions.js";

/** The shortest time in ms between two checks of the deadlines. */
const MIN_DELAY = 5;
/** Maximum number of connections that one check ends. Ending many at a time would delay all others. */
const MAX_ENDED_AT_ONCE = 32;

/** A connection in the set. */
export interface TrackedConnection {
  /** Its index in the set. Only the set writes it. */
  place: number;
  /** The time at which the connection expires if nothing happens before, as of `clock()`; Infinity for never. */
  dueAt(now: number): number;
  /** Called when the time of `dueAt()` has come. It must remove the connection from the set, or make the time later. */
  expire(now: number): void;
  /** Resets the connection, and removes it from the set. */
  cut(error: unknown): void;
}

export class ConnectionSet<C extends TrackedConnection> {
  /** In no order, so that a removal costs little: the last connection takes the place of the removed one. */
  readonly #members: C[] = [];
  #timer: NodeJS.Timeout | undefined;
  #timerDue = Infinity;
  #emptyWaiters: (() => void)[] = [];

  get size(): number {
    return this.#members.length;
  }

  [Symbol.iterator](): ArrayIterator<C> {
    return this.#members.values();
  }

  add(connection: C): void {
    connection.place = this.#members.length;
    this.#members.push(connection);
  }

  delete(connection: C): void {
    const last = this.#members.pop()!;
    if (last !== connection) this.#members[(last.place = connection.place)] = last;
    if (this.#members.length > 0) return;
    clearTimeout(this.#timer);
    this.#timerDue = Infinity;
    for (const resolve of this.#emptyWaiters.splice(0)) resolve();
  }

  /** Resolves when the set has no members. */
  empty(): Promise<void> {
    if (this.#members.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#emptyWaiters.push(resolve));
  }

  /** Makes sure that the deadlines are checked at `due`. Only an earlier `due` sets the timer again. */
  arm(due: number): void {
    if (due >= this.#timerDue) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    const delay = Math.min(Math.max(Math.ceil(due - clock()), MIN_DELAY), LONGEST_TIMER);
    // Unreferenced, because the waiting calls keep the process alive.
    this.#timer = setTimeout(() => this.#checkDeadlines(), delay).unref();
  }

  #checkDeadlines(): void {
    this.#timerDue = Infinity;
    const now = clock();
    let earliest = Infinity;
    let ended = 0;
    // Backwards: when a connection is removed, the last one, which was checked already, moves to its place.
    for (let place = this.#members.length - 1; place >= 0; place--) {
      const connection = this.#members[place];
      if (connection === undefined) continue;
      let due = connection.dueAt(now);
      if (due <= now) {
        connection.expire(now);
        if (this.#members[place] !== connection) {
          if (++ended < MAX_ENDED_AT_ONCE) continue;
          earliest = now;
          break;
        }
        due = connection.dueAt(now);
      }
      if (due < earliest) earliest = due;
    }
    this.arm(earliest);
  }

  /** Resets all connections. */
  cutAll(error: unknown): void {
    for (let last = this.#members.at(-1); last !== undefined; last = this.#members.at(-1)) last.cut(error);
  }
}
