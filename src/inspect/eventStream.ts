// Server-sent events to one page. A page gets no further event until it has read the previous one. Then it gets the
// newest state, and the states in between are left out. So a slow page needs the memory of one event.

import type { ServerResponse } from "node:http";

import { clock } from "../builtins.js";

/** A client that has not read for this time, in ms, is disconnected. */
const READ_TIMEOUT = 30_000;

export class EventStream {
  readonly #response: ServerResponse;
  /** The time since which the client has not read; undefined while it reads. */
  #stuckSince: number | undefined;
  /** The version of the table that was sent most recently; 0 before the first table. */
  version = 0;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.on("drain", () => {
      this.#stuckSince = undefined;
    });
  }

  /** Whether an event can be sent now. Disconnects a client after READ_TIMEOUT. */
  get isReady(): boolean {
    if (this.#stuckSince === undefined) return true;
    if (clock() - this.#stuckSince > READ_TIMEOUT) this.#response.destroy();
    return false;
  }

  send(event: string, data: unknown): void {
    // A line break would end the event, and JSON.stringify() writes none.
    const taken = this.#response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    if (!taken) this.#stuckSince ??= clock();
  }

  end(): void {
    this.#response.destroy();
  }
}
