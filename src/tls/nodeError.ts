// Converts the errors of node:tls into errors of this library.

import { isNativeError } from "node:util/types";
import type { Address } from "../addr/index.js";
import { quote } from "../check/index.js";
import { BusyError, restateError, SocketError, type SocketErrorDetails, TlsError } from "../errors/index.js";
import { localError } from "../wait/localError.js";

/** The codes of OpenSSL for bytes that are no TLS record. */
const NOT_TLS: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_HTTP_REQUEST",
  "ERR_SSL_HTTPS_PROXY_REQUEST",
]);

/** The codes of a broken connection below: Node's own codes, and those of a SocketError. */
const BROKEN: ReadonlySet<string> = new Set([
  "ECONNRESET",
  "EPIPE",
  "ERR_SOCKET_CLOSED",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_STREAM_WRITE_AFTER_END",
]);

/** Returns the code that OpenSSL used before version 3.2, which renamed the alerts of SSL 3. */
function stableCode(code: string): string {
  return code.replace("ERR_SSL_SSL/TLS_ALERT_", "ERR_SSL_SSLV3_ALERT_");
}

interface NodeError extends Error {
  readonly code?: unknown;
  readonly errno?: unknown;
  readonly reason?: unknown;
}

/** The addresses of a connection, for its errors. */
interface ConnAddresses {
  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
}

function addressDetails(conn: ConnAddresses | undefined): SocketErrorDetails {
  const textOf = (address?: Address): string | undefined => (address === undefined ? undefined : String(address));
  return { local: textOf(conn?.localAddress), peer: textOf(conn?.remoteAddress) };
}

/** The error of a connection that was reset. */
export function resetError(conn: ConnAddresses, syscall: "read" | "write"): SocketError {
  return localError("ECONNRESET", syscall, addressDetails(conn));
}

/**
 * Converts an error of the connection below. If that connection is broken, the result has `syscall`, the call on the
 * TLS connection, because the program has not made the call below. Other errors stay as they are.
 */
function fromErrorBelow(error: SocketError, syscall: string, conn: ConnAddresses | undefined): SocketError {
  // whenBroken() of a socket uses poll(2) to detect that the connection is broken.
  const isBroken = error.syscall === "poll" || BROKEN.has(error.code);
  if (!isBroken || error.syscall === syscall || thrownByCallbacks.has(error)) return error;
  const addresses = conn === undefined ? { local: error.local, peer: error.peer } : addressDetails(conn);
  return restateError(error, syscall, { ...addresses, cause: error });
}

/**
 * Converts an error of Node. An error that a callback of the user threw stays as it is. An error of this library stays
 * as it is too, unless {@link fromErrorBelow} converts it.
 *
 * @param conn the TLS connection, which does not exist before the end of the handshake
 */
export function fromNodeError(
  error: unknown,
  syscall: "tls_handshake" | "read" | "write" | "closeWrite",
  conn?: ConnAddresses,
): unknown {
  if (error instanceof SocketError) return fromErrorBelow(error, syscall, conn);
  if (!isError(error) || error instanceof TlsError) return error;
  if (error instanceof BusyError || thrownByCallbacks.has(error)) return error;
  const { code, errno, reason } = error as NodeError;
  if (typeof code !== "string") return error;
  if (typeof errno === "number") return localError(code, syscall, { ...addressDetails(conn), cause: error });
  if (BROKEN.has(code)) {
    const brokenCode = syscall === "write" && code !== "ECONNRESET" ? "EPIPE" : "ECONNRESET";
    return localError(brokenCode, syscall, { ...addressDetails(conn), cause: error });
  }
  const action = syscall === "tls_handshake" ? "TLS handshake failed" : "TLS failed";
  const reasonText = typeof reason === "string" ? reason : error.message;
  if (syscall === "tls_handshake" && NOT_TLS.has(code)) {
    return new TlsError("ERR_TLS_PLAINTEXT_PEER", action, `the peer does not speak TLS: ${reasonText}`, {
      cause: error,
    });
  }
  return new TlsError(stableCode(code), action, reasonText, { cause: error });
}

/** Whether a value is an Error, also of another realm (node:vm), which `instanceof` does not recognise. */
function isError(value: unknown): value is Error {
  return value instanceof Error || isNativeError(value);
}

/** Errors that callbacks of users have thrown. */
const thrownByCallbacks = new WeakSet<Error>();

/**
 * Converts a value that a user's callback threw into the Error that Node requires. A value that is no Error becomes the
 * `cause` of one.
 */
export function callbackError(thrown: unknown, callback: string): Error {
  const error = isError(thrown)
    ? thrown
    : new TypeError(`${callback} threw ${quote(thrown)}, required an Error`, { cause: thrown });
  thrownByCallbacks.add(error);
  return error;
}

/** The error of an end without close_notify. */
export function truncationError(): TlsError {
  const reason = "the connection below ended without close_notify, so bytes of the peer may be missing";
  return new TlsError("ERR_TLS_TRUNCATED", "TLS failed", reason);
}
