// A waiting call. Its outcome settles a promise, or goes to a handler (for code of this package that needs no promise).

import { rejection } from "../wait/rejection.js";
import type { Operation } from "./operation.js";

/**
 * Gets the outcome of a call that had to wait. The queue calls these methods between attempts of its calls. A method
 * may start other calls and close the descriptor. It must not run code of users, and must not throw.
 */
export interface CompletionHandler<T> {
  onCompleted(value: T): void;
  onFailed(error: unknown): void;
}

/** The result of `WaitQueue.submit()` for a call that waits. The handler of the call will get the outcome. */
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

/** Returns a promise. The next Waiter that is constructed must have no handler, and settles this promise. */
export function promiseOfNextWaiter(): Promise<unknown> {
  return new Promise<unknown>(storeResolve);
}

export class Waiter {
  next: Waiter | undefined;
  previous: Waiter | undefined;
  readonly operation: AnyOperation;
  /** The operands of the operation. */
  readonly a: unknown;
  readonly b: unknown;
  /** A time of `clock()`; undefined without a timeout. For Infinity, V8 would allocate a number object per call. */
  deadline: number | undefined = undefined;
  signal: AbortSignal | undefined;
  /** When the call began to wait, as of `Reactor.now()`. */
  since: number = 0;
  /** An object that must not be collected while the call waits. */
  readonly holder: object;
  readonly #queue: AbortableQueue;
  /** Gets the outcome: a handler, or the `resolve` function of the promise. */
  readonly #handler: ((value: unknown) => void) | CompletionHandler<unknown>;

  /** @param handler gets the outcome; without a handler, the waiter settles the promise of `promiseOfNextWaiter()` */
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
    this.#handler = handler ?? resolveOfNextWaiter!;
    resolveOfNextWaiter = undefined;
  }

  resolve(value: unknown): void {
    if (typeof this.#handler === "function") this.#handler(value);
    else this.#handler.onCompleted(value);
  }

  reject(error: unknown): void {
    // A promise that is resolved with a rejected promise rejects too; see wait/rejection.ts.
    if (typeof this.#handler === "function") this.#handler(rejection(error));
    else this.#handler.onFailed(error);
  }

  /** Resolves with the bytes that the call has received. Returns false, and does nothing, if there are none. */
  resolveWithReceived(): boolean {
    const received = this.operation.received?.(this.a, this.b);
    if (received === undefined) return false;
    this.resolve(received);
    return true;
  }

  /** Called when the signal is aborted; see wait/aborts.ts. */
  onAborted(): void {
    this.#queue.abort(this);
  }
}
