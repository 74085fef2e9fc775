// What every awaitable socket is made of: a descriptor, a default deadline, the end; and the ways down to the reactor.

import { type Address, AF_NETLINK, AF_UNIX, type HostPort } from "../addr/index.js";
import { brand, checkOptions } from "../check/index.js";
import { BufferedError } from "../errors/index.js";
import type { ReadAhead } from "../io.js";
import type { Descriptor, WaitQueue } from "../reactor/index.js";
import type { Operation } from "../reactor/operation.js";
import { milliseconds, signalOf, timeoutOf, type WaitOptions } from "../wait/waitOptions.js";
import type { Calls } from "../sys/calls.js";
import { closeWhenCollected, stopLeakDetection } from "../sys/leakDetection.js";
import { IPPROTO_TCP, MSG_ERRQUEUE, MSG_OOB, TCP_ULP as TCP_ULP_NUMBER } from "../sys/constants.js";
import { getdefaulttimeout } from "../ops/defaultTimeout.js";
import { check, EBADF, ECANCELED, socketError } from "../sys/errno.js";
import { PlainSocket } from "../ops/plainSocket.js";
import { type DetachOptions, isBlocking } from "../ops/socketArguments.js";
import { READABLE, WRITABLE } from "../ops/connection.js";
import type { Addressed, Request } from "../ops/request.js";
import { resolveName, resolveNow } from "./resolveAddress.js";

/** The descriptor of a socket, for the calls that are no methods. */
export let descriptorOf: (socket: DescriptorSocket) => Descriptor;
/** The layer that reads ahead from a socket, if one does. */
export let aheadOf: (socket: DescriptorSocket) => ReadAhead | undefined;
/** Says which layer that is. */
export let setAhead: (socket: DescriptorSocket, layer: ReadAhead | undefined) => void;

/** Refuses what would pass by bytes that were read ahead. */
export function checkAhead({ buffered }: DescriptorSocket, action: string): void {
  if (buffered > 0) throw new BufferedError(action, buffered);
}

/**
 * Takes the timeout of `setdefaulttimeout()` off a socket that a part of ours owns from now on, whose calls promise to wait without
 * an end when they name no timeout. One that was set on the socket itself stays.
 */
export let withoutDefaultTimeout: (socket: DescriptorSocket) => void;

/** Gives a duplicate the timeout of the original, and whether it was set there. */
export let copyTimeout: (from: DescriptorSocket, to: DescriptorSocket) => void;

export abstract class DescriptorSocket extends PlainSocket {
  static {
    brand(DescriptorSocket.prototype, "Socket");
    descriptorOf = (socket) => socket.descriptor;
    copyTimeout = (from, to) => {
      to.#timeout = from.#timeout;
      to.#timeoutSet = from.#timeoutSet;
    };
    withoutDefaultTimeout = (socket) => {
      if (!socket.#timeoutSet) socket.#timeout = null;
    };
    aheadOf = (socket) => socket.ahead;
    setAhead = (socket, layer) => {
      socket.ahead = layer;
    };
  }

  /** @internal */
  protected readonly descriptor: Descriptor;
  /**
   * What has read from the socket beyond what it gave out: those bytes come before what the kernel has.
   *
   * @internal
   */
  protected ahead: ReadAhead | undefined;
  #timeout: number | null = getdefaulttimeout();
  #timeoutSet = false;
  /** Aborted by close(), for calls that wait for the resolver and not for the kernel. */
  #closing: AbortController | undefined;

  protected constructor(family: number, type: number, protocol: number, descriptor: Descriptor) {
    super(family, type, protocol);
    this.descriptor = descriptor;
    closeWhenCollected(this, descriptor);
  }

  /** @internal */
  protected override calls(): Calls {
    return this.descriptor.reactor.calls;
  }

  /** @internal */
  protected override optionSet(level: number, name: number): void {
    // Reads of an upper layer protocol stop between its records; see the top of reactor/waitQueue.ts.
    if (level === IPPROTO_TCP && name === TCP_ULP_NUMBER) this.descriptor.distrustShortReads();
  }

  override listen(backlog?: number): void {
    super.listen(backlog);
    // accept() waits out a lack of descriptors, for which it must not lack one itself.
    this.descriptor.reactor.prepare();
  }

  /** The descriptor, or -1 once the socket is closed or detached. */
  override fileno(): number {
    // The caller can duplicate the descriptor, with a child process or SCM_RIGHTS, and close it.
    this.descriptor.share();
    return this.descriptor.fd;
  }

  /** @internal */
  protected override number(): number {
    return this.descriptor.fd;
  }

  /** Deadline in ms of every waiting call that has none of its own; null for none. Starts as `getdefaulttimeout()`. */
  get timeout(): number | null {
    return this.#timeout;
  }

  set timeout(value: number | null) {
    this.#timeout = milliseconds(value, "set timeout");
    this.#timeoutSet = true;
  }

  /**
   * Lets the process end while calls wait here: neither these, those that wait already among them, nor their deadlines keep it alive
   * from now on. A name that is being looked up does, until the resolver has answered.
   *
   * @example
   * ```ts
   * import { Socket } from "berkeley";
   *
   * const server = new Socket();
   * await server.bind("127.0.0.1:0");
   * server.listen();
   * // Nobody connects: the program ends all the same.
   * void server.unref().accept();
   * ```
   */
  unref(): this {
    this.descriptor.keepsAlive = false;
    return this;
  }

  /** Undoes `unref()`: a call that waits keeps the process alive, as it does from the beginning. */
  ref(): this {
    this.descriptor.keepsAlive = true;
    return this;
  }

  /** Bytes that a stream on this socket has read from the kernel and nobody has taken from the stream. */
  get buffered(): number {
    return this.ahead === undefined ? 0 : this.ahead.unread;
  }

  /** Whether the socket is closed or detached. */
  get closed(): boolean {
    return this.descriptor.fd < 0;
  }

  /**
   * Runs an operation in the direction of reading.
   *
   * @internal
   */
  protected startRead<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): Promise<T> {
    if (opts === undefined) return this.descriptor.reading.run(this, operation, a, b, this.#timeout, undefined);
    const { syscall } = operation;
    checkOptions(opts, syscall);
    const timeout = timeoutOf(opts, this.#timeout, syscall);
    return this.descriptor.reading.run(this, operation, a, b, timeout, signalOf(opts, syscall));
  }

  /**
   * Receives, in the queue that the flags of the request name.
   *
   * @internal
   */
  protected startReceive<T>({ operation, operand, flags }: Request<T>, opts: WaitOptions | undefined): Promise<T> {
    if ((flags & (MSG_ERRQUEUE | MSG_OOB)) === 0) {
      if (this.ahead !== undefined) checkAhead(this, operation.syscall);
      return this.startRead(operation, operand, flags, opts);
    }
    const { syscall } = operation;
    checkOptions(opts, syscall);
    const timeout = timeoutOf(opts, this.#timeout, syscall);
    return this.queueOf(flags).run(this, operation, operand, flags, timeout, signalOf(opts, syscall));
  }

  /**
   * The queue of a receiving call with these flags.
   *
   * @internal
   */
  protected queueOf(flags: number): WaitQueue {
    const { descriptor, family } = this;
    if ((flags & (MSG_ERRQUEUE | MSG_OOB)) === 0) return descriptor.reading;
    if ((flags & MSG_ERRQUEUE) === 0) return descriptor.urgent;
    // These have no error queue and take no notice of the flag: it is an ordinary read.
    return family === AF_UNIX || family === AF_NETLINK ? descriptor.reading : descriptor.errors;
  }

  /**
   * Runs an operation in the direction of writing.
   *
   * @internal
   */
  protected startWrite<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): Promise<T> {
    if (opts === undefined) return this.descriptor.writing.run(this, operation, a, b, this.#timeout, undefined);
    const { syscall } = operation;
    checkOptions(opts, syscall);
    const timeout = timeoutOf(opts, this.#timeout, syscall);
    return this.descriptor.writing.run(this, operation, a, b, timeout, signalOf(opts, syscall));
  }

  /** @internal */
  protected startSend<T>({ operation, operand, flags }: Request<T>, opts: WaitOptions | undefined): Promise<T> {
    return this.startWrite(operation, operand, flags, opts);
  }

  /**
   * Sends to an address, which may have to be resolved first.
   *
   * @internal
   */
  protected startSendTo<T>(request: Addressed<T>, opts: WaitOptions | undefined): Promise<T> {
    const { syscall, target } = request;
    const timeout = timeoutOf(opts, this.#timeout, syscall);
    const signal = signalOf(opts, syscall);
    const start = (address: Address | undefined, left: number | null): Promise<T> => {
      const { operation, operand, flags } = request.at(address);
      return this.descriptor.writing.run(this, operation, operand, flags, left, signal);
    };
    if (target === undefined) return start(undefined, timeout);
    signal?.throwIfAborted();
    this.checkOpen(syscall);
    const asked = timeout === null ? 0 : performance.now();
    const remote = this.resolve(target, timeout, signal);
    if (!(remote instanceof Promise)) return start(remote, timeout);
    return remote.then((address) =>
      start(address, timeout === null ? null : Math.max(0, timeout - (performance.now() - asked))),
    );
  }

  /**
   * The address as the kernel takes it; a promise only where the resolver has to be asked.
   *
   * @internal
   */
  protected resolve(
    target: Address | HostPort,
    timeout: number | null,
    signal: AbortSignal | undefined,
  ): Address | Promise<Address> {
    const known = resolveNow(this.calls(), target, this);
    if (known !== undefined) return known;
    this.#closing ??= new AbortController();
    const signals = signal === undefined ? [this.#closing.signal] : [signal, this.#closing.signal];
    return resolveName(this.calls(), target as HostPort, this, timeout, signals);
  }

  /** @internal */
  protected checkOpen(syscall: string): number {
    const fd = this.descriptor.fd;
    if (fd < 0) throw socketError(EBADF, syscall);
    return fd;
  }

  /**
   * Resolves when there is something to receive or accept, the end and errors included, and takes nothing: poll(2).
   *
   * @see poll(2)
   */
  readable(opts?: WaitOptions): Promise<void> {
    try {
      return this.startRead(READABLE, undefined, undefined, opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Resolves when the kernel would take something to send: poll(2).
   *
   * @see poll(2)
   */
  writable(opts?: WaitOptions): Promise<void> {
    try {
      return this.startWrite(WRITABLE, undefined, undefined, opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Closes the descriptor: close(2). Pending calls reject with `ECANCELED`, later ones with `EBADF`. Closing again does
   * nothing. What the kernel has taken is still sent.
   *
   * @see close(2)
   */
  close(): void {
    const { fd } = this.descriptor;
    if (fd < 0) return;
    this.#settle();
    check(this.descriptor.close(), "close");
  }

  /**
   * Gives the descriptor away: it stays open, and is the caller's to close. Pending calls reject with `ECANCELED`, and the
   * socket counts as closed.
   *
   * @param opts with `blocking: true` the descriptor is handed over as blocking, as most programs expect it: fcntl(2) without
   *   O_NONBLOCK. The flag belongs to the open file description, so all duplicates become blocking
   * @returns the descriptor, which is close-on-exec, and non-blocking unless `blocking` is true
   * @throws TypeError if `blocking` is neither true nor false
   * @throws SocketError `EBADF` if it is closed
   * @throws BufferedError if its stream holds bytes that were read ahead and not taken
   * @see fcntl(2), F_SETFL
   * @example
   * ```ts
   * import { closeSync, readSync } from "node:fs";
   * import { socketpair } from "berkeley";
   *
   * const [a, b] = socketpair();
   * await a.sendAll("hello");
   * const fd = b.detach({ blocking: true });
   * const bytes = Buffer.alloc(5);
   * readSync(fd, bytes);
   * console.log(bytes.toString()); // prints: hello
   * closeSync(fd);
   * a.close();
   * ```
   */
  detach(opts?: DetachOptions): number {
    const blocking = isBlocking(opts);
    this.checkOpen("detach");
    checkAhead(this, "detach");
    const released = this.descriptor.release(blocking);
    if (released >= 0) this.#settle();
    return check(released, "detach");
  }

  #settle(): void {
    stopLeakDetection(this.descriptor);
    this.#closing?.abort(socketError(ECANCELED, "getaddrinfo"));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
