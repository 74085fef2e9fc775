// BlockingRunner: the private part of a blocking Socket. It runs operations in the thread and returns their results.

import { AF_NETLINK, AF_UNIX, type Address, type HostPort } from "../addr/index.js";
import { runLookupBlocking } from "../netdb/lookup.js";
import { resolveAll, resolveNow } from "../netdb/resolve.js";
import { describeSocket, type SocketDescription } from "../ops/describeSocket.js";
import { getdefaulttimeout } from "../ops/defaultTimeout.js";
import type { AddressOperand, Runner } from "../ops/runner.js";
import { SEND_ALL, type SendProgress } from "../ops/send.js";
import { errorOf, type Operation } from "../reactor/operation.js";
import { type Calls, calls } from "../sys/calls.js";
import { MSG_ERRQUEUE, MSG_OOB, POLLIN, POLLOUT, POLLPRI } from "../sys/constants.js";
import { check, closedError, EAGAIN, EBADF, EINTR } from "../sys/errno.js";
import { encodeAddress } from "../sys/sockaddr.js";
import { closeWhenCollected, stopLeakDetection } from "../sys/leakDetection.js";
import type { TransferStats } from "../io.js";
import { countCompleted, TransferCounts } from "../reactor/index.js";
import { makeDescribable, type Fields, registry } from "../registry/index.js";
import { type BlockingReader, checkNothingUnread } from "./blockingReader.js";
import { block, deadlineIn } from "./blockingCall.js";
import { OpenDescriptor } from "./openDescriptor.js";
import type { Socket } from "./syncSocket.js";
import { blockingTimeoutOf, type WaitOptions } from "./syncOptions.js";
import type { Stream } from "./syncStream.js";

export class BlockingRunner implements Runner<"blocking"> {
  /** See Runner. */
  declare readonly mode?: "blocking";
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
  readonly descriptor: OpenDescriptor;
  /** The timeout of a call without the option `timeout`, in ms; null for none. */
  timeout: number | null = getdefaulttimeout();
  readonly #received = new TransferCounts();
  readonly #sent = new TransferCounts();
  /** The stream on this socket, if there is one. */
  stream: Stream | undefined;
  /** The reading side of `stream`. Its bytes come before those in the kernel. */
  reader: BlockingReader | undefined;

  /** @param fd a non-blocking descriptor that this environment owns */
  constructor(family: number, type: number, protocol: number, fd: number) {
    this.family = family;
    this.type = type;
    this.protocol = protocol;
    this.descriptor = new OpenDescriptor(fd);
    this.stream = undefined;
    this.reader = undefined;
    closeWhenCollected(this, this.descriptor);
    if (registry !== undefined) registry.addObject(this);
  }

  static {
    makeDescribable<BlockingRunner, SocketDescription>(BlockingRunner.prototype, "Socket", (runner) =>
      runner.describe(),
    );
  }

  /** See {@link SocketDescription}. */
  describe(): Fields<SocketDescription> {
    return describeSocket(this, this.descriptor.fd, this.reader?.unread ?? 0, []);
  }

  /** See {@link TransferStats}. */
  stats(): TransferStats {
    const { bytes: bytesReceived, transfers: reads } = this.#received;
    const { bytes: bytesSent, transfers: writes } = this.#sent;
    return { bytesReceived, bytesSent, reads, writes };
  }

  get calls(): Calls {
    return calls;
  }

  checkOpen(syscall: string): number {
    const { fd } = this.descriptor;
    if (fd < 0) throw closedError(syscall);
    return fd;
  }

  /**
   * Runs an operation. With POLLOUT it counts as sending, otherwise as receiving.
   *
   * @param events the events of poll(2) that the operation waits for
   */
  run<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, events: number, timeout: number | null): T {
    return block(
      calls,
      this.checkOpen(operation.syscall),
      operation,
      a,
      b,
      events,
      timeout,
      events === POLLOUT ? this.#sent : this.#received,
    );
  }

  read<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): T {
    return this.run(operation, a, b, POLLIN, blockingTimeoutOf(opts, this.timeout, operation.syscall));
  }

  write<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): T {
    return this.run(operation, a, b, POLLOUT, blockingTimeoutOf(opts, this.timeout, operation.syscall));
  }

  receive<A, T>(operation: Operation<A, number, T>, a: A, flags: number, opts: WaitOptions | undefined): T {
    this.#checkNothingReadAhead(operation.syscall, flags);
    return this.run(
      operation,
      a,
      flags,
      this.#eventsOf(flags),
      blockingTimeoutOf(opts, this.timeout, operation.syscall),
    );
  }

  /** Throws if the stream has read bytes ahead, except for the error queue and urgent data. */
  #checkNothingReadAhead(syscall: string, flags: number): void {
    if (this.reader !== undefined && (flags & (MSG_ERRQUEUE | MSG_OOB)) === 0) checkNothingUnread(this.reader, syscall);
  }

  #eventsOf(flags: number): number {
    // POLLERR reports the error queue, and poll(2) returns POLLERR without a request. UNIX and netlink sockets ignore
    // MSG_ERRQUEUE, so the call is an ordinary receive.
    if ((flags & MSG_ERRQUEUE) !== 0 && this.family !== AF_UNIX && this.family !== AF_NETLINK) return 0;
    return (flags & MSG_OOB) !== 0 ? POLLPRI : POLLIN;
  }

  sendTo<A extends AddressOperand, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): T {
    const { syscall } = operation;
    const timeout = blockingTimeoutOf(opts, this.timeout, syscall);
    const deadline = deadlineIn(timeout);
    this.checkOpen(syscall);
    if (a.target !== undefined) {
      a.address = this.#resolve(a.target);
      a.sockaddr = encodeAddress(a.address);
    }
    const timeLeft = timeout === null ? null : Math.max(0, deadline - performance.now());
    return this.run(operation, a, b, POLLOUT, timeLeft);
  }

  withAddress<T>(
    target: Address | HostPort,
    syscall: string,
    opts: WaitOptions | undefined,
    use: (address: Address) => T,
  ): T {
    // Only checks the options.
    blockingTimeoutOf(opts, this.timeout, syscall);
    this.checkOpen(syscall);
    return use(this.#resolve(target));
  }

  /** The first address of a name. A timeout of the call does not limit the resolver. */
  #resolve(target: Address | HostPort): Address {
    return resolveNow(calls, target, this) ?? runLookupBlocking(resolveAll(calls, target as HostPort, this.family))[0]!;
  }

  sendWhole(data: Uint8Array): void {
    const sending: SendProgress = { data, total: data.length, sent: 0 };
    this.write(SEND_ALL, sending, 0, undefined);
  }

  tryReceive<A, T>(operation: Operation<A, number, T>, a: A, flags: number): T | undefined {
    this.#checkNothingReadAhead(operation.syscall, flags);
    const result = this.#attempt(operation, a, flags, this.#received);
    return result === undefined ? undefined : operation.complete(result, a, flags);
  }

  trySend<A>(operation: Operation<A, number, number>, a: A, flags: number): number | undefined {
    return this.#attempt(operation, a, flags, this.#sent);
  }

  #attempt<A, T>(operation: Operation<A, number, T>, a: A, flags: number, counts: TransferCounts): number | undefined {
    const fd = this.checkOpen(operation.syscall);
    let result = operation.attempt(calls, fd, a, flags);
    while (result === EINTR) result = operation.attempt(calls, fd, a, flags);
    if (result >= 0) {
      countCompleted(counts, operation, result, a, flags);
      return result;
    }
    if (result === EAGAIN) return undefined;
    throw errorOf(operation, result, a, flags, { reactor: { calls }, fd });
  }

  beforeDatagrams(): void {
    // Nothing to do: a blocking socket is not registered with epoll.
  }

  finish<T>(value: T, syscall: string, opts: WaitOptions | undefined): T {
    // Only checks the options.
    blockingTimeoutOf(opts, null, syscall);
    this.checkOpen(syscall);
    return value;
  }

  fail(error: unknown): never {
    throw error;
  }

  close(): void {
    if (this.descriptor.fd < 0) return;
    stopLeakDetection(this.descriptor);
    if (registry !== undefined) registry.removeObject(this);
    check(this.descriptor.close(), "close");
  }

  /**
   * Releases the descriptor to the caller without closing it.
   *
   * @param blocking whether to clear O_NONBLOCK
   */
  detach(blocking: boolean): number {
    const fd = this.checkOpen("detach");
    checkNothingUnread(this.reader, "detach");
    const result = this.descriptor.release(blocking);
    // EBADF: other code has closed the descriptor, so this socket drops it below. After another error O_NONBLOCK is
    // still set, and this socket keeps the descriptor.
    if (result < 0 && result !== EBADF) check(result, "detach");
    stopLeakDetection(this.descriptor);
    if (registry !== undefined) registry.removeObject(this);
    this.descriptor.fd = -1;
    check(result, "detach");
    return fd;
  }
}

/** The runner of a blocking Socket of this copy of the package; undefined for another value. */
export let blockingRunnerOf: (value: unknown) => BlockingRunner | undefined;

/** Called once, by the class Socket. */
export function setBlockingRunnerOf(runnerOf: (value: unknown) => BlockingRunner | undefined): void {
  blockingRunnerOf = runnerOf;
}

/** Whether a value is a blocking Socket of this copy of the package. */
export function isBlockingSocket(value: unknown): value is Socket {
  return blockingRunnerOf(value) !== undefined;
}
