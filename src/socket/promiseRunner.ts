// PromiseRunner: the private part of a Socket. It queues operations on the descriptor and returns promises.
//
// Only the class `Socket` can read its private field `#runner`. It passes a function that reads the field to
// `setRunnerOf()`. The other files of this folder call `runnerOf()`. Users of a Socket have no access to the runner.

import { AF_NETLINK, AF_UNIX, type Address, type HostPort } from "../addr/index.js";
import { checkOptions } from "../check/index.js";
import { BufferedError } from "../errors/index.js";
import type { ReadAhead, TransferStats } from "../io.js";
import { resolveNow } from "../netdb/resolve.js";
import { getdefaulttimeout } from "../ops/defaultTimeout.js";
import type { AddressOperand, Runner } from "../ops/runner.js";
import { SEND, SEND_ALL, type SendProgress } from "../ops/send.js";
import type { Descriptor, WaitQueue } from "../reactor/index.js";
import { errorOf, type Operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import { describeSocket, type SocketDescription } from "../ops/describeSocket.js";
import { makeDescribable, type Fields, registry } from "../registry/index.js";
import { IPPROTO_TCP, MSG_ERRQUEUE, MSG_OOB, TCP_ULP } from "../sys/constants.js";
import { check, closedError, EAGAIN, EBADF, ECANCELED, socketError } from "../sys/errno.js";
import { encodeAddress } from "../sys/sockaddr.js";
import { closeWhenCollected, stopLeakDetection } from "../sys/leakDetection.js";
import { milliseconds, signalOf, timeoutOf, type WaitOptions } from "../wait/waitOptions.js";
import { rejection } from "../wait/rejection.js";
import { resolveName } from "./resolveAddress.js";
import type { Socket } from "./socket.js";

/**
 * epoll makes each send of a registered UDP socket slower. From this number of datagrams on, it costs less to remove
 * the socket from epoll and to register it again later.
 */
const MANY_DATAGRAMS = 16;

export class PromiseRunner implements Runner<"promise"> {
  declare readonly mode?: "promise";
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
  readonly descriptor: Descriptor;
  /** The layer that reads ahead (a stream). Its bytes come before the bytes in the kernel. */
  readAhead: ReadAhead | undefined;
  /** The timeout of calls without the option `timeout`. */
  private socketTimeout: number | null;
  /** Whether the program has set `socketTimeout`. Otherwise it comes from `setdefaulttimeout()`. */
  private timeoutWasSet: boolean;
  /** close() and detach() abort it, which ends the lookups of names. Made for the first lookup. */
  private lookupAbort: AbortController | undefined;

  constructor(family: number, type: number, protocol: number, descriptor: Descriptor) {
    this.family = family;
    this.type = type;
    this.protocol = protocol;
    this.descriptor = descriptor;
    this.readAhead = undefined;
    this.socketTimeout = getdefaulttimeout();
    this.timeoutWasSet = false;
    this.lookupAbort = undefined;
    closeWhenCollected(this, descriptor);
    if (registry !== undefined) registry.addObject(this);
  }

  static {
    // A waiting call refers to the runner. So pending() describes the runner as a Socket.
    makeDescribable<PromiseRunner, SocketDescription>(PromiseRunner.prototype, "Socket", (runner) => runner.describe());
  }

  /** See {@link SocketDescription}. */
  describe(): Fields<SocketDescription> {
    const { buffered, descriptor } = this;
    const pending: string[] = [];
    descriptor.forEachWaiter(({ operation }) => pending.push(operation.syscall));
    return describeSocket(this, descriptor.fd, buffered, pending);
  }

  /** See {@link TransferStats}. */
  stats(): TransferStats {
    const { reading, writing } = this.descriptor;
    return {
      bytesReceived: reading.bytes,
      bytesSent: writing.bytes,
      reads: reading.transfers,
      writes: writing.transfers,
    };
  }

  get calls(): Calls {
    return this.descriptor.reactor.calls;
  }

  checkOpen(syscall: string): number {
    const { fd } = this.descriptor;
    if (fd < 0) throw closedError(syscall);
    return fd;
  }

  onOptionSet(level: number, name: number): void {
    // With an upper layer protocol (kernel TLS) a read stops at the end of a record. So a short read no longer means
    // that the receive buffer is empty; see the top of reactor/waitQueue.ts.
    if (level === IPPROTO_TCP && name === TCP_ULP) this.descriptor.clearShortReadFlags();
  }

  get timeout(): number | null {
    return this.socketTimeout;
  }

  setTimeout(value: number | null): void {
    this.socketTimeout = milliseconds(value, "set timeout");
    this.timeoutWasSet = true;
  }

  /** Takes the timeout of another runner, and whether it was set there. */
  copyTimeout(other: PromiseRunner): void {
    this.socketTimeout = other.socketTimeout;
    this.timeoutWasSet = other.timeoutWasSet;
  }

  /**
   * Removes the timeout of `setdefaulttimeout()`. On the sockets of listeners and connections, a call without a timeout
   * waits without limit. A timeout that was set on the socket itself stays.
   */
  dropDefaultTimeout(): void {
    if (!this.timeoutWasSet) this.socketTimeout = null;
  }

  /** Unread bytes of the layer that reads ahead. */
  get buffered(): number {
    return this.readAhead === undefined ? 0 : this.readAhead.unread;
  }

  /** Throws if bytes were read ahead: a read of the socket would return later bytes first. */
  checkNothingBuffered(action: string): void {
    const { buffered } = this;
    if (buffered > 0) throw new BufferedError(action, buffered);
  }

  /**
   * Throws if writes of the stream wait: a write of the socket would go out between them. Writes of the stream
   * itself are not checked.
   */
  checkNothingUnsent(action: string): void {
    const unsent = this.readAhead?.unsent ?? 0;
    const waitsToBeSent = true;
    if (unsent > 0) throw new BufferedError(action, unsent, waitsToBeSent);
  }

  private run<A, B, T>(
    queue: WaitQueue,
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    opts: WaitOptions | undefined,
  ): Promise<T> {
    if (opts === undefined) return queue.run(this, operation, a, b, this.socketTimeout, undefined);
    const { syscall } = operation;
    checkOptions(opts, syscall);
    const timeout = timeoutOf(opts, this.socketTimeout, syscall);
    return queue.run(this, operation, a, b, timeout, signalOf(opts, syscall));
  }

  read<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): Promise<T> {
    return this.run(this.descriptor.reading, operation, a, b, opts);
  }

  write<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): Promise<T> {
    return this.run(this.descriptor.writing, operation, a, b, opts);
  }

  receive<A, T>(operation: Operation<A, number, T>, a: A, flags: number, opts: WaitOptions | undefined): Promise<T> {
    if ((flags & (MSG_ERRQUEUE | MSG_OOB)) !== 0) return this.run(this.queueOf(flags), operation, a, flags, opts);
    if (this.readAhead !== undefined) this.checkNothingBuffered(operation.syscall);
    return this.run(this.descriptor.reading, operation, a, flags, opts);
  }

  private queueOf(flags: number): WaitQueue {
    const { descriptor, family } = this;
    if ((flags & (MSG_ERRQUEUE | MSG_OOB)) === 0) return descriptor.reading;
    if ((flags & MSG_ERRQUEUE) === 0) return descriptor.urgent;
    // These families ignore MSG_ERRQUEUE, so the call is an ordinary read.
    return family === AF_UNIX || family === AF_NETLINK ? descriptor.reading : descriptor.errors;
  }

  sendTo<A extends AddressOperand, B, T>(
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    opts: WaitOptions | undefined,
  ): Promise<T> {
    const { syscall } = operation;
    checkOptions(opts, syscall);
    const timeout = timeoutOf(opts, this.socketTimeout, syscall);
    const signal = signalOf(opts, syscall);
    const { target } = a;
    const send = (address: Address | undefined, timeLeft: number | null): Promise<T> => {
      if (address !== undefined) {
        a.address = address;
        a.sockaddr = encodeAddress(address);
      }
      return this.descriptor.writing.run(this, operation, a, b, timeLeft, signal);
    };
    if (target === undefined) return send(undefined, timeout);
    signal?.throwIfAborted();
    this.checkOpen(syscall);
    const start = timeout === null ? 0 : performance.now();
    const address = this.resolve(target, timeout, signal);
    if (!(address instanceof Promise)) return send(address, timeout);
    return address.then((resolved) =>
      send(resolved, timeout === null ? null : Math.max(0, timeout - (performance.now() - start))),
    );
  }

  withAddress<T>(
    target: Address | HostPort,
    syscall: string,
    opts: WaitOptions | undefined,
    use: (address: Address) => T,
  ): Promise<T> {
    checkOptions(opts, syscall);
    const signal = signalOf(opts, syscall);
    const timeout = timeoutOf(opts, this.socketTimeout, syscall);
    signal?.throwIfAborted();
    this.checkOpen(syscall);
    const address = this.resolve(target, timeout, signal);
    return address instanceof Promise ? address.then(use) : Promise.resolve(use(address));
  }

  /** The address of a name. The result is a promise only if a lookup is necessary. */
  private resolve(
    target: Address | HostPort,
    timeout: number | null,
    signal: AbortSignal | undefined,
  ): Address | Promise<Address> {
    const known = resolveNow(this.calls, target, this);
    if (known !== undefined) return known;
    this.lookupAbort ??= new AbortController();
    const signals = signal === undefined ? [this.lookupAbort.signal] : [signal, this.lookupAbort.signal];
    return resolveName(this.calls, target as HostPort, this, timeout, signals);
  }

  sendWhole(data: Uint8Array): Promise<void> {
    const total = data.length;
    const result = this.descriptor.writing.tryIfReady(SEND, data, 0);
    if (result === total) return Promise.resolve();
    // SEND_ALL below counts the call, so this attempt must not count as a call of its own.
    if (result > 0) this.descriptor.writing.transfers--;
    const sending: SendProgress = { data, total, sent: Math.max(result, 0) };
    // For a closed socket (EBADF) write() below rejects.
    const failed = result < 0 && result !== EAGAIN && result !== EBADF;
    if (failed) throw errorOf(SEND_ALL, result, sending, 0, this.descriptor);
    return this.write(SEND_ALL, sending, 0, undefined);
  }

  tryReceive<A, T>(operation: Operation<A, number, T>, a: A, flags: number): T | undefined {
    if (this.readAhead !== undefined && (flags & (MSG_ERRQUEUE | MSG_OOB)) === 0) {
      this.checkNothingBuffered(operation.syscall);
    }
    const result = this.queueOf(flags).tryNow(operation, a, flags);
    if (result >= 0) return operation.complete(result, a, flags);
    if (result === EAGAIN) return undefined;
    throw errorOf(operation, result, a, flags, this.descriptor);
  }

  trySend<A>(operation: Operation<A, number, number>, a: A, flags: number): number | undefined {
    const result = this.descriptor.writing.tryNow(operation, a, flags);
    if (result >= 0) return result;
    if (result === EAGAIN) return undefined;
    throw errorOf(operation, result, a, flags, this.descriptor);
  }

  beforeDatagrams(count: number): void {
    if (count >= MANY_DATAGRAMS) this.descriptor.deregisterIfIdle();
  }

  finish<T>(value: T, syscall: string, opts: WaitOptions | undefined): Promise<T> {
    checkOptions(opts, syscall);
    this.checkOpen(syscall);
    return Promise.resolve(value);
  }

  fail<T>(error: unknown): Promise<T> {
    // rejection() adds the waiting async functions to the stack of the error. Promise.reject() would reject too early
    // for that: an async function that returns this promise waits for it only from the next microtask on.
    return rejection(error);
  }

  close(): void {
    if (this.descriptor.fd < 0) return;
    this.endTracking();
    check(this.descriptor.close(), "close");
  }

  /**
   * Releases the descriptor to the caller without closing it.
   *
   * @param blocking whether to clear O_NONBLOCK
   */
  detach(blocking: boolean): number {
    this.checkOpen("detach");
    this.checkNothingBuffered("detach");
    const result = this.descriptor.release(blocking);
    // If O_NONBLOCK can't be cleared, the socket keeps the descriptor.
    const released = this.descriptor.fd < 0;
    if (released) this.endTracking();
    return check(result, "detach");
  }

  /** Removes the runner from the registry and the leak detection, and aborts its lookups of names. */
  private endTracking(): void {
    if (registry !== undefined) registry.removeObject(this);
    stopLeakDetection(this.descriptor);
    this.lookupAbort?.abort(socketError(ECANCELED, "getaddrinfo"));
  }
}

/** The runner of a Socket of this copy of the package; undefined for another value. */
export let runnerOf: (value: unknown) => PromiseRunner | undefined;

/** Called once, by the class Socket. */
export function setRunnerOf(read: (value: unknown) => PromiseRunner | undefined): void {
  runnerOf = read;
}

/** Whether a value is a Socket of this copy of the package. */
export function isSocket(value: unknown): value is Socket {
  return runnerOf(value) !== undefined;
}

export function descriptorOf(socket: Socket): Descriptor {
  return runnerOf(socket)!.descriptor;
}

/** See {@link PromiseRunner.dropDefaultTimeout}. */
export function dropDefaultTimeout(socket: Socket): void {
  runnerOf(socket)!.dropDefaultTimeout();
}

/** Calls `callback` when the descriptor is closed or detached. Returns the function that removes the listener. */
export function onClose(socket: Socket, callback: () => void): () => void {
  const descriptor = descriptorOf(socket);
  const listener = { onClosed: callback };
  descriptor.addCloseListener(listener);
  return () => descriptor.removeCloseListener(listener);
}
