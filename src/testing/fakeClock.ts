// A clock that stands still until a test moves it.

import type { Clock } from "../wait/clock.js";

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/**
 * Time for tests: it passes when `advance` says so, and timers run then, in their order.
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
  readonly #timers: Set<Timer> = new Set();

  /** Milliseconds that have been passed so far. A property, so that it can be handed over as a function. */
  readonly now = (): number => this.#now;

  /** Timers that have not run. */
  get pending(): number {
    return this.#timers.size;
  }

  setTimeout(run: () => void, ms: number): unknown {
    const timer: Timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as Timer);
  }

  /**
   * Lets `ms` pass: runs every timer that falls due, the earliest first, those too that are set meanwhile. Before the
   * first, between two and after the last, all that is ready to run does.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const next = this.#next(end);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
    await settled();
  }

  #next(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer;
    }
    return next;
  }
}

/** Two turns of the loop: callbacks that are due, and what these made due. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
