// The state of one client, without a connection: bytes in, replies out. The caller reads and writes.

import { type Context, execute } from "./commands.js";
import { type Limits, ProtocolError, RequestReader } from "./protocol.js";
import { Replies } from "./replies.js";
import type { Store } from "./store.js";

/** With this number of bytes the replies are sent before further requests run. This limits the memory of a client. */
const MAX_REPLY_BYTES = 256 << 10;

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

  /** Whether the connection is to end after the replies. */
  get over(): boolean {
    return this.#over;
  }

  /** Whether `run` stopped because of too many replies. Send them and call `run` again. */
  get more(): boolean {
    return this.#more;
  }

  /** Runs the complete requests between `start` and `end`, and returns the start of the rest. */
  run(buffer: Buffer, start: number, end: number): number {
    const request = this.#request;
    let at = start;
    this.#more = false;
    try {
      // An incomplete request that still lacks bytes is not parsed again.
      if (end - start < request.need) return start;
      request.need = 0;
      while (at < end) {
        if (this.replies.size >= MAX_REPLY_BYTES) {
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
