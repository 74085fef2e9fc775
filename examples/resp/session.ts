// A client's side of the server without any connection: bytes in, replies out. What carries them is the caller's.

import { type Context, execute } from "./commands.js";
import { type Limits, ProtocolError, RequestReader } from "./protocol.js";
import { Replies } from "./replies.js";
import type { Store } from "./store.js";

/** Replies are sent before more requests are answered once they are so many bytes: a client pays for what it asks. */
const MOST_REPLIES = 256 << 10;

export class Session {
  readonly #request: RequestReader;
  readonly #context: Context;
  readonly replies: Replies = new Replies();
  #over = false;
  #more = false;

  constructor(store: Store, limits: Limits) {
    this.#request = new RequestReader(limits);
    this.#context = { store, request: this.#request, replies: this.replies, quit: false };
  }

  /** Whether the connection shall end behind the replies. */
  get over(): boolean {
    return this.#over;
  }

  /** Whether `run` stopped because of the replies: send them, and run again. */
  get more(): boolean {
    return this.#more;
  }

  /** Answers the requests that lie whole between `start` and `end`; returns where the rest begins. */
  run(buffer: Buffer, start: number, end: number): number {
    const request = this.#request;
    let at = start;
    this.#more = false;
    try {
      // An unfinished request that still lacks bytes need not be looked at.
      if (end - start < request.need) return start;
      request.need = 0;
      while (at < end) {
        if (this.replies.size >= MOST_REPLIES) {
          this.#more = true;
          break;
        }
        const next = request.read(buffer, at, end);
        if (next < 0) break;
        at = next;
        if (request.count > 0) execute(this.#context);
        if (this.#context.quit) {
          this.#over = true;
          return end;
        }
      }
      return at;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.replies.error(`ERR Protocol error: ${error.message}`);
      this.#over = true;
      return end;
    }
  }
}
