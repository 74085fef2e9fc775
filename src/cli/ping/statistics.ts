// Round-trip times (in ms) and losses of one host.

import { plural } from "../frame/units.js";
import type { PingEvent } from "./pinger.js";

export class Statistics {
  transmitted = 0;
  received = 0;
  #duplicates = 0;
  #errors = 0;
  #min = Infinity;
  #max = 0;
  #sum = 0;
  #sumOfSquares = 0;

  add(event: PingEvent): void {
    if (event.type === "sent") this.transmitted++;
    else if (event.type === "error") this.#errors++;
    else if (event.type === "reply" && event.duplicate) this.#duplicates++;
    else if (event.type === "reply") {
      const { time } = event;
      this.received++;
      this.#min = Math.min(this.#min, time);
      this.#max = Math.max(this.#max, time);
      this.#sum += time;
      this.#sumOfSquares += time * time;
    }
  }

  /** `loss` is a fraction. Times are null without an answer. */
  toJSON(): object {
    const { transmitted, received } = this;
    const [min, avg, max, mdev] = received === 0 ? [null, null, null, null] : this.#times();
    const loss = transmitted === 0 ? 0 : (transmitted - received) / transmitted;
    return { transmitted, received, duplicates: this.#duplicates, errors: this.#errors, loss, min, avg, max, mdev };
  }

  toString(): string {
    const { transmitted, received } = this;
    const lostPercent = transmitted === 0 ? 0 : ((transmitted - received) / transmitted) * 100;
    const facts = [
      plural(transmitted, "request"),
      plural(received, "answer"),
      `${Number(lostPercent.toFixed(3))} % lost`,
    ];
    if (this.#duplicates > 0) facts.push(plural(this.#duplicates, "duplicate"));
    if (this.#errors > 0) facts.push(plural(this.#errors, "error"));
    if (received > 0) {
      facts.push(
        `min/avg/max/mdev ${this.#times()
          .map((time) => time.toFixed(3))
          .join("/")} ms`,
      );
    }
    return facts.join(", ");
  }

  /** mdev is the name that ping(8) has for the standard deviation. */
  #times(): [min: number, avg: number, max: number, mdev: number] {
    const avg = this.#sum / this.received;
    return [this.#min, avg, this.#max, Math.sqrt(Math.max(0, this.#sumOfSquares / this.received - avg ** 2))];
  }
}
