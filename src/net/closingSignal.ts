// The `signal` of listen(), bindUdp() and bindUnixDatagram(), and of a Reconnector. The signal of forward() follows the
// same rule.
//
// While the call runs, an abort ends the call, which rejects with the signal's reason. After that, an abort closes the
// object that the call has returned. The signal of connect(), connectUdp() or connectUnixDatagram() ends only the call.

import { type AbortListener, offAbort, onAbort } from "../wait/aborts.js";

/** Calls `close` when the signal is aborted. `release()` removes the listener from the signal. */
export class ClosingSignal implements AbortListener {
  readonly #signal: AbortSignal;
  readonly #close: () => void;

  /** @throws the signal's reason, after a call of `close`, if the signal is aborted already */
  constructor(signal: AbortSignal, close: () => void) {
    this.#signal = signal;
    this.#close = close;
    if (signal.aborted) {
      close();
      throw signal.reason;
    }
    onAbort(signal, this);
  }

  onAborted(): void {
    this.release();
    this.#close();
  }

  release(): void {
    offAbort(this.#signal, this);
  }
}
