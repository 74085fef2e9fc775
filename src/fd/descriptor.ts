// One descriptor: its two directions, its registration, and its end.

import { defaultReactor, type Reactor, type Source } from "../reactor/index.js";
import { EBADF } from "../sys/errno.js";
import { Direction, type Owner } from "./direction.js";

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

export class Descriptor implements Source, Owner {
  readonly reactor: Reactor;
  readonly reading: Direction;
  readonly writing: Direction;
  #fd: number;
  #slot = -1;

  /**
   * @param fd a non-blocking descriptor that this environment owns
   * @param shortMeansEmpty whether a read that gets less than it asked for has emptied the socket: TCP
   */
  constructor(fd: number, shortMeansEmpty: boolean, reactor: Reactor = defaultReactor()) {
    this.#fd = fd;
    this.reactor = reactor;
    this.reading = new Direction(this);
    this.reading.shortMeansEmpty = shortMeansEmpty;
    this.writing = new Direction(this);
  }

  /** -1 once closed or released. */
  get fd(): number {
    return this.#fd;
  }

  register(): number {
    if (this.#slot >= 0) return 0;
    const slot = this.reactor.add(this.#fd, this);
    if (slot < 0) return slot;
    this.#slot = slot;
    return 0;
  }

  onReady(events: number): void {
    if ((events & NOT_ONLY_BYTES) !== 0) this.reading.shortMeansEmpty = false;
    // Writing first: a failed connect() is to be told to who connects, before a read takes the error away.
    if ((events & WRITABLE) !== 0) this.writing.wake();
    if ((events & READABLE) !== 0) this.reading.wake();
  }

  #forget(): number {
    const fd = this.#fd;
    if (this.#slot >= 0) this.reactor.remove(fd, this.#slot);
    this.#slot = -1;
    this.#fd = -1;
    return fd;
  }

  #cancel(): void {
    this.reading.cancel();
    this.writing.cancel();
  }

  /** Closes the descriptor and settles every pending call with ECANCELED. Returns what close(2) returned; 0 if closed. */
  close(): number {
    if (this.#fd < 0) return 0;
    const result = this.reactor.calls.close(this.#forget());
    this.#cancel();
    return result;
  }

  /** Gives the descriptor away, open, and settles every pending call with ECANCELED. Returns it, or EBADF. */
  release(): number {
    if (this.#fd < 0) return EBADF;
    const fd = this.#forget();
    const result = this.reactor.calls.release(fd);
    this.#cancel();
    return result < 0 ? result : fd;
  }
}
