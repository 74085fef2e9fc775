// A set of descriptors that the reactor watches as one, for a call that waits for any of them.
//
// The set is an epoll descriptor of its own. It is made when the call first has to wait, and closed with the call. Its
// members need no registration with the reactor, so other calls can use them at the same time, and several sets can
// have them. The set is level-triggered, so an event that no call has handled is reported again. An event only says
// that a member may be ready; the operation finds out which.

import { describable, type Description } from "../registry/index.js";
import { defaultReactor, type Reactor, type Source } from "./reactor.js";
import { WaitQueue } from "./waitQueue.js";
import type { Waiter } from "./waiter.js";
import type { QueueDescriptor } from "./waiterList.js";
import type { Operation } from "./operation.js";

export class Pollset implements Source, QueueDescriptor {
  readonly reactor: Reactor;
  readonly keepsAlive = true;
  readonly #queue: WaitQueue;
  readonly #prepare: (wake: () => void) => Uint8Array;
  #set = -1;

  static {
    describable<Pollset, Description & { readonly fd: number }>(Pollset.prototype, "Pollset", ({ fd }) => ({
      fd: fd > 0 ? fd : -1,
    }));
  }

  #slot = -1;

  /**
   * @param prepare called once, when the call has to wait. It returns the entries as `calls.pollset` takes them. It may
   *   keep `wake`, which makes the operation try again
   */
  constructor(prepare: (wake: () => void) => Uint8Array, reactor: Reactor = defaultReactor()) {
    this.reactor = reactor;
    this.#queue = new WaitQueue(this);
    this.#prepare = prepare;
  }

  /** The descriptor of the set, 0 before there is one. The operation does not use it. */
  get fd(): number {
    return Math.max(this.#set, 0);
  }

  register(): number {
    const { failure } = this.reactor;
    if (failure < 0) return failure;
    if (this.#slot >= 0) return 0;
    const { calls } = this.reactor;
    const set = calls.pollset(this.#prepare(() => this.#queue.wake()));
    if (set < 0) return set;
    // Stored before the next call can fail, so that end() closes it.
    this.#set = set;
    const slot = this.reactor.add(set, this);
    if (slot < 0) return slot;
    this.#slot = slot;
    return 0;
  }

  forEachWaiter(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void {
    this.#queue.forEachWaiter(visit);
  }

  onReady(): void {
    this.#queue.wake();
  }

  onFailure(): void {
    this.#queue.onFailure();
  }

  /** Runs an operation until it has its result. One per set. */
  run<A, B, T>(
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    timeout: number | null,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return this.#queue.run(this, operation, a, b, timeout, signal);
  }

  /** Ends the set. */
  end(): void {
    if (this.#slot >= 0) this.reactor.remove(this.#set, this.#slot, true);
    if (this.#set >= 0) this.reactor.calls.close(this.#set);
    this.#slot = this.#set = -1;
    this.#queue.cancel();
  }
}
