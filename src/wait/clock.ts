// What tells the time and wakes up: the system's timers, or a clock that a test moves by hand.

/** Time and timers, in milliseconds. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Calls `run` once, `ms` from now. */
  setTimeout(run: () => void, ms: number): unknown;
  /** Forgets what `setTimeout` returned; harmless when it has run. */
  clearTimeout(timer: unknown): void;
}

/** The clock of the process: `performance.now()` and Node's timers. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
