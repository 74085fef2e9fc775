// Errors of system calls and of waits that end early.

import { BerkeleyError } from "./berkeleyError.js";
import type { SocketErrorCode } from "./codes.js";
import { mark } from "./mark.js";
import { systemWords } from "./systemWords.js";

/** Properties that a {@link SocketError} may have besides its code: the address, the progress and the cause. */
export interface SocketErrorDetails {
  /** Host part of the address that the call was given. */
  readonly address?: string | undefined;
  /** Port of the address that the call was given. */
  readonly port?: number | undefined;
  /** Path of the UNIX address that the call was given. */
  readonly path?: string | undefined;
  /** How much had been sent when a call was cut short: bytes, unless `unit` says otherwise. */
  readonly transferred?: number | undefined;
  /** The unit of `transferred`. */
  readonly unit?: "bytes" | "datagrams" | undefined;
  /** The local address of the socket, as text. */
  readonly local?: string | undefined;
  /** The address of the peer, as text. */
  readonly peer?: string | undefined;
  /** The name of the option that the call was given. */
  readonly option?: string | undefined;
  /** The reason in words; the default is the system's text for the code. */
  readonly reason?: string | undefined;
  /** What the program or its user can do, for the end of the message. */
  readonly hint?: string | undefined;
  /** The error that caused this one. */
  readonly cause?: unknown;
}

/**
 * The kernel refused a system call, or a wait was cut short.
 *
 * `code` is the stable name (`"ECONNREFUSED"`). `errno` is its negative number, as in Node.js, and `syscall` is the
 * name of the call, as in its man page. The message has the address that the call was given, or both ends of the
 * socket, and the words of the system: `connect ECONNREFUSED 127.0.0.1:8888: connection refused`.
 *
 * The library itself makes two codes: `ETIMEDOUT` when a `timeout` expired, as a {@link TimeoutError}, and `ECANCELED`
 * when the socket was closed during the call.
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
  /** Stable name of the error, as errno(3) or getaddrinfo(3) spells it. */
  override readonly code: SocketErrorCode;
  /** The number behind `code`, negative. */
  readonly errno: number;
  /** The call that failed. */
  readonly syscall: string;
  // Declared without a definition, so that an unknown detail is not a property of the error.
  declare readonly address?: string;
  declare readonly port?: number;
  declare readonly path?: string;
  /** The local address of the socket, such as `"127.0.0.1:8888"`, if the call was given no address. */
  declare readonly local?: string;
  /** The address of the peer, if the socket is connected and the call was given no address. */
  declare readonly peer?: string;
  /** Bytes that had been sent when a `sendAll`, a `sendfile` or a splice was cut short; datagrams of a `sendmmsg`. */
  declare readonly transferred?: number;

  constructor(code: string, errno: number, syscall: string, details?: SocketErrorDetails) {
    super(describe(code, syscall, details), details?.cause === undefined ? undefined : { cause: details.cause });
    // The union has every code that the library makes; another one can only come from a caller of this constructor.
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
 * A deadline of the caller expired: the `timeout` of a call or of a socket, or a named limit such as
 * `handshakeTimeout`. The connection may still work.
 *
 * The kernel uses the same code when a connection fails because the peer acknowledges nothing: tcp(7). That error is a
 * {@link SocketError}, but not a TimeoutError. The `name` of both is `"SocketError"`.
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
    // The words of the system are those of a connection that the kernel gave up.
    super("ETIMEDOUT", errno, syscall, { ...details, reason: details?.reason ?? "the timeout has passed" });
  }

  static {
    mark(TimeoutError);
  }
}

/**
 * Whether this side has ended the call itself, by closing or giving away the object during the call (`ECANCELED`) or
 * before it (`EBADF`). A loop over that object ends then, and other errors throw.
 */
export function endedByClose(error: unknown): boolean {
  return error instanceof SocketError && (error.code === "ECANCELED" || error.code === "EBADF");
}

/** A new error of the same class and code, with another call and other details. */
export function restated(error: SocketError, syscall: string, details: SocketErrorDetails): SocketError {
  if (error instanceof TimeoutError) return new TimeoutError(error.errno, syscall, details);
  return new SocketError(error.code, error.errno, syscall, details);
}

function describe(code: string, syscall: string, details: SocketErrorDetails | undefined): string {
  const words = details?.reason ?? systemWords(code);
  const end = words === undefined ? "" : `: ${words}`;
  if (details === undefined) return `${syscall} ${code}${end}`;
  const { option, transferred, unit = "bytes", hint } = details;
  const parts = [syscall, code, option, placeOf(details)].filter((part) => part !== undefined);
  const sent = transferred === undefined ? "" : ` (${transferred} ${unit} had been sent)`;
  return `${parts.join(" ")}${end}${sent}${hint === undefined ? "" : `; ${hint}`}`;
}

/** The address that the call was given; otherwise the ends of the socket. */
function placeOf({ path, address, port, local, peer }: SocketErrorDetails): string | undefined {
  if (path !== undefined) {
    // A lone surrogate is a byte that is not UTF-8. Without this it would be printed as U+FFFD.
    const text = path.replace(/[\udc80-\udcff]/gu, (byte) => `\\x${(byte.charCodeAt(0) - 0xdc00).toString(16)}`);
    return text.startsWith("\0") ? `@${text.slice(1)}` : text;
  }
  if (address !== undefined) {
    const host = address.includes(":") && port !== undefined ? `[${address}]` : address;
    return port === undefined ? host : `${host}:${port}`;
  }
  if (peer === undefined) return local;
  return local === undefined ? `-> ${peer}` : `${local} -> ${peer}`;
}
