// A call that waits in a direction, and who hears how it ends: a promise, or a part of ours that needs none.

import type { Operation } from "./operation.js";

/**
 * Who hears how a call has ended that had to wait. It hears of it at once, within the direction's own work, and may begin other
 * calls there, or close the descriptor. It must not run code of users, and must not throw.
 */
export interface Settler<T> {
  settled(value: T): void;
  failed(error: unknown): void;
}

/** Instead of a result: the call waits, and its settler will hear. */
export const WAITS: unique symbol = Symbol("waits");

type AnyOperation = Operation<unknown, unknown, unknown>;

/** What a waiter asks of its direction. */
interface Queue {
  abort(waiter: Waiter): void;
}

// The executor of a promise runs at once, so its functions can be handed over in variables instead of a closure.
let takenResolve: ((value: unknown) => void) | undefined;
let takenReject: ((error: unknown) => void) | undefined;
function take(resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
  takenResolve = resolve;
  takenReject = reject;
}

/** A promise for the next waiter that is made. */
export function promised(): Promise<unknown> {
  return new Promise<unknown>(take);
}

export class Waiter {
  next: Waiter | undefined;
  previous: Waiter | undefined;
  readonly operation: AnyOperation;
  readonly a: unknown;
  readonly b: unknown;
  deadline: number = Infinity;
  signal: AbortSignal | undefined;
  /** It fails with EAGAIN when its turn has come and the kernel has nothing. */
  impatient: boolean = false;
  /** Keeps the public socket from being collected while a call on it waits. */
  readonly holder: object;
  readonly #direction: Queue;
  readonly #settler: Settler<unknown> | undefined;
  readonly #resolve: ((value: unknown) => void) | undefined;
  readonly #reject: ((error: unknown) => void) | undefined;

  /** @param settler who hears of its end; without one it is the promise that `promised()` has just made */
  constructor(
    direction: Queue,
    operation: AnyOperation,
    a: unknown,
    b: unknown,
    holder: object,
    settler: Settler<unknown> | undefined,
  ) {
    this.#direction = direction;
    this.operation = operation;
    this.a = a;
    this.b = b;
    this.holder = holder;
    this.#settler = settler;
    this.#resolve = takenResolve;
    this.#reject = takenReject;
    takenResolve = takenReject = undefined;
  }

  resolve(value: unknown): void {
    if (this.#settler === undefined) this.#resolve!(value);
    else this.#settler.settled(value);
  }

  reject(error: unknown): void {
    if (this.#settler === undefined) this.#reject!(error);
    else this.#settler.failed(error);
  }

  aborted(): void {
    this.#direction.abort(this);
  }
}
