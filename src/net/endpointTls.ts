// What connect() and listen() take as `tls`, and what a handshake that failed is to who wanted a connection.
//
// All that can be wrong with keys, certificates and options is found before there is a socket. Whom the certificate has to
// name is known from the endpoint, so that nobody can forget to say it.

import { type HostPort, type UnixAddress } from "../addr/index.js";
import { checkNames, quote } from "../check/index.js";
import { restated, SocketError, TlsError } from "../errors/index.js";
import type { Stream } from "../stream/index.js";
import { addressDetails } from "../sys/sockaddr.js";
import type { TlsClientOptions, TlsConn, TlsContext, TlsContextOptions, TlsListenerOptions } from "../tls/index.js";
import { checkTlsListener, HANDSHAKE_OPTIONS } from "../tls/tlsListener.js";
import { CLIENT_OPTIONS, CONTEXT } from "../tls/tlsOptions.js";
import { type PreparedTls, prepareTls, wrapPrepared } from "../tls/wrapTls.js";
import { type CheckedWait, remaining } from "./endpointOptions.js";
import type { HostAddress } from "./customResolver.js";

/** How `connect()` speaks TLS. The name to verify and to ask for is the endpoint's host, unless there is a `servername`. */
export interface TlsConnectOptions extends Omit<TlsClientOptions, "buffered" | "host" | "isServer" | "signal"> {}

/** How `listen()` speaks TLS: the keys and certificates, or the `context` that has them, and how handshakes are run. */
export interface TlsListenOptions extends TlsContextOptions, Omit<TlsListenerOptions, "buffered" | "tls"> {
  /** Made beforehand, perhaps shared by several listeners; instead of the options of {@link TlsContextOptions}. */
  readonly context?: TlsContext | undefined;
}

/** What the endpoint and its options say already. */
const OF_THE_ENDPOINT: readonly string[] = ["buffered", "host", "isServer", "signal"];
const CONNECT = CLIENT_OPTIONS.filter((name) => !OF_THE_ENDPOINT.includes(name));
const HANDSHAKE = HANDSHAKE_OPTIONS.filter((name) => !OF_THE_ENDPOINT.includes(name));
const LISTEN = ["context", ...CONTEXT, ...HANDSHAKE];

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

/** The client's side of a handshake with a host. */
export function prepareClient(
  value: unknown,
  target: HostAddress | HostPort | undefined,
  action: string,
  name: string = "tls",
): PreparedTls {
  const opts = value === undefined ? {} : checkTls(value, CONNECT, action, name);
  return prepareTls({ ...(opts as TlsConnectOptions), host: target?.host }, action);
}

/** The server's side, as `TlsListener` takes it. */
export function prepareListener(value: unknown, action: string): TlsListenerOptions {
  if (value === undefined) {
    throw new TypeError(`Cannot ${action}: a server has no certificate, required tls: { cert, key } or { context }`);
  }
  const opts = checkTls(value, LISTEN, action);
  const given = Object.entries(opts).filter(([, one]) => one !== undefined);
  const inline = given.filter(([name]) => name !== "context" && !HANDSHAKE_OPTIONS.includes(name));
  const { context } = opts;
  if (context !== undefined && inline.length > 0) {
    throw new TypeError(`Cannot ${action}: ${inline[0]![0]} belongs to the context, required either of them`);
  }
  const handshakes = given.filter(([name]) => HANDSHAKE_OPTIONS.includes(name));
  return checkTlsListener({ ...Object.fromEntries(handshakes), tls: context ?? Object.fromEntries(inline) }, action);
}

/** Does the handshake over a stream, in what is left of the time. The stream is closed when it fails. */
export async function wrapStream(
  stream: Stream,
  prepared: PreparedTls,
  target: HostAddress | HostPort | UnixAddress,
  wait: CheckedWait,
): Promise<TlsConn> {
  try {
    return await wrapPrepared(stream, prepared, remaining(wait));
  } catch (error) {
    // Where the handshake has not begun it has not closed anything either.
    stream.abort();
    throw wait.signal?.aborted === true && error === wait.signal.reason ? error : handshakeError(error, target);
  }
}

/** The error with the address in it. */
function handshakeError(error: unknown, target: HostAddress | HostPort | UnixAddress): unknown {
  if (error instanceof SocketError) {
    const { syscall, cause } = error;
    return restated(error, syscall, { ...addressDetails(target), cause });
  }
  if (!(error instanceof TlsError)) return error;
  const { code, reason, cause } = error;
  const action = `TLS handshake with ${String(target)} failed`;
  // What was read along with a proxy's answer. A server of TLS waits for its client to begin; RFC 8446, section 2.
  if (code === "ERR_TLS_BUFFERED") {
    return new TlsError("ERR_TLS_PLAINTEXT_PEER", action, "the peer spoke first, which no server of TLS does", {
      cause: error,
    });
  }
  return new TlsError(code, action, reason, { cause });
}
