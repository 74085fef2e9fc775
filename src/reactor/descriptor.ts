// One descriptor: its wait queues, its registration, and its end.
//
// Besides reading and writing there are four more queues, made when they are first used: for the error queue
// (MSG_ERRQUEUE), for urgent data (MSG_OOB), for the end of the connection, and for the end of the peer's direction. A
// read of the error queue or of urgent data has nothing to do with an ordinary read, so neither waits behind the other,
// and EAGAIN from one says nothing about the other. Each has an event of its own: EPOLLERR, EPOLLPRI, EPOLLHUP and
// EPOLLRDHUP.
//
// A TCP socket is registered for both directions at once, because it reports room only after a write that found none
// (sk_stream_write_space in net/core/stream.c). UDP and UNIX sockets report it for each packet that leaves their buffer
// (sock_def_write_space, unix_write_space). So they are registered for it only while a write waits.
//
// Even an epoll entry that does not ask for EPOLLOUT makes the kernel take a lock per datagram sent. That is about a
// tenth of the cost of a small datagram. So a caller that is about to send many datagrams may give the registration up
// (`unwatch`). The next call that waits registers again, and the kernel reports at once what has happened in the
// meantime. Without a registration no event comes, so every queue counts as ready until an attempt returns EAGAIN.

import { defaultReactor, type Reactor, type Source } from "./reactor.js";
import { POLLOUT } from "../sys/constants.js";
import { EBADF } from "../sys/errno.js";
import type { Relay } from "./relay.js";
import { WaitQueue } from "./waitQueue.js";
import type { Waiter } from "./waiter.js";
import type { QueueDescriptor } from "./waiterList.js";

// epoll(7); the same on every Linux.
const EPOLLIN = 0x1;
const EPOLLPRI = 0x2;
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;

/** Events after which a short read does not mean that the socket is empty. */
const MORE_THAN_DATA = EPOLLPRI | EPOLLERR | EPOLLHUP | EPOLLRDHUP;
const READABLE = EPOLLIN | MORE_THAN_DATA;
const WRITABLE = EPOLLOUT | EPOLLERR | EPOLLHUP;

/** An object that uses the descriptor and must stop when it is closed or given away. */
export interface CloseListener {
  ended(): void;
}

export class Descriptor implements Source, QueueDescriptor {
  readonly reactor: Reactor;
  readonly reading: WaitQueue;
  readonly writing: WaitQueue;
  /**
   * Whether there may be a duplicate: the descriptor was made elsewhere, duplicated, or its number was given out. The
   * kernel keeps the registration while a duplicate is open. Without one close(2) ends it, which saves a system call.
   */
  duplicated: boolean = false;
  /** The file, as `calls.share` returned it, once others may close the number. */
  #file = 0;
  /** See sys/leakDetection.ts. */
  pendingIndex: number = -1;
  #keepsAlive = true;
  /** The relay of which this descriptor is the source, and the one of which it is the destination; see relay.ts. */
  outflow: Relay | undefined;
  inflow: Relay | undefined;
  #errors: WaitQueue | undefined;
  #urgent: WaitQueue | undefined;
  #hangup: WaitQueue | undefined;
  #peerEnd: WaitQueue | undefined;
  /** See `FailedAt` in operation.ts. */
  breakage: number = 0;
  #fd: number;
  #slot = -1;
  readonly #tcp: boolean;
  /** Whether the registration has no EPOLLOUT. */
  #readingOnly: boolean;
  /** Most sockets have at most two: the two flows of a pump. */
  #firstListener: CloseListener | undefined;
  #secondListener: CloseListener | undefined;
  #furtherListeners: CloseListener[] | undefined;

  /**
   * @param fd a non-blocking descriptor that this environment owns
   * @param tcp whether a short read means that the socket is empty, and the kernel reports room for a write only after
   *   a write that found none
   */
  constructor(fd: number, tcp: boolean, reactor: Reactor = defaultReactor()) {
    this.#fd = fd;
    this.#tcp = tcp;
    this.#readingOnly = !tcp;
    this.reactor = reactor;
    this.reading = new WaitQueue(this);
    this.reading.shortMeansEmpty = tcp;
    this.writing = new WaitQueue(this);
  }

  /** Whether a waiting call keeps the process alive. */
  get keepsAlive(): boolean {
    return this.#keepsAlive;
  }

  set keepsAlive(value: boolean) {
    if (this.#keepsAlive === value) return;
    this.#keepsAlive = value;
    this.reading.recount();
    this.writing.recount();
    this.#errors?.recount();
    this.#urgent?.recount();
  }

  /** For reads of the error queue. */
  get errors(): WaitQueue {
    return (this.#errors ??= new WaitQueue(this));
  }

  /** For reads of urgent data. */
  get urgent(): WaitQueue {
    if (this.#urgent === undefined) {
      this.#urgent = new WaitQueue(this);
      // The kernel does not announce urgent data that was read, and ordinary reads still stop there.
      this.distrustShortReads();
    }
    return this.#urgent;
  }

  /** For calls that wait only for the end of the connection: HANGUP in ops/readiness.ts. */
  get hangup(): WaitQueue {
    return (this.#hangup ??= new WaitQueue(this));
  }

  /** For calls that wait only for the end of the peer's direction: PEER_END in ops/readiness.ts. */
  get peerEnd(): WaitQueue {
    return (this.#peerEnd ??= new WaitQueue(this));
  }

  /** From now on a short read does not mean that the socket is empty. */
  distrustShortReads(): void {
    this.reading.shortMeansEmpty = this.reading.shortMeansEnd = false;
    // The relay relies on short reads, so the poller passes the next event on.
    this.outflow?.block();
  }

  /** From now on others may duplicate the descriptor, and close its number. */
  share(): void {
    if (this.#file > 0 || this.#fd < 0) return;
    this.duplicated = true;
    this.#file = this.reactor.calls.share(this.#fd);
  }

  /** -1 once closed or released. */
  get fd(): number {
    return this.#fd;
  }

  register(queue: object): number {
    const { failure } = this.reactor;
    if (failure < 0) return failure;
    const writes = queue === this.writing;
    if (this.#slot < 0) {
      if (writes) this.#readingOnly = false;
      const slot = this.reactor.add(this.#fd, this, this.#readingOnly);
      if (slot < 0) return slot;
      this.#slot = slot;
    } else if (writes && this.#readingOnly) {
      const result = this.reactor.addWriting(this.#fd, this.#slot);
      if (result < 0) return result;
      this.#readingOnly = false;
    }
    return 0;
  }

  /** A write that waits, for room or for its turn, goes before the bytes that a relay would pass on. */
  onWaiting(queue: object): void {
    if (queue !== this.writing) return;
    this.inflow?.block();
    if (this.outflow?.wantOut(true) === true) this.reactor.defer({ resume: () => this.writing.wake() });
  }

  /** On TCP an event comes after every refusal, so the system call is unnecessary. */
  isReady(queue: object): boolean {
    if (this.#tcp || queue !== this.writing) return false;
    const revents = this.reactor.calls.poll(this.#fd, POLLOUT, 0);
    return revents > 0 && (revents & POLLOUT) !== 0;
  }

  /** Gives the registration up, unless a call waits or the socket is TCP; see the top of the file. */
  unwatch(): void {
    // A relay refers to the slot of the registration.
    if (this.#slot < 0 || this.#tcp || this.outflow !== undefined || this.inflow !== undefined) return;
    const { reading, writing } = this;
    if (reading.busy || writing.busy || this.#errors?.busy === true || this.#urgent?.busy === true) return;
    if (this.#hangup?.busy === true || this.#peerEnd?.busy === true) return;
    this.reactor.remove(this.#fd, this.#slot, true, this.#file);
    this.#slot = -1;
    this.#readingOnly = true;
    reading.wake();
    writing.wake();
    this.#errors?.wake();
    this.#urgent?.wake();
  }

  /** @returns undefined before the first wait */
  makeRelay(): Relay | undefined {
    return this.#slot < 0 ? undefined : this.reactor.makeRelay(this.#slot);
  }

  /** Calls `visit` with each call that waits on the descriptor. */
  forEachWaiter(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void {
    this.reading.forEachWaiter(visit);
    this.writing.forEachWaiter(visit);
    this.#errors?.forEachWaiter(visit);
    this.#urgent?.forEachWaiter(visit);
    this.#hangup?.forEachWaiter(visit);
    this.#peerEnd?.forEachWaiter(visit);
  }

  onReady(events: number): void {
    if ((events & MORE_THAN_DATA) !== 0) this.#distrustAfter(events);
    // Writing first: the error of a failed connect() belongs to that call, and a read would take it.
    if ((events & WRITABLE) !== 0) {
      this.writing.wake(events);
      this.outflow?.wantOut(this.writing.busy);
    }
    if ((events & READABLE) !== 0) this.reading.wake();
    // After reading: a read of the error queue also clears the error that the next ordinary call must report.
    if ((events & EPOLLERR) !== 0) this.#errors?.wake();
    if ((events & EPOLLPRI) !== 0) this.#urgent?.wake();
    // Last: calls that read or write report the end themselves.
    if ((events & EPOLLHUP) !== 0) this.#hangup?.wake();
    if ((events & (EPOLLHUP | EPOLLRDHUP)) !== 0) this.#peerEnd?.wake();
  }

  onFailure(): void {
    this.writing.onFailure();
    this.reading.onFailure();
    this.#errors?.onFailure();
    this.#urgent?.onFailure();
    this.#hangup?.onFailure();
    this.#peerEnd?.onFailure();
  }

  /**
   * A short read means nothing after an event with more than data. After the end of the stream alone it does mean the
   * end, because all bytes have arrived (tcp_fin in net/ipv4).
   */
  #distrustAfter(events: number): void {
    const { reading } = this;
    if ((events & (EPOLLPRI | EPOLLERR)) !== 0) reading.shortMeansEnd = false;
    else if (reading.shortMeansEmpty && (events & EPOLLRDHUP) !== 0) reading.shortMeansEnd = true;
    reading.shortMeansEmpty = false;
  }

  #deregister(staysOpen: boolean): number {
    const fd = this.#fd;
    if (this.#slot >= 0) this.reactor.remove(fd, this.#slot, staysOpen || this.duplicated, this.#file);
    this.#slot = -1;
    this.#fd = -1;
    return fd;
  }

  #cancel(): void {
    this.reading.cancel();
    this.writing.cancel();
    this.#errors?.cancel();
    this.#urgent?.cancel();
    this.#hangup?.cancel();
    this.#peerEnd?.cancel();
    const first = this.#firstListener;
    const second = this.#secondListener;
    const further = this.#furtherListeners;
    this.#firstListener = this.#secondListener = this.#furtherListeners = undefined;
    first?.ended();
    second?.ended();
    for (const one of further ?? []) one.ended();
  }

  /**
   * Calls `listener.ended()` when the descriptor is closed or given away: for a call that waits on another descriptor.
   */
  addCloseListener(listener: CloseListener): void {
    if (this.#firstListener === undefined) this.#firstListener = listener;
    else if (this.#secondListener === undefined) this.#secondListener = listener;
    else (this.#furtherListeners ??= []).push(listener);
  }

  removeCloseListener(listener: CloseListener): void {
    if (this.#firstListener === listener) this.#firstListener = undefined;
    else if (this.#secondListener === listener) this.#secondListener = undefined;
    else this.#furtherListeners = this.#furtherListeners?.filter((one) => one !== listener);
  }

  /**
   * Closes the descriptor and settles every pending call with ECANCELED. Returns what close(2) returned; 0 if closed.
   */
  close(): number {
    if (this.#fd < 0) return 0;
    const fd = this.#deregister(false);
    const { calls } = this.reactor;
    const result = this.#file > 0 ? calls.close(fd, this.#file) : calls.close(fd);
    this.#cancel();
    return result;
  }

  /**
   * Gives the descriptor away, open, and settles every pending call with ECANCELED.
   *
   * @param blocking whether to clear O_NONBLOCK; if that fails, nothing changes
   * @returns the descriptor, or -errno
   */
  release(blocking: boolean = false): number {
    const fd = this.#fd;
    if (fd < 0) return EBADF;
    // If a plain release fails, the descriptor does not belong to us any more.
    const { calls } = this.reactor;
    const mode = blocking ? 1 : 0;
    const result = this.#file > 0 ? calls.release(fd, mode, this.#file) : calls.release(fd, mode);
    if (result < 0 && blocking) return result;
    this.#deregister(true);
    this.#cancel();
    return result < 0 ? result : fd;
  }
}
