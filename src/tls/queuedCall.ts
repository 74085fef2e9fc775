// A call that waits in a queue of its connection or listener.

import type { SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { timeoutError } from "../wait/localError.js";
import { PendingCall } from "../wait/pendingCall.js";
import type { TimerRefs } from "../wait/timerRefs.js";

export class QueuedCall<T> extends PendingCall<T> {
  readonly #syscall: string;
  readonly #drop: (call: QueuedCall<T>) => void;

  /** @param drop removes the call from its queue, after the timeout or an abort */
  constructor(syscall: string, opts: IoOptions | undefined, refs: TimerRefs, drop: (call: QueuedCall<T>) => void) {
    super(opts, undefined, refs);
    this.#syscall = syscall;
    this.#drop = drop;
  }

  protected override cancel(): SocketError {
    this.#drop(this);
    return timeoutError(this.#syscall);
  }
}
