// SocketConn: the interface Conn of io.ts over a stream socket.
//
// A read or write adds only the check of a field to the cost of the same call of the Socket: no promise, no closure, no
// timer. Only one read at a time is allowed. `busy` of the wait queue shows whether a read waits.

import { type Address, AF_INET, AF_INET6, AF_UNIX } from "../addr/index.js";
import { checkOptions, quoteNonInstance } from "../check/index.js";
import { BufferedError, BusyError } from "../errors/index.js";
import type { Descriptor, WaitQueue } from "../reactor/index.js";
import type { Conn, Consumer, Data, DirectReader, IoOptions, ReadAhead, SocketSettings, TransferStats } from "../io.js";
import { SHUT_WR, SOCK_STREAM } from "../sys/constants.js";
import { within } from "../wait/within.js";
import { closedError, EPIPE, socketError } from "../sys/errno.js";
import { timeoutError } from "../wait/localError.js";
import { SO_LINGER } from "../options/index.js";
import { byteView } from "../check/index.js";
import type { SocketDescription } from "../ops/describeSocket.js";
import { makeDescribable, Inspectable } from "../registry/index.js";
import { RECV_INTO } from "../ops/recv.js";
import { SEND_ALL, sendAll, trySend } from "../ops/send.js";
import { type PromiseRunner, runnerOf } from "./promiseRunner.js";
import { READ_FOR } from "../ops/readFor.js";
import { settingsOf } from "./settings.js";
import { SHUTDOWN_WRITING, HANGUP, PEER_END } from "../ops/readiness.js";
import { signalOf, timeoutOf, WAIT_NAMES } from "../wait/waitOptions.js";
import type { Socket } from "./socket.js";

/** The known addresses of a connection. */
export interface ConnAddresses {
  readonly local?: Address | undefined;
  readonly remote?: Address | undefined;
}

/**
 * A {@link Conn} over a connected stream socket of any family. It owns the socket from now on: close the connection,
 * not the socket. A call without a `timeout` uses the one that was set on the socket, but not that of
 * `setdefaulttimeout()`. A {@link Stream} calls `readFor` and not `read`. So a subclass with another `read` has no
 * effect on a stream; write a `Conn` that wraps this one instead.
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
export class SocketConn<A extends Address = Address>
  extends Inspectable<SocketDescription>
  implements Conn, DirectReader
{
  static {
    makeDescribable<SocketConn, SocketDescription>(SocketConn.prototype, "SocketConn", (conn) => {
      const fields = conn.#runner.describe();
      const { local, peer } = fields;
      // A closed socket has no addresses any more, but the connection has stored them.
      return { ...fields, local: local ?? textOf(conn.#local), peer: peer ?? textOf(conn.#remote) };
    });
  }

  readonly #socket: Socket<A>;
  readonly #runner: PromiseRunner;
  readonly #descriptor: Descriptor;
  readonly #remote: A | undefined;
  #local: A | undefined;
  /** The shutdown of writing, once closeWrite() was called. */
  #shutdown: Promise<void> | undefined;

  /** @param addresses the addresses that the caller has already; this saves getsockname(2) and getpeername(2) */
  constructor(socket: Socket<A>, addresses?: ConnAddresses) {
    super();
    const runner = runnerOf(socket);
    if (runner === undefined) {
      throw new TypeError(
        `Cannot make a connection: socket is ${quoteNonInstance(socket, "Socket")}, required a Socket`,
      );
    }
    if (socket.type !== SOCK_STREAM) {
      throw new TypeError(`Cannot make a connection: the socket is of type ${socket.type}, required SOCK_STREAM`);
    }
    this.#socket = socket;
    runner.dropDefaultTimeout();
    this.#runner = runner;
    this.#descriptor = runner.descriptor;
    // The casts are safe, because the addresses of a socket have its family.
    this.#local = addresses?.local as A | undefined;
    this.#remote = (addresses?.remote as A | undefined) ?? addressIfKnown(socket, "getpeername");
  }

  /** The socket below, for its options, its descriptor or `detach()`. */
  get socket(): Socket<A> {
    return this.#socket;
  }

  get localAddress(): A | undefined {
    return (this.#local ??= addressIfKnown(this.#socket, "getsockname"));
  }

  get remoteAddress(): A | undefined {
    return this.#remote;
  }

  read(buffer: Uint8Array, opts?: IoOptions): Promise<number> {
    if (this.#descriptor.reading.busy) return Promise.reject(new BusyError("read"));
    try {
      if (buffer?.length === 0) throw new RangeError("Cannot read: buffer has 0 bytes, required at least 1");
      // No check for bytes that were read ahead: the layer that reads ahead makes this call.
      return this.#runner.read(RECV_INTO, byteView(buffer, "recv"), 0, opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  get reading(): boolean {
    return this.#descriptor.reading.busy;
  }

  // READ_FOR calls room() of the consumer, recv(2) and filled() in one attempt, so no other code runs in between.
  get atOnce(): true {
    return true;
  }

  readFor<T>(consumer: Consumer<T>, opts?: IoOptions): Promise<T> {
    const socket = this.#socket;
    const { reading } = this.#descriptor;
    if (reading.busy) return Promise.reject(new BusyError("read"));
    try {
      if (opts === undefined) return runReadFor(reading, socket, consumer, socket.timeout, undefined);
      checkOptions(opts, READ_FOR.syscall, WAIT_NAMES);
      const timeout = timeoutOf(opts, socket.timeout, READ_FOR.syscall);
      return runReadFor(reading, socket, consumer, timeout, signalOf(opts, READ_FOR.syscall));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  write(data: Data, opts?: IoOptions): Promise<void> {
    if (this.#shutdown !== undefined && !this.#socket.closed) return Promise.reject(socketError(EPIPE, "send"));
    // Not Socket.sendAll(), which rejects while writes of the stream wait.
    return sendAll(this.#runner, data, opts);
  }

  tryWrite(data: Uint8Array): number {
    if (this.#shutdown !== undefined && !this.#socket.closed) throw socketError(EPIPE, "send");
    return trySend(this.#runner, data, undefined) ?? 0;
  }

  /** See {@link Writer.writeProgress}. */
  get writeProgress(): number {
    return this.#descriptor.writing.progressOf(SEND_ALL);
  }

  /** See {@link Conn.closeWrite}. A timeout or an abort ends only the wait: shutdown(2) is still called. */
  closeWrite(opts?: IoOptions): Promise<void> {
    const action = "shutdown";
    try {
      checkOptions(opts, action, WAIT_NAMES);
      const signal = signalOf(opts, action);
      const timeout = timeoutOf(opts, this.#socket.timeout, action);
      signal?.throwIfAborted();
      if (this.#socket.closed) throw closedError(action);
      const { writing } = this.#descriptor;
      // Each call returns a promise of its own, which then() makes.
      if (!writing.busy) {
        if (this.#shutdown === undefined) {
          this.#socket.shutdown(SHUT_WR);
          this.#shutdown = Promise.resolve();
        }
        return this.#shutdown.then();
      }
      // The shutdown waits in the queue until the writes before it are complete.
      this.#shutdown ??= writing.run(this.#socket, SHUTDOWN_WRITING, undefined, undefined, null, undefined);
      if (timeout === null && signal === undefined) return this.#shutdown.then();
      const onDeadline = (): Error => timeoutError(action);
      // The timer need not keep the process alive: the waiting call in the queue does, unless unref() was called.
      const keepsAlive = false;
      return within(this.#shutdown, timeout, signal === undefined ? [] : [signal], onDeadline, undefined, keepsAlive);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  whenBroken(opts?: IoOptions): Promise<unknown> {
    try {
      checkOptions(opts, HANGUP.syscall, WAIT_NAMES);
      const { hangup } = this.#descriptor;
      const timeout = timeoutOf(opts, null, HANGUP.syscall);
      // A waiting call refers to the first argument of run() and to the operands. Here these are the queue and the
      // descriptor. So the socket and this object can be garbage-collected.
      return hangup.run(hangup, HANGUP, hangup, this.#descriptor, timeout, signalOf(opts, HANGUP.syscall));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  whenEnded(opts?: IoOptions): Promise<unknown> {
    try {
      checkOptions(opts, PEER_END.syscall, WAIT_NAMES);
      const { peerEnd } = this.#descriptor;
      const timeout = timeoutOf(opts, null, PEER_END.syscall);
      return peerEnd.run(peerEnd, PEER_END, peerEnd, this.#descriptor, timeout, signalOf(opts, PEER_END.syscall));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** See `stats()` of the Socket. */
  stats(): TransferStats {
    return this.#runner.stats();
  }

  close(): Promise<void> {
    this.#close();
    return Promise.resolve();
  }

  abort(): void {
    if (this.#socket.closed) return;
    resetOnClose(this.#socket);
    this.#close();
  }

  detachNative(): number | undefined {
    const { closed, family } = this.#socket;
    const { reading, writing } = this.#descriptor;
    if (closed || reading.busy || writing.busy) return undefined;
    if (family !== AF_INET && family !== AF_INET6 && family !== AF_UNIX) return undefined;
    this.#local ??= addressIfKnown(this.#socket, "getsockname");
    // With unread bytes, detach() would throw. The caller is the layer that has read ahead, and keeps these bytes.
    this.#runner.readAhead = undefined;
    return this.#socket.detach();
  }

  /** See {@link Conn.settings}. */
  settings(fd?: () => number): SocketSettings {
    const descriptor = this.#descriptor;
    return settingsOf(this.#socket, this.#runner.calls, fd ?? (() => descriptor.fd));
  }

  registerReadAhead(layer: ReadAhead): void {
    const previous = this.#runner.readAhead;
    const unread = previous === undefined || previous === layer ? 0 : previous.unread;
    if (unread > 0) throw new BufferedError("put a stream on the connection", unread);
    this.#runner.readAhead = layer;
  }

  #close(): void {
    if (this.#socket.closed) return;
    this.#local ??= addressIfKnown(this.#socket, "getsockname");
    try {
      this.#socket.close();
    } catch {
      // close(2) releases the descriptor even if it returns an error.
    }
  }

  /**
   * Lets the process end while calls wait on this connection. From now on neither present nor later calls, nor their
   * deadlines, keep the process alive.
   */
  unref(): this {
    this.#socket.unref();
    return this;
  }

  /** Undoes `unref()`: a waiting call keeps the process alive, which is the default. */
  ref(): this {
    this.#socket.ref();
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Makes close() send a reset to the peer of a TCP connection instead of an orderly end. */
export function resetOnClose(socket: Socket): void {
  const { family } = socket;
  if (family !== AF_INET && family !== AF_INET6) return;
  try {
    socket.setsockopt(SO_LINGER, 0);
  } catch {
    // If the option can't be set, the peer gets an orderly end. The connection is closed in either case.
  }
}

/** Runs READ_FOR, with the type of the consumer's result. */
function runReadFor<T>(
  reading: WaitQueue,
  holder: object,
  consumer: Consumer<T>,
  timeout: number | null,
  signal: AbortSignal | undefined,
): Promise<T> {
  return reading.run(holder, READ_FOR, consumer, undefined, timeout, signal) as Promise<T>;
}

/** An address; undefined if the call fails, as on an unconnected or closed socket. */
function addressIfKnown<A extends Address>(socket: Socket<A>, call: "getsockname" | "getpeername"): A | undefined {
  try {
    return socket[call]();
  } catch {
    return undefined;
  }
}

function textOf(address: Address | undefined): string | null {
  return address === undefined ? null : String(address);
}
