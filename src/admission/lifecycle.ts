// The states of a server: listening, draining, closed. Calls, signals of the process and an AbortSignal change the
// state.

import { events } from "../builtins.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { localError } from "../wait/localError.js";
import { rejection } from "../wait/rejection.js";
import { MAX_TIMER_DELAY } from "../wait/waitOptions.js";
import { type DrainOptions, ShutdownSignals } from "./shutdownSignals.js";

/** The server. A Lifecycle calls these methods when the state changes. They must not throw. */
export interface LifecycleOwner {
  /** Stops taking new work. Called when the server begins to drain. */
  stop(): void;
  /** Resolves when all work has finished. */
  whenEmpty(): Promise<void>;
  /** Aborts the work that is left. */
  abort(error: unknown): void;
  /**
   * Aborts the work that is left, and releases everything. Called once. The server is closed when the promise has
   * resolved, or at once if there is none.
   */
  release(error: unknown): Promise<void> | undefined;
}

export class Lifecycle {
  /** Resolves when the server is closed; rejects if it has failed. */
  readonly closed: Promise<void>;
  readonly #owner: LifecycleOwner;
  /** The call that made the server, for errors. */
  readonly #call: string;
  readonly #signal: AbortSignal | undefined;
  readonly #abortListener = { onAborted: (): void => this.end() };
  readonly #shutdownSignals = new ShutdownSignals();
  /** The controller of `draining`. Made when it is first used. */
  #drainController: AbortController | undefined;
  #state: "listening" | "draining" | "closed" = "listening";
  /** Settles `closed`: resolves it, or rejects it as the promise `failed` does. */
  #settleClosed!: (failed?: Promise<never>) => void;

  constructor(owner: LifecycleOwner, call: string, signal: AbortSignal | undefined) {
    this.#owner = owner;
    this.#call = call;
    this.#signal = signal;
    this.closed = new Promise((resolve) => (this.#settleClosed = resolve));
    if (signal !== undefined) onAbort(signal, this.#abortListener);
  }

  get state(): "listening" | "draining" | "closed" {
    return this.#state;
  }

  /** A signal that is aborted when the server begins to drain. If first read after that, it is never aborted. */
  get draining(): AbortSignal {
    if (this.#drainController === undefined) {
      this.#drainController = new AbortController();
      // Each handler may add a listener. Without this call, Node.js would warn of a leak at the eleventh.
      events().setMaxListeners(0, this.#drainController.signal);
    }
    return this.#drainController.signal;
  }

  /** Stops taking new work, and waits until all work has finished. After `timeout` ms, aborts the work that is left. */
  async drain(timeout: number | null): Promise<void> {
    if (this.#state === "closed") return;
    if (this.#state === "listening") {
      this.#state = "draining";
      this.#owner.stop();
      this.#drainController?.abort(localError("ECANCELED", this.#call, { cause: new Error("the server drains") }));
    }
    const abortWork = (): void => this.#owner.abort(localError("ECANCELED", this.#call));
    // The timer keeps the process alive, because a handler may wait for something that does not.
    const timer = timeout === null ? undefined : setTimeout(abortWork, Math.min(timeout, MAX_TIMER_DELAY));
    await this.#owner.whenEmpty();
    clearTimeout(timer);
    this.end();
  }

  /** Makes the server drain at the first of these signals of the process, and close at the second. */
  shutdownOn(signals: readonly NodeJS.Signals[], opts: DrainOptions): void {
    const server = { drain: (timeout: number | null) => this.drain(timeout), end: () => this.end() };
    this.#shutdownSignals.listen(server, signals, opts);
    if (this.#state === "closed") this.#shutdownSignals.release();
  }

  /** Closes the server. If the server has failed, `closed` rejects with the error. */
  end(failure?: { readonly error: unknown }): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#shutdownSignals.release();
    if (this.#signal !== undefined) offAbort(this.#signal, this.#abortListener);
    const whenReleased = this.#owner.release(failure ? failure.error : localError("ECANCELED", this.#call));
    const settle = (): void => this.#settleClosed(failure && rejection(failure.error));
    if (whenReleased === undefined) settle();
    else void whenReleased.then(settle);
  }
}
