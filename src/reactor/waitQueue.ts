// The calls of one kind on a descriptor: try the call, wait, try again. This is the one place for EAGAIN, EINTR,
// deadlines, aborts and the order of calls.
//
// READY is a flag of the queue: an attempt may succeed. A call makes an attempt at once if READY is set, no call is
// before it, and the budget of the turn is not spent. Otherwise it enters the queue. The kernel sends one event per
// change (edge-triggered), and each event serves the queue in order. Three invariants ensure that a call never waits
// for an event that does not come:
//
// - READY is cleared only after EAGAIN, or when the next attempt is certain to return EAGAIN: if `drained()` is true,
//   and after a short read on TCP. A short read gets fewer bytes than it requested. On TCP it means that the receive
//   buffer is empty (epoll(7), question 9), and later data make a new event. So no second read is needed. A TCP read
//   may also be short at urgent data, at the end of the stream, and before an error. The event of these cases has more
//   bits than EPOLLIN, and the descriptor clears `shortMeansEmpty` before it wakes the queue. `shortMeansEmpty` is
//   never set for UNIX sockets, because their reads stop between messages with different control data.
// - Every event sets READY. While READY is clear and a call waits, the descriptor is registered for events.
// - If the queue stops while READY is set and calls are left, it schedules its continuation: in the next turn if the
//   budget of this turn is spent, or after a pause (retryPause.ts). After INCOMPLETE the queue waits for an event
//   although READY is set: the missing bytes cause one.
//
// A call with MSG_DONTWAIT (a nonblocking call) never waits for an event. It makes an attempt even if READY is clear,
// because the socket may be ready before the reactor has read the event from epoll. If an earlier call waits for an
// event, the call fails with EAGAIN. If the earlier calls wait only for the next turn, the call waits behind them.
//
// A call that fails without a system call (a closed socket, an aborted signal, EAGAIN because earlier calls wait) also
// counts against the budget. Otherwise a loop that repeats the call would never leave the microtasks.
//
// An attempt may run code of users: the `fd` getter of a file, the `fileno()` of a socket to pass. That code may close
// the descriptor, so `head` is read again after each attempt.
//
// A call settles once: it leaves the queue before its promise is settled. An attempt and the settling are one step of
// JavaScript. No attempt runs for a call that was aborted or has timed out, so no bytes are lost.

import { setTransferred, onAbort } from "../wait/aborts.js";
import { rejection } from "../wait/rejection.js";
import { closedError, EAGAIN, EBADF, ECANCELED, EINTR, socketError } from "../sys/errno.js";
import { deadlineErrorOf, errorOf, INCOMPLETE, isTransient, mustWait, type Operation, PROGRESS } from "./operation.js";
import { DEFERRED, NONBLOCKING, READY, SHORT_MEANS_EMPTY } from "./queueState.js";
import { RetryPause } from "./retryPause.js";
import { countCompleted, countPart } from "./transferCounts.js";
import { promiseOfNextWaiter, type CompletionHandler, Waiter, PENDING } from "./waiter.js";
import { WaiterList } from "./waiterList.js";

export class WaitQueue extends WaiterList {
  /** Made at the first EAGAIN after which no event comes, or at the first transient error; see retryPause.ts. */
  private pause: RetryPause | undefined = undefined;

  /**
   * Runs an operation: at once if possible, otherwise after the calls before it, when the kernel is ready.
   *
   * @param holder an object that must not be collected while the call waits
   * @param timeout in ms, or null for none
   */
  run<A, B, T>(
    holder: object,
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    timeout: number | null,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { owner } = this;
    if (signal !== undefined && signal.aborted) return this.refuse(signal.reason);
    if (owner.fd < 0) return this.refuse(closedError(operation.syscall, operation.details?.(a, b)));
    if ((this.bits & READY) !== 0 && this.head === undefined && owner.reactor.spend()) {
      const result = this.tryAtOnce(operation, a, b);
      if (result >= 0) {
        const value = operation.complete(result, a, b);
        return Promise.resolve(value) as Promise<T>;
      }
      if (result === EAGAIN && operation.isNonblocking?.(a, b) === true) {
        return Promise.reject(errorOf(operation, EAGAIN, a, b));
      }
      if (!mustWait(operation, result, a, b)) return rejection(errorOf(operation, result, a, b, this.owner));
    } else if (this.head === undefined && (this.bits & READY) === 0) {
      if (operation.alwaysTries === true || operation.isNonblocking?.(a, b) === true) {
        // With READY set, the next run() makes an attempt, or enters the queue if the budget is spent.
        this.bits |= READY;
        return this.run(holder, operation, a, b, timeout, signal);
      }
    } else if (this.head !== undefined && (this.bits & DEFERRED) === 0 && operation.isNonblocking?.(a, b) === true) {
      // The calls before this one wait for an event or a pause.
      return this.refuse(errorOf(operation, EAGAIN, a, b));
    }
    const failure = this.register(operation, a, b);
    if (failure !== undefined) return rejection(failure);
    const promise = promiseOfNextWaiter() as Promise<T>;
    const waiter = new Waiter(this, operation, a, b, holder, undefined);
    this.enqueue(waiter, timeout);
    // After enqueue(), because only the removal from the queue removes the listener from the signal.
    if (signal !== undefined) {
      waiter.signal = signal;
      onAbort(signal, waiter);
    }
    if (operation.isNonblocking?.(a, b) === true) this.bits |= NONBLOCKING;
    return promise;
  }

  /**
   * Like `run`, for code of this package that needs no promise. The call must not be a nonblocking one.
   *
   * @returns the value, or PENDING if the call waits; `handler` then gets the outcome
   * @throws the error of a call that fails at once
   */
  submit<A, B, T>(
    handler: CompletionHandler<T>,
    holder: object,
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    timeout: number | null,
  ): T | typeof PENDING {
    const { owner } = this;
    if (owner.fd < 0) throw closedError(operation.syscall, operation.details?.(a, b));
    if (operation.alwaysTries === true && this.head === undefined) this.bits |= READY;
    if ((this.bits & READY) !== 0 && this.head === undefined && owner.reactor.spend()) {
      const result = this.tryAtOnce(operation, a, b);
      if (result >= 0) return operation.complete(result, a, b);
      if (!mustWait(operation, result, a, b)) throw errorOf(operation, result, a, b, this.owner);
    }
    const failure = this.register(operation, a, b);
    if (failure !== undefined) throw failure;
    this.enqueue(new Waiter(this, operation, a, b, holder, handler), timeout);
    return PENDING;
  }

  /**
   * Makes the first attempts of a call, until it has its result or must wait. A transient error starts no pause here:
   * the call enters the queue, and the pause starts if the next attempt fails too.
   */
  private tryAtOnce<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): number {
    const { owner } = this;
    const { reactor } = owner;
    let result = operation.attempt(reactor.calls, owner.fd, a, b);
    // afterPart() comes first: it counts the bytes of this attempt, and may clear READY.
    while (result < 0 && this.afterPart(operation, result, a, b) && (this.bits & READY) !== 0 && reactor.spend()) {
      result = operation.attempt(reactor.calls, owner.fd, a, b);
    }
    if (result >= 0) this.afterSuccess(operation, result, a, b);
    else if (result === EAGAIN) this.afterEagain();
    return result;
  }

  /**
   * Makes one attempt and never waits. Returns the result of the attempt, which may be EAGAIN. If other calls wait in
   * this queue or the budget of the turn is spent, returns EAGAIN without an attempt. After a result >= 0 the caller
   * must call `complete()` of the operation.
   */
  tryNow<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): number {
    const { fd, reactor } = this.owner;
    if (fd < 0) return EBADF;
    if (this.head !== undefined || !reactor.spend()) return EAGAIN;
    let result = operation.attempt(reactor.calls, fd, a, b);
    while (result === EINTR && reactor.spend()) result = operation.attempt(reactor.calls, fd, a, b);
    if (result >= 0) {
      this.bits |= READY;
      this.afterSuccess(operation, result, a, b);
    } else if (result === EAGAIN) {
      this.afterEagain();
    } else if (result === EINTR) {
      // The budget is spent. EINTR does not mean that the socket is not ready, so the next call must make an attempt.
      this.bits |= READY;
      return EAGAIN;
    }
    return result;
  }

  /** Like `tryNow`, but returns EAGAIN without an attempt while READY is clear. */
  tryIfReady<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): number {
    return (this.bits & READY) !== 0 ? this.tryNow(operation, a, b) : EAGAIN;
  }

  /** Called after EAGAIN. Returns whether an event will come. If so, clears READY. */
  private afterEagain(): boolean {
    if (this.owner.isReady?.(this) === true) return false;
    this.pause?.resetRefusals();
    this.bits &= ~READY;
    return true;
  }

  /** Returns a promise that rejects with `error`: at once, or in the next turn if the budget of this turn is spent. */
  private refuse(error: unknown): Promise<never> {
    const { reactor } = this.owner;
    if (reactor.spend()) return rejection(error);
    return new Promise((resolve) => reactor.defer({ resume: () => resolve(rejection(error)) }));
  }

  /** Registers the descriptor for a call that will wait. Returns the error if the registration fails. */
  private register<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): Error | undefined {
    // With READY set, the call will wait only for the next turn.
    const result = (this.bits & READY) !== 0 ? 0 : this.owner.register(this);
    if (result >= 0) return undefined;
    // No event will come, so the next call has to try.
    this.bits |= READY;
    return this.registrationError(result, operation, a, b);
  }

  private registrationError<A, B, T>(errno: number, operation: Operation<A, B, T>, a: A, b: B): Error {
    return socketError(errno, this.owner.reactor.failedCall, operation.details?.(a, b));
  }

  private enqueue(waiter: Waiter, timeout: number | null): void {
    const wasEmpty = this.head === undefined;
    this.append(waiter, timeout);
    if (!wasEmpty) return;
    this.owner.onWaiting?.(this);
    if ((this.bits & READY) !== 0) this.defer();
  }

  /**
   * Sets READY and serves the queue.
   *
   * @param events the bits of epoll(7) for `completedBy()` of the operations; 0 without an event, and for reads
   */
  wake(events: number = 0): void {
    this.bits |= READY;
    // In these cases resume() serves the queue, in the next turn or after the pause.
    if (this.head === undefined || (this.bits & DEFERRED) !== 0 || this.pause?.active === true) return;
    this.serve(events);
  }

  /** Clears READY after a splice to this descriptor got EAGAIN. The splice ran in the queue of its source. */
  setNotReady(): void {
    this.bits &= ~READY;
    if (this.head !== undefined) this.awaitEvent();
  }

  /** Called when the reactor has failed. Rejects the calls that wait for an event, because none will come. */
  onFailure(): void {
    // With READY set, the calls wait only for the next turn or the end of a pause, and still make their attempts.
    if (this.head !== undefined && (this.bits & READY) === 0) this.awaitEvent();
  }

  /** Leaves the calls in the queue until an event, and registers the descriptor. If that fails, the calls reject. */
  private awaitEvent(): void {
    const result = this.owner.register(this);
    if (result >= 0) return;
    // No event will come, so the next call has to try.
    this.bits |= READY;
    for (let waiter = this.head; waiter !== undefined; waiter = this.head) {
      const { operation, a, b } = waiter;
      this.remove(waiter);
      waiter.reject(this.registrationError(result, operation, a, b));
    }
  }

  /** Rejects the calls whose first operand is `operand`, with `reason`. */
  withdraw(operand: object, reason: unknown): void {
    for (const waiter of this.removeAll(({ a }) => a === operand)) waiter.reject(reason);
    this.afterRemoval();
  }

  /** Serves the queue in the turn after defer(), or after a pause. */
  resume(): void {
    this.bits &= ~DEFERRED;
    if (this.head === undefined || this.pause?.active === true) return;
    if ((this.bits & READY) !== 0) this.serve(0);
    // READY was cleared after defer(), for example by setNotReady().
    else this.awaitEvent();
  }

  private defer(): void {
    if ((this.bits & DEFERRED) !== 0) return;
    this.bits |= DEFERRED;
    this.owner.reactor.defer(this);
  }

  /**
   * Makes attempts of the waiting calls. Then nonblocking calls that would wait for an event fail with EAGAIN.
   *
   * @param events see `wake`
   */
  private serve(events: number): void {
    this.attemptInOrder(events);
    // With DEFERRED set, nonblocking calls that are left wait only for the next turn.
    if ((this.bits & NONBLOCKING) === 0 || (this.bits & DEFERRED) !== 0) return;
    this.bits &= ~NONBLOCKING;
    for (const waiter of this.removeAll(({ operation, a, b }) => operation.isNonblocking?.(a, b) === true)) {
      waiter.reject(errorOf(waiter.operation, EAGAIN, waiter.a, waiter.b));
    }
  }

  /** Attempts the waiting calls in order, until none is left or the first one has to go on waiting. */
  private attemptInOrder(events: number): void {
    const { reactor, fd } = this.owner;
    for (let waiter = this.head; waiter !== undefined; waiter = this.head) {
      if ((this.bits & READY) === 0) return this.awaitEvent();
      if (!reactor.spend()) return this.defer();
      const { operation, a, b } = waiter;
      let result: number;
      let value: unknown;
      try {
        result =
          events !== 0 && operation.completedBy !== undefined && operation.completedBy(events, a, b)
            ? 0
            : operation.attempt(reactor.calls, fd, a, b);
        if (result >= 0) value = operation.complete(result, a, b);
      } catch (error) {
        // complete() throws if there is no memory for the value, and attempt() if code of users throws. Only this call
        // fails.
        if (waiter !== this.head) return;
        this.remove(waiter);
        waiter.reject(error);
        continue;
      }
      // If the call has left the queue, code of users has closed the descriptor or aborted the call during the attempt.
      if (waiter !== this.head) return;
      if (result >= 0) {
        this.afterSuccess(operation, result, a, b);
        this.remove(waiter);
        waiter.resolve(value);
      } else if (result === EAGAIN) {
        if (this.afterEagain()) return this.awaitEvent();
        // No event will come. After the first such EAGAIN the loop tries again without a pause; see retryPause.ts.
        if ((this.pause ??= new RetryPause()).countRefusal() > 1) return this.startPause(waiter);
      } else if (result === INCOMPLETE) {
        return this.awaitEvent();
      } else if (this.afterPart(operation, result, a, b)) {
        continue;
      } else if (isTransient(operation, result, a, b)) {
        return this.startPause(waiter);
      } else {
        this.remove(waiter);
        waiter.reject(errorOf(operation, result, a, b, this.owner));
      }
    }
  }

  /**
   * Called after an attempt that may have done only a part of its work. Returns true after EINTR and progress(): the
   * caller makes another attempt. Counts the bytes of progress().
   */
  private afterPart<A, B, T>(operation: Operation<A, B, T>, result: number, a: A, b: B): boolean {
    if (result > PROGRESS) return result === EINTR;
    const count = PROGRESS - result;
    this.pause?.reset();
    this.owner.reactor.spendBytes(count);
    countPart(this, operation, count);
    this.checkShortRead(operation, count, a, b);
    return true;
  }

  /** Clears READY after a short read that has emptied the socket; see the top of the file. */
  private checkShortRead<A, B, T>(operation: Operation<A, B, T>, count: number, a: A, b: B): void {
    if ((this.bits & SHORT_MEANS_EMPTY) === 0 || operation.requested === undefined) return;
    // A count of 0 is the end of the stream.
    if (count > 0 && count < operation.requested(a, b)) this.bits &= ~READY;
  }

  /** Counts a successful attempt, and clears READY if the next attempt is certain to return EAGAIN. */
  private afterSuccess<A, B, T>(operation: Operation<A, B, T>, result: number, a: A, b: B): void {
    this.pause?.reset();
    if (operation.movesBytes) this.owner.reactor.spendBytes(countCompleted(this, operation, result, a, b));
    if (operation.drained !== undefined && operation.drained(result, a, b)) this.bits &= ~READY;
    this.checkShortRead(operation, result, a, b);
  }

  /** Starts the pause before the next attempt of the first call in the queue. */
  private startPause({ operation, a, b }: Waiter): void {
    // The timer of the pause does not keep the process alive. The poller does, and awaitEvent() opens the poller.
    this.awaitEvent();
    this.pause ??= new RetryPause();
    this.pause.start(operation.transferred?.(a, b) ?? 0, () => this.resume());
  }

  /** Called after calls were removed. Schedules the calls that are left. If none is left, cancels the pause. */
  private afterRemoval(): void {
    if (this.head === undefined) this.pause?.cancel();
    else if ((this.bits & READY) !== 0 && this.pause?.active !== true) this.defer();
  }

  /** Settles a waiting call whose signal was aborted: with its received bytes, or else with the signal's reason. */
  abort(waiter: Waiter): void {
    const { operation, a, b } = waiter;
    const reason: unknown = waiter.signal!.reason;
    this.remove(waiter);
    if (!waiter.resolveWithReceived()) {
      setTransferred(reason, operation.transferred?.(a, b) ?? 0);
      waiter.reject(reason);
    }
    this.afterRemoval();
  }

  protected settleExpired(waiters: readonly Waiter[]): void {
    for (const waiter of waiters) {
      const { operation, a, b } = waiter;
      if (!waiter.resolveWithReceived()) waiter.reject(deadlineErrorOf(operation, a, b, this.owner));
    }
    this.afterRemoval();
  }

  /** Called when the descriptor is closed or released. Settles every call: with its received bytes, or ECANCELED. */
  cancel(): void {
    this.stopTimer();
    this.pause?.cancel();
    for (let waiter = this.head; waiter !== undefined; waiter = this.head) {
      this.remove(waiter);
      if (!waiter.resolveWithReceived()) waiter.reject(errorOf(waiter.operation, ECANCELED, waiter.a, waiter.b));
    }
  }
}
