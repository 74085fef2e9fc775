// What is made to last (a listener, a UDP socket, a forwarder) is closed by the signal that it was made with.
//
// The rule: until it is there, the signal ends the call, which rejects with the signal's reason; from then on the signal closes
// it, as `close()` does. `connect()` and `connectUdp()` make what belongs to a conversation with one peer; there the signal ends
// the attempt and nothing else.

import { type Abortable, offAbort, onAbort } from "../wait/aborts.js";

/** Closes something when a signal is aborted. `release()` is for when it is closed before that. */
export class ClosingSignal implements Abortable {
  readonly #signal: AbortSignal;
  readonly #close: () => void;

  /** @throws the signal's reason, after `close`, when it is aborted already */
  constructor(signal: AbortSignal, close: () => void) {
    this.#signal = signal;
    this.#close = close;
    if (signal.aborted) {
      close();
      throw signal.reason;
    }
    onAbort(signal, this);
  }

  aborted(): void {
    this.release();
    this.#close();
  }

  release(): void {
    offAbort(this.#signal, this);
  }
}
