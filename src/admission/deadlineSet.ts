// The connections or the running handlers of a server, each with a deadline. One timer checks the deadlines of all
// members of a set.

import { clock } from "../builtins.js";
import { MAX_TIMER_DELAY } from "../wait/waitOptions.js";

/** The shortest time in ms between two checks, so that deadlines that are close to each other share a check. */
const MIN_DELAY = 5;
/** Maximum number of members that one check ends. Ending many at a time would delay all others. */
const MAX_ENDED_AT_ONCE = 32;

/** A connection, or a handler that runs. */
export interface DeadlineMember {
  /** Its index in the set. Only the set writes it. */
  place: number;
  /** The time, as of `clock()`, at which the set calls `expire()`; Infinity for never. */
  dueAt(now: number): number;
  /** Called at the time of `dueAt()`. This method must remove the member from the set, or make that time later. */
  expire(now: number): void;
  /** Resets the connection, or aborts the signal of the handler. Removes the member from the set. */
  abort(error: unknown): void;
}

export class DeadlineSet<M extends DeadlineMember> {
  /** In no order, so that a removal costs little: the last member takes the place of the removed one. */
  readonly #members: M[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** The time at which the timer expires; Infinity if it does not run. */
  #timerDue = Infinity;
  /** The resolve functions of `whenEmpty()`. */
  #emptyWaiters: (() => void)[] = [];

  get size(): number {
    return this.#members.length;
  }

  [Symbol.iterator](): ArrayIterator<M> {
    return this.#members.values();
  }

  add(member: M): void {
    member.place = this.#members.length;
    this.#members.push(member);
  }

  delete(member: M): void {
    const last = this.#members.pop()!;
    if (last !== member) {
      last.place = member.place;
      this.#members[last.place] = last;
    }
    // Without a waiting `whenEmpty()` the timer runs on. Otherwise a server with one connection at a time would set and
    // clear the timer for each connection.
    if (this.#members.length > 0 || this.#emptyWaiters.length === 0) return;
    this.#stopTimer();
    for (const resolve of this.#emptyWaiters.splice(0)) resolve();
  }

  /**
   * Resolves when the set has no members, and stops the timer then. For a server that drains, and between two batches
   * of `serveUdp()`.
   */
  whenEmpty(): Promise<void> {
    if (this.#members.length > 0) return new Promise((resolve) => this.#emptyWaiters.push(resolve));
    this.#stopTimer();
    return Promise.resolve();
  }

  /** Makes sure that the deadlines are checked at `due`. Only an earlier `due` sets the timer again. */
  arm(due: number): void {
    if (due >= this.#timerDue) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    const delay = Math.min(Math.max(Math.ceil(due - clock()), MIN_DELAY), MAX_TIMER_DELAY);
    // Unreferenced, because the calls that wait keep the process alive.
    this.#timer = setTimeout(() => this.#checkDeadlines(), delay).unref();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timerDue = Infinity;
  }

  #checkDeadlines(): void {
    this.#timerDue = Infinity;
    const now = clock();
    let earliest = Infinity;
    let ended = 0;
    // Backwards: when a member is removed, the last one, which was checked already, moves to its place.
    for (let place = this.#members.length - 1; place >= 0; place--) {
      const member = this.#members[place];
      // An earlier expire() may have removed several members.
      if (member === undefined) continue;
      let due = member.dueAt(now);
      if (due <= now) {
        member.expire(now);
        const isRemoved = this.#members[place] !== member;
        if (isRemoved) {
          if (++ended < MAX_ENDED_AT_ONCE) continue;
          // The next check, after MIN_DELAY, ends others.
          earliest = now;
          break;
        }
        due = member.dueAt(now);
      }
      if (due < earliest) earliest = due;
    }
    this.arm(earliest);
  }

  /** Aborts all members, and stops the timer. Each `abort()` removes its member from the set. */
  abortAll(error: unknown): void {
    for (let last = this.#members.at(-1); last !== undefined; last = this.#members.at(-1)) last.abort(error);
    this.#stopTimer();
  }
}
