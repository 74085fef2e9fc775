// The waiting calls of a queue, in order, and the timer for their deadlines.

import { clock } from "../builtins.js";
import { registry } from "../registry/index.js";
import { offAbort } from "../wait/aborts.js";
import { MAX_TIMER_DELAY } from "../wait/waitOptions.js";
import type { Operation } from "./operation.js";
import type { Reactor } from "./reactor.js";
import { DEFERRED, READY, SHORT_MEANS_EMPTY, SHORT_MEANS_END } from "./queueState.js";
import type { Waiter } from "./waiter.js";

/** The descriptor, or the set of descriptors, that a queue waits for. */
export interface QueueDescriptor {
  readonly reactor: Reactor;
  /** Whether a waiting call keeps the process alive. After a change `updateReactorHolds()` of each queue must run. */
  readonly keepsAlive: boolean;
  /** -1 after it was closed or released. */
  readonly fd: number;
  /** See `FailedDescriptor` in operation.ts. */
  connectionErrno?: number;
  /** Registers the descriptor, if necessary, for the events that `queue` waits for. Returns 0 or -errno. */
  register(queue: WaiterList): number;
  /** Whether poll(2) reports the descriptor as ready for `queue`. Called after EAGAIN. */
  isReady?(queue: WaiterList): boolean;
  /** Called when a call enters `queue` and no other call waits there. */
  onWaiting?(queue: WaiterList): void;
}

/** The timer of a list. */
interface DeadlineTimer {
  /** Undefined while no timer runs. */
  nodeTimer: NodeJS.Timeout | undefined;
  /** The deadline for which the timer runs. */
  deadline: number;
}

/** A doubly linked list: `head` is undefined exactly when no call waits. */
export abstract class WaiterList {
  protected readonly owner: QueueDescriptor;
  /** The flags of queueState.ts. */
  protected bits: number = READY;
  protected head: Waiter | undefined = undefined;
  private tail: Waiter | undefined = undefined;
  /** Made for the first deadline. */
  private timer: DeadlineTimer | undefined = undefined;
  /** The fields of TransferCounts (transferCounts.ts). */
  bytes: number = 0;
  transfers: number = 0;

  constructor(owner: QueueDescriptor) {
    this.owner = owner;
  }

  get shortMeansEmpty(): boolean {
    return (this.bits & SHORT_MEANS_EMPTY) !== 0;
  }

  set shortMeansEmpty(value: boolean) {
    this.bits = value ? this.bits | SHORT_MEANS_EMPTY : this.bits & ~SHORT_MEANS_EMPTY;
  }

  get shortMeansEnd(): boolean {
    return (this.bits & SHORT_MEANS_END) !== 0;
  }

  set shortMeansEnd(value: boolean) {
    this.bits = value ? this.bits | SHORT_MEANS_END : this.bits & ~SHORT_MEANS_END;
  }

  /** Calls `visit` with each waiting call, in order. */
  forEachWaiter(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void {
    for (let waiter = this.head; waiter !== undefined; waiter = waiter.next) visit(waiter, this.owner);
  }

  /** Whether a call waits. */
  get busy(): boolean {
    return this.head !== undefined;
  }

  /**
   * The bytes that the first call has transferred, if it runs this operation. 0 if it runs another operation, -1 if no
   * call waits.
   */
  progressOf<A, B, T>(operation: Operation<A, B, T>): number {
    const { head } = this;
    if (head === undefined) return -1;
    const { a, b } = head as { readonly a: A; readonly b: B };
    return head.operation === (operation as unknown) && operation.transferred !== undefined
      ? operation.transferred(a, b)
      : 0;
  }

  /** Adds a call at the end, with its deadline. Holds the reactor, if the call keeps the process alive. */
  protected append(waiter: Waiter, timeout: number | null): void {
    if (timeout !== null) {
      waiter.deadline = clock() + timeout;
      this.startTimer(waiter.deadline);
    }
    const { keepsAlive, reactor } = this.owner;
    waiter.since = reactor.now();
    if (keepsAlive && waiter.operation.background !== true) reactor.hold();
    if (this.head === undefined) this.head = waiter;
    else {
      waiter.previous = this.tail;
      this.tail!.next = waiter;
    }
    this.tail = waiter;
    if (registry !== undefined) registry.addCall(waiter, waiter.operation.syscall, waiter.holder);
  }

  /**
   * Removes a call from the list and from its signal. Releases the reactor, if the call kept the process alive. The
   * timer of the list keeps running.
   */
  protected remove(waiter: Waiter): void {
    if (waiter.previous === undefined) this.head = waiter.next;
    else waiter.previous.next = waiter.next;
    if (waiter.next === undefined) this.tail = waiter.previous;
    else waiter.next.previous = waiter.previous;
    waiter.next = waiter.previous = undefined;
    if (waiter.signal !== undefined) offAbort(waiter.signal, waiter);
    if (registry !== undefined) registry.removeCall(waiter);
    const { keepsAlive, reactor } = this.owner;
    if (keepsAlive && waiter.operation.background !== true) reactor.release();
  }

  /** Removes the calls for which `isSelected` returns true, and returns them in order. */
  protected removeAll(isSelected: (waiter: Waiter) => boolean): Waiter[] {
    const removed: Waiter[] = [];
    for (let waiter = this.head; waiter !== undefined;) {
      const next: Waiter | undefined = waiter.next;
      if (isSelected(waiter)) {
        this.remove(waiter);
        removed.push(waiter);
      }
      waiter = next;
    }
    return removed;
  }

  /** Called after the owner's `keepsAlive` has changed: holds or releases the reactor once for each waiting call. */
  updateReactorHolds(): void {
    const { keepsAlive, reactor } = this.owner;
    for (let waiter = this.head; waiter !== undefined; waiter = waiter.next) {
      if (waiter.operation.background === true) continue;
      if (keepsAlive) reactor.hold();
      else reactor.release();
    }
  }

  /**
   * Starts the timer for a deadline, unless it runs for an earlier one. The list has one timer, for its earliest
   * deadline. The timer keeps running when a call settles before its deadline. So most calls start and clear no timer.
   */
  private startTimer(deadline: number): void {
    const timer = (this.timer ??= { nodeTimer: undefined, deadline });
    if (timer.nodeTimer !== undefined) {
      if (deadline >= timer.deadline) return;
      clearTimeout(timer.nodeTimer);
    }
    timer.deadline = deadline;
    const delay = Math.min(Math.max(Math.ceil(deadline - clock()), 1), MAX_TIMER_DELAY);
    // The timer need not keep the process alive, because the waiting call does.
    timer.nodeTimer = setTimeout(() => this.onTimer(timer), delay).unref();
  }

  /**
   * Timers run before the loop fetches events. So the deadlines are checked after the events: a call whose data came
   * while the thread was busy completes.
   */
  private onTimer(timer: DeadlineTimer): void {
    timer.nodeTimer = undefined;
    if (this.head !== undefined) setImmediate(() => this.expire({ mayPostpone: true }));
  }

  private expire({ mayPostpone }: { readonly mayPostpone: boolean }): void {
    if (mayPostpone && (this.bits & DEFERRED) !== 0) {
      // The calls make their next attempts in this turn or the next one, and may complete. The check of the deadlines
      // is postponed only once, because a long transfer is deferred again and again.
      setImmediate(() => this.expire({ mayPostpone: false }));
      return;
    }
    const now = clock();
    const expired = this.removeAll(({ deadline }) => deadline !== undefined && deadline <= now);
    let earliest = Infinity;
    for (let waiter = this.head; waiter !== undefined; waiter = waiter.next) {
      if (waiter.deadline !== undefined && waiter.deadline < earliest) earliest = waiter.deadline;
    }
    if (earliest !== Infinity) this.startTimer(earliest);
    // The call with the earliest deadline settles first.
    if (expired.length > 1) expired.sort((a, b) => a.deadline! - b.deadline!);
    if (expired.length > 0) this.settleExpired(expired);
  }

  /** Settles calls whose deadlines have passed. They have left the list. */
  protected abstract settleExpired(waiters: readonly Waiter[]): void;

  protected stopTimer(): void {
    const timer = this.timer;
    if (timer === undefined) return;
    clearTimeout(timer.nodeTimer);
    timer.nodeTimer = undefined;
  }
}
