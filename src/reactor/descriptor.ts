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

// Bits: a field for each would take 8 bytes in every descriptor.
/** A short read means that the socket is empty, and the kernel reports room only after a write that found none. */
const TCP = 1;
/** A waiting call keeps the process alive. */
const KEEPS_ALIVE = 2;
/** The registration has no EPOLLOUT. */
const READING_ONLY = 4;
const DUPLICATED = 8;

/** What most descriptors never need. */
class RareParts {
  errors: WaitQueue | undefined;
  urgent: WaitQueue | undefined;
  hangup: WaitQueue | undefined;
  peerEnd: WaitQueue | undefined;
  /** The file, as `calls.share` returned it, once others may close the number. */
  file: number = 0;
  /** The relay of which this descriptor is the source, and the one of which it is the destination; see relay.ts. */
  outflow: Relay | undefined;
  inflow: Relay | undefined;
  /** See `FailedAt` in operation.ts. */
  breakage: number = 0;
  listeners: CloseListener[] = [];

  get busy(): boolean {
    const { errors, hangup, peerEnd, urgent } = this;
    return errors?.busy === true || urgent?.busy === true || hangup?.busy === true || peerEnd?.busy === true;
  }

  forEachQueue(visit: (queue: WaitQueue) => void): void {
    for (const queue of [this.errors, this.urgent, this.hangup, this.peerEnd]) if (queue !== undefined) visit(queue);
  }
}

export class Descriptor implements Source, QueueDescriptor {
  readonly reactor: Reactor;
  readonly reading: WaitQueue;
  readonly writing: WaitQueue;
  /** See sys/leakDetection.ts. */
  pendingIndex: number = -1;
  /** Of the bits below. */
  #bits: number;
  #fd: number;
  #slot = -1;
  #rare: RareParts | undefined;

  /**
   * @param fd a non-blocking descriptor that this environment owns
   * @param tcp whether a short read means that the socket is empty, and the kernel reports room for a write only after
   *   a write that found none
   */
  constructor(fd: number, tcp: boolean, reactor: Reactor = defaultReactor()) {
    this.#fd = fd;
    this.#bits = KEEPS_ALIVE | (tcp ? TCP : READING_ONLY);
    this.reactor = reactor;
    this.reading = new WaitQueue(this);
    this.reading.shortMeansEmpty = tcp;
    this.writing = new WaitQueue(this);
  }

  #has(bit: number): boolean {
    return (this.#bits & bit) !== 0;
  }

  #set(bit: number, value: boolean): void {
    this.#bits = value ? this.#bits | bit : this.#bits & ~bit;
  }

  #madeRare(): RareParts {
    return (this.#rare ??= new RareParts());
  }

  /**
   * Whether there may be a duplicate: the descriptor was made elsewhere, duplicated, or its number was given out. The
   * kernel keeps the registration while a duplicate is open. Without one close(2) ends it, which saves a system call.
   */
  get duplicated(): boolean {
    return this.#has(DUPLICATED);
  }

  set duplicated(value: boolean) {
    this.#set(DUPLICATED, value);
  }

  /** See `FailedAt` in operation.ts. */
  get breakage(): number {
    return this.#rare?.breakage ?? 0;
  }

  set breakage(value: number) {
    this.#madeRare().breakage = value;
  }

  /** The relay of which this descriptor is the source; see relay.ts. */
  get outflow(): Relay | undefined {
    return this.#rare?.outflow;
  }

  set outflow(value: Relay | undefined) {
    if (value !== undefined || this.#rare !== undefined) this.#madeRare().outflow = value;
  }

  /** The relay of which this descriptor is the destination. */
  get inflow(): Relay | undefined {
    return this.#rare?.inflow;
  }

  set inflow(value: Relay | undefined) {
    if (value !== undefined || this.#rare !== undefined) this.#madeRare().inflow = value;
  }

  /** Whether a waiting call keeps the process alive. */
  get keepsAlive(): boolean {
    return this.#has(KEEPS_ALIVE);
  }

  set keepsAlive(value: boolean) {
    if (this.keepsAlive === value) return;
    this.#set(KEEPS_ALIVE, value);
    this.reading.recount();
    this.writing.recount();
    this.#rare?.forEachQueue((queue) => queue.recount());
  }

  /** For reads of the error queue. */
  get errors(): WaitQueue {
    return (this.#madeRare().errors ??= new WaitQueue(this));
  }

  /** For reads of urgent data. */
  get urgent(): WaitQueue {
    const rare = this.#madeRare();
    if (rare.urgent === undefined) {
      rare.urgent = new WaitQueue(this);
      // The kernel does not announce urgent data that was read, and ordinary reads still stop there.
      this.distrustShortReads();
    }
    return rare.urgent;
  }

  /** For calls that wait only for the end of the connection: HANGUP in ops/readiness.ts. */
  get hangup(): WaitQueue {
    return (this.#madeRare().hangup ??= new WaitQueue(this));
  }

  /** For calls that wait only for the end of the peer's direction: PEER_END in ops/readiness.ts. */
  get peerEnd(): WaitQueue {
    return (this.#madeRare().peerEnd ??= new WaitQueue(this));
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
    this.#madeRare().file = this.reactor.calls.share(this.#fd);
  }

  /** See {@link RareParts.file}. */
  get #file(): number {
    return this.#rare?.file ?? 0;
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
      if (writes) this.#set(READING_ONLY, false);
      const slot = this.reactor.add(this.#fd, this, this.#has(READING_ONLY));
      if (slot < 0) return slot;
      this.#slot = slot;
    } else if (writes && this.#has(READING_ONLY)) {
      const result = this.reactor.addWriting(this.#fd, this.#slot);
      if (result < 0) return result;
      this.#set(READING_ONLY, false);
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
    if (this.#has(TCP) || queue !== this.writing) return false;
    const revents = this.reactor.calls.poll(this.#fd, POLLOUT, 0);
    return revents > 0 && (revents & POLLOUT) !== 0;
  }

  /** Gives the registration up, unless a call waits or the socket is TCP; see the top of the file. */
  unwatch(): void {
    // A relay refers to the slot of the registration.
    if (this.#slot < 0 || this.#has(TCP) || this.outflow !== undefined || this.inflow !== undefined) return;
    const { reading, writing } = this;
    if (reading.busy || writing.busy || this.#rare?.busy === true) return;
    this.reactor.remove(this.#fd, this.#slot, true, this.#file);
    this.#slot = -1;
    this.#set(READING_ONLY, true);
    reading.wake();
    writing.wake();
    this.#rare?.errors?.wake();
    this.#rare?.urgent?.wake();
  }

  /** @returns undefined before the first wait */
  makeRelay(): Relay | undefined {
    return this.#slot < 0 ? undefined : this.reactor.makeRelay(this.#slot);
  }

  /** Calls `visit` with each call that waits on the descriptor. */
  forEachWaiter(visit: (waiter: Waiter, owner: QueueDescriptor) => void): void {
    this.reading.forEachWaiter(visit);
    this.writing.forEachWaiter(visit);
    this.#rare?.forEachQueue((queue) => queue.forEachWaiter(visit));
  }

  onReady(events: number): void {
    if ((events & MORE_THAN_DATA) !== 0) this.#distrustAfter(events);
    // Writing first: the error of a failed connect() belongs to that call, and a read would take it.
    if ((events & WRITABLE) !== 0) {
      this.writing.wake(events);
      this.outflow?.wantOut(this.writing.busy);
    }
    if ((events & READABLE) !== 0) this.reading.wake();
    const rare = this.#rare;
    if (rare === undefined) return;
    // After reading: a read of the error queue also clears the error that the next ordinary call must report.
    if ((events & EPOLLERR) !== 0) rare.errors?.wake();
    if ((events & EPOLLPRI) !== 0) rare.urgent?.wake();
    // Last: calls that read or write report the end themselves.
    if ((events & EPOLLHUP) !== 0) rare.hangup?.wake();
    if ((events & (EPOLLHUP | EPOLLRDHUP)) !== 0) rare.peerEnd?.wake();
  }

  onFailure(): void {
    this.writing.onFailure();
    this.reading.onFailure();
    this.#rare?.forEachQueue((queue) => queue.onFailure());
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
    this.#rare?.forEachQueue((queue) => queue.cancel());
    for (const listener of this.#rare?.listeners.splice(0) ?? []) listener.ended();
  }

  /**
   * Calls `listener.ended()` when the descriptor is closed or given away: for a call that waits on another descriptor.
   */
  addCloseListener(listener: CloseListener): void {
    this.#madeRare().listeners.push(listener);
  }

  removeCloseListener(listener: CloseListener): void {
    const listeners = this.#rare?.listeners;
    const index = listeners?.indexOf(listener) ?? -1;
    if (index >= 0) listeners?.splice(index, 1);
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
