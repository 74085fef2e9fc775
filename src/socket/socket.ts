// The socket: Berkeley's calls, awaitable. What may wait returns a promise, what may not is a plain call.

import type { Socket as NetSocket } from "node:net";
import { AF_INET, AF_INET6, type Address, type AddressLike, toAddress } from "../addr/index.js";
import { Descriptor } from "../reactor/index.js";
import type { EndOptions, EndResult } from "../io.js";
import { operation, type Operation } from "../reactor/operation.js";
import { Pull } from "../stream/pull.js";
import { Stream, type StreamOptions, type ToNetSocketOptions } from "../stream/index.js";
import { calls as nativeCalls } from "../sys/calls.js";
import { IPPROTO_IP, IPPROTO_TCP, SOCK_STREAM } from "../sys/constants.js";
import { check } from "../sys/errno.js";
import { type AcceptOptions, adopt, checkKind, isPatient, pairOf, partsOf } from "../ops/socketArguments.js";
import { addressDetails, decodeAddressBuffer, encodeAddress, toLocalAddress } from "../sys/sockaddr.js";
import { copyTimeout } from "./descriptorSocket.js";
import { MoveSocket } from "./moveSocket.js";
import { type NetBoundSocket, takeNetSocket } from "./fromNetSocket.js";
import { ACCEPT, CONNECT } from "../ops/connection.js";
import { checkOptions } from "../check/index.js";
import { signalOf, timeoutOf, type WaitOptions } from "../wait/waitOptions.js";
import { SocketConn } from "./socketConn.js";

function isTcp(family: number, type: number, protocol: number): boolean {
  return (
    (family === AF_INET || family === AF_INET6) &&
    type === SOCK_STREAM &&
    (protocol === IPPROTO_IP || protocol === IPPROTO_TCP)
  );
}

/** ACCEPT with its result made into a Socket, which only the class itself can make. */
let ACCEPT_SOCKET: Operation<Socket, boolean, [Socket, Address]>;
/** The same without the peer's address, which is left in `addressBuffer`. */
export let ACCEPT_ONLY: Operation<Socket, boolean, Socket>;

/**
 * A Berkeley socket: the kernel's own, with its calls under their own names.
 *
 * Every waiting call takes `{ timeout, signal }`. A `timeout` (ms) rejects with `ETIMEDOUT`, an abort with the signal's
 * reason; neither loses data: what was not received stays in the kernel. Calls that wait in the same direction are served
 * in order. `close()` settles all of them with `ECANCELED`; a later call throws or rejects with `EBADF`. Wrong arguments
 * give a TypeError or RangeError (a rejection from a call that returns a promise) before any system call.
 *
 * A waiting call keeps the process alive, unless `unref()` says otherwise; an idle socket does not.
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
export class Socket extends MoveSocket {
  #stream: Stream | undefined;

  /**
   * Makes a socket: socket(2). It is close-on-exec and non-blocking from birth.
   *
   * @param family `AF_INET`, `AF_INET6`, `AF_UNIX` …
   * @param type `SOCK_STREAM`, `SOCK_DGRAM`, `SOCK_SEQPACKET` …
   * @param protocol 0 for the family's default for this type
   * @throws SocketError `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`, `EINVAL`, `EMFILE`, `ENFILE`, `EPERM` …
   */
  constructor(family?: number, type?: number, protocol?: number);
  constructor(family: number = AF_INET, type: number = SOCK_STREAM, protocol: number = 0, descriptor?: Descriptor) {
    const kind = checkKind(family, type, protocol, "make a socket");
    super(
      family,
      kind,
      protocol,
      // The kernel is to hear the type as it was given.
      descriptor ??
        new Descriptor(check(nativeCalls.socket(family, type, protocol), "socket"), isTcp(family, kind, protocol)),
    );
  }

  /** A socket around a descriptor that is ours already. */
  static #around(family: number, type: number, protocol: number, fd: number): Socket {
    const Around = Socket as new (family: number, type: number, protocol: number, descriptor: Descriptor) => Socket;
    return new Around(family, type, protocol, new Descriptor(fd, isTcp(family, type, protocol)));
  }

  /**
   * As `#around`, for a descriptor with a past: it may have an upper layer protocol (TCP_ULP, such as kernel TLS), whose reads
   * stop between records, so that a short one does not mean that the socket is empty.
   */
  static #adopted(family: number, type: number, protocol: number, fd: number): Socket {
    const socket = Socket.#around(family, type, protocol, fd);
    socket.descriptor.reading.shortMeansEmpty = false;
    socket.descriptor.share();
    return socket;
  }

  /**
   * Adopts a socket that was made elsewhere: inherited, passed by another process, or released by `detach()`. Family, type
   * and protocol are read back from the kernel. The descriptor becomes non-blocking and close-on-exec, and belongs to the
   * new socket.
   *
   * @param fd number of the descriptor
   * @throws SocketError `EBADF` if it is not open, `ENOTSOCK` if it is no socket, `EBUSY` if a Socket of this thread has it
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
    return Socket.#adopted(...adopt(nativeCalls, fd));
  }

  /**
   * Takes a socket over from `node:net`: the connection of a `net.Socket`, or the TCP socket of a `net.BoundSocket`, to
   * `listen()` or `connect()` with it. Node's object is destroyed without a word to the peer (a `net.Socket` emits
   * `'close'`), and the connection lives on here, on a duplicate of the descriptor.
   *
   * What Node has read is Node's, so a `net.Socket` is refused when it flows or has bytes in its buffer. Make the server
   * with `pauseOnConnect`, or take the bytes with `read()` first. It is also refused while bytes of it wait to be written.
   *
   * @throws TypeError for one that is refused, that is not connected, or that carries TLS; for a bound UNIX socket
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
    return Socket.#adopted(...partsOf(nativeCalls, fd, (ours) => nativeCalls.close(ours)));
  }

  /** Two connected sockets; see {@link socketpair}. */
  static pair(family: number, type: number, protocol: number): [Socket, Socket] {
    const [a, b] = pairOf(nativeCalls, family, type, protocol);
    return [Socket.#around(...a), Socket.#around(...b)];
  }

  /**
   * Names the socket: bind(2). A host name is resolved, to its first address of the socket's family; `["", port]` is the
   * wildcard address; numeric and UNIX addresses do not touch the resolver. With port 0 the kernel chooses, and
   * `getsockname()` tells. On a UNIX socket `""` has the kernel choose an abstract name (autobind).
   *
   * @throws SocketError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EINVAL` (bound already), `EAFNOSUPPORT`, `EAI_NONAME` …
   * @see bind(2)
   */
  async bind(address: AddressLike, opts?: WaitOptions): Promise<void> {
    const target = toLocalAddress(address, this.family);
    checkOptions(opts, "bind");
    const signal = signalOf(opts, "bind");
    const timeout = timeoutOf(opts, this.timeout, "bind");
    signal?.throwIfAborted();
    this.checkOpen("bind");
    const local = this.resolve(target, timeout, signal);
    const known = local instanceof Promise ? await local : local;
    check(this.calls().bind(this.checkOpen("bind"), encodeAddress(known)), "bind", () => addressDetails(known));
  }

  /**
   * Connects to `address`, and resolves when the connection stands: connect(2). On a datagram socket it sets the peer. A
   * host name is resolved, to its first address of the socket's family.
   *
   * A connect that was cut short by `timeout` or `signal` goes on in the kernel; close the socket.
   *
   * @throws SocketError `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`, `EADDRNOTAVAIL`, `EALREADY`, `EISCONN`,
   *   `EAFNOSUPPORT`, `ENOENT` (UNIX), `EAI_NONAME` …
   * @see connect(2)
   */
  connect(address: AddressLike, opts?: WaitOptions): Promise<void> {
    try {
      const target = toAddress(address);
      checkOptions(opts, "connect");
      const signal = signalOf(opts, "connect");
      const timeout = timeoutOf(opts, this.timeout, "connect");
      signal?.throwIfAborted();
      this.checkOpen("connect");
      const start = timeout === null ? 0 : performance.now();
      const remote = this.resolve(target, timeout, signal);
      if (!(remote instanceof Promise)) return this.#connect(remote, timeout, signal);
      return remote.then((known) =>
        this.#connect(known, timeout === null ? null : Math.max(0, timeout - (performance.now() - start)), signal),
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #connect(address: Address, timeout: number | null, signal: AbortSignal | undefined): Promise<void> {
    const connecting = { address, sockaddr: encodeAddress(address), started: false, fresh: false };
    return this.descriptor.writing.run(this, CONNECT, connecting, undefined, timeout, signal);
  }

  /**
   * Takes the next connection from the kernel's queue: accept4(2). The new socket is close-on-exec and non-blocking.
   *
   * Connections whose peer was gone before they were accepted (`ECONNABORTED` and pending network errors) are passed over; with
   * pauses, when there are many in a row.
   *
   * @returns the connection and the address of its peer
   * @throws SocketError `EINVAL` if the socket does not listen; `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, after which the
   *   connection waits in the queue for the next `accept()`; `EPERM` if a firewall refused the connection; none of these with
   *   `patient`
   * @see accept(2)
   */
  accept(opts?: AcceptOptions): Promise<[Socket, Address]> {
    try {
      return this.startRead(ACCEPT_SOCKET, this, isPatient(opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Connections as they come, until the socket is closed. Lack of descriptors or memory (`EMFILE` and its like) is waited
   * out: the connections stay in the kernel's queue meanwhile. What a firewall refuses (`EPERM`) is passed over.
   *
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
  [Symbol.asyncIterator](): AsyncIterableIterator<[Socket, Address]> {
    const next = async (): Promise<IteratorResult<[Socket, Address]>> => {
      try {
        return { done: false, value: await this.startRead(ACCEPT_SOCKET, this, true, undefined) };
      } catch (error) {
        if (this.closed) return { done: true, value: undefined };
        throw error;
      }
    };
    const iterator: AsyncIterableIterator<[Socket, Address]> = {
      next,
      return: () => Promise.resolve({ done: true, value: undefined }),
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /**
   * The buffered stream over this socket, to read lines and frames and exact numbers of bytes. It owns the socket from now
   * on. A second call gives the same stream.
   *
   * @param opts limits of the stream's buffer; only the first call can set them
   * @throws TypeError if the socket is no stream socket, or if `opts` come too late
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
  stream(opts?: StreamOptions): Stream {
    if (this.#stream === undefined) return (this.#stream = new Stream(new SocketConn(this), opts));
    if (opts === undefined) return this.#stream;
    throw new TypeError("Cannot set the options of a stream that exists: pass them to the first call of stream()");
  }

  /**
   * Ends a connection so that the peer gets what was sent last: `shutdown(SHUT_WR)` after the pending sends, then reads and drops
   * what comes until the peer finishes or the bounds are reached, then `close()`; see {@link Stream.end}.
   *
   * @returns how it ended, and how many bytes were dropped
   * @throws BusyError while a read is pending; TypeError if it is no stream socket; nothing has been done then
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
    try {
      const { ahead } = this;
      // The stream may be one that the user has made.
      if (ahead instanceof Pull) return ahead.end(new SocketConn(this), opts);
      return this.stream().end(opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Hands the socket to `node:net`; see {@link Stream.toNetSocket}. What its stream had read and not given out comes first
   * there. The socket counts as closed from then on.
   *
   * @throws SocketError `EBADF` if it is closed; `EBUSY` while a call is pending, or for a family that is neither TCP's nor
   *   `AF_UNIX`
   * @throws TypeError if it is no stream socket
   */
  toNetSocket(opts?: ToNetSocketOptions): NetSocket {
    this.checkOpen("toNetSocket");
    return this.stream().toNetSocket(opts);
  }

  /**
   * Another socket for the same open file description: fcntl(2) with F_DUPFD_CLOEXEC. Each is closed for itself.
   *
   * @throws SocketError `EMFILE`, `EBADF`
   * @see dup(2)
   */
  dup(): Socket {
    const fd = check(this.calls().dup(this.checkOpen("dup")), "dup");
    this.descriptor.share();
    // The copy can be given an upper layer protocol of which this one hears nothing.
    this.descriptor.distrustShortReads();
    const copy = Socket.#adopted(this.family, this.type, this.protocol, fd);
    copyTimeout(this, copy);
    return copy;
  }

  static {
    ACCEPT_ONLY = operation<Socket, boolean, Socket>({
      ...ACCEPT,
      complete: (fd, listener) => {
        try {
          return Socket.#around(listener.family, listener.type, listener.protocol, fd);
        } catch (error) {
          // No memory for the objects: nobody would ever close it.
          listener.calls().close(fd);
          throw error;
        }
      },
    });
    ACCEPT_SOCKET = operation<Socket, boolean, [Socket, Address]>({
      ...ACCEPT,
      complete: (fd, listener, patient) => {
        const address = decodeAddressBuffer();
        return [ACCEPT_ONLY.complete(fd, listener, patient), address];
      },
    });
  }
}
