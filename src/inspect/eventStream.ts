// Server-sent events to one page. While the page reads too slowly, it gets no further event. After that, the page gets
// the newest state, without the states in between. So a slow page needs little memory.

import type { ServerResponse } from "node:http";

import { clock } from "../builtins.js";

/** A page that has not read for this time, in ms, is disconnected. */
const READ_TIMEOUT = 30_000;

export class EventStream {
  readonly #response: ServerResponse;
  /** The time since which the buffer of the response is full; undefined while it has room. */
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
