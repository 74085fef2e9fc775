// One descriptor: its directions, its registration, and its end.
//
// Beside reading and writing there are two more queues, made when they are first used: for the error queue (MSG_ERRQUEUE),
// and for urgent data (MSG_OOB). What is read there has nothing to do with what an ordinary read gets, so neither may wait
// behind the other, and EAGAIN from one says nothing about the other. Each has an event of its own, EPOLLERR and EPOLLPRI.
//
// A TCP socket is registered for both directions at once: it reports that there is room only after a write has found none
// (sk_stream_write_space in net/core/stream.c). UDP and UNIX sockets report it for each packet that leaves their buffer
// (sock_def_write_space, unix_write_space), so they are registered for that only when a write waits.
//
// They look for somebody to tell each time, though, and whoever is registered is found, whatever for: taking the locks on the
// way to a registration that asks for nothing of the kind costs a sender about a tenth of what a small datagram costs in
// all. Who is about to send many at a time may give the registration up (`unwatch`); the next call that waits registers
// anew, and hears at once of what came in between. No event can say meanwhile that a direction is ready, so all count
// as ready until the kernel says otherwise.

import { defaultReactor, type Reactor, type Source } from "./reactor.js";
import { POLLOUT } from "../sys/constants.js";
import { EBADF } from "../sys/errno.js";
import type { Note } from "./relay.js";
import { WaitQueue, type Owner } from "./waitQueue.js";

// epoll(7); the same on every Linux.
const EPOLLIN = 0x1;
const EPOLLPRI = 0x2;
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;

/** A read may stop before it has emptied the socket, or have more than bytes to tell. */
const NOT_ONLY_BYTES = EPOLLPRI | EPOLLERR | EPOLLHUP | EPOLLRDHUP;
const READABLE = EPOLLIN | NOT_ONLY_BYTES;
const WRITABLE = EPOLLOUT | EPOLLERR | EPOLLHUP;

/** Who has to know that a descriptor is gone. */
export interface Dependant {
  ended(): void;
}

export class Descriptor implements Source, Owner {
  readonly reactor: Reactor;
  readonly reading: WaitQueue;
  readonly writing: WaitQueue;
  /**
   * Whether there may be a duplicate, with which the kernel would keep the registration: it was made elsewhere, duplicated, or
   * somebody has asked for its number. Otherwise close(2) ends the registration, and saves the call that would.
   */
  duplicated: boolean = false;
  /** Which file it is, as `calls.share` says, once others may close the number. */
  #file = 0;
  /** See sys/collected.ts. */
  pendingIndex: number = -1;
  #keepsAlive = true;
  /** What the poller does for flows that have their source here, or their destination; reactor/relay.ts. */
  outflow: Note | undefined;
  inflow: Note | undefined;
  #errors: WaitQueue | undefined;
  #urgent: WaitQueue | undefined;
  #gone: WaitQueue | undefined;
  #fd: number;
  #slot = -1;
  readonly #tcp: boolean;
  #lazy: boolean;
  /** A pump has two flows, which are all that most sockets ever have to tell. */
  #first: Dependant | undefined;
  #second: Dependant | undefined;
  #further: Dependant[] | undefined;

  /**
   * @param fd a non-blocking descriptor that this environment owns
   * @param tcp whether a read that gets less than it asked for has emptied the socket, and room for a write is reported only
   *   to who waits for it
   */
  constructor(fd: number, tcp: boolean, reactor: Reactor = defaultReactor()) {
    this.#fd = fd;
    this.#tcp = tcp;
    this.#lazy = !tcp;
    this.reactor = reactor;
    this.reading = new WaitQueue(this);
    this.reading.shortMeansEmpty = tcp;
    this.writing = new WaitQueue(this);
  }

  /** Whether a call that waits keeps the process alive. */
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
      // Urgent data that has been read is announced no more, and ordinary reads still stop where it was.
      this.distrustShortReads();
    }
    return this.#urgent;
  }

  /** For calls that wait only for the end of the connection: GONE in operations/connection.ts. */
  get gone(): WaitQueue {
    return (this.#gone ??= new WaitQueue(this));
  }

  /** From now on a read that gets less than it asked for says nothing of what comes behind. */
  distrustShortReads(): void {
    this.reading.shortMeansEmpty = this.reading.shortMeansEnd = false;
    // What the poller was told does not hold any more: it is to hand the next event over.
    this.outflow?.block();
  }

  /** Others may duplicate the descriptor from now on, and close its number. */
  share(): void {
    if (this.#file > 0 || this.#fd < 0) return;
    this.duplicated = true;
    this.#file = this.reactor.calls.share(this.#fd);
  }

  /** -1 once closed or released. */
  get fd(): number {
    return this.#fd;
  }

  register(direction: WaitQueue): number {
    const { failure } = this.reactor;
    if (failure < 0) return failure;
    const writes = direction === this.writing;
    if (this.#slot < 0) {
      if (writes) this.#lazy = false;
      const slot = this.reactor.add(this.#fd, this, this.#lazy);
      if (slot < 0) return slot;
      this.#slot = slot;
    } else if (writes && this.#lazy) {
      const result = this.reactor.addWriting(this.#fd, this.#slot);
      if (result < 0) return result;
      this.#lazy = false;
    }
    return 0;
  }

  /** What waits to be written goes before what the poller would pass on, whether it waits for room or for its turn. */
  queued(direction: WaitQueue): void {
    if (direction !== this.writing) return;
    this.inflow?.block();
    if (this.outflow?.wantOut(true) === true) this.reactor.defer({ resume: () => this.writing.wake() });
  }

  /** TCP has no refusal that no event ends, and is spared the system call. */
  refuses(direction: WaitQueue): boolean {
    if (this.#tcp || direction !== this.writing) return false;
    const revents = this.reactor.calls.poll(this.#fd, POLLOUT, 0);
    return revents > 0 && (revents & POLLOUT) !== 0;
  }

  /** Gives the registration up, unless a call waits or it costs nothing; see the top of the file. */
  unwatch(): void {
    // A note for the poller names the slot.
    if (this.#slot < 0 || this.#tcp || this.outflow !== undefined || this.inflow !== undefined) return;
    const { reading, writing } = this;
    if (reading.busy || writing.busy || this.#errors?.busy === true || this.#urgent?.busy === true) return;
    if (this.#gone?.busy === true) return;
    this.reactor.remove(this.#fd, this.#slot, true, this.#file);
    this.#slot = -1;
    this.#lazy = true;
    reading.wake();
    writing.wake();
    this.#errors?.wake();
    this.#urgent?.wake();
  }

  /** @returns undefined before the first wait */
  makeNote(): Note | undefined {
    return this.#slot < 0 ? undefined : this.reactor.makeNote(this.#slot);
  }

  onReady(events: number): void {
    if ((events & NOT_ONLY_BYTES) !== 0) this.#noteMore(events);
    // Writing first: a failed connect() is to be told to who connects, before a read takes the error away.
    if ((events & WRITABLE) !== 0) {
      this.writing.wake(events);
      this.outflow?.wantOut(this.writing.busy);
    }
    if ((events & READABLE) !== 0) this.reading.wake();
    // After reading: taking an ICMP error from the queue also takes it from the next ordinary call, which is to hear of it.
    if ((events & EPOLLERR) !== 0) this.#errors?.wake();
    if ((events & EPOLLPRI) !== 0) this.#urgent?.wake();
    // Last: who reads or writes is told by its own call.
    if ((events & EPOLLHUP) !== 0) this.#gone?.wake();
  }

  onFailure(): void {
    this.writing.onFailure();
    this.reading.onFailure();
    this.#errors?.onFailure();
    this.#urgent?.onFailure();
    this.#gone?.onFailure();
  }

  /** There is more to tell than bytes. Where it is the end and nothing else ever was, all bytes are there (tcp_fin in net/ipv4). */
  #noteMore(events: number): void {
    const { reading } = this;
    if ((events & (EPOLLPRI | EPOLLERR)) !== 0) reading.shortMeansEnd = false;
    else if (reading.shortMeansEmpty && (events & EPOLLRDHUP) !== 0) reading.shortMeansEnd = true;
    reading.shortMeansEmpty = false;
  }

  #forget(open: boolean): number {
    const fd = this.#fd;
    if (this.#slot >= 0) this.reactor.remove(fd, this.#slot, open || this.duplicated, this.#file);
    this.#slot = -1;
    this.#fd = -1;
    return fd;
  }

  #cancel(): void {
    this.reading.cancel();
    this.writing.cancel();
    this.#errors?.cancel();
    this.#urgent?.cancel();
    this.#gone?.cancel();
    const first = this.#first;
    const second = this.#second;
    const further = this.#further;
    this.#first = this.#second = this.#further = undefined;
    first?.ended();
    second?.ended();
    for (const one of further ?? []) one.ended();
  }

  /** Tells `dependant` when the descriptor is closed or released: for a call that works here and waits on another one. */
  addDependant(dependant: Dependant): void {
    if (this.#first === undefined) this.#first = dependant;
    else if (this.#second === undefined) this.#second = dependant;
    else (this.#further ??= []).push(dependant);
  }

  removeDependant(dependant: Dependant): void {
    if (this.#first === dependant) this.#first = undefined;
    else if (this.#second === dependant) this.#second = undefined;
    else this.#further = this.#further?.filter((one) => one !== dependant);
  }

  /** Closes the descriptor and settles every pending call with ECANCELED. Returns what close(2) returned; 0 if closed. */
  close(): number {
    if (this.#fd < 0) return 0;
    const fd = this.#forget(false);
    const { calls } = this.reactor;
    const result = this.#file > 0 ? calls.close(fd, this.#file) : calls.close(fd);
    this.#cancel();
    return result;
  }

  /**
   * Gives the descriptor away, open, and settles every pending call with ECANCELED.
   *
   * @param blocking whether O_NONBLOCK is cleared; all stays as it is if that fails
   * @returns the descriptor, or -errno
   */
  release(blocking: boolean = false): number {
    const fd = this.#fd;
    if (fd < 0) return EBADF;
    // A failure of a plain release means that the descriptor is not ours any more.
    const { calls } = this.reactor;
    const mode = blocking ? 1 : 0;
    const result = this.#file > 0 ? calls.release(fd, mode, this.#file) : calls.release(fd, mode);
    if (result < 0 && blocking) return result;
    this.#forget(true);
    this.#cancel();
    return result < 0 ? result : fd;
  }
}
