// The pending `whenBroken()` or `whenEnded()` calls of a connection that has no descriptor of its own; see io.ts.

import type { TimeoutError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { localError, timeoutError } from "../wait/localError.js";
import { optionsError, PendingCall } from "../wait/pendingCall.js";
import { TimerRefs } from "../wait/timerRefs.js";

/** These calls do not keep the process alive, and neither do their timeouts. */
const UNREFERENCED = new TimerRefs();
UNREFERENCED.keepAlive = false;

class BrokenWaiter extends PendingCall<unknown> {
  readonly #waiters: Set<BrokenWaiter>;
  readonly #call: string;

  constructor(opts: IoOptions | undefined, waiters: Set<BrokenWaiter>, call: string) {
    super(opts, undefined, UNREFERENCED);
    this.#waiters = waiters;
    this.#call = call;
  }

  protected override cancel(): TimeoutError {
    this.#waiters.delete(this);
    return timeoutError(this.#call);
  }
}

/** The calls that wait until the connection is broken or the peer has ended, and the error that ended the wait. */
export class BrokenWaiters {
  readonly #waiters = new Set<BrokenWaiter>();
  readonly #call: string;
  #error: { readonly error: unknown } | undefined;
  #closed = false;

  constructor(call: "whenBroken" | "whenEnded" = "whenBroken") {
    this.#call = call;
  }

  wait(opts: IoOptions | undefined): Promise<unknown> {
    const refused = optionsError(opts, this.#call);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed) return Promise.reject(localError("EBADF", this.#call));
    if (this.#error !== undefined) return Promise.resolve(this.#error.error);
    const waiter = new BrokenWaiter(opts, this.#waiters, this.#call);
    this.#waiters.add(waiter);
    return waiter.promise;
  }

  /**
   * Resolves all pending calls with `error`. Later calls resolve with the error of the first `resolveAll()`.
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
      waiter.reject(localError("ECANCELED", this.#call));
    }
  }
}
