// A Conn over a stream socket: what turns the kernel's calls into the contract of io.ts.
//
// It adds to a read or a write a look at a field and nothing else: no promise, no closure, no timer. One reader at a time
// needs no flag of its own, because the descriptor knows whether a call waits to receive; a read that got its bytes at
// once is over when it returns.

import { type Address, AF_INET, AF_INET6, AF_UNIX } from "../addr/index.js";
import { checkOptions, quoteOther } from "../check/index.js";
import { BufferedError, BusyError } from "../errors/index.js";
import type { Descriptor, WaitQueue } from "../reactor/index.js";
import type { Conn, Consumer, Data, DirectReader, IoOptions, ReadAhead, SocketSettings } from "../io.js";
import { SHUT_WR, SOCK_STREAM } from "../sys/constants.js";
import { within } from "../wait/within.js";
import { EBADF, EPIPE, socketError } from "../sys/errno.js";
import { timeoutError } from "../wait/localError.js";
import { SO_LINGER } from "../options/index.js";
import { byteView } from "../check/index.js";
import { RECV_INTO } from "../ops/recv.js";
import { type PromiseRunner, runnerOf } from "./promiseRunner.js";
import { FILL } from "./fill.js";
import { settingsAt } from "./settings.js";
import { FINISH, HANGUP } from "../ops/readiness.js";
import { signalOf, timeoutOf } from "../wait/waitOptions.js";
import type { Socket } from "./socket.js";

/** The addresses of a connection, where they are known. */
export interface ConnAddresses {
  readonly local?: Address | undefined;
  readonly remote?: Address | undefined;
}

/**
 * A {@link Conn} over a connected stream socket of any family. It owns the socket from now on: close the connection, not
 * the socket. Where a call names no `timeout`, the one that was set on the socket holds, but not that of `setdefaulttimeout()`. A {@link Stream} reads by `readFor`: to see or change what is read,
 * write a `Conn` of one's own around this one, since a subclass with another `read` would be passed by.
 *
 * @see recv(2), send(2), shutdown(2)
 * @example
 * ```ts
 * import { socketpair, SocketConn } from "berkeley";
 *
 * const [left, right] = socketpair();
 * await using a = new SocketConn(left);
 * await using b = new SocketConn(right);
 * await a.write(["hello, ", "peer"]);
 * const buffer = Buffer.alloc(64);
 * console.log(buffer.toString("utf8", 0, await b.read(buffer))); // prints: hello, peer
 * ```
 */
export class SocketConn implements Conn, DirectReader {
  readonly #socket: Socket;
  readonly #runner: PromiseRunner;
  readonly #descriptor: Descriptor;
  readonly #remote: Address | undefined;
  #local: Address | undefined;
  #ending: Promise<void> | undefined;

  /** @param addresses those that are known already, which saves the calls that ask for them */
  constructor(socket: Socket, addresses?: ConnAddresses) {
    const runner = runnerOf(socket);
    if (runner === undefined) {
      throw new TypeError(`Cannot make a connection: socket is ${quoteOther(socket, "Socket")}, required a Socket`);
    }
    if (socket.type !== SOCK_STREAM) {
      throw new TypeError(`Cannot make a connection of a socket of type ${socket.type}, required SOCK_STREAM`);
    }
    this.#socket = socket;
    runner.dropDefaultTimeout();
    this.#runner = runner;
    this.#descriptor = runner.descriptor;
    this.#local = addresses?.local;
    this.#remote = addresses?.remote ?? ask(socket, "getpeername");
  }

  /** The socket below: for its options, for its numbers, or to be handed over by `detach()`. */
  get socket(): Socket {
    return this.#socket;
  }

  get localAddress(): Address | undefined {
    return (this.#local ??= ask(this.#socket, "getsockname"));
  }

  get remoteAddress(): Address | undefined {
    return this.#remote;
  }

  read(buffer: Uint8Array, opts?: IoOptions): Promise<number> {
    if (this.#descriptor.reading.busy) return Promise.reject(new BusyError("read"));
    try {
      if (buffer?.length === 0) throw new RangeError("Cannot read: buffer has no room, required at least 1 byte");
      // Past the check of bytes that were read ahead: the layer that reads ahead reads by this call.
      return this.#runner.read(RECV_INTO, byteView(buffer, "recv"), 0, opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  get reading(): boolean {
    return this.#descriptor.reading.busy;
  }

  get atOnce(): true {
    return true;
  }

  readFor<T>(consumer: Consumer<T>, opts?: IoOptions): Promise<T> {
    const socket = this.#socket;
    const { reading } = this.#descriptor;
    if (reading.busy) return Promise.reject(new BusyError("read"));
    try {
      if (opts === undefined) return fill(reading, socket, consumer, socket.timeout, undefined);
      checkOptions(opts, FILL.syscall);
      const timeout = timeoutOf(opts, socket.timeout, FILL.syscall);
      return fill(reading, socket, consumer, timeout, signalOf(opts, FILL.syscall));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  write(data: Data, opts?: IoOptions): Promise<void> {
    if (this.#ending !== undefined && !this.#socket.closed) return Promise.reject(socketError(EPIPE, "send"));
    return this.#socket.sendAll(data, opts);
  }

  tryWrite(data: Uint8Array): number {
    if (this.#ending !== undefined && !this.#socket.closed) throw socketError(EPIPE, "send");
    return this.#socket.trySend(data) ?? 0;
  }

  /** As {@link Conn} says. When only the wait for it is cut short, the end stays due. */
  closeWrite(opts?: IoOptions): Promise<void> {
    const action = "shutdown";
    try {
      checkOptions(opts, action);
      const signal = signalOf(opts, action);
      const timeout = timeoutOf(opts, this.#socket.timeout, action);
      signal?.throwIfAborted();
      if (this.#socket.closed) throw socketError(EBADF, action);
      const first = this.#ending === undefined;
      const ending = (this.#ending ??= this.#end());
      if (timeout === null && signal === undefined) return first ? ending : ending.then();
      const late = (): Error => timeoutError(action);
      // The wait for the kernel is what keeps the process alive, if anything does.
      return within(ending, timeout, signal === undefined ? [] : [signal], late, undefined, false);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #end(): Promise<void> {
    const { writing } = this.#descriptor;
    if (writing.busy) return writing.run(this.#socket, FINISH, undefined, undefined, null, undefined);
    this.#socket.shutdown(SHUT_WR);
    return Promise.resolve();
  }

  whenBroken(opts?: IoOptions): Promise<unknown> {
    try {
      checkOptions(opts, HANGUP.syscall);
      const { hangup } = this.#descriptor;
      const timeout = timeoutOf(opts, null, HANGUP.syscall);
      // The waiting call keeps neither the socket nor this object from collection.
      return hangup.run(hangup, HANGUP, hangup, undefined, timeout, signalOf(opts, HANGUP.syscall));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  close(): Promise<void> {
    this.#close();
    return Promise.resolve();
  }

  abort(): void {
    if (this.#socket.closed) return;
    cutOnClose(this.#socket);
    this.#close();
  }

  detachNative(): number | undefined {
    const { closed, family } = this.#socket;
    const { reading, writing } = this.#descriptor;
    if (closed || reading.busy || writing.busy) return undefined;
    if (family !== AF_INET && family !== AF_INET6 && family !== AF_UNIX) return undefined;
    this.#local ??= ask(this.#socket, "getsockname");
    // What was read ahead goes with its layer, which asks for the descriptor.
    this.#runner.readAhead = undefined;
    return this.#socket.detach();
  }

  /** See {@link Conn.settings}. */
  settings(fd?: () => number): SocketSettings {
    const descriptor = this.#descriptor;
    return settingsAt(this.#socket, this.#runner.calls, fd ?? (() => descriptor.fd));
  }

  registerReadAhead(layer: ReadAhead): void {
    const before = this.#runner.readAhead;
    const unread = before === undefined || before === layer ? 0 : before.unread;
    if (unread > 0) throw new BufferedError("put a stream on the connection", unread);
    this.#runner.readAhead = layer;
  }

  #close(): void {
    if (this.#socket.closed) return;
    this.#local ??= ask(this.#socket, "getsockname");
    try {
      this.#socket.close();
    } catch {
      // The descriptor is gone whatever close(2) says, and nobody can do anything about it.
    }
  }

  /**
   * Lets the process end while calls wait here: neither these, those that wait already among them, nor their deadlines keep it alive
   * from now on.
   */
  unref(): this {
    this.#socket.unref();
    return this;
  }

  /** Undoes `unref()`: a call that waits keeps the process alive, as it does from the beginning. */
  ref(): this {
    this.#socket.ref();
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Has close() tell the peer of a TCP connection that it was given up: a reset instead of an end. */
export function cutOnClose(socket: Socket): void {
  const { family } = socket;
  if (family !== AF_INET && family !== AF_INET6) return;
  try {
    socket.setsockopt(SO_LINGER, 0);
  } catch {
    // Without it the peer sees an end; the connection is given up in either case.
  }
}

/** Runs FILL, whose result is the consumer's. */
function fill<T>(
  reading: WaitQueue,
  holder: object,
  consumer: Consumer<T>,
  timeout: number | null,
  signal: AbortSignal | undefined,
): Promise<T> {
  return reading.run(holder, FILL, consumer, undefined, timeout, signal) as Promise<T>;
}

/** An address, if there is one: a socket that is not connected has no peer, a closed one nothing. */
function ask(socket: Socket, which: "getsockname" | "getpeername"): Address | undefined {
  try {
    return socket[which]();
  } catch {
    return undefined;
  }
}
