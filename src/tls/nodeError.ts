// What node:tls fails with, as the errors of this library. A leaf.

import { isNativeError } from "node:util/types";
import { quote } from "../check/index.js";
import { BusyError, SocketError, TlsError } from "../errors/index.js";
import { localError } from "../wait/localError.js";

/** OpenSSL's words for "these bytes are no TLS record", by Node's code. */
const NOT_TLS: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_HTTP_REQUEST",
  "ERR_SSL_HTTPS_PROXY_REQUEST",
]);

/** Codes of a connection below that broke, where Node reports them without the number of the system. */
const BROKEN: ReadonlySet<string> = new Set([
  "ECONNRESET",
  "EPIPE",
  "ERR_SOCKET_CLOSED",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_STREAM_WRITE_AFTER_END",
]);

/** OpenSSL 3.2 gave the alerts of SSL 3 another name, with a slash in it. A code does not depend on the version. */
function stable(code: string): string {
  return code.replace("ERR_SSL_SSL/TLS_ALERT_", "ERR_SSL_SSLV3_ALERT_");
}

interface NodeError extends Error {
  readonly code?: unknown;
  readonly errno?: unknown;
  readonly reason?: unknown;
}

/**
 * The error for what Node failed with. Errors of a connection below that is ours, and those that a callback of users threw or
 * returned without a code, stay as they are.
 */
export function fromNodeError(error: unknown, syscall: "tls_handshake" | "read" | "write" | "closeWrite"): unknown {
  if (!isError(error) || error instanceof SocketError || error instanceof TlsError) return error;
  if (error instanceof BusyError || callbackErrors.has(error)) return error;
  const { code, errno, reason } = error as NodeError;
  if (typeof code !== "string") return error;
  if (typeof errno === "number") return localError(code, syscall, { cause: error });
  if (BROKEN.has(code)) {
    const reset = syscall === "write" && code !== "ECONNRESET" ? "EPIPE" : "ECONNRESET";
    return localError(reset, syscall, { cause: error });
  }
  const action = syscall === "tls_handshake" ? "TLS handshake failed" : "TLS failed";
  const said = typeof reason === "string" ? reason : error.message;
  if (syscall === "tls_handshake" && NOT_TLS.has(code)) {
    return new TlsError("ERR_TLS_PLAINTEXT_PEER", action, `the peer does not speak TLS: ${said}`, { cause: error });
  }
  return new TlsError(stable(code), action, said, { cause: error });
}

/** An Error of any realm. */
function isError(value: unknown): value is Error {
  return value instanceof Error || isNativeError(value);
}

/** Errors that callbacks of users threw, whatever code they have. */
const callbackErrors = new WeakSet<Error>();

/** What a callback of users threw, as the Error that Node needs; its `cause` is the value where that is no Error. */
export function callbackError(thrown: unknown, callback: string): Error {
  const error = isError(thrown)
    ? thrown
    : new TypeError(`${callback} threw ${quote(thrown)}, required an Error`, { cause: thrown });
  callbackErrors.add(error);
  return error;
}

/** The peer's end came without close_notify. */
export function truncationError(): TlsError {
  const reason = "the connection below ended without close_notify, so what the peer sent may be cut short";
  return new TlsError("ERR_TLS_TRUNCATED", "TLS failed", reason);
}
