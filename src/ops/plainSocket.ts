// The calls that do not wait, with what both sockets (the awaitable and the blocking one) have in common.

import { isUint8Array } from "node:util/types";
import { type Address } from "../addr/index.js";
import { byteView, int32, integer, quote } from "../check/index.js";
import type { Calls } from "../sys/calls.js";
import { SHUT_RD, SHUT_RDWR, SHUT_WR, SOMAXCONN } from "../sys/constants.js";
import { check, EBADF, socketError } from "../sys/errno.js";
import { toScratch } from "../sys/scratch.js";
import { intBytes, readInt } from "../sys/nativeInts.js";
import { type SocketOption } from "../options/option.js";
import { decodeAddressBuffer, addressBuffer } from "../sys/sockaddr.js";

/** Longest value that `getsockopt(level, name, size)` makes room for, in bytes. */
const MAX_OPTION = 1 << 16;

export abstract class PlainSocket {
  /** Address family, as `AF_INET`. */
  readonly family: number;
  /** Socket type, as `SOCK_STREAM`. */
  readonly type: number;
  /** Protocol; 0 where the family's default was asked for. */
  readonly protocol: number;

  protected constructor(family: number, type: number, protocol: number) {
    this.family = family;
    this.type = type;
    this.protocol = protocol;
  }

  /** The descriptor, or -1 once the socket is closed or detached. */
  abstract fileno(): number;

  /**
   * Hears of every option that was set, for what the socket knows of itself.
   *
   * @internal
   */
  protected optionSet(_level: number, _name: number): void {}

  /**
   * The descriptor, or -1, for a call that is made at once: nobody gets to know it.
   *
   * @internal
   */
  protected number(): number {
    return this.fileno();
  }

  /** The table of calls that this socket uses. */
  protected abstract calls(): Calls;

  #open(syscall: string): number {
    const fd = this.number();
    if (fd < 0) throw socketError(EBADF, syscall);
    return fd;
  }

  /**
   * Lets the socket take connections: listen(2).
   *
   * @param backlog length of the kernel's queue of connections that nobody has accepted; the system's limit
   *   (net.core.somaxconn) cuts it
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
    const length = int32(backlog, "listen", "backlog");
    check(this.calls().listen(this.#open("listen"), length), "listen");
  }

  /**
   * Ends one direction of a connection, or both: shutdown(2). After `SHUT_WR` the peer reads the end once it has all data.
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
    if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) {
      if (typeof how !== "number")
        throw new TypeError(`Cannot shutdown: how is ${quote(how)}, required SHUT_RD, SHUT_WR or SHUT_RDWR`);
      throw new RangeError(`Cannot shutdown: how is ${how}, required SHUT_RD (0), SHUT_WR (1) or SHUT_RDWR (2)`);
    }
    check(this.calls().shutdown(this.#open("shutdown"), how), "shutdown");
  }

  /**
   * The address that the socket is bound to, with the port that the kernel chose where 0 was asked for: getsockname(2).
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
  getsockname(): Address {
    check(this.calls().getsockname(this.#open("getsockname"), addressBuffer), "getsockname");
    return decodeAddressBuffer();
  }

  /**
   * The address of the peer: getpeername(2).
   *
   * @throws SocketError `ENOTCONN`, `EBADF` after `close()`
   * @see getpeername(2)
   */
  getpeername(): Address {
    check(this.calls().getpeername(this.#open("getpeername"), addressBuffer), "getpeername");
    return decodeAddressBuffer();
  }

  /**
   * Sets an option: setsockopt(2). Either a typed option and its value, or level, number and bytes (a number is passed as a
   * C `int`).
   *
   * @throws TypeError or RangeError for a value that does not fit the option, before any call
   * @throws SocketError `ENOPROTOOPT` for an option that the kernel does not have here, `EINVAL`, `EPERM`, `EBADF` …
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
    let level: number;
    let name: number;
    let bytes: Uint8Array;
    if (typeof first === "object" && first !== null) {
      checkOption(first, "setsockopt");
      name = first.optname;
      bytes = first.encode(second as never);
      level = first.levelOf === undefined ? first.level : first.levelOf(bytes);
    } else {
      level = int32(first, "setsockopt", "level");
      name = optionNumber(second, "setsockopt");
      bytes =
        typeof third === "number"
          ? intBytes(integer(third, "setsockopt", "value", -0x8000_0000, 0xffff_ffff) | 0)
          : optionBytes(third);
    }
    check(this.calls().setsockopt(this.#open("setsockopt"), level, name, toScratch(bytes)), "setsockopt");
    this.optionSet(level, name);
  }

  /**
   * Reads an option: getsockopt(2). A typed option gives its typed value. Level and number give a number (the value of a C
   * `int`); with a size in bytes they give the bytes, as many as the kernel had.
   *
   * @throws SocketError `ENOPROTOOPT`, `EINVAL`, `EBADF` …
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
    if (typeof first === "object" && first !== null) {
      checkOption(first, "getsockopt");
      return first.decode(this.#getBytes(first.level, first.optname, first.size, first.query));
    }
    const level = int32(first, "getsockopt", "level");
    const name = optionNumber(second, "getsockopt");
    if (size === undefined) return readInt(this.#getBytes(level, name, 4));
    return this.#getBytes(level, name, integer(size, "getsockopt", "size", 0, MAX_OPTION));
  }

  #getBytes(level: number, name: number, size: number, query?: Uint8Array): Buffer {
    const bytes = Buffer.alloc(size);
    if (query !== undefined) bytes.set(query);
    const length = check(this.calls().getsockopt(this.#open("getsockopt"), level, name, bytes), "getsockopt");
    return bytes.subarray(0, Math.min(length, size));
  }
}

function checkOption(option: SocketOption<unknown, never>, action: string): void {
  if (typeof option.encode === "function" && typeof option.decode === "function") return;
  throw new TypeError(
    `Cannot ${action}: option is ${quote(option)}, required one such as TCP_NODELAY, or a level and a number`,
  );
}

function optionNumber(value: unknown, action: string): number {
  if (typeof value === "object" && value !== null && "optname" in value) return int32(value.optname, action, "option");
  return int32(value, action, "option");
}

function optionBytes(value: unknown): Uint8Array {
  if (isUint8Array(value)) return value;
  return byteView(value, "setsockopt");
}
