// Keeps accept() of a listener waiting until the program may accept connections; see inheritance.ts.

import type { IoOptions } from "../io.js";
import { localError, timeoutError } from "../wait/localError.js";
import { optionsError } from "../wait/pendingCall.js";
import { WAIT_NAMES } from "../wait/waitOptions.js";
import { within } from "../wait/within.js";
import { checkWait, remaining } from "./endpointOptions.js";

export class AcceptGate {
  /** Rejects if this program must not accept at all. */
  readonly open: Promise<void>;
  readonly #closing = new AbortController();

  /** @param opened called when the gate opens, before the calls that wait go on */
  constructor(open: Promise<void>, opened: () => void) {
    this.open = open;
    open.then(opened, () => undefined);
  }

  /** Waits, and then calls `accept` with the options that are left: the rest of the timeout. */
  async pass<T>(opts: IoOptions | undefined, accept: (opts: IoOptions) => Promise<T>): Promise<T> {
    const refused = optionsError(opts, "accept", WAIT_NAMES);
    if (refused !== undefined) throw refused.error;
    const wait = checkWait(opts ?? {}, "accept");
    const signals = wait.signal === undefined ? [this.#closing.signal] : [this.#closing.signal, wait.signal];
    await within(this.open, wait.deadline.left() ?? null, signals, () => timeoutError("accept"));
    return accept(remaining(wait));
  }

  /** The listener is closed: the calls that wait reject with `ECANCELED`, later ones with `EBADF`. */
  close(): void {
    this.#closing.abort(localError("ECANCELED", "accept"));
  }
}
