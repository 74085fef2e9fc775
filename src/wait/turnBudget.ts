// The turn budget: how much may go on at once before the event loop turns.
//
// A call that succeeds at once settles in a microtask, and microtasks run until none is left. So a loop over data that
// is there already would stop timers and all other connections. Therefore each turn of the event loop has a budget of
// steps and bytes. Calls beyond the budget are deferred to the next turn, behind everything else that is ready.
//
// A step is a system call, or an item that a stream returns from its buffer without a system call. One budget counts
// both. So a loop over the lines of one client that writes each line to many others ends its turn after as many writes
// as a loop of writes alone, and the writes that wait go on before the next line.
//
// The budget is renewed when events arrive and when deferred calls go on. It grows with their number, so that thousands
// of connections that are ready together are all served. A loop whose items come one by one never spends it.

/** The steps of a turn without events. */
const TURN_STEPS = 256;
const STEPS_PER_EVENT = 4;
const TURN_BYTES = 4 << 20;

/** An object that goes on in the next turn, because the budget of this turn is spent. It must not run code of users. */
export interface Deferred {
  resume(): void;
}

/** An error of ours. It is thrown after the other objects have had their turn. */
interface Failure {
  readonly error: unknown;
}

export class TurnBudget {
  #steps = TURN_STEPS;
  #bytes = TURN_BYTES;
  #deferred: Deferred[] = [];
  #immediate = false;

  /** Takes one step from the budget of this turn. False if the budget is spent. */
  spend(): boolean {
    return --this.#steps >= 0 && this.#bytes > 0;
  }

  /** Takes bytes from the budget of this turn. */
  spendBytes(count: number): void {
    this.#bytes -= count;
  }

  /** A new turn has begun, with so many events. */
  renew(events: number): void {
    this.#steps = TURN_STEPS + STEPS_PER_EVENT * events;
    this.#bytes = TURN_BYTES;
  }

  /** A batch of events that follows another one in the same turn adds steps and no bytes. */
  extend(events: number): void {
    this.#steps = Math.max(this.#steps, 0) + STEPS_PER_EVENT * events;
  }

  /** Whether an object waits for the next turn. */
  get waits(): boolean {
    return this.#deferred.length > 0;
  }

  /** Resumes `deferred` in the next turn. */
  defer(deferred: Deferred): void {
    this.#deferred.push(deferred);
    if (this.#immediate) return;
    this.#immediate = true;
    setImmediate(this.#resume);
  }

  /** Resolves in the next turn, in the order of the calls that are deferred. */
  next(): Promise<void> {
    return new Promise((resume) => this.defer({ resume }));
  }

  /**
   * A promise that rejects with `error`, in the next turn if the budget of this turn is spent: a loop may make a call
   * again and again that is refused.
   */
  reject(error: unknown): Promise<never> {
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the reason of a signal can be any value
    if (this.spend()) return Promise.reject(error);
    return this.next().then(() => {
      throw error;
    });
  }

  /** Calls `visit` with each object that waits for the next turn. */
  forEachDeferred(visit: (deferred: Deferred) => void): void {
    this.#deferred.forEach(visit);
  }

  readonly #resume = (): void => {
    const deferred = this.#deferred;
    this.#deferred = [];
    this.#immediate = false;
    this.renew(deferred.length);
    let next = 0;
    let failure: Failure | undefined;
    while (next < deferred.length && this.#steps > 0 && this.#bytes > 0) {
      try {
        deferred[next++]!.resume();
      } catch (error) {
        failure ??= { error };
      }
    }
    if (next < deferred.length) this.#deferRest(deferred, next);
    if (failure !== undefined) throw failure.error;
  };

  /** Defers the objects from `next` on again. */
  #deferRest(deferred: readonly Deferred[], next: number): void {
    // They go before the objects that have had their turn and deferred again. Otherwise those could have every turn.
    const again = this.#deferred;
    this.#deferred = deferred.slice(next);
    for (const one of again) this.#deferred.push(one);
    if (this.#immediate) return;
    this.#immediate = true;
    setImmediate(this.#resume);
  }
}

/** The budget of this thread, and of this evaluation of the package. */
export const threadTurn: TurnBudget = new TurnBudget();
