// The open connections of a server. One timer checks the deadlines of all of them.

import { clock } from "../builtins.js";
import { LONGEST_TIMER } from "../wait/waitOptions.js";

/** Deadlines are checked again after so many ms at the earliest. */
const PRECISION = 5;
/** The most connections that one run of the timer ends: many at a time would delay all others. */
const MOST_ENDED = 32;

/** A connection in the set. */
export interface TrackedConnection {
  /** Its index in the set. Only the set writes it. */
  place: number;
  /** The moment at which it expires if nothing happens before, as of `clock()`; Infinity for never. */
  dueAt(now: number): number;
  /** The moment has come. It must remove the connection, or move the moment. */
  expire(now: number): void;
  /** Cuts the connection, and removes it from the set. */
  cut(error: unknown): void;
}

export class ConnectionSet<C extends TrackedConnection> {
  /** In no order. */
  readonly #members: C[] = [];
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;
  #emptied: (() => void)[] = [];

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
    this.#armedFor = Infinity;
    for (const resolve of this.#emptied.splice(0)) resolve();
  }

  /** Resolves when the set has no members. */
  empty(): Promise<void> {
    if (this.#members.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#emptied.push(resolve));
  }

  /** Makes sure that the deadlines are checked at `due`. Only an earlier `due` sets the timer again. */
  arm(due: number): void {
    if (due >= this.#armedFor) return;
    clearTimeout(this.#timer);
    this.#armedFor = due;
    const delay = Math.min(Math.max(Math.ceil(due - clock()), PRECISION), LONGEST_TIMER);
    // The waiting calls keep the process alive, and not this timer.
    this.#timer = setTimeout(() => this.#expire(), delay).unref();
  }

  #expire(): void {
    this.#armedFor = Infinity;
    const now = clock();
    let earliest = Infinity;
    let ended = 0;
    // Backwards, because the last connection moves to the place of one that is removed.
    for (let place = this.#members.length - 1; place >= 0; place--) {
      const connection = this.#members[place];
      if (connection === undefined) continue;
      let due = connection.dueAt(now);
      if (due <= now) {
        connection.expire(now);
        if (this.#members[place] !== connection) {
          if (++ended < MOST_ENDED) continue;
          earliest = now;
          break;
        }
        due = connection.dueAt(now);
      }
      if (due < earliest) earliest = due;
    }
    this.arm(earliest);
  }

  /** Cuts all connections. */
  cutAll(error: unknown): void {
    for (let last = this.#members.at(-1); last !== undefined; last = this.#members.at(-1)) last.cut(error);
  }
}
