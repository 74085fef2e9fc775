// Readiness: from the kernel's events to what waits for them, the turn budget, and what keeps the process alive.
//
// One reactor per thread and evaluation. It registers each descriptor once, edge-triggered, for both directions, under a token: a slot
// of its table and the slot's generation. The generation goes up when a slot is given back, so an event that was fetched
// for a descriptor which has been closed since finds nobody, and never the descriptor that took over its slot or number.
//
// The turn budget. A call that succeeds at once settles in a microtask, and microtasks run until none is left: a loop over
// a busy socket would keep timers and other sockets waiting for ever. So each turn of the loop has a budget of operations
// and bytes. What comes after it is spent is deferred to the next turn, behind everything else that is ready. The budget
// grows with the number of events of a turn, so that thousands of connections that are ready together are all served.
//
// The shared array, whose layout native/poller.c fixes: [0] calls that wait, [1] whether the poll handle keeps the loop
// alive, [2] number of events or -errno of epoll_wait(2), [3] whether this batch follows another in the same turn of the loop,
// [4] the number of the poller, [5] whether it is to be told when the loop has turned, from [6] on slot, generation, events for
// each, up to MAX_EVENTS; then the table of reactor/relay.ts.
//
// The package's JavaScript may be evaluated several times in a thread: two copies in node_modules, or a test runner that
// resets its modules. Each evaluation has a reactor of its own, with a poller of its own. Native code holds the reactor only
// while a call waits, so the poller ends with the evaluation.

import { type Calls, calls as nativeCalls } from "../sys/calls.js";
import { type Note, RelayTable } from "./relay.js";
import { runtime } from "../sys/runtime.js";

const WAITING = 0;
const REFERENCED = 1;
const COUNT = 2;
const FOLLOWS = 3;
const NUMBER = 4;
const SAYS_TURNED = 5;
const FIRST = 6;
const MAX_EVENTS = 1024;

/** Operations of a turn beside those that its events bring. */
const TURN_OPERATIONS = 256;
const OPERATIONS_PER_EVENT = 4;
const TURN_BYTES = 4 << 20;

/** An error of ours, if any. It is thrown when the others have had their event or their turn, which come once. */
interface Failure {
  readonly error: unknown;
}

/** Who hears of events: epoll(7)'s bits, for both directions. It must not run code of users. */
export interface Source {
  onReady(events: number): void;
  /** No event comes any more: registering fails from now on, with `Reactor.failure`. */
  onFailure?(): void;
}

/** Who goes on in the next turn, because the budget of this one was spent. It must not run code of users. */
export interface Deferred {
  resume(): void;
}

export class Reactor {
  readonly calls: Calls;
  #shared: Int32Array | undefined;
  /** Its number, once it is open. */
  #poller = -1;
  /** Whether the native side does not see by itself that the loop has turned. */
  #saysTurned = false;
  #turning = false;
  /** Number of calls that wait, while the poller is not open: for their turn, which the immediate of `defer` brings. */
  #early = 0;
  #relays: RelayTable | undefined;
  #sources: (Source | undefined)[] = [];
  #generations: number[] = [];
  #freeSlots: number[] = [];
  #operations = TURN_OPERATIONS;
  #bytes = TURN_BYTES;
  #deferred: Deferred[] = [];
  #immediate = false;
  #failure = 0;

  constructor(calls: Calls = nativeCalls) {
    this.calls = calls;
  }

  /** Number of calls that wait. */
  get waiting(): number {
    return this.#shared?.[WAITING] ?? this.#early;
  }

  /** Why epoll_wait(2) failed for good, as -errno; 0 if it did not. No call can wait then. */
  get failure(): number {
    return this.#failure;
  }

  /** Number of registered descriptors. */
  get registered(): number {
    return this.#sources.length - this.#freeSlots.length;
  }

  /** The call that `add` failed in, for its error. */
  get failedCall(): "epoll_create1" | "epoll_ctl" | "epoll_wait" {
    if (this.#failure < 0) return "epoll_wait";
    return this.#shared === undefined ? "epoll_create1" : "epoll_ctl";
  }

  /**
   * Opens the poller, should it not be open, for who is sure to wait. An error is told to the first call that does wait, which
   * tries again.
   */
  prepare(): void {
    if (this.#shared === undefined) this.#open();
  }

  /** @returns 0, or -errno */
  #open(): number {
    const shared = this.calls.openPoller(this.#onEvents, runtime.poller === "thread" ? 1 : 0);
    if (typeof shared === "number") return shared;
    this.#shared = shared;
    this.#poller = shared[NUMBER]!;
    this.#saysTurned = shared[SAYS_TURNED] === 1;
    this.#relays = RelayTable.at(shared, FIRST + 3 * MAX_EVENTS);
    shared[WAITING] = this.#early;
    if (this.#early > 0) this.calls.pollerRef(this.#poller);
    return 0;
  }

  /**
   * Registers a descriptor for all events, edge-triggered. What is ready already is reported in the next turn.
   *
   * @param readingOnly not for EPOLLOUT, until `addWriting`
   * @returns the slot, or -errno, of the call that `failedCall` names
   */
  add(fd: number, source: Source, readingOnly: boolean = false): number {
    if (this.#failure < 0) return this.#failure;
    if (this.#shared === undefined) {
      const opened = this.#open();
      if (opened < 0) return opened;
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

  /** Registers for EPOLLOUT too. */
  addWriting(fd: number, slot: number): number {
    return this.calls.pollerModify(fd, slot, this.#generations[slot]!, 0, this.#poller);
  }

  /**
   * Ends a registration, right before the descriptor is closed or given away.
   *
   * @param stays whether the descriptor stays open somewhere: the kernel keeps an entry for as long as any duplicate of it is.
   *   Where none is, close(2) does the rest; should one be there that nobody knows of, its events find nobody
   * @param file which file a shared descriptor is: epoll_ctl(2) finds the entry by the number, which may be another's by now
   */
  remove(fd: number, slot: number, stays: boolean, file: number = 0): void {
    if (stays && file > 0) this.calls.pollerRemove(fd, this.#poller, file);
    else if (stays) this.calls.pollerRemove(fd, this.#poller);
    this.#sources[slot] = undefined;
    this.#generations[slot] = (this.#generations[slot]! + 1) >>> 0;
    this.#freeSlots.push(slot);
  }

  /** A note for the poller about a registered descriptor; undefined where there is no room for one. */
  makeNote(slot: number): Note | undefined {
    return this.#relays?.note(slot, this.#generations[slot]!);
  }

  /** One call more waits: the process stays alive. */
  hold(): void {
    const shared = this.#shared;
    if (shared === undefined) {
      this.#early++;
      return;
    }
    shared[WAITING]!++;
    if (shared[REFERENCED] === 0) this.calls.pollerRef(this.#poller);
  }

  /** One call less waits. When none is left, the poller does not keep the process alive. */
  release(): void {
    const shared = this.#shared;
    if (shared === undefined) this.#early--;
    else if (--shared[WAITING]! === 0 && this.#saysTurned) this.#sayTurned();
  }

  /** In the next turn: a poller without libuv waits for it, and mostly another call waits by then. */
  #sayTurned(): void {
    if (this.#turning) return;
    this.#turning = true;
    setImmediate(this.#turned);
  }

  readonly #turned = (): void => {
    this.#turning = false;
    if (this.calls.pollerTurned(this.#poller) === 1) this.#sayTurned();
  };

  /** Takes one operation from the budget of this turn; false when it is spent. */
  spend(): boolean {
    return --this.#operations >= 0 && this.#bytes > 0;
  }

  /** Takes bytes from the budget of this turn. */
  spendBytes(count: number): void {
    this.#bytes -= count;
  }

  /** Lets `deferred` go on in the next turn. */
  defer(deferred: Deferred): void {
    this.#deferred.push(deferred);
    if (this.#immediate) return;
    this.#immediate = true;
    setImmediate(this.#resume);
  }

  #renew(events: number): void {
    this.#operations = TURN_OPERATIONS + OPERATIONS_PER_EVENT * events;
    this.#bytes = TURN_BYTES;
  }

  /** A batch that follows another in the same turn brings its own operations and nothing else. */
  #extend(events: number): void {
    this.#operations = Math.max(this.#operations, 0) + OPERATIONS_PER_EVENT * events;
  }

  #resume = (): void => {
    const deferred = this.#deferred;
    this.#deferred = [];
    this.#immediate = false;
    this.#renew(deferred.length);
    let next = 0;
    let failure: Failure | undefined;
    while (next < deferred.length && this.#operations > 0 && this.#bytes > 0) {
      try {
        deferred[next++]!.resume();
      } catch (error) {
        failure ??= { error };
      }
    }
    if (next < deferred.length) this.#goOnSoon(deferred, next);
    if (failure !== undefined) throw failure.error;
  };

  /** What has had no turn, from `next` on, has it in the next one. */
  #goOnSoon(deferred: readonly Deferred[], next: number): void {
    // Who had no turn goes before those who have had one and want another, or the first could keep it for ever.
    const again = this.#deferred;
    this.#deferred = deferred.slice(next);
    for (const one of again) this.#deferred.push(one);
    if (this.#immediate) return;
    this.#immediate = true;
    setImmediate(this.#resume);
  }

  // A field, because native code does not hold the function while no call waits.
  readonly #onEvents = (): void => this.#dispatch();

  #dispatch(): void {
    const shared = this.#shared!;
    if (this.#saysTurned) this.#sayTurned();
    const count = shared[COUNT]!;
    if (count < 0) {
      this.#fail(count);
      return;
    }
    const end = FIRST + 3 * count;
    if (shared[FOLLOWS] === 0) this.#renew(shared[COUNT]!);
    else this.#extend(shared[COUNT]!);
    let failure: Failure | undefined;
    for (let at = FIRST; at < end; at += 3) {
      const slot = shared[at]!;
      const source = this.#sources[slot];
      // Compared as 32-bit numbers: the array is signed, the generation is not.
      if (source === undefined || shared[at + 1]! !== (this.#generations[slot]! | 0)) continue;
      try {
        source.onReady(shared[at + 2]!);
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== undefined) throw failure.error;
  }

  #fail(errno: number): void {
    this.#failure = errno;
    let failure: Failure | undefined;
    for (const source of this.#sources.slice()) {
      try {
        source?.onFailure?.();
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== undefined) throw failure.error;
  }
}

let reactor: Reactor | undefined;

/** The reactor of this thread, and of this evaluation of the package. */
export function defaultReactor(): Reactor {
  return (reactor ??= new Reactor());
}
