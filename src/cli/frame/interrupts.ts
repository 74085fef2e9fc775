// SIGINT (Ctrl-C), SIGTERM and SIGHUP. The first signal aborts `Interrupts.signal`, which ends the command. A later
// signal ends the process at once.

import { constants } from "node:os";

import { InterruptedError } from "./failure.js";

/**
 * Signals within this many ms after the first one belong to the same Ctrl-C: under npm, the terminal sends a signal,
 * and npm sends another one.
 */
const SAME_CTRL_C = 100;

export class Interrupts {
  readonly #controller = new AbortController();
  /** The time of the first signal. */
  #firstAt: number | undefined;

  constructor() {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => this.#handle(name));
  }

  /** Aborted when the command is to end; the reason is {@link InterruptedError}. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Calls `stop` at the first signal, or at once if a signal has arrived already. */
  onStop(stop: () => void): void {
    if (this.signal.aborted) stop();
    else this.signal.addEventListener("abort", stop, { once: true });
  }

  #handle(name: "SIGINT" | "SIGTERM" | "SIGHUP"): void {
    const number = constants.signals[name];
    const now = performance.now();
    if (this.#firstAt !== undefined) {
      if (now - this.#firstAt > SAME_CTRL_C) process.exit(128 + number);
      return;
    }
    this.#firstAt = now;
    // When a process exits, Node removes its signal handlers. A second signal of the same Ctrl-C would then end the
    // process with another exit status. So this timer delays the exit.
    setTimeout(() => {}, SAME_CTRL_C);
    this.#controller.abort(new InterruptedError(name, number));
  }
}
