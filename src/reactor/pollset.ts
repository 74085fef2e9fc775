// A set of descriptors for a call that waits until any of them is ready, such as poll().
//
// The set is an epoll descriptor of its own, and the reactor watches only that descriptor. The set is made when the
// call has to wait for the first time, and end() closes it. The descriptors in the set (its members) are not registered
// with the reactor. So other calls can use a member at the same time, and a member can be in several sets. The set is
// level-triggered: epoll reports a member as long as it is ready. An event means that some member may be ready. The
// operation finds out which members are ready.

import { makeDescribable, type Description } from "../registry/index.js";
import { defaultReactor, type EventHandler, type Reactor } from "./reactor.js";
import { WaitQueue } from "./waitQueue.js";
import type { Waiter } from "./waiter.js";
import type { QueueDescriptor } from "./waiterList.js";
import type { Operation } from "./operation.js";

export class Pollset implements EventHandler, QueueDescriptor {
  readonly reactor: Reactor;
  readonly keepsAlive = true;
  readonly #queue: WaitQueue;
  readonly #makeEntries: (wake: () => void) => Uint8Array;
  /** The epoll descriptor, or -1. */
  #epollFd = -1;
  /** The slot of the epoll descriptor in the reactor, or -1. */
  #slot = -1;

  static {
    makeDescribable<Pollset, Description & { readonly fd: number }>(Pollset.prototype, "Pollset", ({ fd }) => ({
      fd: fd > 0 ? fd : -1,
    }));
  }

  /**
   * @param makeEntries called when the call has to wait. It returns the members as `calls.pollset` takes them. It may
   *   store `wake` and call it later: `wake` makes the operation try again
   */
  constructor(makeEntries: (wake: () => void) => Uint8Array, reactor: Reactor = defaultReactor()) {
    this.reactor = reactor;
    this.#queue = new WaitQueue(this);
    this.#makeEntries = makeEntries;
  }

  /** The epoll descriptor; 0 before it is made and after end(). WaitQueue would treat a negative number as closed. */
  get fd(): number {
    return Math.max(this.#epollFd, 0);
  }

  /** Makes and registers the set, if it is not registered. Returns 0 or -errno. */
  register(): number {
    const { failure } = this.reactor;
    if (failure < 0) return failure;
    if (this.#slot >= 0) return 0;
    const { calls } = this.reactor;
    const epollFd = calls.pollset(this.#makeEntries(() => this.#queue.wake()));
    if (epollFd < 0) return epollFd;
    // Stored before add() can fail, so that end() closes the descriptor.
    this.#epollFd = epollFd;
    const slot = this.reactor.add(epollFd, this);
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

  /** Runs the operation of the set. A set has only one. */
  run<A, B, T>(
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    timeout: number | null,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return this.#queue.run(this, operation, a, b, timeout, signal);
  }

  /** Closes the set, and settles its operation with ECANCELED. */
  end(): void {
    if (this.#slot >= 0) this.reactor.remove(this.#epollFd, this.#slot);
    if (this.#epollFd >= 0) this.reactor.calls.close(this.#epollFd);
    this.#slot = this.#epollFd = -1;
    this.#queue.cancel();
  }
}
