// One direction of a descriptor: try the call, wait, retry. The one place for EAGAIN, EINTR, deadlines, aborts and the
// order of calls.
//
// A call is tried at once if nobody is before it and the last try did not say EAGAIN. Otherwise it queues up and the
// events of the kernel, which come once per change (edge-triggered), have the queue served in order. So three things must
// hold, or a call would wait for an event that never comes:
//
// - `ready` is cleared only when the kernel said EAGAIN, or when it is certain that it would. On a TCP socket a read that
//   got less than it asked for has emptied the queue (epoll(7), question 9), and whatever comes later makes a new event.
//   That saves the second call of each read. It does not hold where a read stops early for another reason: at urgent
//   data, or when the end of the stream or an error, which come with the same event, are still to be told. For those
//   the descriptor clears `shortMeansEmpty` before it wakes the direction. UNIX sockets stop between messages with
//   different control data, so they never set it.
// - `ready` is set by every event, and the descriptor is registered for events while a queue is not `ready`. A queue that
//   waits for nothing but its turn does not need that, and a busy socket is spared it.
// - a queue that is not served to its end while `ready` holds has asked to be resumed: in the next turn when the budget of
//   this one is spent, or after a pause when an error passes with time (EMFILE in accept).
//
// Some refusals no event ends, although the kernel says EAGAIN: a UDP socket finds no free port, the receive queue of a UNIX or
// netlink receiver is full, or the accept queue of a UNIX listener. poll(2) then says that the socket is writable, so waiting for the event
// would never end or would spin. The owner calls poll(2) after an EAGAIN. Such a call is tried once more, because room may have come
// between the two system calls, and after a pause from then on.
//
// A call with MSG_DONTWAIT waits for nothing but its turn in the budget: it asks the kernel even when the last try said EAGAIN,
// because the event that says otherwise may not have been fetched yet. Behind a call that waits it fails with EAGAIN, behind
// one that was only deferred it has its turn.
//
// A refusal that makes no system call (a closed socket, an aborted signal, EAGAIN behind others) counts against the budget as
// well: a loop that tries again and again would otherwise never leave the microtasks.
//
// What users pass in may run code of theirs when a call is tried: the `fd` of a file, the `fileno()` of a socket to pass. It may
// close the descriptor, so after an attempt the queue is looked at anew.
//
// A call settles once: it is taken out of the queue before its promise is settled, and an attempt and the settling are
// one step of JavaScript. Nothing is read for a call that has been aborted or has timed out, so no bytes are lost.

// By name, for the global one is looked up by a getter each time.
import { LONGEST_TIMER } from "../wait/waitOptions.js";
import { performance } from "node:perf_hooks";
import { setTransferred, offAbort, onAbort } from "../wait/aborts.js";
import { ECANCELED, EAGAIN, EBADF, EINTR, socketError } from "../sys/errno.js";
import type { Reactor } from "./index.js";
import { failure, FIRST_PAUSE, late, LONGEST_PAUSE, MOVED, NOT_ENOUGH, type Operation } from "./operation.js";
import { promised, type Settler, Waiter, WAITS } from "./waiter.js";

/** What a direction needs to know of its descriptor. */
export interface Owner {
  readonly fd: number;
  readonly reactor: Reactor;
  /** Whether a call that waits keeps the process alive. A change is followed by `recount` of each direction. */
  readonly keepsAlive: boolean;
  /** Registers the descriptor, if it is not, for what `direction` waits for; 0 or -errno. */
  register(direction: WaitQueue): number;
  /** Whether poll(2) says that the descriptor is ready for what `direction` waits for, after a call said EAGAIN. */
  refuses?(direction: WaitQueue): boolean;
  /** A call has queued up in `direction`, for an event or for its turn. */
  queued?(direction: WaitQueue): void;
}

export class WaitQueue {
  /** See the top of the file. Reading on TCP only. */
  shortMeansEmpty: boolean = false;
  /** The peer has ended, and a read that gets less than it asks for has got the last before that. Reading on TCP only. */
  shortMeansEnd: boolean = false;
  #ready = true;
  /** What the event said for which the queue is served. */
  #events = 0;
  #owner: Owner;
  #head: Waiter | undefined;
  #tail: Waiter | undefined;
  /** The queue will be served by the reactor's next turn. */
  #deferred = false;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;
  #pauseTimer: NodeJS.Timeout | undefined;
  #pause = 0;
  /** How often in a row a call was refused in such a way that no event ends it. */
  #refusals = 0;
  /** What the first call of the queue had transferred when the last pause began. */
  #transferred = 0;
  /** How many calls of the queue must not wait. */
  #impatient = 0;

  constructor(owner: Owner) {
    this.#owner = owner;
  }

  /** Whether a call waits. */
  get busy(): boolean {
    return this.#head !== undefined;
  }

  /**
   * Runs an operation: at once if it can, otherwise when its turn has come and the kernel is ready.
   *
   * @param holder the public object whose call this is; it is kept from collection while the call waits
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
    if (signal !== undefined && signal.aborted) return this.#refuse(signal.reason);
    if (this.#owner.fd < 0) return this.#refuse(socketError(EBADF, operation.syscall, operation.details?.(a, b)));
    const owner = this.#owner;
    if (this.#ready && this.#head === undefined && owner.reactor.spend()) {
      const result = this.#tryAtOnce(operation, a, b);
      if (result >= 0) {
        const value = operation.complete(result, a, b);
        return Promise.resolve(value) as Promise<T>;
      }
      if (result === EAGAIN && operation.nowait?.(a, b) === true) {
        return Promise.reject(failure(operation, EAGAIN, a, b));
      }
      if (!waits(operation, result, a, b)) return Promise.reject(failure(operation, result, a, b));
    } else if (operation.nowait?.(a, b) === true) {
      if (this.#head !== undefined && !this.#deferred) return this.#refuse(failure(operation, EAGAIN, a, b));
      if (this.#head === undefined && !this.#ready) {
        this.#ready = true;
        return this.run(holder, operation, a, b, timeout, signal);
      }
    } else if (operation.eager === true && this.#head === undefined && !this.#ready) {
      this.#ready = true;
      return this.run(holder, operation, a, b, timeout, signal);
    }
    const refused = this.#register(operation, a, b);
    if (refused !== undefined) return Promise.reject(refused);
    const promise = promised() as Promise<T>;
    const waiter = new Waiter(this, operation, a, b, holder, undefined);
    this.#enqueue(waiter, timeout);
    // Only what is in the queue is taken off again when it leaves.
    if (signal !== undefined) {
      waiter.signal = signal;
      onAbort(signal, waiter);
    }
    if (operation.nowait?.(a, b) === true) {
      waiter.impatient = true;
      this.#impatient++;
    }
    return promise;
  }

  /**
   * As `run`, for parts of ours that need no promise: the result of a call that had not to wait, or WAITS, and then `settler`
   * hears of it. There is no signal, and no call that must not wait.
   *
   * @throws what a promise would reject with
   */
  submit<A, B, T>(
    settler: Settler<T>,
    holder: object,
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    timeout: number | null,
  ): T | typeof WAITS {
    const owner = this.#owner;
    if (owner.fd < 0) throw socketError(EBADF, operation.syscall, operation.details?.(a, b));
    if (operation.eager === true && this.#head === undefined) this.#ready = true;
    if (this.#ready && this.#head === undefined && owner.reactor.spend()) {
      const result = this.#tryAtOnce(operation, a, b);
      if (result >= 0) return operation.complete(result, a, b);
      if (!waits(operation, result, a, b)) throw failure(operation, result, a, b);
    }
    const refused = this.#register(operation, a, b);
    if (refused !== undefined) throw refused;
    this.#enqueue(new Waiter(this, operation, a, b, holder, settler), timeout);
    return WAITS;
  }

  /**
   * The first tries of a call, until it is through or has to wait. What passes with time is tried once more in the queue, which
   * starts the pause.
   */
  #tryAtOnce<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): number {
    const owner = this.#owner;
    const { reactor } = owner;
    let result = operation.attempt(reactor.calls, owner.fd, a, b);
    while (result < 0 && this.#goesOn(operation, result, a, b) && this.#ready && reactor.spend()) {
      result = operation.attempt(reactor.calls, owner.fd, a, b);
    }
    if (result >= 0) this.#account(operation, result, a, b);
    else if (result === EAGAIN) this.#wouldBlock();
    return result;
  }

  /**
   * Tries an operation once, and never waits: what the attempt returned, with EAGAIN for would-block. It is EAGAIN too where
   * others wait in this direction, and where the budget of the turn is spent. The attempt is the whole operation; its
   * `complete` is the caller's business.
   */
  tryNow<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): number {
    const { fd, reactor } = this.#owner;
    if (fd < 0) return EBADF;
    if (this.#head !== undefined || !reactor.spend()) return EAGAIN;
    let result = operation.attempt(reactor.calls, fd, a, b);
    while (result === EINTR && reactor.spend()) result = operation.attempt(reactor.calls, fd, a, b);
    if (result >= 0) {
      this.#ready = true;
      this.#account(operation, result, a, b);
    } else if (result === EAGAIN) {
      this.#wouldBlock();
    } else if (result === EINTR) {
      this.#ready = true;
      return EAGAIN;
    }
    return result;
  }

  /** An attempt said EAGAIN. Returns whether an event will end that. */
  #wouldBlock(): boolean {
    if (this.#owner.refuses?.(this) === true) return false;
    this.#refusals = 0;
    this.#ready = false;
    return true;
  }

  /** As `tryNow`, and EAGAIN without a try where the last one said so and no event has come since. */
  tryIfReady<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): number {
    return this.#ready ? this.tryNow(operation, a, b) : EAGAIN;
  }

  /** Rejects, in the next turn if the budget of this one is spent. */
  #refuse(error: unknown): Promise<never> {
    const { reactor } = this.#owner;
    if (reactor.spend()) return Promise.reject(error);
    return new Promise((_resolve, reject) => reactor.defer({ resume: () => reject(error) }));
  }

  /** Who waits for nothing but a turn is registered when the kernel says would-block. */
  #register<A, B, T>(operation: Operation<A, B, T>, a: A, b: B): Error | undefined {
    const registered = this.#ready ? 0 : this.#owner.register(this);
    if (registered >= 0) return undefined;
    // No event will say that it is, so the next call has to try.
    this.#ready = true;
    return this.#unregistered(registered, operation, a, b);
  }

  /** The error of a call that has to wait and cannot. */
  #unregistered<A, B, T>(errno: number, operation: Operation<A, B, T>, a: A, b: B): Error {
    return socketError(errno, this.#owner.reactor.failedCall, operation.details?.(a, b));
  }

  #enqueue(waiter: Waiter, timeout: number | null): void {
    const owner = this.#owner;
    if (timeout !== null) {
      waiter.deadline = performance.now() + timeout;
      this.#arm(waiter.deadline);
    }
    if (owner.keepsAlive && waiter.operation.idle !== true) owner.reactor.hold();
    const first = this.#head === undefined;
    if (first) this.#head = waiter;
    else {
      waiter.previous = this.#tail;
      this.#tail!.next = waiter;
    }
    this.#tail = waiter;
    if (first) {
      owner.queued?.(this);
      if (this.#ready) this.#defer();
    }
  }

  /** The kernel says that something changed: `events` of epoll(7), if it was an event that told. */
  wake(events: number = 0): void {
    this.#ready = true;
    // A pause is for errors that no event ends; a deferred queue has its turn already.
    if (this.#head === undefined || this.#deferred || this.#pauseTimer !== undefined) return;
    this.#events = events;
    this.#serve();
    this.#events = 0;
  }

  /** A call that works on two descriptors met EAGAIN here while it waited for its turn on the other one. */
  exhausted(): void {
    this.#ready = false;
    if (this.#head !== undefined) this.#awaitEvent();
  }

  /** There are no events any more. What waits for one is rejected; what waits for its turn has that first. */
  onFailure(): void {
    if (this.#head !== undefined && !this.#ready) this.#awaitEvent();
  }

  /** What is left in the queue waits for an event: the descriptor is registered, if it is not. */
  #awaitEvent(): void {
    const owner = this.#owner;
    const registered = owner.register(this);
    if (registered >= 0) return;
    // No event will say that it is, so the next call has to try.
    this.#ready = true;
    for (let waiter = this.#head; waiter !== undefined; waiter = this.#head) {
      const { operation, a, b } = waiter;
      this.#remove(waiter);
      waiter.reject(this.#unregistered(registered, operation, a, b));
    }
  }

  /** Rejects the calls that have `operand` for their first operand, with `reason` as it is. */
  withdraw(operand: object, reason: unknown): void {
    const withdrawn: Waiter[] = [];
    for (let waiter = this.#head; waiter !== undefined;) {
      const next: Waiter | undefined = waiter.next;
      if (waiter.a === operand) {
        this.#remove(waiter);
        withdrawn.push(waiter);
      }
      waiter = next;
    }
    for (const waiter of withdrawn) waiter.reject(reason);
    this.#afterLeaving();
  }

  /** The next turn has come. */
  resume(): void {
    this.#deferred = false;
    if (this.#head === undefined || this.#pauseTimer !== undefined) return;
    if (this.#ready) this.#serve();
    // Another call has met would-block meanwhile, which this one had not asked.
    else this.#awaitEvent();
  }

  #defer(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    this.#owner.reactor.defer(this);
  }

  #serve(): void {
    this.#serveQueue();
    // Those that must not wait have had their turn when the queue is left without another one.
    if (this.#impatient > 0 && !this.#deferred) this.#refuseImpatient();
  }

  #refuseImpatient(): void {
    for (let waiter = this.#head; waiter !== undefined;) {
      const { next, operation, a, b }: Waiter = waiter;
      if (waiter.impatient) {
        this.#remove(waiter);
        waiter.reject(failure(operation, EAGAIN, a, b));
      }
      waiter = next;
    }
  }

  #serveQueue(): void {
    const { reactor, fd } = this.#owner;
    for (let waiter = this.#head; waiter !== undefined; waiter = this.#head) {
      if (!this.#ready) return this.#awaitEvent();
      if (!reactor.spend()) return this.#defer();
      const { operation, a, b } = waiter;
      let result: number;
      let value: unknown;
      try {
        result =
          this.#events !== 0 && operation.told !== undefined && operation.told(this.#events, a, b)
            ? 0
            : operation.attempt(reactor.calls, fd, a, b);
        if (result >= 0) value = operation.complete(result, a, b);
      } catch (error) {
        if (waiter !== this.#head) return;
        // There was no memory for what came. It concerns this call and nobody else.
        this.#remove(waiter);
        waiter.reject(error);
        continue;
      }
      // Code of users has closed the descriptor meanwhile, and the call has been settled with that.
      if (waiter !== this.#head) return;
      if (result >= 0) {
        this.#account(operation, result, a, b);
        this.#remove(waiter);
        waiter.resolve(value);
      } else if (result === EAGAIN) {
        if (this.#wouldBlock()) return this.#awaitEvent();
        if (++this.#refusals > 1) return this.#startPause(waiter);
      } else if (result === NOT_ENOUGH) {
        return this.#awaitEvent();
      } else if (this.#goesOn(operation, result, a, b)) {
        continue;
      } else if (passes(operation, result, a, b)) {
        return this.#startPause(waiter);
      } else {
        this.#remove(waiter);
        waiter.reject(failure(operation, result, a, b));
      }
    }
  }

  /** Whether an attempt that failed is to be made again at once: it was interrupted, or did a part of its work. */
  #goesOn<A, B, T>(operation: Operation<A, B, T>, result: number, a: A, b: B): boolean {
    if (result > MOVED) return result === EINTR;
    const count = MOVED - result;
    this.#pause = this.#refusals = 0;
    this.#owner.reactor.spendBytes(count);
    this.#noteShort(operation, count, a, b);
    return true;
  }

  /** See the top of the file: a short read says that there is no more. */
  #noteShort<A, B, T>(operation: Operation<A, B, T>, count: number, a: A, b: B): void {
    if (this.shortMeansEmpty && operation.asked !== undefined && count > 0 && count < operation.asked(a, b)) {
      this.#ready = false;
    }
  }

  #account<A, B, T>(operation: Operation<A, B, T>, result: number, a: A, b: B): void {
    this.#pause = this.#refusals = 0;
    if (operation.cost !== undefined) this.#owner.reactor.spendBytes(operation.cost(result, a, b));
    else if (operation.movesBytes) this.#owner.reactor.spendBytes(result);
    if (operation.exhausted !== undefined && operation.exhausted(result, a, b)) this.#ready = false;
    this.#noteShort(operation, result, a, b);
  }

  #startPause({ operation, a, b }: Waiter): void {
    this.#awaitEvent();
    const transferred = operation.transferred?.(a, b) ?? 0;
    if (transferred !== this.#transferred) this.#pause = 0;
    this.#transferred = transferred;
    this.#pause = Math.min(this.#pause === 0 ? FIRST_PAUSE : this.#pause * 2, LONGEST_PAUSE);
    this.#pauseTimer = setTimeout(() => {
      this.#pauseTimer = undefined;
      this.resume();
    }, this.#pause).unref();
  }

  #remove(waiter: Waiter): void {
    if (waiter.previous === undefined) this.#head = waiter.next;
    else waiter.previous.next = waiter.next;
    if (waiter.next === undefined) this.#tail = waiter.previous;
    else waiter.next.previous = waiter.previous;
    waiter.next = waiter.previous = undefined;
    if (waiter.signal !== undefined) offAbort(waiter.signal, waiter);
    if (waiter.impatient) this.#impatient--;
    const owner = this.#owner;
    if (owner.keepsAlive && waiter.operation.idle !== true) owner.reactor.release();
  }

  /** The owner's `keepsAlive` has changed: the calls that wait count from now on, or do so no more. */
  recount(): void {
    const { keepsAlive, reactor } = this.#owner;
    for (let waiter = this.#head; waiter !== undefined; waiter = waiter.next) {
      if (waiter.operation.idle === true) continue;
      if (keepsAlive) reactor.hold();
      else reactor.release();
    }
  }

  /** A waiter that leaves from the middle of things may leave others behind that could be served. */
  #afterLeaving(): void {
    if (this.#head === undefined) {
      clearTimeout(this.#pauseTimer);
      this.#pauseTimer = undefined;
      this.#pause = 0;
    } else if (this.#ready && this.#pauseTimer === undefined) this.#defer();
  }

  /** The signal of a waiting call was aborted. */
  abort(waiter: Waiter): void {
    const { operation, a, b } = waiter;
    const reason: unknown = waiter.signal!.reason;
    this.#remove(waiter);
    if (resolvesCut(waiter)) return this.#afterLeaving();
    setTransferred(reason, operation.transferred?.(a, b) ?? 0);
    waiter.reject(reason);
    this.#afterLeaving();
  }

  /** Deadlines: one timer, armed for the earliest, and left alone when a call settles before its deadline. */
  #arm(deadline: number): void {
    if (this.#timer !== undefined) {
      if (deadline >= this.#armedFor) return;
      clearTimeout(this.#timer);
    }
    this.#armedFor = deadline;
    const delay = Math.min(Math.max(Math.ceil(deadline - performance.now()), 1), LONGEST_TIMER);
    // Not what keeps the process alive: the waiting call does.
    this.#timer = setTimeout(() => this.#expire(), delay).unref();
  }

  #expire(): void {
    this.#timer = undefined;
    this.#armedFor = Infinity;
    const now = performance.now();
    let earliest = Infinity;
    const expired: Waiter[] = [];
    for (let waiter = this.#head; waiter !== undefined;) {
      const next: Waiter | undefined = waiter.next;
      if (waiter.deadline <= now) {
        this.#remove(waiter);
        expired.push(waiter);
      } else if (waiter.deadline < earliest) earliest = waiter.deadline;
      waiter = next;
    }
    if (earliest !== Infinity) this.#arm(earliest);
    if (expired.length > 1) expired.sort((one, other) => one.deadline - other.deadline);
    for (const waiter of expired) {
      if (!resolvesCut(waiter)) waiter.reject(late(waiter.operation, waiter.a, waiter.b));
    }
    if (expired.length > 0) this.#afterLeaving();
  }

  /** The descriptor is gone: settles every call with ECANCELED. */
  cancel(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#pauseTimer);
    this.#timer = this.#pauseTimer = undefined;
    for (let waiter = this.#head; waiter !== undefined; waiter = this.#head) {
      this.#remove(waiter);
      if (!resolvesCut(waiter)) waiter.reject(failure(waiter.operation, ECANCELED, waiter.a, waiter.b));
    }
  }
}

/** Settles a call that is cut short with what it has received, if it has. */
function resolvesCut(waiter: Waiter): boolean {
  const received = waiter.operation.received?.(waiter.a, waiter.b);
  if (received === undefined) return false;
  waiter.resolve(received);
  return true;
}

/** Whether a call that got `result` waits, for an event or for its turn. */
function waits<A, B, T>(operation: Operation<A, B, T>, result: number, a: A, b: B): boolean {
  if (result === EAGAIN || result === NOT_ENOUGH || result === EINTR || result <= MOVED) return true;
  return passes(operation, result, a, b);
}

function passes<A, B, T>(operation: Operation<A, B, T>, errno: number, a: A, b: B): boolean {
  return operation.passes !== undefined && operation.passes(errno, a, b);
}
