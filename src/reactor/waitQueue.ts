// The calls of one direction of a descriptor: try the call, wait, try again. The one place for EAGAIN, EINTR,
// deadlines, aborts and the order of calls.
//
// A call tries at once if no call is before it and the last attempt did not return EAGAIN. Otherwise it enters the
// queue. The kernel sends one event per change (edge-triggered), and each event serves the queue in order. A call would
// wait for an event that never comes unless three things hold:
//
// - `ready` becomes false only after EAGAIN, or when EAGAIN is certain. On a TCP socket a read that got fewer bytes
//   than it requested has emptied the socket (epoll(7), question 9), and later data make a new event. So the second
//   call of each read is unnecessary. That is wrong where a read stops early for another reason: at urgent data, or
//   before an end of the stream or an error that came with the same event. For those the descriptor clears
//   `shortMeansEmpty` before it wakes the queue. UNIX sockets stop between messages with different control data, so
//   they never set it.
// - Every event sets `ready`, and the descriptor is registered for events while a queue is not `ready`. A queue that
//   waits only for its turn does not need the registration, and a busy socket avoids it.
// - A queue may stop before its last call while `ready` is true. It then schedules its own continuation: in the next
//   turn if the budget of this turn is spent, or after a pause if the error ends with time (EMFILE in accept).
//
// In some cases the kernel returns EAGAIN and sends no event later; see retryPause.ts.
//
// A call with MSG_DONTWAIT waits only for its turn in the budget. It tries even if the last attempt returned EAGAIN,
// because the socket may be ready again before the reactor has read the event from epoll. If an earlier call waits for
// an event, the call fails with EAGAIN. If an earlier call waits only for the budget, the call waits for its turn.
//
// A call that fails without a system call (a closed socket, an aborted signal, EAGAIN behind others) also counts
// against the budget. Otherwise a loop that repeats the call would never leave the microtasks.
//
// An attempt may run code of users: the `fd` getter of a file, the `fileno()` of a socket to pass. That code may close
// the descriptor, so the queue is read again after each attempt.
//
// A call settles once: it leaves the queue before its promise is settled, and an attempt and the settling are one step
// of JavaScript. No attempt runs for a call that was aborted or has timed out, so no bytes are lost.

import { setTransferred, onAbort } from "../wait/aborts.js";
import { rejection } from "../wait/rejection.js";
import { closedError, EAGAIN, EBADF, ECANCELED, EINTR, socketError } from "../sys/errno.js";
import { deadlineErrorOf, errorOf, INCOMPLETE, isTransient, type Operation, PROGRESS, waits } from "./operation.js";
import { DEFERRED, NONBLOCKING, READY, SHORT_MEANS_EMPTY } from "./queueState.js";
import { RetryPause } from "./retryPause.js";
import { countCompleted, countPart } from "./transferCounts.js";
import { promiseOfNextWaiter, type CompletionHandler, Waiter, PENDING } from "./waiter.js";
import { WaiterList } from "./waiterList.js";

export class WaitQueue extends WaiterList {
  /** Created at the first EAGAIN after which no event comes, or at the first pause. */
  private pause: RetryPause | undefined = undefined;

  /**
   * Runs an operation: at once if possible, otherwise when its turn has come and the kernel is ready.
   *
   * @param holder an object that must not be collected while the call waits
   * @param timeout ms, or null
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
      if (!waits(operation, result, a, b)) return rejection(errorOf(operation, result, a, b, this.owner));
    } else if (operation.isNonblocking?.(a, b) === true) {
      if (this.head !== undefined && (this.bits & DEFERRED) === 0) return this.refuse(errorOf(operation, EAGAIN, a, b));
      if (this.head === undefined && (this.bits & READY) === 0) {
        this.bits |= READY;
        return this.run(holder, operation, a, b, timeout, signal);
      }
    } else if (operation.alwaysTries === true && this.head === undefined && (this.bits & READY) === 0) {
      this.bits |= READY;
      return this.run(holder, operation, a, b, timeout, signal);
    }
    const refused = this.register(operation, a, b);
    if (refused !== undefined) return rejection(refused);
    const promise = promiseOfNextWaiter() as Promise<T>;
    const waiter = new Waiter(this, operation, a, b, holder, undefined);
    this.enqueue(waiter, timeout);
    // After #enqueue, because only remove() takes the listener off the signal.
    if (signal !== undefined) {
      waiter.signal = signal;
      onAbort(signal, waiter);
    }
    if (operation.isNonblocking?.(a, b) === true) this.bits |= NONBLOCKING;
    return promise;
  }

  /**
   * Like `run`, for parts of ours that need no promise. Returns the result, or PENDING; then `handler` gets the
   * outcome. There is no signal, and the operation must not be a nonblocking one.
   *
   * @throws the error that a promise would reject with
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
      if (!waits(operation, result, a, b)) throw errorOf(operation, result, a, b, this.owner);
    }
    const refused = this.register(operation, a, b);
    if (refused !== undefined) throw refused;
    this.enqueue(new Waiter(this, operation, a, b, holder, handler), timeout);
    return PENDING;
  }

  /**
   * The first attempts of a call, until it has its result or must wait. After a transient error the call enters the
   * queue, whose next attempt starts the pause.
   */
  private tryAtOnce<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): number {
    const { owner } = this;
    const { reactor } = owner;
    let result = operation.attempt(reactor.calls, owner.fd, a, b);
    while (result < 0 && this.triesAgain(operation, result, a, b) && (this.bits & READY) !== 0 && reactor.spend()) {
      result = operation.attempt(reactor.calls, owner.fd, a, b);
    }
    if (result >= 0) this.account(operation, result, a, b);
    else if (result === EAGAIN) this.wouldBlock();
    return result;
  }

  /**
   * Makes one attempt and never waits. Returns the result of the attempt, with EAGAIN if it would block. It is EAGAIN
   * too if other calls wait in this queue or the budget of the turn is spent. The caller calls `complete`.
   */
  tryNow<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): number {
    const { fd, reactor } = this.owner;
    if (fd < 0) return EBADF;
    if (this.head !== undefined || !reactor.spend()) return EAGAIN;
    let result = operation.attempt(reactor.calls, fd, a, b);
    while (result === EINTR && reactor.spend()) result = operation.attempt(reactor.calls, fd, a, b);
    if (result >= 0) {
      this.bits |= READY;
      this.account(operation, result, a, b);
    } else if (result === EAGAIN) {
      this.wouldBlock();
    } else if (result === EINTR) {
      this.bits |= READY;
      return EAGAIN;
    }
    return result;
  }

  /** Like `tryNow`, but without an attempt if the last one returned EAGAIN and no event has come since. */
  tryIfReady<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): number {
    return (this.bits & READY) !== 0 ? this.tryNow(operation, a, b) : EAGAIN;
  }

  /** Called after EAGAIN. Returns whether an event will end it. */
  private wouldBlock(): boolean {
    if (this.owner.isReady?.(this) === true) return false;
    this.pause?.forgetRefusals();
    this.bits &= ~READY;
    return true;
  }

  /** Rejects, in the next turn if the budget of this turn is spent. */
  private refuse(error: unknown): Promise<never> {
    const { reactor } = this.owner;
    if (reactor.spend()) return rejection(error);
    return new Promise((resolve) => reactor.defer({ resume: () => resolve(rejection(error)) }));
  }

  /** Registers the descriptor for a call that waits for an event. A call that waits for its turn needs no event. */
  private register<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): Error | undefined {
    const registered = (this.bits & READY) !== 0 ? 0 : this.owner.register(this);
    if (registered >= 0) return undefined;
    // No event will come, so the next call has to try.
    this.bits |= READY;
    return this.registrationError(registered, operation, a, b);
  }

  private registrationError<A, B, T>(errno: number, operation: Operation<A, B, T>, a: A, b: B): Error {
    return socketError(errno, this.owner.reactor.failedCall, operation.details?.(a, b));
  }

  private enqueue(waiter: Waiter, timeout: number | null): void {
    const first = this.head === undefined;
    this.append(waiter, timeout);
    if (!first) return;
    this.owner.onWaiting?.(this);
    if ((this.bits & READY) !== 0) this.defer();
  }

  /** Serves the queue after a change. `events` are the bits of epoll(7) if an event reported the change. */
  wake(events: number = 0): void {
    this.bits |= READY;
    // During a pause the queue is served at its end, after defer() in the next turn.
    if (this.head === undefined || (this.bits & DEFERRED) !== 0 || this.pause?.active === true) return;
    this.serve(events);
  }

  /** Records that a call on two descriptors got EAGAIN from this one, while it was in the queue of the other one. */
  setNotReady(): void {
    this.bits &= ~READY;
    if (this.head !== undefined) this.awaitEvent();
  }

  /** No event will come any more. Rejects the calls that wait for one; the others have their turn first. */
  onFailure(): void {
    if (this.head !== undefined && (this.bits & READY) === 0) this.awaitEvent();
  }

  /** Registers the descriptor for the calls of the queue. If that fails, all of them reject. */
  private awaitEvent(): void {
    const registered = this.owner.register(this);
    if (registered >= 0) return;
    // No event will come, so the next call has to try.
    this.bits |= READY;
    for (let waiter = this.head; waiter !== undefined; waiter = this.head) {
      const { operation, a, b } = waiter;
      this.remove(waiter);
      waiter.reject(this.registrationError(registered, operation, a, b));
    }
  }

  /** Rejects the calls whose first operand is `operand`, with `reason`. */
  withdraw(operand: object, reason: unknown): void {
    for (const waiter of this.removeAll(({ a }) => a === operand)) waiter.reject(reason);
    this.afterRemoval();
  }

  /** The next turn has come. */
  resume(): void {
    this.bits &= ~DEFERRED;
    if (this.head === undefined || this.pause?.active === true) return;
    if ((this.bits & READY) !== 0) this.serve(0);
    // Another call got EAGAIN in the meantime.
    else this.awaitEvent();
  }

  private defer(): void {
    if ((this.bits & DEFERRED) !== 0) return;
    this.bits |= DEFERRED;
    this.owner.reactor.defer(this);
  }

  /** @param events the bits of the event that the queue is served for */
  private serve(events: number): void {
    this.serveQueue(events);
    // The nonblocking calls that are left have had their turn, unless another one is due.
    if ((this.bits & NONBLOCKING) === 0 || (this.bits & DEFERRED) !== 0) return;
    this.bits &= ~NONBLOCKING;
    for (const waiter of this.removeAll(({ operation, a, b }) => operation.isNonblocking?.(a, b) === true)) {
      waiter.reject(errorOf(waiter.operation, EAGAIN, waiter.a, waiter.b));
    }
  }

  private serveQueue(events: number): void {
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
        if (waiter !== this.head) return;
        // There was no memory for the result. Only this call fails.
        this.remove(waiter);
        waiter.reject(error);
        continue;
      }
      // Code of users has closed the descriptor in the attempt, and close() has settled the call.
      if (waiter !== this.head) return;
      if (result >= 0) {
        this.account(operation, result, a, b);
        this.remove(waiter);
        waiter.resolve(value);
      } else if (result === EAGAIN) {
        if (this.wouldBlock()) return this.awaitEvent();
        if ((this.pause ??= new RetryPause()).refused() > 1) return this.startPause(waiter);
      } else if (result === INCOMPLETE) {
        return this.awaitEvent();
      } else if (this.triesAgain(operation, result, a, b)) {
        continue;
      } else if (isTransient(operation, result, a, b)) {
        return this.startPause(waiter);
      } else {
        this.remove(waiter);
        waiter.reject(errorOf(operation, result, a, b, this.owner));
      }
    }
  }

  /** Whether the next attempt follows at once, because this one was interrupted or did a part of the work. */
  private triesAgain<A, B, T>(operation: Operation<A, B, T>, result: number, a: A, b: B): boolean {
    if (result > PROGRESS) return result === EINTR;
    const count = PROGRESS - result;
    this.pause?.reset();
    this.owner.reactor.spendBytes(count);
    countPart(this, operation, count);
    this.noteShortRead(operation, count, a, b);
    return true;
  }

  /** After a short read the socket is empty; see the top of the file. */
  private noteShortRead<A, B, T>(operation: Operation<A, B, T>, count: number, a: A, b: B): void {
    if (
      (this.bits & SHORT_MEANS_EMPTY) !== 0 &&
      operation.requested !== undefined &&
      count > 0 &&
      count < operation.requested(a, b)
    ) {
      this.bits &= ~READY;
    }
  }

  private account<A, B, T>(operation: Operation<A, B, T>, result: number, a: A, b: B): void {
    this.pause?.reset();
    if (operation.movesBytes) this.owner.reactor.spendBytes(countCompleted(this, operation, result, a, b));
    if (operation.drained !== undefined && operation.drained(result, a, b)) this.bits &= ~READY;
    this.noteShortRead(operation, result, a, b);
  }

  private startPause({ operation, a, b }: Waiter): void {
    this.awaitEvent();
    this.pause ??= new RetryPause();
    this.pause.start(operation.transferred?.(a, b) ?? 0, () => this.resume());
  }

  /** The calls behind a call that was removed may have their turn now. */
  private afterRemoval(): void {
    if (this.head === undefined) this.pause?.cancel();
    else if ((this.bits & READY) !== 0 && this.pause?.active !== true) this.defer();
  }

  /** The signal of a waiting call was aborted. */
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

  protected expired(waiters: readonly Waiter[]): void {
    for (const waiter of waiters) {
      const { operation, a, b } = waiter;
      if (!waiter.resolveWithReceived()) waiter.reject(deadlineErrorOf(operation, a, b, this.owner));
    }
    this.afterRemoval();
  }

  /** Settles every call with ECANCELED, because the descriptor is closed or given away. */
  cancel(): void {
    this.disarm();
    this.pause?.cancel();
    for (let waiter = this.head; waiter !== undefined; waiter = this.head) {
      this.remove(waiter);
      if (!waiter.resolveWithReceived()) waiter.reject(errorOf(waiter.operation, ECANCELED, waiter.a, waiter.b));
    }
  }
}
