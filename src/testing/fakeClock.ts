// A clock for tests: its time passes only when a test advances it.

import type { Clock } from "../wait/clock.js";
import { checkFunction, checkNumber } from "./checks.js";
import { threadTurnBudget } from "../wait/turnBudget.js";

interface FakeTimer {
  readonly dueAt: number;
  readonly run: () => void;
}

/**
 * A clock for tests. Time passes only in `advance()`, which runs the due timers in the order of their times.
 *
 * @example
 * ```ts
 * import { FakeClock, memoryPair } from "berkeley/testing";
 *
 * const clock = new FakeClock();
 * const [a] = memoryPair({ clock });
 * const read = a.read(new Uint8Array(1), { timeout: 60_000 }).catch((error) => error.code);
 * await clock.advance(60_000);
 * console.log(await read); // prints: ETIMEDOUT
 * ```
 */
export class FakeClock implements Clock {
  #now = 0;
  readonly #timers: Set<FakeTimer> = new Set();

  /** The milliseconds that have passed. A property and not a method, so that it can be passed on as a function. */
  readonly now = (): number => this.#now;

  /** The number of timers that have not run. */
  get pending(): number {
    return this.#timers.size;
  }

  setTimeout(run: () => void, ms: number): unknown {
    checkFunction(run, "set a timer", "run");
    checkNumber(ms, "set a timer", "ms", -Infinity, "milliseconds");
    const timer: FakeTimer = { dueAt: this.#now + ms, run };
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as FakeTimer);
  }

  /**
   * Advances the time by `ms` and runs the timers that are due then, the earliest first. This includes timers that are
   * set during the call. Callbacks of the event loop that are ready run before and after each timer.
   *
   * @throws TypeError or RangeError (by rejecting) if `ms` is no finite number from 0 on; the time does not change
   */
  async advance(ms: number): Promise<void> {
    checkNumber(ms, "advance the clock", "ms", 0, "milliseconds");
    if (ms === Infinity) throw new RangeError("Cannot advance the clock: ms is Infinity, required a finite number");
    const end = this.#now + ms;
    for (;;) {
      await runReady();
      const next = this.#firstDue(end);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.dueAt);
      next.run();
    }
    this.#now = end;
    await runReady();
  }

  /** The earliest timer; undefined if none is due at `end` or before. */
  #firstDue(end: number): FakeTimer | undefined {
    let first: FakeTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueAt <= end && (first === undefined || timer.dueAt < first.dueAt)) first = timer;
    }
    return first;
  }
}

/** Limits the turns of `runReady()`, because callbacks may schedule further callbacks without end. */
const MAX_TURNS = 1000;

/**
 * Runs the callbacks that are ready, and the callbacks that these make ready: two turns of the event loop, and more
 * while the turn budget has deferred calls to the next turn.
 */
async function runReady(): Promise<void> {
  for (let turn = 0; turn < 2 || (threadTurnBudget.hasDeferred && turn < MAX_TURNS); turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
