// The pending `whenBroken()` calls of a connection that is written in JavaScript; see `Writer` in io.ts.

import type { TimeoutError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { localError, timeoutError } from "../wait/localError.js";
import { optionsError, PendingCall } from "../wait/pendingCall.js";
import { TimerRefs } from "../wait/timerRefs.js";

/** `whenBroken()` does not keep the process alive, and neither does its timeout. */
const UNREFERENCED = new TimerRefs();
UNREFERENCED.keepAlive = false;

class BrokenWaiter extends PendingCall<unknown> {
  readonly #waiters: Set<BrokenWaiter>;

  constructor(opts: IoOptions | undefined, waiters: Set<BrokenWaiter>) {
    super(opts, undefined, UNREFERENCED);
    this.#waiters = waiters;
  }

  protected override cancel(): TimeoutError {
    this.#waiters.delete(this);
    return timeoutError("whenBroken");
  }
}

/** The calls that wait until the connection is broken, and the error when it is. */
export class BrokenWaiters {
  readonly #waiters = new Set<BrokenWaiter>();
  #error: { readonly error: unknown } | undefined;
  #closed = false;

  wait(opts: IoOptions | undefined): Promise<unknown> {
    const refused = optionsError(opts, "whenBroken");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed) return Promise.reject(localError("EBADF", "whenBroken"));
    if (this.#error !== undefined) return Promise.resolve(this.#error.error);
    const waiter = new BrokenWaiter(opts, this.#waiters);
    this.#waiters.add(waiter);
    return waiter.promise;
  }

  /**
   * The connection is broken: resolves all calls with `error`, and later calls with the error of the first
   * `resolveAll`.
   */
  resolveAll(error: unknown): void {
    this.#error ??= { error };
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.resolve(error);
    }
  }

  /** This side has closed the connection: rejects all calls. */
  close(): void {
    this.#closed = true;
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.reject(localError("ECANCELED", "whenBroken"));
    }
  }
}
