// Errors of system calls and of waits that end early.

import { BerkeleyError } from "./berkeleyError.js";
import type { SocketErrorCode } from "./codes.js";
import { mark } from "./mark.js";
import { systemText } from "./systemText.js";

/** The data of a {@link SocketError} besides its code: the address, the progress and the cause. */
export interface SocketErrorDetails {
  /** The host of the address argument of the call. */
  readonly address?: string | undefined;
  /** The port of the address argument of the call. */
  readonly port?: number | undefined;
  /** The path of the address argument of the call. */
  readonly path?: string | undefined;
  /** How many bytes, or datagrams if `unit` says so, were sent before the call failed. */
  readonly transferred?: number | undefined;
  /** The unit of `transferred`. */
  readonly unit?: "bytes" | "datagrams" | undefined;
  /** The local address of the socket, as text. */
  readonly local?: string | undefined;
  /** The address of the peer, as text. */
  readonly peer?: string | undefined;
  /** The name of the option argument of the call. */
  readonly option?: string | undefined;
  /** The reason as a text; the default is the text of the system for the code. */
  readonly reason?: string | undefined;
  /** Advice for the program or its user, at the end of the message. */
  readonly hint?: string | undefined;
  /** The error that caused this one. */
  readonly cause?: unknown;
}

/**
 * The kernel refused a system call, or a wait ended early.
 *
 * `code` is the stable name (`"ECONNREFUSED"`). `errno` is its negative number, as in Node.js, and `syscall` is the
 * name of the call, as in its man page. The message has the address argument of the call, or both addresses of the
 * socket, and the text of the system: `connect ECONNREFUSED 127.0.0.1:8888: connection refused`.
 *
 * The library itself uses `ETIMEDOUT` (in a {@link TimeoutError}) when a `timeout` has passed, `ECANCELED` when the
 * socket was closed during the call, and `EBADF` when the socket was closed before the call.
 *
 * @see errno(3)
 * @example
 * ```ts
 * import { Socket, SocketError } from "berkeley";
 *
 * await using socket = new Socket();
 * try {
 *   await socket.recv(1);
 * } catch (error) {
 *   if (error instanceof SocketError) console.log(error.code); // prints: ENOTCONN
 * }
 * ```
 */
export class SocketError extends BerkeleyError {
  /** The stable name of the error, as errno(3) or getaddrinfo(3) spells it. */
  override readonly code: SocketErrorCode;
  /** The negative number of `code`. */
  readonly errno: number;
  /** The name of the call that failed. */
  readonly syscall: string;
  // `declare` defines no property, so an error has only the details that are known.
  declare readonly address?: string;
  declare readonly port?: number;
  declare readonly path?: string;
  /** The local address of the socket, such as `"127.0.0.1:8888"`, if the call has no address argument. */
  declare readonly local?: string;
  /** The address of the peer, if the socket is connected and the call has no address argument. */
  declare readonly peer?: string;
  /** The bytes that a `sendAll`, `sendfile` or `splice` had sent before it failed; for a `sendmmsg` the datagrams. */
  declare readonly transferred?: number;

  constructor(code: string, errno: number, syscall: string, details?: SocketErrorDetails) {
    super(messageOf(code, syscall, details), details?.cause === undefined ? undefined : { cause: details.cause });
    // The type has every code of the library. Another code can come only from a program that calls this constructor.
    this.code = code as SocketErrorCode;
    this.errno = errno;
    this.syscall = syscall;
    if (details === undefined) return;
    if (details.address !== undefined) this.address = details.address;
    if (details.port !== undefined) this.port = details.port;
    if (details.path !== undefined) this.path = details.path;
    if (details.local !== undefined) this.local = details.local;
    if (details.peer !== undefined) this.peer = details.peer;
    if (details.transferred !== undefined) this.transferred = details.transferred;
  }

  static {
    SocketError.prototype.name = "SocketError";
    mark(SocketError);
  }
}

/**
 * A timeout of the program has passed: the `timeout` of a call or of a socket, or another option such as
 * `handshakeTimeout`. The connection may still work.
 *
 * The kernel returns the same code when a connection has failed because the peer acknowledges nothing: tcp(7). That
 * error is a {@link SocketError}, but not a TimeoutError. The `name` of both is `"SocketError"`.
 *
 * @example
 * ```ts
 * import { socketpair, TimeoutError } from "berkeley";
 *
 * const [left, right] = socketpair();
 * const error = await left.recv(1, { timeout: 1 }).catch((error) => error);
 * console.log(error instanceof TimeoutError, error.code); // prints: true ETIMEDOUT
 * left.close();
 * right.close();
 * ```
 */
export class TimeoutError extends SocketError {
  /** @param errno the platform's number for `ETIMEDOUT`, negative */
  constructor(errno: number, syscall: string, details?: SocketErrorDetails) {
    // Not the text of the system, which describes a connection that has failed in the kernel.
    super("ETIMEDOUT", errno, syscall, { ...details, reason: details?.reason ?? "the timeout has passed" });
  }

  static {
    mark(TimeoutError);
  }
}

/**
 * Whether the error means that this program has closed or released an object during a call on it (`ECANCELED`) or
 * before the call (`EBADF`). Such an error ends a loop over the object. A loop throws other errors.
 */
export function isEndedByClose(error: unknown): boolean {
  return error instanceof SocketError && (error.code === "ECANCELED" || error.code === "EBADF");
}

/** Returns a new error of the same class and code, with another call and other details. */
export function restateError(error: SocketError, syscall: string, details: SocketErrorDetails): SocketError {
  if (error instanceof TimeoutError) return new TimeoutError(error.errno, syscall, details);
  return new SocketError(error.code, error.errno, syscall, details);
}

/** Makes the message. */
function messageOf(code: string, syscall: string, details: SocketErrorDetails | undefined): string {
  const reason = details?.reason ?? systemText(code);
  const reasonText = reason === undefined ? "" : `: ${reason}`;
  if (details === undefined) return `${syscall} ${code}${reasonText}`;
  const { option, transferred, unit = "bytes", hint } = details;
  const parts = [syscall, code, option, addressText(details)].filter((part) => part !== undefined);
  const sent = transferred === undefined ? "" : ` (${transferred} ${unit} had been sent)`;
  return `${parts.join(" ")}${reasonText}${sent}${hint === undefined ? "" : `; ${hint}`}`;
}

/** The address argument of the call as text; without one, the addresses of the socket. */
function addressText({ path, address, port, local, peer }: SocketErrorDetails): string | undefined {
  if (path !== undefined) {
    // A lone surrogate stands for a byte that is not UTF-8. It would be printed as U+FFFD, so it is written as `\xNN`.
    const text = path.replace(/[\udc80-\udcff]/gu, (unit) => `\\x${(unit.charCodeAt(0) - 0xdc00).toString(16)}`);
    // An abstract name begins with a zero byte.
    return text.startsWith("\0") ? `@${text.slice(1)}` : text;
  }
  if (address !== undefined) {
    const host = address.includes(":") && port !== undefined ? `[${address}]` : address;
    return port === undefined ? host : `${host}:${port}`;
  }
  if (peer === undefined) return local;
  return local === undefined ? `-> ${peer}` : `${local} -> ${peer}`;
}
