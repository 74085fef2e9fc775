// A call that waits in a queue of its TLS connection or listener.

import type { SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { timeoutError } from "../wait/localError.js";
import { PendingCall } from "../wait/pendingCall.js";
import type { TimerRefs } from "../wait/timerRefs.js";

export class QueuedCall<T> extends PendingCall<T> {
  readonly #syscall: string;
  readonly #remove: (call: QueuedCall<T>) => void;

  /** @param remove called after the timeout or an abort: removes the call from its queue */
  constructor(syscall: string, opts: IoOptions | undefined, refs: TimerRefs, remove: (call: QueuedCall<T>) => void) {
    super(opts, undefined, refs);
    this.#syscall = syscall;
    this.#remove = remove;
  }

  protected override cancel(): SocketError {
    this.#remove(this);
    return timeoutError(this.#syscall);
  }
}
