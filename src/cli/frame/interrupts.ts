// Ctrl-C, SIGTERM and SIGHUP: the first one aborts the signal of the run, a later one ends the process at once.

import { constants } from "node:os";

import { Interrupted } from "./failure.js";

/** ms within which the signals of one Ctrl-C arrive: under npm it comes twice, from the terminal and from npm. */
const SETTLE = 100;

export class Interrupts {
  readonly #abort = new AbortController();
  #first: number | undefined;

  constructor() {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => this.#caught(name));
  }

  /** Aborted when the command is to end; the reason is {@link Interrupted}. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Runs `stop` at the first signal, or at once when that has been. */
  onStop(stop: () => void): void {
    if (this.signal.aborted) stop();
    else this.signal.addEventListener("abort", stop, { once: true });
  }

  #caught(name: "SIGINT" | "SIGTERM" | "SIGHUP"): void {
    const number = constants.signals[name];
    const now = performance.now();
    if (this.#first !== undefined) {
      if (now - this.#first > SETTLE) process.exit(128 + number);
      return;
    }
    this.#first = now;
    // While a process ends, Node has given up its handlers, and the second signal would end it with another status. So the
    // process stays a moment longer.
    setTimeout(() => {}, SETTLE);
    this.#abort.abort(new Interrupted(name, number));
  }
}
