// The turn budget: the maximum numbers of steps and bytes of one turn of the event loop.
//
// A call that succeeds at once settles in a microtask, and microtasks run until none is left. So a loop that reads data
// which has already arrived would stop timers and all other connections. Therefore each turn of the event loop has a
// budget of steps and bytes. Calls beyond the budget are deferred to the next turn, after all other ready calls.
//
// A step is a system call, or an item that a stream returns from its buffer without a system call. One budget counts
// both, so a loop that reads buffered lines and writes each line to many connections cannot use two budgets in a turn.
// Deferred calls continue before the loop reads the next line.
//
// The budget is reset when events arrive and when deferred calls continue. So a loop whose items arrive one by one
// never uses up the budget. The budget grows with the number of events and of deferred calls, so that thousands of
// connections that are ready together are all served.

/** The number of steps of a turn without events. */
const TURN_STEPS = 256;
/** The number of further steps for each event, and for each deferred call that continues. */
const STEPS_PER_EVENT = 4;
/** The number of bytes of every turn. */
const TURN_BYTES = 4 << 20;

/** An object that continues in the next turn, because the budget of this turn is spent. */
export interface Deferred {
  /** Continues the work. Must not run code of users. */
  resume(): void;
}

/**
 * An error that a `resume()` has thrown. It is thrown again after the other objects have resumed. The error is in an
 * object of its own, because it can be any value, even undefined.
 */
interface ResumeError {
  readonly error: unknown;
}

/** The steps and bytes that are left in this turn, and the objects that wait for the next turn. */
export class TurnBudget {
  #steps = TURN_STEPS;
  #bytes = TURN_BYTES;
  #deferred: Deferred[] = [];
  /** Whether `#resume` will run in the next turn. */
  #scheduled = false;

  /** Takes one step from the budget of this turn. Returns false if the budget was spent before. */
  spend(): boolean {
    return --this.#steps >= 0 && this.#bytes > 0;
  }

  /** Takes bytes from the budget of this turn. */
  spendBytes(count: number): void {
    this.#bytes -= count;
  }

  /** Begins a new turn with this number of events. */
  renew(events: number): void {
    this.#steps = TURN_STEPS + STEPS_PER_EVENT * events;
    this.#bytes = TURN_BYTES;
  }

  /** Adds steps, and no bytes, for a further batch of events in the same turn. */
  extend(events: number): void {
    this.#steps = Math.max(this.#steps, 0) + STEPS_PER_EVENT * events;
  }

  /** Whether an object waits for the next turn. */
  get hasDeferred(): boolean {
    return this.#deferred.length > 0;
  }

  /** Resumes `deferred` in the next turn. */
  defer(deferred: Deferred): void {
    this.#deferred.push(deferred);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#resume);
  }

  /** Returns a promise that resolves in the next turn, after the objects that were deferred before it. */
  next(): Promise<void> {
    return new Promise((resume) => this.defer({ resume }));
  }

  /**
   * Returns a promise that rejects with `error`, in the next turn if the budget of this turn is spent. Otherwise a loop
   * that repeats a failing call would never leave the microtasks.
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

  /** Begins a turn with the deferred objects, and resumes them while the budget lasts. */
  readonly #resume = (): void => {
    const deferred = this.#deferred;
    this.#deferred = [];
    this.#scheduled = false;
    this.renew(deferred.length);
    let index = 0;
    let firstError: ResumeError | undefined;
    while (index < deferred.length && this.#steps > 0 && this.#bytes > 0) {
      try {
        deferred[index++]!.resume();
      } catch (error) {
        firstError ??= { error };
      }
    }
    if (index < deferred.length) this.#deferRest(deferred, index);
    if (firstError !== undefined) throw firstError.error;
  };

  /** Defers the objects from index `start` on, which were not resumed, to the next turn. */
  #deferRest(deferred: readonly Deferred[], start: number): void {
    // The rest comes before the objects that were resumed in this turn and then deferred again. Otherwise objects that
    // are deferred again each time could use up every turn.
    const deferredAgain = this.#deferred;
    this.#deferred = deferred.slice(start);
    for (const object of deferredAgain) this.#deferred.push(object);
    this.#schedule();
  }
}

/** The budget of this thread. If a thread has loaded several copies of the package, each copy has a budget. */
export const threadTurnBudget: TurnBudget = new TurnBudget();
