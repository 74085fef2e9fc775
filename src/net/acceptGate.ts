// Makes accept() of a listener wait until the program may accept connections; see inheritance.ts.

import type { IoOptions } from "../io.js";
import { localError, timeoutError } from "../wait/localError.js";
import { optionsError } from "../wait/pendingCall.js";
import { WAIT_NAMES } from "../wait/waitOptions.js";
import { within } from "../wait/within.js";
import { checkWait, remainingWait } from "./endpointOptions.js";

export class AcceptGate {
  /** Resolves when this program may accept; rejects if it must never accept. */
  readonly open: Promise<void>;
  readonly #closing = new AbortController();

  /** @param onOpen called when the gate opens, before the waiting calls continue */
  constructor(open: Promise<void>, onOpen: () => void) {
    this.open = open;
    open.then(onOpen, () => undefined);
  }

  /** Waits for the gate, and then calls `accept` with the signal and the rest of the timeout. */
  async pass<T>(opts: IoOptions | undefined, accept: (opts: IoOptions) => Promise<T>): Promise<T> {
    const refused = optionsError(opts, "accept", WAIT_NAMES);
    if (refused !== undefined) throw refused.error;
    const wait = checkWait(opts ?? {}, "accept");
    const signals = wait.signal === undefined ? [this.#closing.signal] : [this.#closing.signal, wait.signal];
    await within(this.open, wait.deadline.remainingTime() ?? null, signals, () => timeoutError("accept"));
    return accept(remainingWait(wait));
  }

  /** Ends the calls that wait with `ECANCELED`, because the listener is closed. */
  close(): void {
    this.#closing.abort(localError("ECANCELED", "accept"));
  }
}
