// A waiting call. It settles a promise, or it calls a handler (for code of this package that needs no promise).

import { rejection } from "../wait/rejection.js";
import type { Operation } from "./operation.js";

/**
 * Gets the outcome of a call that had to wait. It runs inside the work of the queue. It may start other calls there,
 * and close the descriptor. It must not run code of users, and must not throw.
 */
export interface CompletionHandler<T> {
  completed(value: T): void;
  failed(error: unknown): void;
}

/** Returned instead of a result: the call waits, and its handler gets the outcome. */
export const PENDING: unique symbol = Symbol("pending");

type AnyOperation = Operation<unknown, unknown, unknown>;

/** The part of a queue that a waiter uses. */
interface AbortableQueue {
  abort(waiter: Waiter): void;
}

// `new Promise()` runs its executor at once. So the executor can store `resolve` in a variable, and needs no closure.
let resolveOfNextWaiter: ((value: unknown) => void) | undefined;
function storeResolve(resolve: (value: unknown) => void): void {
  resolveOfNextWaiter = resolve;
}

/** Returns a promise. The Waiter that is constructed next settles it. */
export function promiseOfNextWaiter(): Promise<unknown> {
  return new Promise<unknown>(storeResolve);
}

export class Waiter {
  next: Waiter | undefined;
  previous: Waiter | undefined;
  readonly operation: AnyOperation;
  readonly a: unknown;
  readonly b: unknown;
  /** As of `clock()`. Not Infinity: V8 gives each field that holds fractions a number object of its own. */
  deadline: number | undefined = undefined;
  signal: AbortSignal | undefined;
  /** When the call began to wait: `Reactor.now()`. */
  since: number = 0;
  /** An object that must not be collected while the call waits. */
  readonly holder: object;
  readonly #queue: AbortableQueue;
  /** The `resolve` function of the promise, or the handler. */
  readonly #outcome: ((value: unknown) => void) | CompletionHandler<unknown>;

  /** @param handler gets the outcome; without it the promise of the last `promiseOfNextWaiter()` does */
  constructor(
    queue: AbortableQueue,
    operation: AnyOperation,
    a: unknown,
    b: unknown,
    holder: object,
    handler: CompletionHandler<unknown> | undefined,
  ) {
    this.#queue = queue;
    this.operation = operation;
    this.a = a;
    this.b = b;
    this.holder = holder;
    this.#outcome = handler ?? resolveOfNextWaiter!;
    resolveOfNextWaiter = undefined;
  }

  resolve(value: unknown): void {
    if (typeof this.#outcome === "function") this.#outcome(value);
    else this.#outcome.completed(value);
  }

  reject(error: unknown): void {
    if (typeof this.#outcome === "function") this.#outcome(rejection(error));
    else this.#outcome.failed(error);
  }

  /** Resolves with the bytes that the call has received, if there are any. */
  resolveWithReceived(): boolean {
    const received = this.operation.received?.(this.a, this.b);
    if (received === undefined) return false;
    this.resolve(received);
    return true;
  }

  aborted(): void {
    this.#queue.abort(this);
  }
}
