// Errors of system calls and of waits that end early.

import type { SocketErrorCode } from "./codes.js";
import { mark } from "./mark.js";

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
  /** The error that caused this one. */
  readonly cause?: unknown;
}

/**
 * The kernel refused a system call, or a wait was cut short.
 *
 * `code` is the stable name (`"ECONNREFUSED"`). `errno` is its negative number, as in Node.js, and `syscall` is the
 * name of the call, as in its man page. The message has the form of Node.js: `connect ECONNREFUSED 127.0.0.1:8888`.
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
export class SocketError extends Error {
  /** Stable name of the error, as errno(3) or getaddrinfo(3) spells it. */
  readonly code: SocketErrorCode;
  /** The number behind `code`, negative. */
  readonly errno: number;
  /** The call that failed. */
  readonly syscall: string;
  // Declared without a definition, so that an unknown detail is not a property of the error.
  declare readonly address?: string;
  declare readonly port?: number;
  declare readonly path?: string;
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
    super("ETIMEDOUT", errno, syscall, details);
  }

  static {
    mark(TimeoutError);
  }
}

/** A new error of the same class and code, with another call and other details. */
export function restated(error: SocketError, syscall: string, details: SocketErrorDetails): SocketError {
  if (error instanceof TimeoutError) return new TimeoutError(error.errno, syscall, details);
  return new SocketError(error.code, error.errno, syscall, details);
}

function describe(code: string, syscall: string, details: SocketErrorDetails | undefined): string {
  let text = `${syscall} ${code}`;
  if (details === undefined) return text;
  if (details.path !== undefined) {
    // A lone surrogate is a byte that is not UTF-8. Without this it would be printed as U+FFFD.
    const path = details.path.replace(
      /[\udc80-\udcff]/gu,
      (byte) => `\\x${(byte.charCodeAt(0) - 0xdc00).toString(16)}`,
    );
    text += ` ${path.startsWith("\0") ? `@${path.slice(1)}` : path}`;
  } else if (details.address !== undefined) {
    const host = details.address.includes(":") && details.port !== undefined ? `[${details.address}]` : details.address;
    text += details.port === undefined ? ` ${host}` : ` ${host}:${details.port}`;
  }
  if (details.transferred !== undefined) text += ` (${details.transferred} ${details.unit ?? "bytes"} had been sent)`;
  return text;
}
