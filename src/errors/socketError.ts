// A call that the kernel refused, or a wait that ended early.

import { mark } from "./mark.js";

/** What a {@link SocketError} may know beside its code: where the call was going, how far it came, and why. */
export interface SocketErrorDetails {
  /** Host part of the address that the call was given. */
  readonly address?: string | undefined;
  /** Port of the address that the call was given. */
  readonly port?: number | undefined;
  /** Path of the UNIX address that the call was given. */
  readonly path?: string | undefined;
  /** What had gone out when a call was cut short: bytes, unless `unit` says otherwise. */
  readonly transferred?: number | undefined;
  /** What `transferred` counts. */
  readonly unit?: "bytes" | "datagrams" | undefined;
  /** The error behind this one. */
  readonly cause?: unknown;
}

/**
 * A system call that the kernel refused, or a wait that was cut short.
 *
 * `code` is the stable name (`"ECONNREFUSED"`), `errno` its negative number as Node has it, `syscall` the call as its man
 * page spells it. The message has Node's shape: `connect ECONNREFUSED 127.0.0.1:8888`.
 *
 * Two codes are also made here, without a call: `ETIMEDOUT` when a `timeout` ran out, which is a {@link TimeoutError}, and
 * `ECANCELED` when the socket was closed during the call.
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
  /** Stable name of the error, as errno(3) spells it. */
  readonly code: string;
  /** The number behind `code`, negative. */
  readonly errno: number;
  /** The call that failed. */
  readonly syscall: string;
  // Declared, not defined: what an error does not know is no property of it.
  declare readonly address?: string;
  declare readonly port?: number;
  declare readonly path?: string;
  /** Bytes that had gone out when a `sendAll`, a `sendfile` or a splice was cut short; datagrams of a `sendmmsg`. */
  declare readonly transferred?: number;

  constructor(code: string, errno: number, syscall: string, details?: SocketErrorDetails) {
    super(describe(code, syscall, details), details?.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
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
 * A deadline of the caller passed: the `timeout` of a call, of a socket, or a named limit such as `handshakeTimeout`. The connection
 * may be as good as before.
 *
 * The kernel has the same code for a connection that died, because the peer acknowledged nothing: tcp(7). That error is a
 * {@link SocketError} and no TimeoutError. The `name` of both is `"SocketError"`.
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

/** An error of the same class and code for another call, or with other details. */
export function restated(error: SocketError, syscall: string, details: SocketErrorDetails): SocketError {
  if (error instanceof TimeoutError) return new TimeoutError(error.errno, syscall, details);
  return new SocketError(error.code, error.errno, syscall, details);
}

function describe(code: string, syscall: string, details: SocketErrorDetails | undefined): string {
  let text = `${syscall} ${code}`;
  if (details === undefined) return text;
  if (details.path !== undefined) {
    // A lone surrogate stands for a byte that belongs to no text, and would be printed as U+FFFD.
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
