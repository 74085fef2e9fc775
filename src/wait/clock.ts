// The interface of a clock with timers, and the clock of the system. A test can use another clock.

/** Time and timers, in milliseconds. */
export interface Clock {
  /** Milliseconds since some fixed moment. It never decreases. */
  now(): number;
  /** Calls `run` once, `ms` from now. */
  setTimeout(run: () => void, ms: number): unknown;
  /** Cancels a timer that `setTimeout` returned. Does nothing if the timer has run. */
  clearTimeout(timer: unknown): void;
}

/** The clock of the process: `performance.now()` and Node's timers. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
