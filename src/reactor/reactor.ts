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
// - COUNT: the number of events in the array, or the -errno of epoll_wait(2)
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
const COUNT = 2;
const SAME_TURN = 3;
const POLLER_NUMBER = 4;
const REPORTS_TURNS = 5;
const FIRST_EVENT = 6;
const MAX_EVENTS = 64;

/**
 * An error of a descriptor's handler. It is thrown after the other descriptors got their events. The error is in an
 * object, because it may be any value, even undefined.
 */
interface HandlerError {
  readonly error: unknown;
}

/** A registered descriptor. It must not run code of users, except in an attempt of an operation (waitQueue.ts). */
export interface Source {
  /** @param events the bits of epoll(7) */
  onReady(events: number): void;
  /** Called when no event will come any more. From now on a registration fails with `Reactor.failure`. */
  onFailure?(): void;
  /** Calls `visit` with each call that waits on the descriptor. */
  forEachWaiter?(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void;
}

/** An object that continues its work in the next turn. For code of users, the rule of {@link Source} holds. */
export interface Deferred extends DeferredStep {
  /** Calls `visit` with each call that waits for the next turn. */
  forEachWaiter?(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void;
}

export class Reactor {
  readonly calls: Calls;
  #shared: Int32Array | undefined;
  /** The number of the poller, once it is open. */
  #poller = -1;
  /** See REPORTS_TURNS. */
  #reportsTurns = false;
  /** Whether a call of `pollerTurned` is scheduled. */
  #reportScheduled = false;
  /** The value of WAITING until the poller is open. These calls wait for the next turn, not for an event. */
  #waitingBeforeOpen = 0;
  #relays: RelayTable | undefined;
  #sources: (Source | undefined)[] = [];
  #generations: number[] = [];
  #freeSlots: number[] = [];
  readonly #turn: TurnBudget;
  /** The time of the current batch of events. Undefined until `now()` needs it. */
  #batchTime: number | undefined;
  #failure = 0;

  /** @param turn the budget of a turn; tests pass one of their own */
  constructor(calls: Calls = nativeCalls, turn: TurnBudget = new TurnBudget()) {
    this.calls = calls;
    this.#turn = turn;
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
    return this.#sources.length - this.#freeSlots.length;
  }

  /** The system call that failed in `add` or `addWriting`, for the message of the error. */
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
    const shared = this.calls.openPoller(this.#onEvents, runtime.poller === "thread" ? 1 : 0);
    if (typeof shared === "number") return shared;
    this.#shared = shared;
    this.#poller = shared[POLLER_NUMBER]!;
    this.#reportsTurns = shared[REPORTS_TURNS] === 1;
    this.#relays = RelayTable.at(shared, FIRST_EVENT + 3 * MAX_EVENTS);
    shared[WAITING] = this.#waitingBeforeOpen;
    if (this.#waitingBeforeOpen > 0) this.calls.pollerRef(this.#poller);
    return 0;
  }

  /**
   * Registers a descriptor for all events, edge-triggered. If it is ready already, an event comes in the next turn.
   *
   * @param readingOnly whether to register without EPOLLOUT; `addWriting` adds it
   * @returns the slot, or -errno; `failedCall` is the call that returned it
   */
  add(fd: number, source: Source, readingOnly: boolean = false): number {
    if (this.#failure < 0) return this.#failure;
    if (this.#shared === undefined) {
      const result = this.#open();
      if (result < 0) return result;
    }
    const slot = this.#freeSlots.pop() ?? this.#sources.length;
    const generation = this.#generations[slot] ?? 0;
    const result = this.calls.pollerAdd(fd, slot, generation, readingOnly ? 1 : 0, this.#poller);
    this.#generations[slot] = generation;
    this.#sources[slot] = result < 0 ? undefined : source;
    if (result < 0) {
      this.#freeSlots.push(slot);
      return result;
    }
    return slot;
  }

  /** Adds EPOLLOUT to a registration. Returns 0 or -errno. */
  addWriting(fd: number, slot: number): number {
    return this.calls.pollerModify(fd, slot, this.#generations[slot]!, 0, this.#poller);
  }

  /**
   * Ends a registration. Must run before the descriptor is closed.
   *
   * @param stays whether the descriptor or a duplicate stays open. The kernel then keeps the epoll entry, so
   *   epoll_ctl(2) must remove it. Otherwise close(2) removes it. If an unknown duplicate keeps the entry, the reactor
   *   drops its events
   * @param file the identity of the open file, if other code has the number of the descriptor. The number may refer
   *   to another file by now, whose entry epoll_ctl(2) must not remove
   */
  remove(fd: number, slot: number, stays: boolean, file: number = 0): void {
    if (stays && file > 0) this.calls.pollerRemove(fd, this.#poller, file);
    else if (stays) this.calls.pollerRemove(fd, this.#poller);
    this.#sources[slot] = undefined;
    this.#generations[slot] = (this.#generations[slot]! + 1) >>> 0;
    this.#freeSlots.push(slot);
  }

  /** Calls `visit` once with each call that waits, for an event or for the next turn. */
  forEachWaiter(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void {
    // The queue of a registered descriptor may be in both lists.
    const seen = new Set<Waiter>();
    const once = (waiter: Waiter, owner: QueueDescriptor): void => {
      if (seen.has(waiter)) return;
      seen.add(waiter);
      visit(waiter, owner);
    };
    for (const source of this.#sources) source?.forEachWaiter?.(once);
    this.#turn.forEachDeferred((deferred: Deferred) => deferred.forEachWaiter?.(once));
  }

  /** A relay whose source is a registered descriptor; undefined if the table has no entry for it. */
  makeRelay(slot: number): Relay | undefined {
    return this.#relays?.relay(slot, this.#generations[slot]!);
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
    // pollerTurned() is called in the next turn and not at once, because most often another call waits by then.
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
    if (this.calls.pollerTurned(this.#poller) === 1) this.#reportTurnLater();
  };

  /** Takes one step from the budget of this turn. False if the budget is spent. */
  spend(): boolean {
    return this.#turn.spend();
  }

  /**
   * The time of `clock()` in whole milliseconds, because V8 allocates no memory for a small integer. While a batch of
   * events is handled, the clock is read once: all calls that begin to wait have the same time.
   */
  now(): number {
    const shared = this.#shared;
    if (shared === undefined || shared[COUNT]! <= 0) return Math.floor(clock());
    return (this.#batchTime ??= Math.floor(clock()));
  }

  /** Takes bytes from the budget of this turn. */
  spendBytes(count: number): void {
    this.#turn.spendBytes(count);
  }

  /** Resumes `deferred` in the next turn. */
  defer(deferred: Deferred): void {
    this.#turn.defer(deferred);
  }

  // A field of the reactor keeps the function alive, because native code references it only while a call waits.
  readonly #onEvents = (): void => this.#dispatch();

  #dispatch(): void {
    const shared = this.#shared!;
    if (this.#reportsTurns) this.#reportTurnLater();
    const count = shared[COUNT]!;
    if (count < 0) {
      this.#fail(count);
      return;
    }
    const end = FIRST_EVENT + 3 * count;
    this.#batchTime = undefined;
    if (shared[SAME_TURN] === 0) this.#turn.renew(count);
    else this.#turn.extend(count);
    let firstError: HandlerError | undefined;
    for (let at = FIRST_EVENT; at < end; at += 3) {
      const slot = shared[at]!;
      const source = this.#sources[slot];
      // `| 0` makes the generation signed, as the numbers of the array are.
      if (source === undefined || shared[at + 1]! !== (this.#generations[slot]! | 0)) continue;
      try {
        source.onReady(shared[at + 2]!);
      } catch (error) {
        firstError ??= { error };
      }
    }
    if (firstError !== undefined) throw firstError.error;
  }

  /** Records that epoll_wait(2) has failed, and calls `onFailure()` of all sources. */
  #fail(errno: number): void {
    this.#failure = errno;
    let firstError: HandlerError | undefined;
    for (const source of this.#sources.slice()) {
      try {
        source?.onFailure?.();
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

addPendingSource((list) =>
  reactor?.forEachWaiter((waiter, { fd, keepsAlive }) => {
    const { holder, operation, since } = waiter;
    // The holder of a call that waits for the end of a connection is no socket, so that the socket can be collected.
    const object = isDescribable(holder) ? holder : { kind: "Descriptor", fd };
    const background = operation.background === true;
    list({ call: operation.syscall, object, since, keepsAlive: keepsAlive && !background, key: waiter });
  }),
);
