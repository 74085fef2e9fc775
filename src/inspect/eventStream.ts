// Server-sent events to one page. A page that does not read gets no further event until it has read what it was sent; it
// then gets the newest state, and what came in between is left out. So the memory of a client is one event.

import type { ServerResponse } from "node:http";

import { clock } from "../builtins.js";

/** How long, in ms, a client may not read before it is cut off. */
const PATIENCE = 30_000;

export class EventStream {
  readonly #response: ServerResponse;
  /** Since when the client has not read; undefined while it reads. */
  #stuck: number | undefined;
  /** The version of the table that was sent last; 0 before the first. */
  version = 0;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.on("drain", () => {
      this.#stuck = undefined;
    });
  }

  /** Whether an event can be sent now. Cuts off a client that has not read for too long. */
  get ready(): boolean {
    if (this.#stuck === undefined) return true;
    if (clock() - this.#stuck > PATIENCE) this.#response.destroy();
    return false;
  }

  send(event: string, data: unknown): void {
    // The text of JSON has no line break.
    const taken = this.#response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    if (!taken) this.#stuck ??= clock();
  }

  end(): void {
    this.#response.destroy();
  }
}
