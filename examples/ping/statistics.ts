// Counts of requests and answers, and statistics of their times.

import type { PingEvent } from "./echo.js";

export class Statistics {
  transmitted = 0;
  received = 0;
  duplicates = 0;
  errors = 0;
  min = Infinity;
  max = 0;
  #sum = 0;
  #squares = 0;

  add(event: PingEvent): void {
    if (event.type === "sent") this.transmitted++;
    else if (event.type === "error") this.errors++;
    else if (event.type === "reply" && event.duplicate) this.duplicates++;
    else if (event.type === "reply") {
      const { time } = event;
      this.received++;
      this.min = Math.min(this.min, time);
      this.max = Math.max(this.max, time);
      this.#sum += time;
      this.#squares += time * time;
    }
  }

  /** Share of the requests without an answer, 0 to 1. */
  get loss(): number {
    return this.transmitted === 0 ? 0 : (this.transmitted - this.received) / this.transmitted;
  }

  get avg(): number {
    return this.#sum / this.received;
  }

  /** Standard deviation of the round-trip times. */
  get mdev(): number {
    return Math.sqrt(Math.max(0, this.#squares / this.received - this.avg ** 2));
  }

  toString(): string {
    const duplicates = this.duplicates === 0 ? "" : `+${this.duplicates} duplicates, `;
    const errors = this.errors === 0 ? "" : `+${this.errors} errors, `;
    const loss = Number((this.loss * 100).toFixed(3));
    const counts = `${this.transmitted} packets transmitted, ${this.received} received, ${duplicates}${errors}${loss}% packet loss`;
    if (this.received === 0) return counts;
    const times = [this.min, this.avg, this.max, this.mdev].map((time) => time.toFixed(3)).join("/");
    return `${counts}\nrtt min/avg/max/mdev = ${times} ms`;
  }
}
