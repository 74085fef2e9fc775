// The calls that wait for the end of a connection in JavaScript: `whenBroken` of io.ts.

import type { TimeoutError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { refusal, Wait } from "../wait/pendingCall.js";
import { localError, timeoutError } from "../wait/localError.js";

/** To watch a connection keeps no process alive, not even until the deadline. */
const FREE = new TimerRefs();
FREE.held = false;

class BrokenWait extends Wait<unknown> {
  readonly #waits: Set<BrokenWait>;

  constructor(opts: IoOptions | undefined, waits: Set<BrokenWait>) {
    super(opts, undefined, FREE);
    this.#waits = waits;
  }

  protected override cut(): TimeoutError {
    this.#waits.delete(this);
    return timeoutError("whenBroken");
  }
}

/** Those that wait, and what they are told. */
export class Broken {
  readonly #waits = new Set<BrokenWait>();
  #error: { readonly error: unknown } | undefined;
  #closed = false;

  wait(opts: IoOptions | undefined): Promise<unknown> {
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed) return Promise.reject(localError("EBADF", "whenBroken"));
    if (this.#error !== undefined) return Promise.resolve(this.#error.error);
    const wait = new BrokenWait(opts, this.#waits);
    this.#waits.add(wait);
    return wait.promise;
  }

  /** The connection is broken. Only the first call counts. */
  tell(error: unknown): void {
    this.#error ??= { error };
    for (const wait of this.#waits) {
      this.#waits.delete(wait);
      wait.resolve(error);
    }
  }

  /** The connection is closed by this side. */
  close(): void {
    this.#closed = true;
    for (const wait of this.#waits) {
      this.#waits.delete(wait);
      wait.reject(localError("ECANCELED", "whenBroken"));
    }
  }
}
