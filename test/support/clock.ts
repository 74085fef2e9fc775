// Time that a test controls. It replaces setTimeout(), clearTimeout() and performance.now(), which the package calls by
// these global names. The mock timers of node:test don't replace performance.now(), from which the package computes the
// rest of a deadline. Timers of Node's own modules and of the kernel stay real.

import { setImmediate as immediate } from "node:timers/promises";

/** The longest delay that Node's timers accept. */
const MAX_DELAY = 0x7fff_ffff;
/** Turns of the event loop before each timer, for work that the timer before has started. */
const TURNS = 3;
/** Maximum number of timers that one `advance()` runs. */
const MAX_TIMERS = 1000;

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
  /** After disposal: the timers of Node in whose place the pending timers were. */
  readonly #continued = new Map<Timer, NodeJS.Timeout>();
  // In whole milliseconds. With fractions, a sum could be rounded to a time just before a deadline.
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

  /**
   * Advances the time by `ms`. Runs each timer that is due, the earliest first, with turns of the loop between them.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (let ran = 0; ; ran++) {
      if (ran === MAX_TIMERS) throw new Error(`${MAX_TIMERS} timers have run, and another one is due`);
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
    // As in Node, a delay that is too long becomes 1 ms.
    const delay = ms >= 1 && ms <= MAX_DELAY ? Math.trunc(ms) : 1;
    let hasRef = true;
    const timer: Timer = {
      at: this.#now + delay,
      run: () => run(...args),
      refresh: () => {
        timer.at = this.#now + delay;
        this.#timers.add(timer);
        return timer;
      },
      ref: () => ((hasRef = true), timer),
      unref: () => ((hasRef = false), timer),
      hasRef: () => hasRef,
    };
    this.#timers.add(timer);
    return timer;
  }

  #clearTimeout(timer: unknown): void {
    // A timer that was set before the time was replaced is a timer of Node.
    if (this.#timers.delete(timer as Timer)) this.#real.clearTimeout(this.#continued.get(timer as Timer));
    else this.#real.clearTimeout(timer as NodeJS.Timeout | undefined);
  }

  /**
   * Restores the time of the system. Pending timers continue in that time; otherwise the periodic work of the package
   * would stop.
   */
  [Symbol.dispose](): void {
    globalThis.setTimeout = this.#real.setTimeout;
    performance.now = this.#real.now;
    // With pending timers clearTimeout() stays replaced, because it must clear these too.
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

/** Waits for the end of this turn of the event loop, with the work that was deferred to it. */
export const turn = (): Promise<void> => immediate();

/** Waits until `condition` returns true. It checks once in each turn of the loop, for a state without an event. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await immediate();
}
