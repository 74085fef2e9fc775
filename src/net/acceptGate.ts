// In the new program of an upgrade: makes accept() of a listener wait until the new program may accept connections.
// Until then only the old program accepts; see inheritance.ts. Without an upgrade a listener has no gate.

import type { IoOptions } from "../io.js";
import { localError, timeoutError } from "../wait/localError.js";
import { optionsError } from "../wait/pendingCall.js";
import { WAIT_NAMES } from "../wait/waitOptions.js";
import { within } from "../wait/within.js";
import { checkWait, remainingWait } from "./endpointOptions.js";

export class AcceptGate {
  /** Resolves when this program may accept; rejects if it must never accept. */
  readonly opened: Promise<void>;
  readonly #closeAborter = new AbortController();

  /** @param onOpen called when `opened` resolves, before the waiting calls continue */
  constructor(opened: Promise<void>, onOpen: () => void) {
    this.opened = opened;
    opened.then(onOpen, () => undefined);
  }

  /** Waits for the gate, and then calls `accept` with the signal and the rest of the timeout. */
  async pass<T>(opts: IoOptions | undefined, accept: (opts: IoOptions) => Promise<T>): Promise<T> {
    const invalid = optionsError(opts, "accept", WAIT_NAMES);
    if (invalid !== undefined) throw invalid.error;
    const wait = checkWait(opts ?? {}, "accept");
    const signals = wait.signal === undefined ? [this.#closeAborter.signal] : [this.#closeAborter.signal, wait.signal];
    await within(this.opened, wait.deadline.remainingTime() ?? null, signals, () => timeoutError("accept"));
    return accept(remainingWait(wait));
  }

  /** Called when the listener is closed. The waiting calls reject with `ECANCELED`. */
  close(): void {
    this.#closeAborter.abort(localError("ECANCELED", "accept"));
  }
}
