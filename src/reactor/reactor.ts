// The reactor passes the kernel's events to the descriptors, sets the budget of each turn of the event loop
// (wait/turnBudget.ts), and keeps the process alive while calls wait.
//
// It registers each descriptor once, edge-triggered. Each registration has a slot (an index of a table) and a
// generation. The generation of a slot increases when the slot is freed. So a late event of a closed descriptor has an
// old generation, and the reactor drops it, even if another descriptor has the same slot or number now.
//
// Native code (the poller) calls epoll_wait(2) and writes the events into an array that it shares with the reactor.
// native/poller.h defines the words of the array:
//
// - WAITING: the number of waiting calls that keep the process alive
// - REFERENCED: 1 while the poller keeps the event loop alive
// - EVENT_COUNT: the number of events in the array, or the -errno of epoll_wait(2)
// - SAME_TURN: 1 if these events follow other events of the same turn of the loop
// - POLLER_NUMBER: the number of the poller, an argument of its calls
// - REPORTS_TURNS: 1 if JavaScript must call `pollerTurned` in the turn after each callback of the poller
// - from FIRST_EVENT on, slot, generation and event bits of each event, up to MAX_EVENTS events
// - then the table of relay.ts
//
// The package's JavaScript may be evaluated several times in a thread: two copies in node_modules, or a test runner
// that resets its modules. Each evaluation has a reactor and a poller of its own. Native code references the reactor
// only while a call waits. So an evaluation that is no longer used can be collected, and its poller is closed.

import { type Calls, calls as nativeCalls } from "../sys/calls.js";
import { type Relay, RelayTable } from "./relay.js";
import { runtime } from "../sys/runtime.js";
import { clock } from "../builtins.js";
import { addPendingSource, isDescribable } from "../registry/index.js";
import { type Deferred as DeferredStep, threadTurnBudget, TurnBudget } from "../wait/turnBudget.js";
import type { Waiter } from "./waiter.js";
import type { QueueDescriptor } from "./waiterList.js";

const WAITING = 0;
const REFERENCED = 1;
const EVENT_COUNT = 2;
const SAME_TURN = 3;
const POLLER_NUMBER = 4;
const REPORTS_TURNS = 5;
const FIRST_EVENT = 6;
/** Words of an event: slot, generation, event bits. */
const EVENT_WORDS = 3;
const MAX_EVENTS = 64;

/**
 * An error that an EventHandler has thrown. The reactor throws it again after all handlers got their events. The error
 * is in an object, because it may be any value, even undefined.
 */
interface HandlerError {
  readonly error: unknown;
}

/**
 * Gets the events of a registered descriptor. A handler must not run code of users, except in an attempt of an
 * operation (waitQueue.ts).
 */
export interface EventHandler {
  /** @param events the bits of epoll(7) */
  onReady(events: number): void;
  /** Called when no event will come any more. From now on a registration fails with `Reactor.failure`. */
  onFailure?(): void;
  /** Calls `visit` with each call that waits on the descriptor. */
  forEachWaiter?(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void;
}

/** An object that continues its work in the next turn. For code of users, the rule of {@link EventHandler} holds. */
export interface Deferred extends DeferredStep {
  /** Calls `visit` with each call that waits for the next turn. */
  forEachWaiter?(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void;
}

export class Reactor {
  readonly calls: Calls;
  /** The array that the poller and the reactor share. Undefined until the poller is open. */
  #shared: Int32Array | undefined;
  /** The number of the poller, once it is open. */
  #poller = -1;
  /** See REPORTS_TURNS. */
  #reportsTurns = false;
  /** Whether a call of `pollerTurned` is scheduled. */
  #reportScheduled = false;
  /** Until the poller is open, the number of calls for WAITING. They wait for the next turn, not for an event. */
  #waitingBeforeOpen = 0;
  #relays: RelayTable | undefined;
  /** The handler of each slot; undefined if the slot is free. */
  #handlers: (EventHandler | undefined)[] = [];
  /** The generation of each slot, also of a free slot. */
  #generations: number[] = [];
  #freeSlots: number[] = [];
  readonly #budget: TurnBudget;
  /** The time of the current batch of events. Undefined until `now()` needs it. */
  #batchTime: number | undefined;
  #failure = 0;

  /** @param budget defaultReactor() passes the budget that all code of the thread shares */
  constructor(calls: Calls = nativeCalls, budget: TurnBudget = new TurnBudget()) {
    this.calls = calls;
    this.#budget = budget;
  }

  /** The number of waiting calls that keep the process alive. */
  get waiting(): number {
    return this.#shared?.[WAITING] ?? this.#waitingBeforeOpen;
  }

  /** The -errno of epoll_wait(2), or 0. Once epoll_wait(2) has failed, no call can wait. */
  get failure(): number {
    return this.#failure;
  }

  /** Number of registered descriptors. */
  get registered(): number {
    return this.#handlers.length - this.#freeSlots.length;
  }

  /** The system call that failed in `add` or `addEpollout`, for the message of the error. */
  get failedCall(): "epoll_create1" | "epoll_ctl" | "epoll_wait" {
    if (this.#failure < 0) return "epoll_wait";
    return this.#shared === undefined ? "epoll_create1" : "epoll_ctl";
  }

  /**
   * Opens the poller now, if it is not open. If that fails, the first call that waits tries again and reports the
   * error.
   */
  prepare(): void {
    if (this.#shared === undefined) this.#open();
  }

  /** @returns 0, or -errno */
  #open(): number {
    const usesThread = runtime.poller === "thread" ? 1 : 0;
    const shared = this.calls.openPoller(this.#onEvents, usesThread);
    if (typeof shared === "number") return shared;
    this.#shared = shared;
    this.#poller = shared[POLLER_NUMBER]!;
    this.#reportsTurns = shared[REPORTS_TURNS] === 1;
    this.#relays = RelayTable.at(shared, FIRST_EVENT + EVENT_WORDS * MAX_EVENTS);
    shared[WAITING] = this.#waitingBeforeOpen;
    if (this.#waitingBeforeOpen > 0) this.calls.pollerRef(this.#poller);
    return 0;
  }

  /**
   * Registers a descriptor for all events, edge-triggered. If it is ready already, an event comes in the next turn.
   *
   * @param withoutEpollout whether the registration has no EPOLLOUT; `addEpollout` adds it later
   * @returns the slot, or -errno; `failedCall` is the call that returned the errno
   */
  add(fd: number, handler: EventHandler, withoutEpollout: boolean = false): number {
    if (this.#failure < 0) return this.#failure;
    if (this.#shared === undefined) {
      const result = this.#open();
      if (result < 0) return result;
    }
    const slot = this.#freeSlots.pop() ?? this.#handlers.length;
    const generation = this.#generations[slot] ?? 0;
    const result = this.calls.pollerAdd(fd, slot, generation, withoutEpollout ? 1 : 0, this.#poller);
    this.#generations[slot] = generation;
    this.#handlers[slot] = result < 0 ? undefined : handler;
    if (result < 0) {
      this.#freeSlots.push(slot);
      return result;
    }
    return slot;
  }

  /** Adds EPOLLOUT to a registration. Returns 0 or -errno. */
  addEpollout(fd: number, slot: number): number {
    const withoutEpollout = 0;
    return this.calls.pollerModify(fd, slot, this.#generations[slot]!, withoutEpollout, this.#poller);
  }

  /**
   * Ends a registration with epoll_ctl(2). Must run before the descriptor is closed.
   *
   * @param fileId the identity of the open file, if other code has the number of the descriptor. The number may refer
   *   to another file by now, whose entry epoll_ctl(2) must not remove
   */
  remove(fd: number, slot: number, fileId: number = 0): void {
    if (fileId > 0) this.calls.pollerRemove(fd, this.#poller, fileId);
    else this.calls.pollerRemove(fd, this.#poller);
    this.freeSlot(slot);
  }

  /**
   * Ends a registration without epoll_ctl(2), before close(2) of a descriptor without a duplicate: close(2) removes the
   * entry of epoll. If a duplicate exists nevertheless and keeps the entry, the reactor drops its events.
   */
  freeSlot(slot: number): void {
    this.#handlers[slot] = undefined;
    this.#generations[slot] = (this.#generations[slot]! + 1) >>> 0;
    this.#freeSlots.push(slot);
  }

  /** Calls `visit` once with each call that waits, for an event or for the next turn. */
  forEachWaiter(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void {
    // A queue may belong to a registered descriptor and also be deferred.
    const seen = new Set<Waiter>();
    const once = (waiter: Waiter, owner: QueueDescriptor): void => {
      if (seen.has(waiter)) return;
      seen.add(waiter);
      visit(waiter, owner);
    };
    for (const handler of this.#handlers) handler?.forEachWaiter?.(once);
    this.#budget.forEachDeferred((deferred: Deferred) => deferred.forEachWaiter?.(once));
  }

  /** Returns a relay whose source is the descriptor of a slot; undefined if the table of relays has no entry for it. */
  makeRelay(slot: number): Relay | undefined {
    return this.#relays?.makeRelay(slot, this.#generations[slot]!);
  }

  /** Counts a waiting call that keeps the process alive. */
  hold(): void {
    const shared = this.#shared;
    if (shared === undefined) {
      this.#waitingBeforeOpen++;
      return;
    }
    shared[WAITING]!++;
    if (shared[REFERENCED] === 0) this.calls.pollerRef(this.#poller);
  }

  /** Subtracts a call that {@link hold} has counted. */
  release(): void {
    const shared = this.#shared;
    if (shared === undefined) this.#waitingBeforeOpen--;
    // If no call waits, pollerTurned() makes the references of native code weak. It is called in the next turn and not
    // at once, because most often another call waits by then.
    else if (--shared[WAITING]! === 0 && this.#reportsTurns) this.#reportTurnLater();
  }

  /** Schedules a call of `pollerTurned` for the next turn. Only the poller without libuv needs it. */
  #reportTurnLater(): void {
    if (this.#reportScheduled) return;
    this.#reportScheduled = true;
    setImmediate(this.#reportTurn);
  }

  readonly #reportTurn = (): void => {
    this.#reportScheduled = false;
    const mustRepeat = this.calls.pollerTurned(this.#poller) === 1;
    if (mustRepeat) this.#reportTurnLater();
  };

  /** Takes one step from the budget of this turn. False if the budget is spent. */
  spend(): boolean {
    return this.#budget.spend();
  }

  /**
   * The time of `clock()` in whole milliseconds, because V8 allocates no memory for a small integer. While a batch of
   * events is handled, the clock is read once: all calls that begin to wait have the same time.
   */
  now(): number {
    const shared = this.#shared;
    // The poller sets the number of events to 0 after its last batch.
    const handlesBatch = shared !== undefined && shared[EVENT_COUNT]! > 0;
    if (!handlesBatch) return Math.floor(clock());
    return (this.#batchTime ??= Math.floor(clock()));
  }

  /** Takes bytes from the budget of this turn. */
  spendBytes(count: number): void {
    this.#budget.spendBytes(count);
  }

  /** Resumes `deferred` in the next turn. */
  defer(deferred: Deferred): void {
    this.#budget.defer(deferred);
  }

  // A field of the reactor keeps the function alive, because native code references it only while a call waits.
  readonly #onEvents = (): void => this.#dispatch();

  #dispatch(): void {
    const shared = this.#shared!;
    if (this.#reportsTurns) this.#reportTurnLater();
    const count = shared[EVENT_COUNT]!;
    if (count < 0) {
      // A negative count is the -errno of epoll_wait(2).
      this.#fail(count);
      return;
    }
    const end = FIRST_EVENT + EVENT_WORDS * count;
    this.#batchTime = undefined;
    if (shared[SAME_TURN] === 0) this.#budget.renew(count);
    else this.#budget.extend(count);
    let firstError: HandlerError | undefined;
    for (let at = FIRST_EVENT; at < end; at += EVENT_WORDS) {
      const slot = shared[at]!;
      const handler = this.#handlers[slot];
      // Another generation: the event of an earlier descriptor. `| 0` makes the number signed, like those of the array.
      if (handler === undefined || shared[at + 1]! !== (this.#generations[slot]! | 0)) continue;
      try {
        handler.onReady(shared[at + 2]!);
      } catch (error) {
        firstError ??= { error };
      }
    }
    if (firstError !== undefined) throw firstError.error;
  }

  /** Records that epoll_wait(2) has failed, and calls `onFailure()` of all handlers. */
  #fail(errno: number): void {
    this.#failure = errno;
    let firstError: HandlerError | undefined;
    for (const handler of this.#handlers.slice()) {
      try {
        handler?.onFailure?.();
      } catch (error) {
        firstError ??= { error };
      }
    }
    if (firstError !== undefined) throw firstError.error;
  }
}

let reactor: Reactor | undefined;

/** The reactor of this thread, and of this evaluation of the package. */
export function defaultReactor(): Reactor {
  return (reactor ??= new Reactor(nativeCalls, threadTurnBudget));
}

// Lists the waiting calls for `pending()`.
addPendingSource((list) =>
  reactor?.forEachWaiter((waiter, { fd, keepsAlive }) => {
    const { holder, operation, since } = waiter;
    // A call that waits for the end of a connection has no socket as its holder, so that the socket can be collected.
    // Its description has the number of the descriptor instead.
    const object = isDescribable(holder) ? holder : { kind: "Descriptor", fd };
    const background = operation.background === true;
    list({ call: operation.syscall, object, since, keepsAlive: keepsAlive && !background, key: waiter });
  }),
);
