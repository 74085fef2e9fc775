// The class Socket of "berkeley/sync": the calls of a Berkeley socket, which block as in C.
//
// Each method calls a function of src/ops/ or of this folder, and passes the runner, which holds the descriptor.

import { AF_INET, type Address, type AddressLike } from "../addr/index.js";
import type { DatagramBatch } from "../batch/index.js";
import { brand } from "../check/index.js";
import type { Message, MessageHeader } from "../cmsg/index.js";
import type { Data, EndResult, TransferStats } from "../io.js";
import type { SocketOption } from "../options/option.js";
import { accept, acceptOperations, type AcceptOperations } from "../ops/accept.js";
import { attachFilter, type PacketFilter } from "../ops/attachFilter.js";
import { bind, connect } from "../ops/bindAndConnect.js";
import type { FlagOptions } from "../ops/flags.js";
import {
  adoptDescriptor,
  checkedPlainType,
  checkSocketResult,
  type DetachOptions,
  blockingOf,
  makePair,
} from "../ops/makeSocket.js";
import { recvmmsg, sendmmsg } from "../ops/mmsg.js";
import { getpeername, getsockname, getsockopt, listen, setsockopt, shutdown } from "../ops/plainCalls.js";
import { readable, writable } from "../ops/readiness.js";
import { recv, recvfrom, recvfromInto, recvInto, tryRecv, tryRecvInto } from "../ops/recv.js";
import { recvmsg, recvmsgInto } from "../ops/recvmsg.js";
import { checkDatagrams, recvWhole } from "../ops/recvWhole.js";
import { sendSegments } from "../ops/sendSegments.js";
import { send, sendAll, sendto, trySend } from "../ops/send.js";
import type { FileSource } from "../ops/sendfile.js";
import { sendmsg } from "../ops/sendmsg.js";
import type { SocketDescription } from "../ops/describeSocket.js";
import { makeDescribable, Inspectable } from "../registry/index.js";
import { calls } from "../sys/calls.js";
import { SOCK_STREAM, SOMAXCONN } from "../sys/constants.js";
import { check } from "../sys/errno.js";
import { milliseconds, WAIT_NAMES } from "../wait/waitOptions.js";
import { BlockingRunner, setBlockingRunnerOf } from "./blockingRunner.js";
import { type EndOptions, endSyncSocket } from "./syncEnding.js";
import {
  type AcceptOptions,
  blockingTimeoutOf,
  type RecvmsgOptions,
  type SendBatchOptions,
  type SendFileOptions,
  type SendmsgOptions,
  type SendSegmentsOptions,
  type TransferOptions,
  type WaitOptions,
} from "./syncOptions.js";
import { sendfile } from "./syncSendfile.js";
import { Stream, type StreamOptions } from "./syncStream.js";

/** The operations of accept, which make a Socket. */
let ACCEPT: AcceptOperations<Socket>;

/**
 * A Berkeley socket whose calls block the thread. The calls have the names of the `Socket` of "berkeley". This class is
 * for scripts, for worker threads, and for teaching. While a call waits, no other code runs in the thread: no timer, no
 * other socket, no listener of a signal. So use the awaitable socket for a server in the main thread.
 *
 * `timeout` (ms), of the socket or of a call, throws `ETIMEDOUT`. There is no `signal`, because a blocked thread can't
 * run the code that aborts it. `timeout` does not limit lookups; the resolver has its own timeouts. A wrong argument
 * throws a TypeError or RangeError before any system call.
 *
 * Without a listener for SIGINT, Ctrl-C ends a process whose main thread waits in a call. If `process` has a listener
 * for a signal, that signal makes the waiting call throw `EINTR` (signal(7)). The listener can't run in a blocked
 * thread; it runs when the program returns to the event loop. To continue, catch the error, let the listener run, and
 * call again; no data is lost:
 *
 * ```ts no-run
 * import { setImmediate } from "node:timers/promises";
 * import { SocketError, create_server } from "berkeley/sync";
 *
 * using server = create_server(["127.0.0.1", 8888]);
 * process.on("SIGINT", () => process.exit(0));
 * for (;;) {
 *   try {
 *     server.accept()[0].close();
 *   } catch (error) {
 *     if (!(error instanceof SocketError) || error.code !== "EINTR") throw error;
 *     // The listener runs between two of these turns of the event loop.
 *     for (let turn = 0; turn < 2; turn++) await setImmediate();
 *   }
 * }
 * ```
 *
 * In a worker thread a signal does not interrupt a call, because listeners of signals run in the main thread.
 * `worker.terminate()` ends a blocked worker.
 *
 * @see socket(2), socket(7)
 * @example
 * ```ts
 * import { AF_INET, SOCK_STREAM, Socket } from "berkeley/sync";
 *
 * using server = new Socket(AF_INET, SOCK_STREAM);
 * server.bind(["localhost", 0]);
 * server.listen(5);
 *
 * using client = new Socket(AF_INET, SOCK_STREAM);
 * client.connect(server.getsockname());
 * client.sendAll("Hello, Server");
 *
 * const [conn, address] = server.accept();
 * console.log(conn.recv(1024).toString()); // prints: Hello, Server
 * console.log(address.family === AF_INET); // prints: true
 * conn.close();
 * ```
 */
export class Socket<A extends Address = Address> extends Inspectable<SocketDescription> {
  readonly #runner: BlockingRunner;

  static {
    brand(Socket.prototype, "Socket of berkeley/sync");
    makeDescribable<Socket, SocketDescription>(Socket.prototype, "Socket", (socket) => socket.#runner.describe());
    setBlockingRunnerOf((value) =>
      typeof value === "object" && value !== null && #runner in value ? value.#runner : undefined,
    );
    const pollsListener = false;
    ACCEPT = acceptOperations(
      (family, type, protocol, fd) => Socket.#ofDescriptor(family, type, protocol, fd),
      pollsListener,
    );
  }

  /**
   * Makes a socket: socket(2). It is close-on-exec.
   *
   * @param family `AF_INET`, `AF_INET6`, `AF_UNIX`; and others
   * @param type `SOCK_STREAM`, `SOCK_DGRAM`, `SOCK_SEQPACKET`, `SOCK_RAW`; and others
   * @param protocol 0 for the default of family and type
   * @throws SocketError `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `EMFILE`, `EPERM`; and others
   * @see socket(2)
   */
  constructor(family?: number, type?: number, protocol?: number);
  constructor(family: number = AF_INET, type: number = SOCK_STREAM, protocol: number = 0, existing?: unknown) {
    super();
    const plainType = checkedPlainType(family, type, protocol, "make a socket");
    // `existing` is internal: users can't make a NewDescriptor.
    const fd =
      existing instanceof NewDescriptor
        ? existing.fd
        : // `type` with its flags, such as SOCK_CLOEXEC; `plainType` is the type without them.
          checkSocketResult(calls.socket(family, type, protocol), family, type);
    this.#runner = new BlockingRunner(family, plainType, protocol, fd);
  }

  static #ofDescriptor(family: number, type: number, protocol: number, fd: number): Socket {
    const Internal = Socket as new (family: number, type: number, protocol: number, existing: NewDescriptor) => Socket;
    return new Internal(family, type, protocol, new NewDescriptor(fd));
  }

  /**
   * Makes a Socket of an open descriptor: one that was inherited, passed by another process, or released by `detach()`.
   * Family, type and protocol come from the kernel. The descriptor becomes close-on-exec, and belongs to the new
   * socket.
   *
   * @param fd number of the descriptor
   * @throws SocketError `EBADF` if the descriptor is not open, `ENOTSOCK` if it is no socket, `EBUSY` if a Socket
   *   of this thread has the descriptor
   * @see getsockopt(2), SO_DOMAIN, SO_TYPE and SO_PROTOCOL of socket(7)
   * @example
   * ```ts
   * import { socketpair } from "berkeley";
   * import { Socket } from "berkeley/sync";
   *
   * const [a, b] = socketpair();
   * await a.sendAll("sent by an awaitable socket");
   * using blocking = Socket.fromfd(b.detach());
   * console.log(blocking.recv(100).toString()); // prints: sent by an awaitable socket
   * a.close();
   * ```
   */
  static fromfd(fd: number): Socket {
    return Socket.#ofDescriptor(...adoptDescriptor(calls, fd));
  }

  /**
   * Two connected sockets; see {@link socketpair}.
   */
  static pair(family: number, type: number, protocol: number): [Socket, Socket] {
    const [a, b] = makePair(calls, family, type, protocol);
    return [Socket.#ofDescriptor(...a), Socket.#ofDescriptor(...b)];
  }

  /** Address family, such as `AF_INET`. */
  get family(): number {
    return this.#runner.family;
  }

  /** Socket type, such as `SOCK_STREAM`. */
  get type(): number {
    return this.#runner.type;
  }

  /** Protocol; 0 for the default of the family. */
  get protocol(): number {
    return this.#runner.protocol;
  }

  /** Whether the socket is closed or detached. */
  get closed(): boolean {
    return this.#runner.descriptor.fd < 0;
  }

  /**
   * The timeout in ms of each call that may wait and has no `timeout` option; null for none. Initially
   * `getdefaulttimeout()`.
   */
  get timeout(): number | null {
    return this.#runner.timeout;
  }

  set timeout(value: number | null) {
    this.#runner.timeout = milliseconds(value, "set timeout");
  }

  /** The number of bytes that the stream of this socket has read from the kernel and not returned yet. */
  get buffered(): number {
    return this.#runner.reader?.unread ?? 0;
  }

  /** The descriptor, or -1 once the socket is closed or detached. */
  fileno(): number {
    // From now on other code can close the descriptor. share() stores which file is open, so that close() does not
    // close a reused number.
    this.#runner.descriptor.share();
    return this.#runner.descriptor.fd;
  }

  /**
   * The counters of the socket: bytes and calls in both directions, also after `close()`. A call with `MSG_PEEK` counts
   * like any other. Batches (`recvmmsg`, `sendmmsg`) count as datagrams, without bytes. Bytes of `pump` and `splice`
   * are not counted here: these functions return their own counts.
   * @example
   * ```ts
   * import { socketpair } from "berkeley/sync";
   *
   * const [left, right] = socketpair();
   * left.sendAll("hello");
   * right.recv(100);
   * console.log(right.stats()); // prints: { bytesReceived: 5, bytesSent: 0, reads: 1, writes: 0 }
   * left.close();
   * right.close();
   * ```
   */
  stats(): TransferStats {
    return this.#runner.stats();
  }

  /**
   * Binds the socket to an address: bind(2). A host name is resolved to its first address of the socket's family.
   *
   * @throws SocketError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EINVAL` (bound already), `EAFNOSUPPORT`,
   *   `EAI_NONAME`; and others
   * @see bind(2)
   */
  bind(address: AddressLike, opts?: WaitOptions): void {
    bind(this.#runner, address, opts);
  }

  /**
   * Lets the socket accept connections: listen(2).
   *
   * @param backlog length of the accept queue; net.core.somaxconn limits it
   * @throws SocketError `EADDRINUSE`, `EOPNOTSUPP`, `EBADF` after `close()`
   * @see listen(2)
   */
  listen(backlog: number = SOMAXCONN): void {
    listen(this.#runner, backlog);
  }

  /**
   * Accepts the next connection of the accept queue: accept4(2).
   *
   * @returns the connection and the address of its peer
   * @throws SocketError `EINVAL` if the socket does not listen; without `retryOnShortage` also `EMFILE`, `ENFILE`,
   *   `ENOBUFS`, `ENOMEM`, `EPERM`
   * @see accept(2)
   */
  accept(opts?: AcceptOptions): [Socket<A>, A] {
    return accept(this.#runner, ACCEPT, opts) as [Socket<A>, A];
  }

  /**
   * Returns an iterator over the new connections. It ends when the socket is closed. While descriptors or memory are
   * short (`EMFILE` and similar), the loop waits. Connections that a firewall refuses (`EPERM`) are skipped.
   * @example
   * ```ts
   * import { create_connection, create_server } from "berkeley/sync";
   *
   * using server = create_server("127.0.0.1:0");
   * using client = create_connection(server.getsockname());
   * for (const [conn, address] of server) {
   *   console.log(String(address) === String(client.getsockname())); // prints: true
   *   conn.close();
   *   server.close();
   * }
   * ```
   */
  *[Symbol.iterator](): IterableIterator<[Socket<A>, A]> {
    const retryOnShortage = true;
    while (!this.closed) {
      yield this.#runner.read(ACCEPT.withAddress, this.#runner, retryOnShortage, undefined) as [Socket<A>, A];
    }
  }

  /**
   * Connects to `address`: connect(2). On a datagram socket the call sets the peer. A host name is resolved to its
   * first address of the socket's family.
   *
   * @throws SocketError `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`, `EADDRNOTAVAIL`, `EALREADY`,
   *   `EISCONN`, `EAFNOSUPPORT`, `ENOENT` (UNIX), `EAI_NONAME`; and others
   * @see connect(2)
   */
  connect(address: AddressLike, opts?: WaitOptions): void {
    connect(this.#runner, address, opts);
  }

  /**
   * Receives the bytes that are there, and blocks only if there are none: recv(2). The flags are those of the awaitable
   * `recv`; with `MSG_DONTWAIT` it throws `EAGAIN` instead of waiting.
   *
   * @param size maximum number of bytes
   * @returns a Buffer of exactly the received bytes. On a stream it is empty when the peer has finished
   * @throws SocketError `ECONNRESET`, `ENOTCONN`, `ECONNREFUSED`, `ETIMEDOUT`; and others
   * @see recv(2)
   */
  recv(size: number, opts?: TransferOptions): Buffer {
    return recv(this.#runner, size, opts);
  }

  /**
   * Receives into `buffer`, at most its length, without a copy: recv(2).
   *
   * @returns the number of bytes; on a stream 0 is the end
   * @throws SocketError as `recv`
   * @see recv(2)
   */
  recvInto(buffer: Uint8Array, opts?: TransferOptions): number {
    return recvInto(this.#runner, buffer, opts);
  }

  /**
   * Receives a datagram and the address of its sender: recvfrom(2). For a datagram without bytes the Buffer is empty.
   * The family of the socket determines the type of the address. On a connected TCP socket the kernel gives no address,
   * and the value is an `OpaqueAddress` of family 0.
   *
   * @param size maximum number of bytes; the rest of a longer datagram is lost
   * @throws SocketError `ECONNREFUSED` (an earlier datagram was refused), `ETIMEDOUT`; and others
   * @see recvfrom(2)
   */
  recvfrom(size: number, opts?: TransferOptions): [Buffer, A] {
    return recvfrom(this.#runner, size, opts) as [Buffer, A];
  }

  /**
   * Receives a datagram into `buffer`: recvfrom(2).
   *
   * @returns the number of bytes and the address of the sender
   * @throws SocketError as `recvfrom`
   * @see recvfrom(2)
   */
  recvfromInto(buffer: Uint8Array, opts?: TransferOptions): [number, A] {
    return recvfromInto(this.#runner, buffer, opts) as [number, A];
  }

  /**
   * Receives the bytes that are there, and never blocks: one recv(2).
   *
   * @returns as `recv`; `undefined` if the call would block
   * @throws SocketError as `recv`
   * @see recv(2)
   */
  tryRecv(size: number, opts?: FlagOptions): Buffer | undefined {
    return tryRecv(this.#runner, size, opts);
  }

  /**
   * Receives into `buffer`, and never blocks: one recv(2).
   *
   * @returns as `recvInto`; `undefined` if the call would block
   * @throws SocketError as `recv`
   * @see recv(2)
   */
  tryRecvInto(buffer: Uint8Array, opts?: FlagOptions): number | undefined {
    return tryRecvInto(this.#runner, buffer, opts);
  }

  /**
   * Sends the bytes that the kernel takes now, and blocks only if it takes none: send(2). An array goes out in one call
   * (sendmsg(2)). No SIGPIPE is raised.
   *
   * @param data text (as UTF-8), bytes, or an array of these
   * @returns the number of bytes that the kernel took; on a stream it may be fewer than `data` has
   * @throws SocketError `EPIPE`, `ECONNRESET`, `ENOTCONN`, `EDESTADDRREQ`, `EMSGSIZE`; and others
   * @see send(2)
   */
  send(data: Data, opts?: TransferOptions): number {
    return send(this.#runner, data, opts);
  }

  /**
   * Sends all of `data`: send(2), as often as necessary. If the call fails, `transferred` of the error is the number of
   * bytes that were sent.
   *
   * @throws SocketError as `send`, with `transferred`
   * @see send(2)
   */
  sendAll(data: Data, opts?: TransferOptions): void {
    sendAll(this.#runner, data, opts);
  }

  /**
   * Sends the bytes that the kernel takes now, and never blocks: one send(2).
   *
   * @returns the number of bytes that the kernel took; `undefined` if the call would block
   * @throws SocketError as `send`
   * @see send(2)
   */
  trySend(data: Data, opts?: FlagOptions): number | undefined {
    return trySend(this.#runner, data, opts);
  }

  /**
   * Sends one datagram to `address`: sendto(2). A host name is resolved each time.
   *
   * @returns the number of bytes sent
   * @throws SocketError `EMSGSIZE`, `EACCES`, `ENETUNREACH`, `EDESTADDRREQ`, `EISCONN`; and others
   * @see sendto(2)
   */
  sendto(data: Data, address: AddressLike, opts?: TransferOptions): number {
    return sendto(this.#runner, data, address, opts);
  }

  /**
   * Sends a message with control data and an address: sendmsg(2).
   *
   * @param data text (as UTF-8), bytes, or an array of these, which go out in order as one message
   * @returns the number of bytes that the kernel took
   * @throws SocketError `EMSGSIZE`, `EPIPE`, `ENOTCONN`, `EDESTADDRREQ`, `EPERM`, `EBADF`, `EINVAL`; and others
   * @see sendmsg(2), cmsg(3)
   */
  sendmsg(data: Data, opts?: SendmsgOptions): number {
    return sendmsg(this.#runner, data, opts);
  }

  /**
   * Receives a message with its control data: recvmsg(2). The message owns its descriptors (SCM_RIGHTS) until they are
   * taken. Disposing the message closes the descriptors that were not taken.
   *
   * @param size maximum number of bytes
   * @throws SocketError as `recvfrom`
   * @see recvmsg(2), cmsg(3)
   */
  recvmsg(size: number, opts?: RecvmsgOptions): Message<A> {
    return recvmsg(this.#runner, size, opts) as Message<A>;
  }

  /**
   * Receives a message into `buffers`, one after the other, without a copy: recvmsg(2).
   *
   * @returns the message without its data; `bytes` is the number of bytes that were stored
   * @throws SocketError as `recvfrom`
   * @see recvmsg(2)
   */
  recvmsgInto(buffers: Uint8Array | readonly Uint8Array[], opts?: RecvmsgOptions): MessageHeader<A> {
    return recvmsgInto(this.#runner, buffers, opts) as MessageHeader<A>;
  }

  /**
   * Receives as many datagrams as are there and fit into the batch, and blocks only if there are none: recvmmsg(2).
   *
   * @returns the number of datagrams: at least 1
   * @throws SocketError `ECONNREFUSED` (an earlier datagram was refused), `ETIMEDOUT`; and others
   * @see recvmmsg(2)
   */
  recvmmsg(batch: DatagramBatch, opts?: TransferOptions): number {
    return recvmmsg(this.#runner, batch, opts);
  }

  /**
   * Sends the datagrams of a batch, each to its address: sendmmsg(2), as often as necessary. `start` and `skipRefused`
   * are those of the awaitable `sendmmsg`.
   *
   * @returns the number of datagrams that were sent
   * @throws SocketError with `transferred` in datagrams: `EMSGSIZE`, `ECONNREFUSED`, `ETIMEDOUT`; and others
   * @see sendmmsg(2)
   */
  sendmmsg(batch: DatagramBatch, opts?: SendBatchOptions): number {
    return sendmmsg(this.#runner, batch, opts);
  }

  /**
   * Sends one buffer as datagrams of `size` bytes; the last one may be shorter: sendmsg(2) with UDP_SEGMENT.
   *
   * @returns the number of bytes sent
   * @throws SocketError with `transferred` in bytes: `EINVAL`, `EMSGSIZE`, `EIO`, `ENOPROTOOPT`; and others
   * @see udp(7), UDP_SEGMENT, since Linux 4.18
   */
  sendSegments(data: Data, size: number, opts?: SendSegmentsOptions): number {
    return sendSegments(this.#runner, data, size, opts);
  }

  /**
   * Sends the bytes of a file without a copy in the program: sendfile(2), as often as necessary. If the call fails,
   * `transferred` of the error is the number of bytes that were sent.
   *
   * @param file descriptor of a regular file or a block device, or an object with one, such as a FileHandle
   * @returns the number of bytes sent: fewer than `count` if the file ends earlier
   * @throws SocketError with `transferred`: `EPIPE`, `ECONNRESET`, `ENOTCONN`, `EBADF`, `EIO`, `ETIMEDOUT`; `EINVAL`
   *   for any other file; and others
   * @see sendfile(2)
   */
  sendfile(file: FileSource, opts?: SendFileOptions): number {
    return sendfile(this.#runner, file, opts);
  }

  /**
   * Blocks until a receive or accept would not wait: there are data, a connection, the end or an error. It consumes
   * nothing: poll(2).
   *
   * @see poll(2)
   */
  readable(opts?: WaitOptions): void {
    readable(this.#runner, opts);
  }

  /**
   * Blocks until the send buffer has room: poll(2).
   *
   * @see poll(2)
   */
  writable(opts?: WaitOptions): void {
    writable(this.#runner, opts);
  }

  /**
   * Ends one direction of a connection, or both: shutdown(2). After `SHUT_WR` the peer reads all data, and then the
   * end.
   *
   * @param how `SHUT_RD`, `SHUT_WR` or `SHUT_RDWR`
   * @throws SocketError `ENOTCONN`, `EBADF` after `close()`
   * @see shutdown(2)
   */
  shutdown(how: number): void {
    shutdown(this.#runner, how);
  }

  /**
   * The address that the socket is bound to, with the port that the kernel chose: getsockname(2).
   *
   * @throws SocketError `EBADF` after `close()`
   * @see getsockname(2)
   */
  getsockname(): A {
    return getsockname(this.#runner) as A;
  }

  /**
   * The address of the peer: getpeername(2).
   *
   * @throws SocketError `ENOTCONN`, `EBADF` after `close()`
   * @see getpeername(2)
   */
  getpeername(): A {
    return getpeername(this.#runner) as A;
  }

  /**
   * Sets an option: setsockopt(2). Pass a typed option and its value, or level, number and bytes (a number becomes a C
   * `int`).
   *
   * @throws TypeError or RangeError for a value that does not fit the option, before any call
   * @throws SocketError `ENOPROTOOPT` if the kernel does not have the option for this socket, `EINVAL`, `EPERM`,
   *   `EBADF`; and others
   * @see setsockopt(2), socket(7), ip(7), ipv6(7), tcp(7), udp(7)
   */
  setsockopt<Set>(option: SocketOption<unknown, Set>, value: NoInfer<Set>): void;
  setsockopt(level: number, name: number | SocketOption<unknown, never>, value: number | Uint8Array): void;
  setsockopt(first: number | SocketOption<unknown, never>, second: unknown, third?: unknown): void {
    setsockopt(this.#runner, first, second, third);
  }

  /**
   * Reads an option: getsockopt(2). With a typed option it returns the typed value. With level and number it returns
   * the value of a C `int`. With level, number and a size it returns the bytes that the kernel returned, at most
   * `size`.
   *
   * @throws SocketError `ENOPROTOOPT`, `EINVAL`, `EBADF`; and others
   * @see getsockopt(2)
   */
  getsockopt<Get>(option: SocketOption<Get, never>): Get;
  getsockopt(level: number, name: number | SocketOption<unknown, never>): number;
  getsockopt(level: number, name: number | SocketOption<unknown, never>, size: number): Buffer;
  getsockopt(first: number | SocketOption<unknown, never>, second?: unknown, size?: number): unknown {
    return getsockopt(this.#runner, first, second, size);
  }

  /**
   * Returns the buffered stream over this socket, for lines and exact numbers of bytes. If the socket has a stream
   * already, returns that one, also if `new Stream()` made it.
   *
   * @param opts limits of the stream's buffer; only the call that makes the stream can set them
   * @throws TypeError if the socket is no stream socket, or if it has a stream already and `opts` is given
   * @example
   * ```ts
   * import { socketpair } from "berkeley/sync";
   *
   * const [left, right] = socketpair();
   * using stream = right.stream({ maxLine: 1024 });
   * left.sendAll("first\nsecond\n");
   * left.close();
   * for (const line of stream.lines()) console.log(line);
   * // prints: first
   * // prints: second
   * ```
   */
  stream(opts?: StreamOptions): Stream {
    const { stream } = this.#runner;
    if (stream === undefined) return new Stream(this, opts);
    if (opts === undefined) return stream;
    throw new TypeError("Cannot make a stream: the socket has a stream, required options in the call that makes it");
  }

  /**
   * Returns an iterator over the datagrams, each without truncation. It ends when the socket is closed. The type
   * of the socket must be `SOCK_DGRAM`, `SOCK_RAW` or `SOCK_SEQPACKET`. The iterator reads no datagram ahead: a loop
   * that ends early loses no datagram, and the kernel's receive buffer is the only queue. A datagram may be empty. An
   * error, such as `ECONNREFUSED` for an earlier datagram, is thrown out of the loop. On `SOCK_SEQPACKET` the end of
   * the connection comes as an empty datagram.
   *
   * @param opts `timeout` in ms, for each datagram
   * @throws TypeError for a stream socket, or an option that is wrong
   * @see recvfrom(2)
   * @example
   * ```ts
   * import { AF_INET, SOCK_DGRAM, Socket } from "berkeley/sync";
   *
   * using socket = new Socket(AF_INET, SOCK_DGRAM);
   * socket.bind("127.0.0.1:0");
   * socket.sendto("one", socket.getsockname());
   * for (const [data] of socket.datagrams()) {
   *   console.log(data.toString()); // prints: one
   *   socket.close();
   * }
   * ```
   */
  datagrams(opts?: WaitOptions): IterableIterator<[Buffer, Address]> {
    // The checks are outside the generator, whose body would not run before the first next().
    checkDatagrams(this.#runner);
    blockingTimeoutOf(opts, null, "read datagrams", WAIT_NAMES);
    return this.#datagrams(opts);
  }

  *#datagrams(opts: WaitOptions | undefined): IterableIterator<[Buffer, Address]> {
    while (!this.closed) yield recvWhole(this.#runner, opts);
  }

  /**
   * Attaches a packet filter: setsockopt(2) with SO_ATTACH_FILTER or SO_ATTACH_BPF. From now on the socket receives
   * only packets that have passed the filter. A raw or packet socket receives packets from its creation on. So this
   * call also drops the unfiltered packets in the receive buffer. To lose no packets, make a packet socket with
   * protocol 0, attach the filter, and then bind it to a protocol and an interface.
   *
   * @param filter instructions of classic BPF, or the descriptor of a loaded eBPF program
   * @throws SocketError `EINVAL` if the kernel refuses the program, `EPERM` after SO_LOCK_FILTER, `ENOMEM`; the socket
   *   is then unchanged
   * @throws TypeError or RangeError for a filter that is wrong, or a stream socket, whose bytes would be lost
   * @see socket(7), packet(7), bpf(2)
   * @example
   * ```ts
   * import { AF_INET, BPF_K, BPF_RET, SOCK_DGRAM, Socket } from "berkeley/sync";
   *
   * using socket = new Socket(AF_INET, SOCK_DGRAM);
   * socket.bind("127.0.0.1:0");
   * socket.attachFilter([{ code: BPF_RET | BPF_K, k: 8 + 3 }]); // accepts the UDP header and 3 bytes
   * socket.sendto("abcdef", socket.getsockname());
   * console.log(socket.recv(100).toString()); // prints: abc
   * ```
   */
  attachFilter(filter: PacketFilter): void {
    attachFilter(this.#runner, filter);
  }

  /**
   * Ends a connection so that the peer receives the last bytes. It calls `shutdown(SHUT_WR)`, reads and discards bytes
   * until the peer ends or a limit is reached, and calls `close()`. The limits are `timeout` ({@link END_TIMEOUT} by
   * default) and `maxBytes` ({@link END_MAX_BYTES}). On a closed socket it does nothing.
   *
   * @returns how the connection ended, and the number of discarded bytes
   * @throws TypeError or RangeError for an option that is wrong, or if the socket is no stream socket; then the
   *   call does nothing
   * @see RFC 9112, section 9.6; shutdown(2), recv(2), close(2)
   * @example
   * ```ts
   * import { socketpair } from "berkeley/sync";
   *
   * const [client, server] = socketpair();
   * client.sendAll("a question and more that nobody reads");
   * server.sendAll("the answer");
   * client.recv(100);
   * client.close();
   * console.log(server.end({ timeout: 1_000 })); // prints: { how: 'finished', dropped: 37 }
   * ```
   */
  end(opts?: EndOptions): EndResult {
    return endSyncSocket(this, opts);
  }

  /**
   * Another socket for the same open file description: fcntl(2) with F_DUPFD_CLOEXEC. Close both.
   *
   * @throws SocketError `EMFILE`, `EBADF`
   * @see dup(2)
   */
  dup(): Socket<A> {
    const fd = check(calls.dup(this.#runner.checkOpen("dup")), "dup");
    const copy = Socket.#ofDescriptor(this.family, this.type, this.protocol, fd);
    copy.#runner.timeout = this.timeout;
    return copy as Socket<A>;
  }

  /**
   * Releases the descriptor without closing it; the caller must close it. `closed` is true from then on.
   *
   * @param opts `blocking: true` clears O_NONBLOCK (fcntl(2)), as most other programs expect. The flag belongs to the
   *   open file description, so all duplicates become blocking
   * @returns the descriptor, which is close-on-exec, and non-blocking unless `blocking` is true
   * @throws TypeError if `blocking` is neither true nor false
   * @throws BufferedError if the stream of the socket has unread bytes
   * @throws SocketError `EBADF` if the socket is closed
   * @see fcntl(2), F_SETFL
   */
  detach(opts?: DetachOptions): number {
    return this.#runner.detach(blockingOf(opts));
  }

  /**
   * Closes the descriptor: close(2). A second call does nothing. The kernel still sends the bytes that it has taken.
   *
   * @see close(2)
   */
  close(): void {
    this.#runner.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Passes a descriptor to the constructor of Socket. Only this file can make a NewDescriptor. */
class NewDescriptor {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }
}
