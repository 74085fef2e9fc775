// The pending `whenBroken()` or `whenEnded()` calls of a connection that has no descriptor of its own; see io.ts.
// `whenBroken()` waits for the end of the connection, `whenEnded()` for the end of the peer's direction.

import type { TimeoutError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { localError, timeoutError } from "../wait/localError.js";
import { optionsError, PendingCall } from "../wait/pendingCall.js";
import { TimerRefs } from "../wait/timerRefs.js";

/** Neither these calls nor their timeouts keep the process alive. */
const NO_KEEP_ALIVE = new TimerRefs();
NO_KEEP_ALIVE.keepsAlive = false;

/** One pending call. */
class EndWaiter extends PendingCall<unknown> {
  readonly #waiters: Set<EndWaiter>;
  readonly #call: string;

  constructor(opts: IoOptions | undefined, waiters: Set<EndWaiter>, call: string) {
    super(opts, undefined, NO_KEEP_ALIVE);
    this.#waiters = waiters;
    this.#call = call;
  }

  protected override cancel(): TimeoutError {
    this.#waiters.delete(this);
    return timeoutError(this.#call);
  }
}

/** The pending `whenBroken()` or `whenEnded()` calls of one connection, and the result for later calls. */
export class EndWaiters {
  readonly #waiters = new Set<EndWaiter>();
  readonly #call: string;
  #result: { readonly error: unknown } | undefined;
  #closed = false;

  constructor(call: "whenBroken" | "whenEnded" = "whenBroken") {
    this.#call = call;
  }

  /** Waits until `resolveAll()` is called, and resolves with its error. */
  wait(opts: IoOptions | undefined): Promise<unknown> {
    const refused = optionsError(opts, this.#call);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed) return Promise.reject(localError("EBADF", this.#call));
    if (this.#result !== undefined) return Promise.resolve(this.#result.error);
    const waiter = new EndWaiter(opts, this.#waiters, this.#call);
    this.#waiters.add(waiter);
    return waiter.promise;
  }

  /** Resolves all pending calls with `error`. Later calls resolve with the error of the first `resolveAll()`. */
  resolveAll(error: unknown): void {
    this.#result ??= { error };
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.resolve(error);
    }
  }

  /** Rejects all pending and later calls, because this side has closed the connection. */
  close(): void {
    this.#closed = true;
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.reject(localError("ECANCELED", this.#call));
    }
  }
}
