// wrapTls(): TLS on any connection, in place.

import { AsyncResource } from "node:async_hooks";
import { domainToASCII } from "node:url";
import { isUint8Array } from "node:util/types";
import { isBranded, quote } from "../check/index.js";
import { BusyError, TlsError } from "../errors/index.js";
import type { Conn, IoOptions } from "../io.js";
import { pullOf, Stream } from "../stream/stream.js";
import { type Transport, openTransport, checkServes } from "./transport.js";
import type { TlsConn } from "./tlsConn.js";
import { checkCertificate, nodeContext, TlsContext, isTlsContext } from "./tlsContext.js";
import { type CheckedClient, clientHandshake, serverHandshake, type HandshakeSetup } from "./handshake.js";
import {
  checkConnection,
  checkName,
  type CheckedConnection,
  type TlsClientOptions,
  type TlsOptions,
} from "./tlsOptions.js";
import { unpackSession } from "./session.js";

const ACTION = "wrap a connection in TLS";

/** For clients that ask for nothing special. */
let common: TlsContext | undefined;

/**
 * Puts TLS on a connection and resolves when the handshake is over. The other end does the same as the other side.
 *
 * It works over any {@link Conn}. Over a socket the descriptor goes to Node's own TLS, so that it is as fast as `node:tls`.
 * The connection belongs to the result from now on; nobody else may use it, and when the handshake fails it is closed.
 *
 * Over a {@link Stream}, as after STARTTLS, the upgrade is in place: it fails with `ERR_TLS_BUFFERED`, and leaves the stream
 * alone, when the stream has read bytes that nobody took. They came before the peer could know of TLS, and to go on with
 * them would let an attacker put commands in front of what is encrypted (RFC 3207, section 6). Where they are the beginning of TLS,
 * because the stream was only looked at, or a header was read from it, `buffered: "tls"` says so.
 *
 * A client verifies the server's certificate and name unless `rejectUnauthorized` is false; it needs `servername` or
 * `host` for that. A server needs `cert` and `key` (or `pfx`), or a `context` with them, which costs less where there are
 * many connections. TLS 1.2 and 1.3 are hasReceived, nothing older.
 *
 * @throws TlsError `ERR_TLS_PLAINTEXT_PEER`, `ERR_TLS_CERT_ALTNAME_INVALID`, `CERT_HAS_EXPIRED`,
 *   `DEPTH_ZERO_SELF_SIGNED_CERT`, `SELF_SIGNED_CERT_IN_CHAIN`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_TLS_BUFFERED`,
 *   `ERR_SSL_…` for what OpenSSL or the peer refused
 * @throws SocketError with `syscall` `"tls_handshake"`: `ETIMEDOUT` when `handshakeTimeout` ran out, `ECONNRESET` when the
 *   peer went away
 * @throws BusyError while a read is pending, at once: then the connection is left alone
 * @throws the reason of `signal`
 * @throws TypeError or RangeError for an option that is wrong: then the connection is left alone
 * @see RFC 8446, RFC 6066, RFC 7301
 * @example
 * ```ts no-run
 * import { connect, Stream, wrapTls } from "berkeley";
 *
 * const plain = await connect("tcp://mail.example:143");
 * await plain.readLine();
 * await plain.write("a STARTTLS\r\n");
 * await plain.readLine();
 * await using stream = new Stream(await wrapTls(plain, { servername: "mail.example" }));
 * ```
 */
export async function wrapTls(conn: Conn, opts: TlsOptions): Promise<TlsConn> {
  return wrapPrepared(conn, prepareTls(opts, ACTION));
}

/** Options that were checked, and the context that they come to: all that can be wrong before there is a connection. */
export interface PreparedTls {
  readonly checked: CheckedConnection;
  readonly context: TlsContext;
  /** Where this is to be the client. */
  readonly client: CheckedClient | undefined;
}

/** What `wrapTls` does before it touches the connection. */
export function prepareTls(opts: TlsOptions, action: string): PreparedTls {
  const checked = checkConnection(opts, action);
  if (checked.context !== undefined && !isTlsContext(checked.context)) {
    throw new TypeError(`Cannot ${action}: context is ${quote(checked.context)}, required a TlsContext`);
  }
  const client = checked.isServer ? undefined : checkClient(opts as TlsClientOptions, checked, action);
  const context = checked.context ?? contextFor(checked);
  if (checked.isServer) {
    checkServes(action);
    checkCertificate(context, action);
  }
  return { checked, context, client };
}

/**
 * Does the handshake.
 *
 * @param within cuts the handshake short as well: `timeout` when it is less than the `handshakeTimeout`, and `signal`
 *   withoutReplaced of that of the options
 */
export async function wrapPrepared(
  conn: Conn,
  { checked, context, client }: PreparedTls,
  within: IoOptions = {},
  begun?: (transport: Transport) => void,
): Promise<TlsConn> {
  const { timeout, signal = checked.signal } = within;
  signal?.throwIfAborted();
  const { below, before } = connBelow(conn, checked.takesBuffered);
  const handshakeTimeout = shorter(checked.handshakeTimeout, timeout ?? null);
  const transport = openTransport(below, before);
  begun?.(transport);
  const setup: HandshakeSetup = { conn: below, transport, context, checked: { ...checked, handshakeTimeout, signal } };
  try {
    return await (client === undefined ? serverHandshake(setup) : clientHandshake(setup, client));
  } catch (error) {
    // Not on OpenSSL's stack, which is where Node reports errors.
    await new Promise<void>((resolve) => setImmediate(resolve));
    await setup.transport.closed();
    throw error;
  }
}

/** The shorter of two times in ms; null is no limit. */
function shorter(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.min(one, other);
}

/** Of this copy or of another. */
function isStream(conn: Conn): conn is Stream {
  return isBranded(conn, "Stream");
}

/** The connection below streams, and what these have read of it. */
function connBelow(conn: Conn, takesBuffered: boolean): { readonly below: Conn; readonly before: Uint8Array } {
  if (!isConn(conn)) throw new TypeError(`Cannot ${ACTION}: conn is ${quote(conn)}, required a Conn`);
  const streams: Stream[] = [];
  let below = conn;
  for (; isStream(below); below = below.conn) streams.push(below);
  const lowest = streams.at(-1);
  // Those of the layers above included. What a stream of another copy holds can't be taken out of it.
  const pull = lowest instanceof Stream ? pullOf(lowest) : undefined;
  const size = pull?.unread ?? streams.reduce((sum, { buffered }) => sum + buffered, 0);
  if (size > 0 && (!takesBuffered || pull === undefined)) {
    const reason = `the stream holds ${size} bytes that were read before, which TLS would not protect`;
    throw new TlsError("ERR_TLS_BUFFERED", `Cannot ${ACTION}`, reason);
  }
  if (below.reading === true) throw new BusyError("read");
  const before = pull === undefined ? Buffer.alloc(0) : pull.takeUnread(size);
  for (const stream of streams) if (stream instanceof Stream) pullOf(stream).close();
  return { below, before };
}

function isConn(value: unknown): value is Conn {
  const { read, write } = (value ?? {}) as Partial<Conn>;
  return typeof read === "function" && typeof write === "function";
}

function contextFor(checked: CheckedConnection): TlsContext {
  const names = Object.keys(checked.inline);
  if (!checked.isServer && names.every((name) => name === "alpnProtocols" || name === "rejectUnauthorized")) {
    return (common ??= new TlsContext());
  }
  return new TlsContext(checked.inline);
}

function checkClient(opts: TlsClientOptions, checked: CheckedConnection, action: string): CheckedClient {
  const { checkServerIdentity: check, session } = opts;
  let name = checkName(opts.servername, action, "servername") ?? checkName(opts.host, action, "host");
  const shared = checked.context === undefined ? undefined : nodeContext(checked.context).options.rejectUnauthorized;
  const verifies = checked.inline.rejectUnauthorized ?? shared ?? true;
  if (name === undefined && verifies) {
    throw new TypeError(`Cannot ${action}: nothing to verify the server by, required servername or host`);
  }
  // oxlint-disable-next-line no-control-regex
  if (name !== undefined && /[^\0-\x7f]/.test(name)) {
    const ascii = domainToASCII(name);
    if (ascii === "") throw new TypeError(`Cannot ${action}: ${quote(name)} is no name of a host`);
    name = ascii;
  }
  if (check !== undefined && typeof check !== "function") {
    throw new TypeError(`Cannot ${action}: checkServerIdentity is ${quote(check)}, required a function`);
  }
  const unpacked = isUint8Array(session) ? unpackSession(session) : undefined;
  if (session !== undefined && unpacked === undefined) {
    throw new TypeError(`Cannot ${action}: session is ${quote(session)}, required what nextSession() gave`);
  }
  return { name, check: check === undefined ? undefined : AsyncResource.bind(check), session: unpacked };
}
