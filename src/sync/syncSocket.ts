// The blocking socket: Berkeley's calls as they are in C, each of which returns when it is done.

import type { EndResult } from "../io.js";
import { type EndOptions, endSocket } from "./syncEnding.js";
import { AF_INET, type Address, type AddressLike, toAddress } from "../addr/index.js";
import { calls } from "../sys/calls.js";
import { POLLIN, POLLOUT, SOCK_STREAM } from "../sys/constants.js";
import { check } from "../sys/errno.js";
import { ACCEPT, CONNECT } from "../ops/connection.js";
import { operation, type Operation } from "../reactor/operation.js";
import { adopt, checkKind, isPatient, pairOf } from "../ops/socketArguments.js";
import { addressDetails, decodeAddressBuffer, encodeAddress, toLocalAddress } from "../sys/sockaddr.js";
import { deadlineIn } from "./blockingCall.js";
import { type AcceptOptions, timeoutOf, type WaitOptions } from "./syncOptions.js";
import { TransferSocket } from "./transferSocket.js";

/** ACCEPT with its result made into a Socket, which only the class itself can make. */
let ACCEPT_SOCKET: Operation<Socket, boolean, [Socket, Address]>;

/**
 * A Berkeley socket whose calls block: the blocking twin of the `Socket` of "berkeley", with the same names and no `await`. For
 * scripts, for worker threads, and to learn and teach with: nothing else happens in the thread while a call waits, no timer, no
 * other socket, no JavaScript that handles a signal. A server in the main thread of a program wants the awaitable one.
 *
 * `timeout` (ms), of the socket or of a call, throws `ETIMEDOUT`. There is no `signal`, for a blocked thread could not hear
 * it. The resolver, which host names are looked up with, has its own deadlines only. Wrong arguments throw a TypeError or
 * RangeError before any system call.
 *
 * Ctrl-C ends a process whose main thread waits here, since SIGINT does so by default. With a listener for `SIGINT` on `process`
 * the call that waits throws `EINTR`, as it does for any signal that the process listens for (signal(7)): the listener can't run
 * in a thread that is blocked, and runs when the program has returned to the loop of events. Left alone the error ends the
 * program; to catch it, let the listener run, and call again loses nothing:
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
 *     // Between two of them the loop looks for signals.
 *     for (let turn = 0; turn < 2; turn++) await setImmediate();
 *   }
 * }
 * ```
 *
 * In a worker listeners don't wait for who is blocked: they run in the main thread. `worker.terminate()` ends a worker that is
 * blocked.
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
export class Socket extends TransferSocket {
  /**
   * Makes a socket: socket(2). It is close-on-exec.
   *
   * @param family `AF_INET`, `AF_INET6`, `AF_UNIX` …
   * @param type `SOCK_STREAM`, `SOCK_DGRAM`, `SOCK_SEQPACKET` …
   * @param protocol 0 for the family's default for this type
   * @throws SocketError `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`, `EINVAL`, `EMFILE`, `ENFILE`, `EPERM` …
   */
  constructor(family?: number, type?: number, protocol?: number);
  constructor(family: number = AF_INET, type: number = SOCK_STREAM, protocol: number = 0, fd?: number) {
    const kind = checkKind(family, type, protocol, "make a socket");
    // The kernel is to hear the type as it was given.
    super(family, kind, protocol, fd ?? check(calls.socket(family, type, protocol), "socket"));
  }

  /** A socket around a descriptor that is ours already. */
  static #around(family: number, type: number, protocol: number, fd: number): Socket {
    const Around = Socket as new (family: number, type: number, protocol: number, fd: number) => Socket;
    return new Around(family, type, protocol, fd);
  }

  /**
   * Adopts a socket that was made elsewhere: inherited, passed by another process, or released by `detach()`. Family, type and
   * protocol are read back from the kernel. The descriptor becomes non-blocking (the waiting is done here) and close-on-exec, and
   * belongs to the new socket.
   *
   * @throws SocketError `EBADF` if it is not open, `ENOTSOCK` if it is no socket, `EBUSY` if a Socket of this thread has it
   * @see SO_DOMAIN, SO_TYPE and SO_PROTOCOL of socket(7)
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
    return Socket.#around(...adopt(calls, fd));
  }

  /** Two connected sockets; see {@link socketpair}. */
  static pair(family: number, type: number, protocol: number): [Socket, Socket] {
    const [a, b] = pairOf(calls, family, type, protocol);
    return [Socket.#around(...a), Socket.#around(...b)];
  }

  /**
   * Names the socket: bind(2). A host name is resolved, to its first address of the socket's family; `["", port]` is the
   * wildcard address. With port 0 the kernel chooses, and `getsockname()` tells.
   *
   * @throws SocketError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EINVAL` (bound already), `EAFNOSUPPORT`, `EAI_NONAME` …
   * @see bind(2)
   */
  bind(address: AddressLike, opts?: WaitOptions): void {
    const target = toLocalAddress(address, this.family);
    timeoutOf(opts, this.timeout, "bind");
    const fd = this.checkOpen("bind");
    const known = this.resolve(target);
    check(calls.bind(fd, encodeAddress(known)), "bind", () => addressDetails(known));
  }

  /**
   * Connects to `address`, and returns when the connection stands: connect(2). On a datagram socket it sets the peer. A host
   * name is resolved, to its first address of the socket's family. A connect that was cut short by `timeout` goes on in the
   * kernel; close the socket.
   *
   * @throws SocketError `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`, `EADDRNOTAVAIL`, `EALREADY`, `EISCONN`,
   *   `EAFNOSUPPORT`, `ENOENT` (UNIX), `EAI_NONAME` …
   * @see connect(2)
   */
  connect(address: AddressLike, opts?: WaitOptions): void {
    const target = toAddress(address);
    const timeout = timeoutOf(opts, this.timeout, "connect");
    const deadline = deadlineIn(timeout);
    this.checkOpen("connect");
    const known = this.resolve(target);
    const left = timeout === null ? null : Math.max(0, deadline - performance.now());
    const connecting = { address: known, sockaddr: encodeAddress(known), started: false };
    this.run(CONNECT, connecting, undefined, POLLOUT, left);
  }

  /**
   * Takes the next connection from the kernel's queue, and blocks while it is empty: accept4(2). Connections whose peer was gone
   * before they were accepted are passed over; with pauses, when there are many in a row.
   *
   * @returns the connection and the address of its peer
   * @throws SocketError `EINVAL` if the socket does not listen; `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, `EPERM` (a firewall
   *   refused the connection), unless `patient`; `ETIMEDOUT`
   * @see accept(2)
   */
  accept(opts?: AcceptOptions): [Socket, Address] {
    const patient = isPatient(opts);
    return this.run(ACCEPT_SOCKET, this, patient, POLLIN, timeoutOf(opts, this.timeout, "accept"));
  }

  /**
   * Connections as they come, until the socket is closed. Lack of descriptors or memory is waited out, and what a firewall
   * refuses is passed over.
   *
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
  *[Symbol.iterator](): IterableIterator<[Socket, Address]> {
    while (!this.closed) yield this.run(ACCEPT_SOCKET, this, true, POLLIN, this.timeout);
  }

  /**
   * Ends a connection so that the peer gets what was sent last: `shutdown(SHUT_WR)`, then reads and drops what comes until the
   * peer finishes or the bounds are reached, then `close()`. Blocks meanwhile; the bounds are `timeout` ({@link END_TIMEOUT} by
   * default) and `maxBytes` ({@link END_MAX_BYTES}). A socket that is closed already stays so.
   *
   * @returns how it ended, and how many bytes were dropped
   * @throws TypeError or RangeError for an option that is wrong, or if it is no stream socket; nothing has been done then
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
    return endSocket(this, opts);
  }

  /**
   * Another socket for the same open file description: fcntl(2) with F_DUPFD_CLOEXEC. Each is closed for itself.
   *
   * @throws SocketError `EMFILE`, `EBADF`
   * @see dup(2)
   */
  dup(): Socket {
    const fd = check(calls.dup(this.checkOpen("dup")), "dup");
    const copy = Socket.#around(this.family, this.type, this.protocol, fd);
    copy.timeout = this.timeout;
    return copy;
  }

  static {
    ACCEPT_SOCKET = operation<Socket, boolean, [Socket, Address]>({
      ...ACCEPT,
      complete: (fd, listener) => {
        const address = decodeAddressBuffer();
        return [Socket.#around(listener.family, listener.type, listener.protocol, fd), address];
      },
    });
  }
}
