// What every blocking socket is made of: a descriptor, a default deadline, the end; and the ways down to the kernel.

import { AF_NETLINK, AF_UNIX, type Address, type HostPort } from "../addr/index.js";
import { brand } from "../check/index.js";
import { milliseconds } from "../wait/waitOptions.js";
import { type Calls, calls } from "../sys/calls.js";
import { closeWhenCollected, type LeakableDescriptor, stopLeakDetection } from "../sys/leakDetection.js";
import { MSG_ERRQUEUE, MSG_OOB, POLLIN, POLLOUT, POLLPRI } from "../sys/constants.js";
import { getdefaulttimeout } from "../ops/defaultTimeout.js";
import { check, EBADF, socketError, EINTR } from "../sys/errno.js";
import { runLookupBlocking } from "../netdb/lookup.js";
import { READABLE, WRITABLE } from "../ops/connection.js";
import type { Operation } from "../reactor/operation.js";
import { PlainSocket } from "../ops/plainSocket.js";
import type { Addressed, Request } from "../ops/request.js";
import { type DetachOptions, isBlocking } from "../ops/socketArguments.js";
import { countOf } from "../ops/tryArguments.js";
import { resolveAll, resolveNow } from "../netdb/resolve.js";
import { block } from "./blockingCall.js";
import { timeoutOf, type WaitOptions } from "./syncOptions.js";

/** An open descriptor of ours. */
class OpenDescriptor implements LeakableDescriptor {
  fd: number;
  pendingIndex: number = -1;
  #file = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Others may close the number from now on. */
  share(): void {
    if (this.#file === 0 && this.fd >= 0) this.#file = calls.share(this.fd);
  }

  /** The descriptor stays `fd` here. */
  release(blocking: number): number {
    return this.#file > 0 ? calls.release(this.fd, blocking, this.#file) : calls.release(this.fd, blocking);
  }

  close(): number {
    const { fd } = this;
    this.fd = -1;
    return this.#file > 0 ? calls.close(fd, this.#file) : calls.close(fd);
  }
}

/** The number of a socket's descriptor, for calls that keep it to themselves. */
export let numberOf: (socket: DescriptorSocket) => number;

export abstract class DescriptorSocket extends PlainSocket {
  static {
    brand(DescriptorSocket.prototype, "Socket of berkeley/sync");
    numberOf = (socket) => socket.number();
  }

  readonly #descriptor: OpenDescriptor;
  #timeout: number | null = getdefaulttimeout();

  /** @param fd a non-blocking descriptor that this environment owns */
  protected constructor(family: number, type: number, protocol: number, fd: number) {
    super(family, type, protocol);
    this.#descriptor = new OpenDescriptor(fd);
    closeWhenCollected(this, this.#descriptor);
  }

  /** @internal */
  protected override calls(): Calls {
    return calls;
  }

  /** The descriptor, or -1 once the socket is closed or detached. */
  override fileno(): number {
    this.#descriptor.share();
    return this.#descriptor.fd;
  }

  /** @internal */
  protected override number(): number {
    return this.#descriptor.fd;
  }

  /** Deadline in ms of every call that may wait and has none of its own; null for none. Starts as `getdefaulttimeout()`. */
  get timeout(): number | null {
    return this.#timeout;
  }

  set timeout(value: number | null) {
    this.#timeout = milliseconds(value, "set timeout");
  }

  /** Whether the socket is closed or detached. */
  get closed(): boolean {
    return this.#descriptor.fd < 0;
  }

  /** @internal */
  protected checkOpen(syscall: string): number {
    const { fd } = this.#descriptor;
    if (fd < 0) throw socketError(EBADF, syscall);
    return fd;
  }

  /**
   * Runs an operation; `events` is what poll(2) waits for meanwhile.
   *
   * @internal
   */
  protected run<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, events: number, timeout: number | null): T {
    return block(calls, this.checkOpen(operation.syscall), operation, a, b, events, timeout);
  }

  /**
   * Tries the operation of a request once.
   *
   * @internal
   */
  protected attempt<T>({ operation, operand, flags }: Request<T>): T | undefined {
    const fd = this.checkOpen(operation.syscall);
    let result = operation.attempt(calls, fd, operand, flags);
    while (result === EINTR) result = operation.attempt(calls, fd, operand, flags);
    const count = countOf(operation, result, operand, flags);
    return count === undefined ? undefined : operation.complete(count, operand, flags);
  }

  /** @internal */
  protected receive<T>({ operation, operand, flags }: Request<T>, opts: WaitOptions | undefined): T {
    const timeout = timeoutOf(opts, this.#timeout, operation.syscall);
    return this.run(operation, operand, flags, this.#eventsFor(flags), timeout);
  }

  #eventsFor(flags: number): number {
    if ((flags & MSG_ERRQUEUE) !== 0 && this.family !== AF_UNIX && this.family !== AF_NETLINK) {
      // POLLERR, which tells of the error queue, is reported unasked.
      return 0;
    }
    return (flags & MSG_OOB) !== 0 ? POLLPRI : POLLIN;
  }

  /** @internal */
  protected transmit<T>({ operation, operand, flags }: Request<T>, opts: WaitOptions | undefined): T {
    return this.run(operation, operand, flags, POLLOUT, timeoutOf(opts, this.#timeout, operation.syscall));
  }

  /** @internal */
  protected transmitTo<T>(request: Addressed<T>, opts: WaitOptions | undefined): T {
    const { syscall, target } = request;
    const timeout = timeoutOf(opts, this.#timeout, syscall);
    this.checkOpen(syscall);
    const { operation, operand, flags } = request.at(target === undefined ? undefined : this.resolve(target));
    return this.run(operation, operand, flags, POLLOUT, timeout);
  }

  /**
   * The address as the kernel takes it. The resolver has no deadline but its own.
   *
   * @internal
   */
  protected resolve(target: Address | HostPort): Address {
    return resolveNow(calls, target, this) ?? runLookupBlocking(resolveAll(calls, target as HostPort, this.family))[0]!;
  }

  /**
   * Waits until there is something to receive or accept, the end and errors included, and takes nothing: poll(2).
   *
   * @throws SocketError `ETIMEDOUT`, `EBADF` after `close()`
   * @see poll(2)
   */
  readable(opts?: WaitOptions): void {
    this.run(READABLE, undefined, undefined, POLLIN, timeoutOf(opts, this.#timeout, "poll"));
  }

  /**
   * Waits until the kernel would take something to send: poll(2).
   *
   * @throws SocketError `ETIMEDOUT`, `EBADF` after `close()`
   * @see poll(2)
   */
  writable(opts?: WaitOptions): void {
    this.run(WRITABLE, undefined, undefined, POLLOUT, timeoutOf(opts, this.#timeout, "poll"));
  }

  /**
   * Closes the descriptor: close(2). Later calls throw `EBADF`; closing again does nothing. What the kernel has taken is still
   * sent.
   *
   * @see close(2)
   */
  close(): void {
    if (this.closed) return;
    stopLeakDetection(this.#descriptor);
    check(this.#descriptor.close(), "close");
  }

  /**
   * Gives the descriptor away: it stays open, and is the caller's to close. The socket counts as closed. `Socket.fromfd()` of
   * "berkeley" makes an awaitable socket of it.
   *
   * @param opts with `blocking: true` the descriptor is handed over as blocking, as most programs expect it: fcntl(2) without
   *   O_NONBLOCK. The flag belongs to the open file description, so all duplicates become blocking
   * @returns the descriptor, which is close-on-exec, and non-blocking unless `blocking` is true
   * @throws TypeError if `blocking` is neither true nor false
   * @throws SocketError `EBADF` if it is closed
   * @see fcntl(2), F_SETFL
   */
  detach(opts?: DetachOptions): number {
    const blocking = isBlocking(opts);
    const fd = this.checkOpen("detach");
    const result = this.#descriptor.release(blocking ? 1 : 0);
    if (result < 0 && blocking) check(result, "detach");
    stopLeakDetection(this.#descriptor);
    this.#descriptor.fd = -1;
    check(result, "detach");
    return fd;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
