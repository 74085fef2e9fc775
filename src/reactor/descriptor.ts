// One descriptor: its wait queues, its registration with the reactor, and close().
//
// Each descriptor has a queue of waiting reads and a queue of waiting writes. Four more queues are made on first use.
// Each line has the calls of one of these queues, and the events that wake the calls:
//
// - reads of the error queue (MSG_ERRQUEUE): EPOLLERR
// - reads of urgent data (MSG_OOB): EPOLLPRI
// - calls that wait for the end of the connection: EPOLLHUP
// - calls that wait for the half-close of the peer: EPOLLRDHUP or EPOLLHUP
//
// These calls have queues of their own for two reasons. They must not wait behind an ordinary read. And EAGAIN for one
// kind of read does not mean EAGAIN for another.
//
// A socket is registered for EPOLLOUT when a write waits on it for the first time. With EPOLLOUT, the kernel would
// report each new registration at once, because a new socket is writable. UDP and UNIX sockets would also report
// EPOLLOUT for each packet that leaves their send buffer (sock_def_write_space, unix_write_space).
//
// While a UDP socket is registered, the kernel takes a lock per datagram sent, even without EPOLLOUT. That is about a
// tenth of the cost of a small datagram. So a call that sends many datagrams first calls `deregisterIfIdle()`. The next
// call that waits registers again, and epoll then reports the current state at once.

import { defaultReactor, type EventHandler, type Reactor } from "./reactor.js";
import { POLLOUT } from "../sys/constants.js";
import { EBADF } from "../sys/errno.js";
import type { Relay } from "./relay.js";
import { WaitQueue } from "./waitQueue.js";
import type { Waiter } from "./waiter.js";
import type { QueueDescriptor } from "./waiterList.js";

// The event bits of epoll(7). Their numbers are the same on every architecture.
const EPOLLIN = 0x1;
const EPOLLPRI = 0x2;
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;

/** Events other than "data have arrived". After one of them a short read (see waitQueue.ts) may have left data. */
const MORE_THAN_DATA = EPOLLPRI | EPOLLERR | EPOLLHUP | EPOLLRDHUP;
const READABLE = EPOLLIN | MORE_THAN_DATA;
const WRITABLE = EPOLLOUT | EPOLLERR | EPOLLHUP;

/** An object that uses the descriptor and must stop when the descriptor is closed or released. */
export interface CloseListener {
  onClosed(): void;
}

// The flags of a descriptor, in one number. A field for each flag would take 8 bytes in every descriptor.
/** The descriptor is a TCP socket. */
const TCP = 1;
/** A waiting call keeps the process alive. */
const KEEPS_ALIVE = 2;
/** The registration has no EPOLLOUT. Before the registration: it will have none. */
const WITHOUT_EPOLLOUT = 4;
/** A duplicate of the descriptor may exist. */
const DUPLICATED = 8;

/** Fields that most descriptors never use. They are allocated on first use. */
class RareFields {
  errors: WaitQueue | undefined;
  urgent: WaitQueue | undefined;
  hangup: WaitQueue | undefined;
  peerEnd: WaitQueue | undefined;
  /** The identity of the open file, from `calls.share()`. 0 if no other code has the number of the descriptor. */
  fileId: number = 0;
  /** The relay of which this descriptor is the source; see relay.ts. */
  outflow: Relay | undefined;
  /** The relay of which this descriptor is the destination. */
  inflow: Relay | undefined;
  /** See `FailedDescriptor` in operation.ts. */
  connectionErrno: number = 0;
  closeListeners: CloseListener[] = [];

  /** Whether a call waits in one of the four queues. */
  get busy(): boolean {
    const { errors, hangup, peerEnd, urgent } = this;
    return errors?.busy === true || urgent?.busy === true || hangup?.busy === true || peerEnd?.busy === true;
  }

  forEachQueue(visit: (queue: WaitQueue) => void): void {
    for (const queue of [this.errors, this.urgent, this.hangup, this.peerEnd]) if (queue !== undefined) visit(queue);
  }
}

export class Descriptor implements EventHandler, QueueDescriptor {
  readonly reactor: Reactor;
  readonly reading: WaitQueue;
  readonly writing: WaitQueue;
  /** The index in the list of pending sockets of sys/leakDetection.ts, or -1. */
  pendingIndex: number = -1;
  /** -1 after close() and release(). Only this file sets it. */
  fd: number;
  /** TCP, KEEPS_ALIVE, WITHOUT_EPOLLOUT and DUPLICATED. */
  private flags: number;
  /** The slot of the registration with the reactor, or -1. */
  private slot: number = -1;
  private rare: RareFields | undefined = undefined;

  /**
   * @param fd a non-blocking descriptor that this environment owns
   * @param isTcp whether it is a TCP socket: a short read then means that the receive buffer is empty
   */
  constructor(fd: number, isTcp: boolean, reactor: Reactor = defaultReactor()) {
    this.fd = fd;
    this.flags = KEEPS_ALIVE | WITHOUT_EPOLLOUT | (isTcp ? TCP : 0);
    this.reactor = reactor;
    this.reading = new WaitQueue(this);
    this.reading.shortMeansEmpty = isTcp;
    this.writing = new WaitQueue(this);
  }

  private has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  private setFlag(flag: number, value: boolean): void {
    this.flags = value ? this.flags | flag : this.flags & ~flag;
  }

  private ensureRare(): RareFields {
    return (this.rare ??= new RareFields());
  }

  /**
   * Whether a duplicate of the descriptor may exist: the descriptor was adopted or duplicated, or `fileno()` returned
   * its number. Without a duplicate, close(2) ends the registration with epoll. With an open duplicate the kernel keeps
   * the registration, and epoll_ctl(2) must end it.
   */
  get duplicated(): boolean {
    return this.has(DUPLICATED);
  }

  set duplicated(value: boolean) {
    this.setFlag(DUPLICATED, value);
  }

  /** See `FailedDescriptor` in operation.ts. */
  get connectionErrno(): number {
    return this.rare?.connectionErrno ?? 0;
  }

  set connectionErrno(value: number) {
    this.ensureRare().connectionErrno = value;
  }

  /** The relay of which this descriptor is the source; see relay.ts. */
  get outflow(): Relay | undefined {
    return this.rare?.outflow;
  }

  set outflow(value: Relay | undefined) {
    // Storing undefined allocates no RareFields.
    if (value !== undefined || this.rare !== undefined) this.ensureRare().outflow = value;
  }

  /** The relay of which this descriptor is the destination; see relay.ts. */
  get inflow(): Relay | undefined {
    return this.rare?.inflow;
  }

  set inflow(value: Relay | undefined) {
    if (value !== undefined || this.rare !== undefined) this.ensureRare().inflow = value;
  }

  /** Whether a waiting call keeps the process alive. */
  get keepsAlive(): boolean {
    return this.has(KEEPS_ALIVE);
  }

  set keepsAlive(value: boolean) {
    if (this.keepsAlive === value) return;
    this.setFlag(KEEPS_ALIVE, value);
    this.reading.updateReactorHolds();
    this.writing.updateReactorHolds();
    this.rare?.forEachQueue((queue) => queue.updateReactorHolds());
  }

  /** The queue of reads of the error queue. */
  get errors(): WaitQueue {
    return (this.ensureRare().errors ??= new WaitQueue(this));
  }

  /** The queue of reads of urgent data. */
  get urgent(): WaitQueue {
    const rare = this.ensureRare();
    if (rare.urgent === undefined) {
      rare.urgent = new WaitQueue(this);
      // An ordinary read stops at the position of urgent data, even after the urgent data were read. No event reports
      // that position, so a short read may leave data.
      this.clearShortReadFlags();
    }
    return rare.urgent;
  }

  /** The queue of calls that wait for the end of the connection: HANGUP in ops/readiness.ts. */
  get hangup(): WaitQueue {
    return (this.ensureRare().hangup ??= new WaitQueue(this));
  }

  /** The queue of calls that wait for the half-close of the peer: PEER_END in ops/readiness.ts. */
  get peerEnd(): WaitQueue {
    return (this.ensureRare().peerEnd ??= new WaitQueue(this));
  }

  /** From now on a short read means neither that the socket is empty nor that the stream has ended. */
  clearShortReadFlags(): void {
    this.reading.shortMeansEmpty = this.reading.shortMeansEnd = false;
    // An open relay also relies on short reads, so it must stop.
    this.outflow?.stopAtNextEvent();
  }

  /**
   * Called before other code gets the number of the descriptor. That code may duplicate or close the descriptor, so the
   * number may later belong to another file. So native code checks the stored identity in close() and release().
   */
  share(): void {
    if (this.fileId > 0 || this.fd < 0) return;
    this.duplicated = true;
    this.ensureRare().fileId = this.reactor.calls.share(this.fd);
  }

  /** See {@link RareFields.fileId}. Not a `#` getter: V8 calls its runtime for each read of a `#` getter. */
  private get fileId(): number {
    return this.rare === undefined ? 0 : this.rare.fileId;
  }

  /** Registers the descriptor for the events of `queue`, if it is not registered for them. Returns 0 or -errno. */
  register(queue: object): number {
    const { failure } = this.reactor;
    if (failure < 0) return failure;
    const needsEpollout = queue === this.writing;
    if (this.slot < 0) {
      if (needsEpollout) this.setFlag(WITHOUT_EPOLLOUT, false);
      const slot = this.reactor.add(this.fd, this, this.has(WITHOUT_EPOLLOUT));
      if (slot < 0) return slot;
      this.slot = slot;
    } else if (needsEpollout && this.has(WITHOUT_EPOLLOUT)) {
      const result = this.reactor.addEpollout(this.fd, this.slot);
      if (result < 0) return result;
      this.setFlag(WITHOUT_EPOLLOUT, false);
    }
    return 0;
  }

  /** Called when a call enters an empty queue. */
  onWaiting(queue: object): void {
    if (queue !== this.writing) return;
    // The waiting write must be sent before the bytes that a relay would forward to this descriptor.
    this.inflow?.stopAtNextEvent();
    const missedEpollout = this.outflow?.setReportsEpollout(true);
    // Perhaps no further EPOLLOUT comes, so the write must try again.
    if (missedEpollout === true) this.reactor.defer({ resume: () => this.writing.wake() });
  }

  /**
   * Whether poll(2) reports the socket as writable after a write got EAGAIN; see retryPause.ts. On TCP, and for reads,
   * an event follows every EAGAIN. There poll(2) is unnecessary, and the result is false.
   */
  isReady(queue: object): boolean {
    if (this.has(TCP) || queue !== this.writing) return false;
    const revents = this.reactor.calls.poll(this.fd, POLLOUT, 0);
    return revents > 0 && (revents & POLLOUT) !== 0;
  }

  /** Ends the registration with epoll, unless a call waits or the socket is TCP; see the top of the file. */
  deregisterIfIdle(): void {
    if (this.slot < 0 || this.has(TCP)) return;
    // A relay uses the slot of the registration.
    if (this.outflow !== undefined || this.inflow !== undefined) return;
    const { reading, writing } = this;
    if (reading.busy || writing.busy || this.rare?.busy === true) return;
    this.reactor.remove(this.fd, this.slot, this.fileId);
    this.slot = -1;
    this.setFlag(WITHOUT_EPOLLOUT, true);
    // No event will come, so the next call of these four queues must make an attempt. In `hangup` and `peerEnd` the
    // next call registers first, and epoll then reports the current state.
    reading.wake();
    writing.wake();
    this.rare?.errors?.wake();
    this.rare?.urgent?.wake();
  }

  /**
   * Returns a relay with this descriptor as the source. Undefined if the descriptor is not registered, or the table of
   * relays has no entry for it.
   */
  makeRelay(): Relay | undefined {
    return this.slot < 0 ? undefined : this.reactor.makeRelay(this.slot);
  }

  /** Calls `visit` with each call that waits on the descriptor. */
  forEachWaiter(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void {
    this.reading.forEachWaiter(visit);
    this.writing.forEachWaiter(visit);
    this.rare?.forEachQueue((queue) => queue.forEachWaiter(visit));
  }

  onReady(events: number): void {
    if ((events & MORE_THAN_DATA) !== 0) this.updateShortReadFlags(events);
    // Writing first: the kernel returns the error of a failed connect() once, and connect() must get it instead of a
    // read.
    if ((events & WRITABLE) !== 0) {
      this.writing.wake(events);
      this.outflow?.setReportsEpollout(this.writing.busy);
    }
    if ((events & READABLE) !== 0) this.reading.wake();
    const rare = this.rare;
    if (rare === undefined) return;
    // After reading: a read of the error queue clears the pending error, which an ordinary read must report.
    if ((events & EPOLLERR) !== 0) rare.errors?.wake();
    if ((events & EPOLLPRI) !== 0) rare.urgent?.wake();
    // Last: a waiting read or write must be the first to report the end of the connection.
    if ((events & EPOLLHUP) !== 0) rare.hangup?.wake();
    if ((events & (EPOLLHUP | EPOLLRDHUP)) !== 0) rare.peerEnd?.wake();
  }

  onFailure(): void {
    this.writing.onFailure();
    this.reading.onFailure();
    this.rare?.forEachQueue((queue) => queue.onFailure());
  }

  /**
   * After an event of MORE_THAN_DATA a short read no longer means that the socket is empty. After the peer's FIN,
   * without an error or urgent data, it means the end of the stream: all bytes have arrived (tcp_fin in net/ipv4).
   */
  private updateShortReadFlags(events: number): void {
    const { reading } = this;
    if ((events & (EPOLLPRI | EPOLLERR)) !== 0) reading.shortMeansEnd = false;
    else if (reading.shortMeansEmpty && (events & EPOLLRDHUP) !== 0) reading.shortMeansEnd = true;
    reading.shortMeansEmpty = false;
  }

  /** Ends the registration, sets `fd` to -1 and returns the old number. The caller closes it or leaves it open. */
  private takeFd(next: "close" | "leave open"): number {
    const { fd, slot } = this;
    if (slot >= 0) {
      // close(2) removes the entry of epoll, except if a duplicate is open.
      if (next === "close" && !this.duplicated) this.reactor.freeSlot(slot);
      else this.reactor.remove(fd, slot, this.fileId);
    }
    this.slot = -1;
    this.fd = -1;
    return fd;
  }

  /** Cancels every waiting call, and calls the close listeners. */
  private cancelAll(): void {
    this.reading.cancel();
    this.writing.cancel();
    this.rare?.forEachQueue((queue) => queue.cancel());
    for (const listener of this.rare?.closeListeners.splice(0) ?? []) listener.onClosed();
  }

  /**
   * Calls `listener.onClosed()` when the descriptor is closed or released. For calls that use this descriptor and wait
   * on another one.
   */
  addCloseListener(listener: CloseListener): void {
    this.ensureRare().closeListeners.push(listener);
  }

  removeCloseListener(listener: CloseListener): void {
    const listeners = this.rare?.closeListeners;
    const index = listeners?.indexOf(listener) ?? -1;
    if (index >= 0) listeners?.splice(index, 1);
  }

  /**
   * Closes the descriptor and cancels every waiting call (see `WaitQueue.cancel`). Returns the result of close(2), or 0
   * if the descriptor was closed before.
   */
  close(): number {
    if (this.fd < 0) return 0;
    const fd = this.takeFd("close");
    const { calls } = this.reactor;
    const result = this.fileId > 0 ? calls.close(fd, this.fileId) : calls.close(fd);
    this.cancelAll();
    return result;
  }

  /**
   * Returns the open descriptor to the caller, which then owns it, and cancels every waiting call.
   *
   * @param blocking whether to clear O_NONBLOCK; if that fails, the descriptor and its calls stay as they are
   * @returns the descriptor, or -errno
   */
  release(blocking: boolean = false): number {
    const fd = this.fd;
    if (fd < 0) return EBADF;
    const { calls } = this.reactor;
    const mode = blocking ? 1 : 0;
    const result = this.fileId > 0 ? calls.release(fd, mode, this.fileId) : calls.release(fd, mode);
    // EBADF: other code has closed the descriptor. Then this object must not use the number either.
    if (result < 0 && result !== EBADF) return result;
    this.takeFd("leave open");
    this.cancelAll();
    return result < 0 ? result : fd;
  }
}
