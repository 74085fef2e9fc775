// Server-sent events to one page. A page gets no further event until it has read the previous one. Then the page gets
// the newest state, without the states in between. So a slow page needs little memory.

import type { ServerResponse } from "node:http";

import { clock } from "../builtins.js";

/** A page that has not read for this time, in ms, is disconnected. */
const READ_TIMEOUT = 30_000;

export class EventStream {
  readonly #response: ServerResponse;
  /** The time since which an event waits for the page to read it; undefined if no event waits. */
  #stuckSince: number | undefined;
  /** The version of the table that was sent most recently; 0 before the first table. */
  version = 0;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.on("drain", () => {
      this.#stuckSince = undefined;
    });
  }

  /** Whether an event can be sent now. Disconnects the page after READ_TIMEOUT. */
  get isReady(): boolean {
    if (this.#stuckSince === undefined) return true;
    if (clock() - this.#stuckSince > READ_TIMEOUT) this.#response.destroy();
    return false;
  }

  send(event: string, data: unknown): void {
    // A line break in the data would end the event, but JSON.stringify() writes none.
    const hasRoom = this.#response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    if (!hasRoom) this.#stuckSince ??= clock();
  }

  end(): void {
    this.#response.destroy();
  }
}
