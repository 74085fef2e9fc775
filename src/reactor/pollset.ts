// Waiting for one of several descriptors: a set of them that the reactor watches as one.
//
// The set is an epoll descriptor of its own, made when the call first has to wait and ended with it. What it holds need not be
// registered with the reactor, so it can be in use elsewhere at the same time, and in several sets. It is level-triggered:
// what nobody took is still there. It only says that there may be something; the operation finds out what.

import { defaultReactor, type Reactor, type Source } from "./reactor.js";
import { WaitQueue, type Owner } from "./waitQueue.js";
import type { Operation } from "./operation.js";

export class Pollset implements Source, Owner {
  readonly reactor: Reactor;
  readonly keepsAlive = true;
  readonly #direction: WaitQueue;
  readonly #prepare: (wake: () => void) => Uint8Array;
  #set = -1;
  #slot = -1;

  /**
   * @param prepare called once, when the call has to wait: returns the entries as `calls.pollset` takes them, and may keep
   *   `wake` for whatever else changes the answer
   */
  constructor(prepare: (wake: () => void) => Uint8Array, reactor: Reactor = defaultReactor()) {
    this.reactor = reactor;
    this.#direction = new WaitQueue(this);
    this.#prepare = prepare;
  }

  /** The set, once there is one; the operation works on its entries and takes no notice of it. */
  get fd(): number {
    return Math.max(this.#set, 0);
  }

  register(): number {
    const { failure } = this.reactor;
    if (failure < 0) return failure;
    if (this.#slot >= 0) return 0;
    const { calls } = this.reactor;
    const set = calls.pollset(this.#prepare(() => this.#direction.wake()));
    if (set < 0) return set;
    // Kept before anything can fail, so that end() closes it.
    this.#set = set;
    const slot = this.reactor.add(set, this);
    if (slot < 0) return slot;
    this.#slot = slot;
    return 0;
  }

  onReady(): void {
    this.#direction.wake();
  }

  onFailure(): void {
    this.#direction.onFailure();
  }

  /** Runs an operation until it has an answer. One per set. */
  run<A, B, T>(
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    timeout: number | null,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return this.#direction.run(this, operation, a, b, timeout, signal);
  }

  /** Ends the set. */
  end(): void {
    if (this.#slot >= 0) this.reactor.remove(this.#set, this.#slot, true);
    if (this.#set >= 0) this.reactor.calls.close(this.#set);
    this.#slot = this.#set = -1;
    this.#direction.cancel();
  }
}
