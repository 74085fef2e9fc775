// Time that a test moves: it stands in for setTimeout(), clearTimeout() and performance.now(), which the package calls by these
// global names. node:test can replace the timers, and not performance.now(), by which the package computes what is left of a
// deadline. Timers of Node's own modules and of the kernel stay real.

import { setImmediate as immediate } from "node:timers/promises";

/** The longest delay that Node's timers take. */
const LONGEST = 0x7fff_ffff;
/** Turns of the loop after each timer: what it made ready, and what that made ready. */
const TURNS = 3;
/** Timers that one `advance()` runs. */
const MOST = 1000;

interface Timer {
  at: number;
  readonly run: () => void;
  refresh(): Timer;
  ref(): Timer;
  unref(): Timer;
  hasRef(): boolean;
}

/** Replaces the time of this process until it is disposed. */
export class TestClock implements Disposable {
  readonly #real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, now: performance.now };
  readonly #timers = new Set<Timer>();
  readonly #continued = new Map<Timer, NodeJS.Timeout>();
  // Whole milliseconds: sums of fractions would miss a deadline by a rounding.
  #now: number = Math.ceil(performance.now());

  constructor() {
    globalThis.setTimeout = this.#setTimeout.bind(this) as unknown as typeof globalThis.setTimeout;
    globalThis.clearTimeout = this.#clearTimeout.bind(this);
    performance.now = () => this.#now;
  }

  /** Timers that have not run. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets `ms` pass: runs each timer that falls due, the earliest first, and the loop after it. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (let ran = 0; ; ran++) {
      if (ran === MOST) throw new Error(`${MOST} timers have run and one is still due: it is set again at once`);
      for (let turn = 0; turn < TURNS; turn++) await immediate();
      const due = [...this.#timers].filter(({ at }) => at <= end);
      if (due.length === 0) break;
      const next = due.reduce((first, timer) => (timer.at < first.at ? timer : first));
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
  }

  #setTimeout(run: (...args: unknown[]) => void, ms: number = 1, ...args: unknown[]): Timer {
    // As Node's: a delay that is too long is one of 1 ms.
    const delay = ms >= 1 && ms <= LONGEST ? Math.trunc(ms) : 1;
    let holds = true;
    const timer: Timer = {
      at: this.#now + delay,
      run: () => run(...args),
      refresh: () => {
        timer.at = this.#now + delay;
        this.#timers.add(timer);
        return timer;
      },
      ref: () => ((holds = true), timer),
      unref: () => ((holds = false), timer),
      hasRef: () => holds,
    };
    this.#timers.add(timer);
    return timer;
  }

  #clearTimeout(timer: unknown): void {
    // One that was set before the time was replaced is Node's.
    if (this.#timers.delete(timer as Timer)) this.#real.clearTimeout(this.#continued.get(timer as Timer));
    else this.#real.clearTimeout(timer as NodeJS.Timeout | undefined);
  }

  /** Timers that have not run go on in the system's time, or what the package does at intervals would never be done again. */

  [Symbol.dispose](): void {
    globalThis.setTimeout = this.#real.setTimeout;
    performance.now = this.#real.now;
    // Else it has to know the timers that go on.
    if (this.#timers.size === 0) globalThis.clearTimeout = this.#real.clearTimeout;
    for (const timer of this.#timers) {
      const run = (): void => {
        this.#timers.delete(timer);
        timer.run();
      };
      const continued = setTimeout(run, timer.at - this.#now);
      if (!timer.hasRef()) continued.unref();
      this.#continued.set(timer, continued);
    }
  }
}

/** Waits until `condition` holds, a turn of the loop at a time: for a state that no event tells of. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await immediate();
}
