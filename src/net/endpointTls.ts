// The `tls` option of connect() and listen(), and the errors of their handshakes.
//
// Keys, certificates and options are checked before there is a socket. The host of the endpoint is the name that the
// certificate must have, unless `servername` is another one.

import { type HostPort, type UnixAddress } from "../addr/index.js";
import { checkNames, quote } from "../check/index.js";
import { restateError, SocketError, TlsError } from "../errors/index.js";
import type { Stream } from "../stream/index.js";
import { addressDetails } from "../sys/sockaddr.js";
import type { TlsClientOptions, TlsConn, TlsContext, TlsContextOptions, TlsListenerOptions } from "../tls/index.js";
import { checkTlsListener, HANDSHAKE_OPTIONS } from "../tls/tlsListenerOptions.js";
import { CLIENT_OPTIONS, CONTEXT_OPTIONS } from "../tls/tlsOptions.js";
import { type PreparedTls, prepareTls, wrapPrepared } from "../tls/wrapTls.js";
import { type CheckedWait, remainingWait } from "./endpointOptions.js";
import type { HostAddress } from "./resolveHost.js";

/** Options of TLS for `connect()`. The default of `servername` is the host of the endpoint. */
export interface TlsConnectOptions extends Omit<TlsClientOptions, "buffered" | "host" | "isServer" | "signal"> {}

/** Options of TLS for `listen()`: keys and certificates or a `context` with them, and the limits of handshakes. */
export interface TlsListenOptions extends TlsContextOptions, Omit<TlsListenerOptions, "buffered" | "tls"> {
  /** A context, which several listeners can share. It replaces the options of {@link TlsContextOptions}. */
  readonly context?: TlsContext | undefined;
}

/** Options of TLS that are not allowed in `tls`, because the endpoint or the call determines them. */
const ENDPOINT_OPTIONS: readonly string[] = ["buffered", "host", "isServer", "signal"];
const CONNECT_TLS_OPTIONS = CLIENT_OPTIONS.filter((name) => !ENDPOINT_OPTIONS.includes(name));
const HANDSHAKE_TLS_OPTIONS = HANDSHAKE_OPTIONS.filter((name) => !ENDPOINT_OPTIONS.includes(name));
const LISTEN_TLS_OPTIONS = ["context", ...CONTEXT_OPTIONS, ...HANDSHAKE_TLS_OPTIONS];

/** Checks that the option `tls` is an object with the allowed names. @param name the name of the option in messages */
function checkTls(
  value: unknown,
  allowed: readonly string[],
  action: string,
  name: string = "tls",
): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required an object`);
  }
  checkNames(value, allowed, action, name);
  return value as Readonly<Record<string, unknown>>;
}

/**
 * Checks the `tls` option of a client.
 *
 * @param target has the name that the certificate must have; undefined for a UNIX socket
 * @param name the name of the option in messages
 */
export function prepareClientTls(
  value: unknown,
  target: HostAddress | HostPort | undefined,
  action: string,
  name: string = "tls",
): PreparedTls {
  const opts = value === undefined ? {} : checkTls(value, CONNECT_TLS_OPTIONS, action, name);
  return prepareTls({ ...(opts as TlsConnectOptions), host: target?.host }, action);
}

/** Checks the `tls` option of a server, and returns the options for `TlsListener`. */
export function prepareListenerTls(value: unknown, action: string): TlsListenerOptions {
  if (value === undefined) {
    throw new TypeError(`Cannot ${action}: a server has no certificate, required tls: { cert, key } or { context }`);
  }
  const opts = checkTls(value, LISTEN_TLS_OPTIONS, action);
  const { context, ...others } = opts;
  const given = Object.entries(others).filter(([, option]) => option !== undefined);
  const handshakeOptions = given.filter(([name]) => HANDSHAKE_OPTIONS.includes(name));
  const contextOptions = given.filter(([name]) => !HANDSHAKE_OPTIONS.includes(name));
  if (context !== undefined && contextOptions.length > 0) {
    const [name] = contextOptions[0]!;
    throw new TypeError(`Cannot ${action}: ${name} belongs to the context, required either ${name} or context`);
  }
  const tls = context ?? Object.fromEntries(contextOptions);
  return checkTlsListener({ ...Object.fromEntries(handshakeOptions), tls }, action);
}

/** Performs the TLS handshake on a stream in the remaining time. If the handshake fails, the stream is closed. */
export async function wrapInTls(
  stream: Stream,
  prepared: PreparedTls,
  target: HostAddress | HostPort | UnixAddress,
  wait: CheckedWait,
): Promise<TlsConn> {
  try {
    return await wrapPrepared(stream, prepared, remainingWait(wait));
  } catch (error) {
    // A handshake that fails closes the stream, but an error before the handshake does not.
    stream.abort();
    throw wait.signal?.aborted === true && error === wait.signal.reason ? error : handshakeError(error, target);
  }
}

/** Adds the address of the peer to an error of a handshake. Any other error stays as it is. */
function handshakeError(error: unknown, target: HostAddress | HostPort | UnixAddress): unknown {
  if (error instanceof SocketError) {
    const { syscall, cause } = error;
    return restateError(error, syscall, { ...addressDetails(target), cause });
  }
  if (!(error instanceof TlsError)) return error;
  const { code, reason, cause } = error;
  const action = `TLS handshake with ${String(target)} failed`;
  // This code means that the stream had unread bytes before the handshake. Through a proxy, the destination may send
  // such bytes. A TLS server never sends first; RFC 8446, section 2.
  if (code === "ERR_TLS_BUFFERED") {
    const plaintext = "the peer sent bytes before the handshake, which no TLS server does";
    return new TlsError("ERR_TLS_PLAINTEXT_PEER", action, plaintext, { cause: error });
  }
  return new TlsError(code, action, reason, { cause });
}
