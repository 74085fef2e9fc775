// The class Socket: the calls of a Berkeley socket. Calls that can wait return a promise. The rest is synchronous.
//
// Each method calls a function of src/ops/ or of this folder, and passes the runner, which holds the descriptor.

import type { Socket as NetSocket } from "node:net";
import { AF_INET, AF_INET6, type Address, type AddressLike } from "../addr/index.js";
import type { DatagramBatch } from "../batch/index.js";
import { brand } from "../check/index.js";
import { BufferedError } from "../errors/index.js";
import type { Message, MessageHeader } from "../cmsg/index.js";
import type { Data, EndOptions, EndResult, TransferStats } from "../io.js";
import type { SocketOption } from "../options/option.js";
import { accept, acceptOperations, type AcceptOperations, type AcceptOptions } from "../ops/accept.js";
import { attachFilter, type PacketFilter } from "../ops/attachFilter.js";
import { bind, connect } from "../ops/bindAndConnect.js";
import type { FlagOptions, TransferOptions } from "../ops/flags.js";
import {
  adoptDescriptor,
  checkedPlainType,
  checkSocketResult,
  type DetachOptions,
  blockingOf,
  makePair,
  socketPartsOf,
} from "../ops/makeSocket.js";
import { recvmmsg, type SendBatchOptions, sendmmsg } from "../ops/mmsg.js";
import { getpeername, getsockname, getsockopt, listen, setsockopt, shutdown } from "../ops/plainCalls.js";
import { readable, writable } from "../ops/readiness.js";
import { recv, recvfrom, recvfromInto, recvInto, tryRecv, tryRecvInto } from "../ops/recv.js";
import { recvmsg, recvmsgInto, type RecvmsgOptions } from "../ops/recvmsg.js";
import { sendSegments, type SendSegmentsOptions } from "../ops/sendSegments.js";
import { send, sendAll, sendto, trySend } from "../ops/send.js";
import type { FileSource, SendFileOptions } from "../ops/sendfile.js";
import { sendmsg, type SendmsgOptions } from "../ops/sendmsg.js";
import type { SocketDescription } from "../ops/describeSocket.js";
import { makeDescribable, Inspectable } from "../registry/index.js";
import { Descriptor } from "../reactor/index.js";
import { Stream, type StreamOptions, type ToNetSocketOptions } from "../stream/index.js";
import { calls as nativeCalls } from "../sys/calls.js";
import { IPPROTO_IP, IPPROTO_TCP, SOCK_STREAM, SOMAXCONN } from "../sys/constants.js";
import { check } from "../sys/errno.js";
import type { WaitOptions } from "../wait/waitOptions.js";
import { acceptIterator } from "./acceptIterator.js";
import { datagramIterator } from "./datagramIterator.js";
import { endSocket } from "./endSocket.js";
import { type NetBoundSocket, takeNetSocket } from "./fromNetSocket.js";
import { PromiseRunner, setRunnerOf } from "./promiseRunner.js";
import { sendfile } from "./sendfileProgress.js";
import { SocketConn } from "./socketConn.js";

/** Whether a socket of this family, type and protocol is a TCP socket. */
export function isTcp(family: number, type: number, protocol: number): boolean {
  return (
    (family === AF_INET || family === AF_INET6) &&
    type === SOCK_STREAM &&
    (protocol === IPPROTO_IP || protocol === IPPROTO_TCP)
  );
}

/** The operations of accept, which make a Socket. */
export let ACCEPT: AcceptOperations<Socket>;

/** Makes a Socket of a descriptor of this thread. From then on the Socket owns the descriptor. */
export let socketOfDescriptor: (family: number, type: number, protocol: number, fd: number) => Socket;

/**
 * A Berkeley socket: a socket of the kernel, with the names of the system calls.
 *
 * Every waiting call takes `{ timeout, signal }`. A `timeout` (ms) rejects with `ETIMEDOUT`, an abort with the signal's
 * reason. Neither loses data: the kernel keeps the bytes that were not received. Several calls may wait in one
 * direction; they are completed in order. `close()` rejects all of them with `ECANCELED`; a later call throws or
 * rejects with `EBADF`. For a wrong argument, a call throws a TypeError or RangeError before any system call, or
 * rejects with that error if it returns a promise.
 *
 * A waiting call keeps the process alive, unless `unref()` was called. A socket without a waiting call does not.
 *
 * @see socket(2), socket(7)
 * @example
 * ```ts
 * import { AF_INET, SOCK_STREAM, Socket } from "berkeley";
 *
 * await using server = new Socket(AF_INET, SOCK_STREAM);
 * await server.bind(["localhost", 0]);
 * server.listen(5);
 *
 * await using client = new Socket(AF_INET, SOCK_STREAM);
 * await client.connect(server.getsockname());
 * await client.sendAll("Hello, Server");
 *
 * const [conn, address] = await server.accept();
 * console.log((await conn.recv(1024)).toString()); // prints: Hello, Server
 * console.log(address.family === AF_INET); // prints: true
 * conn.close();
 * ```
 */
export class Socket<A extends Address = Address> extends Inspectable<SocketDescription> {
  readonly #runner: PromiseRunner;
  #stream: Stream<SocketConn<A>> | undefined;

  static {
    brand(Socket.prototype, "Socket");
    makeDescribable<Socket, SocketDescription>(Socket.prototype, "Socket", (socket) => socket.#runner.describe());
    setRunnerOf((value) =>
      typeof value === "object" && value !== null && #runner in value ? value.#runner : undefined,
    );
    socketOfDescriptor = (family, type, protocol, fd) => Socket.#ofDescriptor(family, type, protocol, fd);
    ACCEPT = acceptOperations(socketOfDescriptor);
  }

  /**
   * Makes a socket: socket(2). It is non-blocking and close-on-exec.
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
    // `existing` is internal: users can't make a Descriptor.
    let descriptor: Descriptor;
    if (existing instanceof Descriptor) {
      descriptor = existing;
    } else {
      // socket(2) gets `type` with its flags, such as SOCK_CLOEXEC. `plainType` is the type without flags.
      const fd = checkSocketResult(nativeCalls.socket(family, type, protocol), family, type);
      descriptor = new Descriptor(fd, isTcp(family, plainType, protocol));
    }
    this.#runner = new PromiseRunner(family, plainType, protocol, descriptor);
  }

  static #ofDescriptor(family: number, type: number, protocol: number, fd: number): Socket {
    const Internal = Socket as new (family: number, type: number, protocol: number, existing: Descriptor) => Socket;
    return new Internal(family, type, protocol, new Descriptor(fd, isTcp(family, type, protocol)));
  }

  /**
   * Makes a Socket of a descriptor that other code has used. The descriptor may have an upper layer protocol (TCP_ULP),
   * such as kernel TLS. With such a protocol a read stops at the end of a record, so a short read does not mean that
   * the receive buffer is empty.
   */
  static #adopted(family: number, type: number, protocol: number, fd: number): Socket {
    const socket = Socket.#ofDescriptor(family, type, protocol, fd);
    socket.#runner.descriptor.reading.shortMeansEmpty = false;
    socket.#runner.descriptor.share();
    return socket;
  }

  /**
   * Makes a Socket of an open descriptor: one that was inherited, passed by another process, or released by `detach()`.
   * Family, type and protocol come from the kernel. The descriptor becomes non-blocking and close-on-exec, and belongs
   * to the new socket.
   *
   * @param fd number of the descriptor
   * @throws SocketError `EBADF` if the descriptor is not open, `ENOTSOCK` if it is no socket, `EBUSY` if a Socket
   *   of this thread has the descriptor
   * @see getsockopt(2), SO_DOMAIN, SO_TYPE and SO_PROTOCOL of socket(7)
   * @example
   * ```ts
   * import { Socket, socketpair } from "berkeley";
   *
   * const [a, b] = socketpair();
   * await using again = Socket.fromfd(a.detach());
   * await again.sendAll("still open");
   * console.log((await b.recv(100)).toString()); // prints: still open
   * b.close();
   * ```
   */
  static fromfd(fd: number): Socket {
    return Socket.#adopted(...adoptDescriptor(nativeCalls, fd));
  }

  /**
   * Makes a Socket of the connection of a `net.Socket`, or of the bound TCP socket of a `net.BoundSocket`. A bound
   * socket can then `listen()` or `connect()`. Node's object is destroyed or closed (a `net.Socket` emits `'close'`).
   * The new Socket has a duplicate of the descriptor, so a connection stays open.
   *
   * A `net.Socket` that is flowing or has bytes in its buffer is refused, because those bytes would stay in Node. Make
   * the server with `pauseOnConnect`, or take the bytes with `read()` first. A socket with pending writes is refused
   * too.
   *
   * @throws TypeError for a socket that is refused, is not connected, or has TLS; for a bound UNIX socket; for a value
   *   that is neither kind of object
   * @throws SocketError `EMFILE`
   * @see dup(2)
   * @example
   * ```ts
   * import { connect, Socket } from "berkeley";
   * import { once } from "node:events";
   * import { createServer } from "node:net";
   *
   * const server = createServer({ pauseOnConnect: true }, async (netSocket) => {
   *   await using stream = Socket.fromNetSocket(netSocket).stream();
   *   await stream.write(`hello, ${await stream.readLine()}\n`);
   * }).listen(8888, "127.0.0.1");
   * await once(server, "listening");
   *
   * await using client = await connect("tcp://127.0.0.1:8888");
   * await client.write("client of node:net\n");
   * console.log(await client.readLine()); // prints: hello, client of node:net
   * server.close();
   * ```
   */
  static fromNetSocket(source: NetSocket | NetBoundSocket): Socket {
    const fd = takeNetSocket(source, nativeCalls);
    return Socket.#adopted(...socketPartsOf(nativeCalls, fd, (duplicate) => nativeCalls.close(duplicate)));
  }

  /**
   * Two connected sockets; see {@link socketpair}.
   */
  static pair(family: number, type: number, protocol: number): [Socket, Socket] {
    const [a, b] = makePair(nativeCalls, family, type, protocol);
    return [Socket.#ofDescriptor(...a), Socket.#ofDescriptor(...b)];
  }

  /** Rejects a write of the socket, because it would go out between the waiting writes of the stream. */
  #rejectWrite(action: string): Promise<never> {
    const waitsToBeSent = true;
    return Promise.reject(new BufferedError(action, this.#runner.readAhead!.unsent!, waitsToBeSent));
  }

  /** Address family, as `AF_INET`. */
  get family(): number {
    return this.#runner.family;
  }

  /** Socket type, as `SOCK_STREAM`. */
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

  /** The number of bytes that a stream on this socket has read from the kernel and not returned yet. */
  get buffered(): number {
    return this.#runner.buffered;
  }

  /**
   * The timeout in ms of each waiting call that has no `timeout` option; null for none. Initially
   * `getdefaulttimeout()`.
   */
  get timeout(): number | null {
    return this.#runner.timeout;
  }

  set timeout(value: number | null) {
    this.#runner.setTimeout(value);
  }

  /**
   * The counters of the socket: bytes and calls in both directions, also after `close()`. A call with `MSG_PEEK` counts
   * like any other. Batches (`recvmmsg`, `sendmmsg`) count as datagrams, without bytes. Bytes of `pump`, `splice` and
   * `forward` are not counted here: these functions return their own counts.
   * @example
   * ```ts
   * import { socketpair } from "berkeley";
   *
   * const [left, right] = socketpair();
   * await left.sendAll("hello");
   * await right.recv(100);
   * console.log(right.stats()); // prints: { bytesReceived: 5, bytesSent: 0, reads: 1, writes: 0 }
   * left.close();
   * right.close();
   * ```
   */
  stats(): TransferStats {
    return this.#runner.stats();
  }

  /** The descriptor, or -1 once the socket is closed or detached. */
  fileno(): number {
    // From now on other code can duplicate or close the descriptor. share() stores which file is open, so that close()
    // does not close a reused number.
    this.#runner.descriptor.share();
    return this.#runner.descriptor.fd;
  }

  /**
   * Binds the socket to an address: bind(2). A host name is resolved to its first address of the socket's family.
   * `["", port]` is the wildcard address. Numeric and UNIX addresses need no resolver. With port 0 the kernel chooses a
   * port, and `getsockname()` returns it. On a UNIX socket `""` makes the kernel choose an abstract name (autobind).
   *
   * @throws SocketError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EINVAL` (bound already), `EAFNOSUPPORT`,
   *   `EAI_NONAME`; and others
   * @see bind(2)
   */
  bind(address: AddressLike, opts?: WaitOptions): Promise<void> {
    return bind(this.#runner, address, opts);
  }

  /**
   * Lets the socket accept connections: listen(2).
   *
   * @param backlog length of the accept queue; net.core.somaxconn limits it
   * @throws SocketError `EADDRINUSE`, `EOPNOTSUPP`, `EBADF` after `close()`
   * @see listen(2)
   * @example
   * ```ts
   * import { AF_INET, SOCK_STREAM, Socket } from "berkeley";
   *
   * await using server = new Socket(AF_INET, SOCK_STREAM);
   * await server.bind(["127.0.0.1", 0]);
   * server.listen(5);
   * ```
   */
  listen(backlog: number = SOMAXCONN): void {
    listen(this.#runner, backlog);
    // accept() must be able to wait when no descriptor is free. So the reactor opens its own descriptors now.
    this.#runner.descriptor.reactor.prepare();
  }

  /**
   * Accepts the next connection of the accept queue: accept4(2). The new socket is close-on-exec and non-blocking.
   *
   * `accept` skips connections that have failed in the queue (`ECONNABORTED` and pending network errors), with pauses
   * if there are many in a row.
   *
   * @returns the connection and the address of its peer
   * @throws SocketError `EINVAL` if the socket does not listen; `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, after which
   *   the connection stays in the queue for the next `accept()`; `EPERM` if a firewall refused the connection. With
   *   `retryOnShortage` only `EINVAL` of these is thrown
   * @see accept(2)
   */
  accept(opts?: AcceptOptions): Promise<[Socket<A>, A]> {
    return accept(this.#runner, ACCEPT, opts) as Promise<[Socket<A>, A]>;
  }

  /**
   * Returns an iterator over the new connections. It ends when the socket is closed. While descriptors or memory are
   * short (`EMFILE` and similar), the loop waits and the connections stay in the accept queue. Connections that a
   * firewall refuses (`EPERM`) are skipped.
   * @example
   * ```ts
   * import { Socket } from "berkeley";
   *
   * await using server = new Socket();
   * await server.bind("127.0.0.1:0");
   * server.listen();
   * await using client = new Socket();
   * await client.connect(server.getsockname());
   * for await (const [conn, address] of server) {
   *   console.log(String(address) === String(client.getsockname())); // prints: true
   *   conn.close();
   *   server.close();
   * }
   * ```
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<[Socket<A>, A]> {
    return acceptIterator(this.#runner, ACCEPT) as AsyncIterableIterator<[Socket<A>, A]>;
  }

  /**
   * Connects to `address`, and resolves when the connection is established: connect(2). On a datagram socket the
   * call sets the peer. A host name is resolved to its first address of the socket's family.
   *
   * After `timeout` or an abort the kernel continues to connect; close the socket to end that.
   *
   * @throws SocketError `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`, `EADDRNOTAVAIL`, `EALREADY`,
   *   `EISCONN`, `EAFNOSUPPORT`, `ENOENT` (UNIX), `EAI_NONAME`; and others
   * @see connect(2)
   */
  connect(address: AddressLike, opts?: WaitOptions): Promise<void> {
    return connect(this.#runner, address, opts);
  }

  /**
   * Receives the bytes that are there, and waits only if there are none: recv(2). The rest of a datagram that is longer
   * than `size` is lost.
   *
   * Flags: `MSG_PEEK` leaves the bytes in the kernel. `MSG_WAITALL` on a stream waits for `size` bytes. The result
   * has fewer bytes at the end, before an error (which the next call reports), and if a timeout or an abort ends the
   * call after some bytes. `MSG_DONTWAIT` rejects with `EAGAIN` instead of waiting. `MSG_OOB` reads urgent data, and
   * `MSG_ERRQUEUE` reads the error queue; these two have wait queues of their own.
   *
   * @param size maximum number of bytes
   * @returns a Buffer of exactly the received bytes. On a stream it is empty when the peer has finished
   * @throws SocketError `ECONNRESET`, `ENOTCONN`, `ECONNREFUSED`, `ETIMEDOUT`; and others
   * @see recv(2)
   */
  recv(size: number, opts?: TransferOptions): Promise<Buffer> {
    return recv(this.#runner, size, opts);
  }

  /**
   * Receives into `buffer`, at most its length, without a copy: recv(2). The buffer belongs to the call until the
   * promise settles.
   *
   * @returns the number of bytes; on a stream 0 is the end
   * @throws SocketError as `recv`
   * @see recv(2)
   */
  recvInto(buffer: Uint8Array, opts?: TransferOptions): Promise<number> {
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
  recvfrom(size: number, opts?: TransferOptions): Promise<[Buffer, A]> {
    return recvfrom(this.#runner, size, opts) as Promise<[Buffer, A]>;
  }

  /**
   * Receives a datagram into `buffer`: recvfrom(2).
   *
   * @returns the number of bytes and the address of the sender
   * @throws SocketError as `recvfrom`
   * @see recvfrom(2)
   */
  recvfromInto(buffer: Uint8Array, opts?: TransferOptions): Promise<[number, A]> {
    return recvfromInto(this.#runner, buffer, opts) as Promise<[number, A]>;
  }

  /**
   * Receives the bytes that are there, without waiting and without a promise: one recv(2).
   *
   * @returns as `recv`; `undefined` if the call would block: there are no bytes, other calls wait to receive, or the
   *   budget of this turn of the event loop is spent
   * @throws SocketError the errors of `recv`
   * @see recv(2)
   */
  tryRecv(size: number, opts?: FlagOptions): Buffer | undefined {
    return tryRecv(this.#runner, size, opts);
  }

  /**
   * Receives into `buffer`, without waiting and without a promise: one recv(2).
   *
   * @returns as `recvInto`; `undefined` as `tryRecv`
   * @throws SocketError the errors of `recvInto`
   * @see recv(2)
   */
  tryRecvInto(buffer: Uint8Array, opts?: FlagOptions): number | undefined {
    return tryRecvInto(this.#runner, buffer, opts);
  }

  /**
   * Sends the bytes that the kernel takes now, and waits only if it takes none: send(2). An array goes out in one call
   * (sendmsg(2)). No SIGPIPE is raised. `data` belongs to the call until the promise settles.
   *
   * @param data text (as UTF-8), bytes, or an array of these
   * @returns the number of bytes that the kernel took; on a stream it may be fewer than `data` has
   * @throws SocketError `EPIPE`, `ECONNRESET`, `ENOTCONN`, `EDESTADDRREQ`, `EMSGSIZE`; and others
   * @see send(2)
   */
  send(data: Data, opts?: TransferOptions): Promise<number> {
    if (this.#runner.readAhead !== undefined && this.#runner.readAhead.unsent) return this.#rejectWrite("send");
    return send(this.#runner, data, opts);
  }

  /**
   * Sends all of `data`: send(2), as often as necessary. It resolves when the kernel has taken all bytes, so awaiting
   * it provides backpressure.
   *
   * If `timeout`, `close()` or an error ends the call, `transferred` of the error is the number of bytes that were
   * sent. An abort rejects with the signal's reason; if the reason is an object and bytes were sent, its property
   * `transferred` is their number. If one signal ends several calls, `transferred` is that of the call that rejects
   * last. So use one controller per call if you need the counts.
   *
   * @throws SocketError as `send`, with `transferred`
   * @see send(2)
   */
  sendAll(data: Data, opts?: TransferOptions): Promise<void> {
    if (this.#runner.readAhead !== undefined && this.#runner.readAhead.unsent) return this.#rejectWrite("send");
    return sendAll(this.#runner, data, opts);
  }

  /**
   * Sends the bytes that the kernel takes now, without waiting and without a promise: one send(2). For small answers of
   * a server it costs less than a promise:
   *
   * ```ts
   * import { socketpair } from "berkeley";
   *
   * const [left, right] = socketpair();
   * const answer = Buffer.from("hello");
   * const sent = left.trySend(answer) ?? 0;
   * if (sent < answer.length) await left.sendAll(answer.subarray(sent));
   * console.log((await right.recv(100)).toString()); // prints: hello
   * left.close();
   * right.close();
   * ```
   *
   * @returns the number of bytes that the kernel took, on a stream perhaps fewer than `data` has; `undefined` if the
   *   call would block: the kernel takes nothing, other calls wait to send, or the budget of this turn of the event
   *   loop is spent. So a loop that never awaits gets `undefined` from then on
   * @throws SocketError the errors of `send`
   * @see send(2)
   */
  trySend(data: Data, opts?: FlagOptions): number | undefined {
    if (this.#runner.readAhead !== undefined) this.#runner.checkNothingUnsent("send");
    return trySend(this.#runner, data, opts);
  }

  /**
   * Sends one datagram to `address`: sendto(2). A host name is resolved each time; pass an address to avoid that.
   *
   * @returns the number of bytes sent
   * @throws SocketError `EMSGSIZE`, `EACCES`, `ENETUNREACH`, `EDESTADDRREQ`, `EISCONN`; and others
   * @see sendto(2)
   */
  sendto(data: Data, address: AddressLike, opts?: TransferOptions): Promise<number> {
    if (this.#runner.readAhead !== undefined && this.#runner.readAhead.unsent) return this.#rejectWrite("sendto");
    return sendto(this.#runner, data, address, opts);
  }

  /**
   * Sends a message with control data and an address: sendmsg(2). On a stream the kernel may take fewer bytes than the
   * message has; control data go with the first of them. `data`, buffers and descriptors belong to the call until the
   * promise settles.
   *
   * @param data text (as UTF-8), bytes, or an array of these, which go out in order as one message
   * @returns the number of bytes that the kernel took
   * @throws TypeError or RangeError for wrong control data, or descriptors without a byte on a stream
   * @throws SocketError `EMSGSIZE`, `EPIPE`, `ENOTCONN`, `EDESTADDRREQ`, `EPERM` (credentials of others), `EBADF` (a
   *   descriptor to pass is not open), `EINVAL` (control data that the kernel does not know for this socket),
   *   `ETOOMANYREFS`; and others
   * @see sendmsg(2), cmsg(3), unix(7), ip(7), ipv6(7)
   * @example
   * ```ts
   * import { AF_INET, SOCK_DGRAM, Socket } from "berkeley";
   *
   * await using receiver = new Socket(AF_INET, SOCK_DGRAM);
   * await receiver.bind("127.0.0.1:0");
   * await using sender = new Socket(AF_INET, SOCK_DGRAM);
   * const address = receiver.getsockname();
   * console.log(await sender.sendmsg(["head", "body"], { address, control: [{ type: "IP_TTL", ttl: 3 }] }));
   * // prints: 8
   * console.log((await receiver.recv(100)).toString()); // prints: headbody
   * ```
   */
  sendmsg(data: Data, opts?: SendmsgOptions): Promise<number> {
    if (this.#runner.readAhead !== undefined && this.#runner.readAhead.unsent) return this.#rejectWrite("sendmsg");
    return sendmsg(this.#runner, data, opts);
  }

  /**
   * Receives a message with its control data: recvmsg(2). A datagram longer than `size` is truncated, and `truncated`
   * is true. For a datagram without bytes `data` is empty; that is not an end. The flags are those of `recv`:
   * `MSG_ERRQUEUE` takes an entry of the error queue, in a wait queue of its own.
   *
   * The message owns its descriptors (SCM_RIGHTS) until they are taken. Disposing the message closes those that
   * were not taken: see `ReceivedDescriptors`.
   *
   * @param size maximum number of bytes
   * @throws SocketError as `recvfrom`
   * @see recvmsg(2), cmsg(3)
   * @example
   * ```ts
   * import { AF_INET, IPPROTO_IP, SOCK_DGRAM, Socket } from "berkeley";
   *
   * const IP_RECVTTL = 12;
   * await using receiver = new Socket(AF_INET, SOCK_DGRAM);
   * await receiver.bind("127.0.0.1:0");
   * receiver.setsockopt(IPPROTO_IP, IP_RECVTTL, 1);
   * await using sender = new Socket(AF_INET, SOCK_DGRAM);
   * const control = [{ type: "IP_TTL", ttl: 3 }] as const;
   * await sender.sendmsg("hop", { address: receiver.getsockname(), control });
   *
   * const message = await receiver.recvmsg(100);
   * console.log(message.data.toString(), message.truncated); // prints: hop false
   * for (const one of message.control) {
   *   if (one.type === "IP_TTL") console.log(one.ttl); // prints: 3
   * }
   * ```
   */
  recvmsg(size: number, opts?: RecvmsgOptions): Promise<Message<A>> {
    return recvmsg(this.#runner, size, opts) as Promise<Message<A>>;
  }

  /**
   * Receives a message into `buffers`, one after the other, without a copy: recvmsg(2). The buffers belong to the call
   * until the promise settles.
   *
   * @param buffers one buffer, or up to `IOV_MAX` (1024)
   * @returns the message without its data; `bytes` is the number of bytes that were stored
   * @throws SocketError as `recvfrom`
   * @see recvmsg(2)
   * @example
   * ```ts
   * import { SOCK_DGRAM, AF_UNIX, socketpair } from "berkeley";
   *
   * const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
   * await left.sendmsg(["head", "the body"]);
   * const head = Buffer.alloc(4);
   * const body = Buffer.alloc(100);
   * const { bytes } = await right.recvmsgInto([head, body]);
   * console.log(head.toString(), body.toString("utf8", 0, bytes - 4)); // prints: head the body
   * left.close();
   * right.close();
   * ```
   */
  recvmsgInto(buffers: Uint8Array | readonly Uint8Array[], opts?: RecvmsgOptions): Promise<MessageHeader<A>> {
    return recvmsgInto(this.#runner, buffers, opts) as Promise<MessageHeader<A>>;
  }

  /**
   * Receives as many datagrams as are there and fit into the batch, and waits only if there are none: recvmmsg(2). It
   * replaces the content of the batch. Descriptors that come with a datagram (SCM_RIGHTS) are closed; `recvmsg` takes
   * them.
   *
   * With `UDP_GRO` on, an entry of the batch may consist of several datagrams: see `segmentSize` and `segments` of
   * {@link DatagramBatch}, which then needs a `size` of 65536.
   *
   * @returns the number of datagrams: at least 1, at most the capacity of the batch or 1024
   * @throws SocketError `ECONNREFUSED` (an earlier datagram was refused), `ETIMEDOUT`, `EFAULT` if the batch's memory
   *   was transferred; and others
   * @see recvmmsg(2)
   * @example
   * ```ts
   * import { DatagramBatch, SOCK_DGRAM, socketpair, AF_UNIX } from "berkeley";
   *
   * const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
   * await left.send("first");
   * await left.send("");
   * const batch = new DatagramBatch();
   * console.log(await right.recvmmsg(batch)); // prints: 2
   * for (const [data] of batch) console.log(`${data.length} bytes`);
   * // prints: 5 bytes
   * // prints: 0 bytes
   * left.close();
   * right.close();
   * ```
   */
  recvmmsg(batch: DatagramBatch, opts?: TransferOptions): Promise<number> {
    return recvmmsg(this.#runner, batch, opts);
  }

  /**
   * Sends the datagrams of a batch, each to its address: sendmmsg(2), as often as necessary. It resolves when the
   * kernel has taken all of them.
   *
   * When the kernel refuses a datagram, the call rejects, and `transferred` of the error is the number of datagrams
   * that were sent. Datagram number `start + transferred` is the refused one; it and the later ones were not sent. To
   * continue, call again with a later `start`. On a connected UDP socket the error may belong to an earlier datagram
   * (udp(7)); then continue with the same datagram.
   *
   * With `skipRefused` the call skips a datagram that is refused twice. The promise resolves with the number of
   * datagrams that were sent. If datagram number `i` was not sent, `batch.error(i)` is the reason.
   *
   * If the queue of a UNIX receiver is full, a connected socket gets an event when there is room. Other sockets try
   * again after a pause, which is slower.
   *
   * @returns the number of datagrams that went out
   * @throws SocketError with `transferred` in datagrams: `EMSGSIZE`, `ECONNREFUSED`, `EACCES`, `ENETUNREACH`,
   *   `EDESTADDRREQ`, `ETIMEDOUT`; and others
   * @see sendmmsg(2)
   * @example
   * ```ts
   * import { AF_INET, DatagramBatch, SOCK_DGRAM, Socket } from "berkeley";
   *
   * await using receiver = new Socket(AF_INET, SOCK_DGRAM);
   * await receiver.bind("127.0.0.1:0");
   * await using sender = new Socket(AF_INET, SOCK_DGRAM);
   * const batch = new DatagramBatch({ size: 65_536 });
   * batch.add("small", receiver.getsockname());
   * batch.add(new Uint8Array(65_536), receiver.getsockname());
   * console.log(await sender.sendmmsg(batch, { skipRefused: true })); // prints: 1
   * console.log(batch.error(1)?.code); // prints: EMSGSIZE
   * ```
   */
  sendmmsg(batch: DatagramBatch, opts?: SendBatchOptions): Promise<number> {
    if (this.#runner.readAhead !== undefined && this.#runner.readAhead.unsent) return this.#rejectWrite("sendmmsg");
    return sendmmsg(this.#runner, batch, opts);
  }

  /**
   * Sends one buffer as datagrams of `size` bytes; the last one may be shorter: sendmsg(2) with UDP_SEGMENT. The buffer
   * passes the network stack as one packet and is divided below it. So the cost is about that of one datagram. Use it
   * for a dozen datagrams or more.
   *
   * @param size bytes of each datagram. It must fit into a packet of the path: at most 1472 with an MTU of 1500
   * @returns the number of bytes sent
   * @throws SocketError with `transferred` in bytes: `EINVAL` if a datagram would not fit into a packet, `EMSGSIZE`,
   *   `EIO` if the device can't make checksums, `ENOPROTOOPT` on a socket that is not UDP; and others
   * @see udp(7), UDP_SEGMENT, since Linux 4.18
   * @example
   * ```ts
   * import { AF_INET, SOCK_DGRAM, Socket } from "berkeley";
   *
   * await using receiver = new Socket(AF_INET, SOCK_DGRAM);
   * await receiver.bind("127.0.0.1:0");
   * await using sender = new Socket(AF_INET, SOCK_DGRAM);
   * console.log(await sender.sendSegments(new Uint8Array(2500), 1000, { address: receiver.getsockname() }));
   * // prints: 2500
   * console.log((await receiver.recv(2000)).length); // prints: 1000
   * ```
   */
  sendSegments(data: Data, size: number, opts?: SendSegmentsOptions): Promise<number> {
    if (this.#runner.readAhead !== undefined && this.#runner.readAhead.unsent) return this.#rejectWrite("sendmsg");
    return sendSegments(this.#runner, data, size, opts);
  }

  /**
   * Sends the bytes of a file without a copy in the program: sendfile(2), as often as necessary. It resolves when the
   * kernel has taken all of them.
   *
   * If `timeout`, `signal`, `close()` or an error ends the call, `transferred` of the error (or of the abort's reason,
   * if it is an object) is the number of bytes that were sent. To continue, send from `offset + transferred`. A raw
   * descriptor must stay open until the promise settles. A FileHandle that is closed earlier ends the call with
   * `EBADF`.
   *
   * If the file is not in the page cache, sendfile(2) reads it from the disk and blocks the thread. One sendfile(2)
   * sends at most 1 MiB; then other calls run. With slow disks use a worker thread.
   *
   * @param file descriptor of a regular file or a block device, or an object with one, such as a FileHandle
   * @returns the number of bytes sent: fewer than `count` if the file ends earlier
   * @throws SocketError with `transferred`: `EPIPE`, `ECONNRESET`, `ENOTCONN`, `EBADF`, `EIO`, `ETIMEDOUT`; `EINVAL`
   *   for any other file; and others
   * @see sendfile(2)
   * @example
   * ```ts
   * import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
   * import { open } from "node:fs/promises";
   * import { tmpdir } from "node:os";
   * import { join } from "node:path";
   * import { socketpair } from "berkeley";
   *
   * const folder = mkdtempSync(join(tmpdir(), "sendfile-"));
   * writeFileSync(join(folder, "hello"), "Hello, Server");
   * const file = await open(join(folder, "hello"));
   * const [left, right] = socketpair();
   *
   * console.log(await left.sendfile(file, { offset: 7 })); // prints: 6
   * console.log((await right.recv(100)).toString()); // prints: Server
   *
   * left.close();
   * right.close();
   * await file.close();
   * rmSync(folder, { recursive: true });
   * ```
   */
  sendfile(file: FileSource, opts?: SendFileOptions): Promise<number> {
    if (this.#runner.readAhead !== undefined && this.#runner.readAhead.unsent) return this.#rejectWrite("sendfile");
    return sendfile(this.#runner, file, opts);
  }

  /**
   * Resolves when a receive or accept would not wait: there are data, a connection, the end or an error. It consumes
   * nothing: poll(2).
   *
   * @see poll(2)
   */
  readable(opts?: WaitOptions): Promise<void> {
    return readable(this.#runner, opts);
  }

  /**
   * Resolves when the send buffer has room: poll(2).
   *
   * @see poll(2)
   */
  writable(opts?: WaitOptions): Promise<void> {
    return writable(this.#runner, opts);
  }

  /**
   * Ends one direction of a connection, or both: shutdown(2). After `SHUT_WR` the peer reads all data, and then the
   * end.
   *
   * @param how `SHUT_RD`, `SHUT_WR` or `SHUT_RDWR`
   * @throws SocketError `ENOTCONN`, `EBADF` after `close()`
   * @see shutdown(2)
   * @example
   * ```ts
   * import { SHUT_WR, socketpair } from "berkeley";
   *
   * const [a, b] = socketpair();
   * a.shutdown(SHUT_WR);
   * console.log((await b.recv(10)).length); // prints: 0
   * a.close();
   * b.close();
   * ```
   */
  shutdown(how: number): void {
    shutdown(this.#runner, how);
  }

  /**
   * The address that the socket is bound to, with the port that the kernel chose: getsockname(2).
   *
   * @throws SocketError `EBADF` after `close()`
   * @see getsockname(2)
   * @example
   * ```ts
   * import { Socket } from "berkeley";
   *
   * await using socket = new Socket();
   * await socket.bind("127.0.0.1:0");
   * console.log(String(socket.getsockname()).startsWith("127.0.0.1:")); // prints: true
   * ```
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
   * @example
   * ```ts
   * import { IPPROTO_TCP, Socket, TCP_NODELAY } from "berkeley";
   *
   * await using socket = new Socket();
   * socket.setsockopt(TCP_NODELAY, true);
   * socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1); // the same
   * console.log(socket.getsockopt(TCP_NODELAY)); // prints: true
   * ```
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
   * @example
   * ```ts
   * import { AF_INET, SO_TYPE, SOCK_STREAM, Socket, SOL_SOCKET } from "berkeley";
   *
   * await using socket = new Socket(AF_INET, SOCK_STREAM);
   * console.log(socket.getsockopt(SO_TYPE) === SOCK_STREAM); // prints: true
   * console.log(socket.getsockopt(SOL_SOCKET, SO_TYPE, 4).length); // prints: 4
   * ```
   */
  getsockopt<Get>(option: SocketOption<Get, never>): Get;
  getsockopt(level: number, name: number | SocketOption<unknown, never>): number;
  getsockopt(level: number, name: number | SocketOption<unknown, never>, size: number): Buffer;
  getsockopt(first: number | SocketOption<unknown, never>, second?: unknown, size?: number): unknown {
    return getsockopt(this.#runner, first, second, size);
  }

  /**
   * Returns the buffered stream over this socket, for lines, frames and exact numbers of bytes. The stream owns the
   * socket from now on. A second call returns the same stream.
   *
   * @param opts limits of the stream's buffer; only the first call can set them
   * @throws TypeError if the socket is no stream socket, or if a second call has `opts`
   * @example
   * ```ts
   * import { socketpair } from "berkeley";
   *
   * const [left, right] = socketpair();
   * await using stream = right.stream({ maxLine: 1024 });
   * await left.sendAll("first\nsecond\n");
   * left.close();
   * for await (const line of stream.lines()) console.log(line);
   * // prints: first
   * // prints: second
   * ```
   */
  stream(opts?: StreamOptions): Stream<SocketConn<A>> {
    if (this.#stream === undefined) return (this.#stream = new Stream(new SocketConn<A>(this), opts));
    if (opts === undefined) return this.#stream;
    throw new TypeError("Cannot make a stream: the socket has a stream, required options in the call that makes it");
  }

  /**
   * Returns an iterator over the datagrams, each without truncation. It ends when the socket is closed. The type
   * of the socket must be `SOCK_DGRAM`, `SOCK_RAW` or `SOCK_SEQPACKET`. The iterator reads no datagram ahead: a loop
   * that ends early loses no datagram, and the kernel's receive buffer is the only queue. A datagram may be empty. An
   * error, such as `ECONNREFUSED` for an earlier datagram, is thrown out of the loop. On `SOCK_SEQPACKET` the end of
   * the connection comes as an empty datagram.
   *
   * @param opts `timeout` and `signal`, for each datagram
   * @throws TypeError for a stream socket, or an option that is wrong
   * @see recvfrom(2)
   * @example
   * ```ts
   * import { AF_INET, SOCK_DGRAM, Socket } from "berkeley";
   *
   * await using socket = new Socket(AF_INET, SOCK_DGRAM);
   * await socket.bind("127.0.0.1:0");
   * await socket.sendto("one", socket.getsockname());
   * for await (const [data, address] of socket.datagrams()) {
   *   console.log(data.toString(), String(address) === String(socket.getsockname())); // prints: one true
   *   socket.close();
   * }
   * ```
   */
  datagrams(opts?: WaitOptions): AsyncIterableIterator<[Buffer, Address]> {
    return datagramIterator(this.#runner, opts);
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
   * import { AF_INET, BPF_ABS, BPF_B, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, SOCK_DGRAM, Socket } from "berkeley";
   *
   * await using socket = new Socket(AF_INET, SOCK_DGRAM);
   * // Accepts a datagram whose first byte, after the 8 bytes of the UDP header, is "!".
   * socket.attachFilter([
   *   { code: BPF_LD | BPF_B | BPF_ABS, k: 8 },
   *   { code: BPF_JMP | BPF_JEQ | BPF_K, jf: 1, k: 0x21 },
   *   { code: BPF_RET | BPF_K, k: 0xffff },
   *   { code: BPF_RET | BPF_K, k: 0 },
   * ]);
   * await socket.bind("127.0.0.1:0");
   * for (const text of ["no", "!yes"]) await socket.sendto(text, socket.getsockname());
   * console.log((await socket.recv(100)).toString()); // prints: !yes
   * ```
   */
  attachFilter(filter: PacketFilter): void {
    attachFilter(this.#runner, filter);
  }

  /**
   * Ends a connection so that the peer receives the last bytes. It waits for pending sends and calls
   * `shutdown(SHUT_WR)`. Then it reads and discards bytes until the peer ends or a limit is reached, and calls
   * `close()`; see {@link Stream.end}.
   *
   * @returns how the connection ended, and the number of discarded bytes
   * @throws BusyError while a read is pending, TypeError if the socket is no stream socket; then the call does nothing
   * @throws the reason of `signal`; the socket is closed
   * @see shutdown(2), recv(2), close(2)
   * @example
   * ```ts
   * import { socketpair } from "berkeley";
   *
   * const [client, server] = socketpair();
   * await client.sendAll("a question and more that nobody reads");
   * await server.sendAll("the answer");
   * const ending = server.end({ timeout: 1_000, maxBytes: 65_536 });
   * console.log((await client.recv(100)).toString()); // prints: the answer
   * client.close();
   * console.log((await ending).how); // prints: finished
   * ```
   */
  end(opts?: EndOptions): Promise<EndResult> {
    return endSocket(this, this.#runner, opts);
  }

  /**
   * Makes a `net.Socket` of this socket; see {@link Stream.toNetSocket}. The `net.Socket` first gets the bytes that the
   * stream of this socket has read ahead. From then on `closed` of this socket is true.
   *
   * @throws SocketError `EBADF` if this socket is closed; `EBUSY` while a call is pending, or for a family other than
   *   `AF_INET`, `AF_INET6` and `AF_UNIX`
   * @throws TypeError if this socket is no stream socket
   */
  toNetSocket(opts?: ToNetSocketOptions): NetSocket {
    this.#runner.checkOpen("toNetSocket");
    return this.stream().toNetSocket(opts);
  }

  /**
   * Another socket for the same open file description: fcntl(2) with F_DUPFD_CLOEXEC. Close both.
   *
   * @throws SocketError `EMFILE`, `EBADF`
   * @see dup(2)
   */
  dup(): Socket<A> {
    const { calls, descriptor } = this.#runner;
    const fd = check(calls.dup(this.#runner.checkOpen("dup")), "dup");
    descriptor.share();
    // setsockopt(TCP_ULP) on the copy applies to this socket too, and then onOptionSet() of this runner is not called.
    descriptor.clearShortReadFlags();
    const copy = Socket.#adopted(this.family, this.type, this.protocol, fd);
    copy.#runner.copyTimeout(this.#runner);
    return copy as Socket<A>;
  }

  /**
   * Lets the process end while calls wait on this socket. Neither present nor later calls, nor their deadlines, keep
   * the process alive. Only a running lookup of a name does, until the resolver returns.
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
    this.#runner.descriptor.keepsAlive = false;
    return this;
  }

  /**
   * Undoes `unref()`: a waiting call keeps the process alive. That is the default.
   */
  ref(): this {
    this.#runner.descriptor.keepsAlive = true;
    return this;
  }

  /**
   * Releases the descriptor without closing it; the caller must close it. Pending calls reject with `ECANCELED`, and
   * `closed` is true from then on.
   *
   * @param opts `blocking: true` clears O_NONBLOCK (fcntl(2)), as most other programs expect. The flag belongs to the
   *   open file description, so all duplicates become blocking
   * @returns the descriptor, which is close-on-exec, and non-blocking unless `blocking` is true
   * @throws TypeError if `blocking` is neither true nor false
   * @throws SocketError `EBADF` if the socket is closed
   * @throws BufferedError if the stream of the socket has unread bytes
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
    return this.#runner.detach(blockingOf(opts));
  }

  /**
   * Closes the descriptor: close(2). Pending calls reject with `ECANCELED`, later ones with `EBADF`. A second call does
   * nothing. The kernel still sends the bytes that it has taken.
   *
   * @see close(2)
   */
  close(): void {
    this.#runner.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
