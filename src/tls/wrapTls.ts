// wrapTls(): performs a TLS handshake on any connection, and returns the TLS connection.

import { AsyncResource } from "node:async_hooks";
import { domainToASCII } from "node:url";
import { isUint8Array } from "node:util/types";
import { isBranded, quote, quoteSecret } from "../check/index.js";
import { BusyError, TlsError } from "../errors/index.js";
import type { Conn, IoOptions } from "../io.js";
import { readerOf, Stream } from "../stream/stream.js";
import { type Transport, openTransport, checkServerSupport } from "./transport.js";
import type { TlsConn } from "./tlsConn.js";
import { requireCertificate, nodeContext, TlsContext, isTlsContext } from "./tlsContext.js";
import { type CheckedClient, clientHandshake, serverHandshake, type HandshakeSetup } from "./handshake.js";
import {
  checkConnection,
  checkHostName,
  type CheckedConnection,
  type TlsClientOptions,
  type TlsOptions,
} from "./tlsOptions.js";
import { unpackSession } from "./session.js";

const ACTION = "wrap a connection in TLS";

/** The context of all clients that set no option of a context except `alpnProtocols` and `rejectUnauthorized`. */
let sharedContext: TlsContext | undefined;

/**
 * Performs a TLS handshake on a connection, and resolves with the TLS connection.
 *
 * `conn` can be any {@link Conn}. A socket passes its descriptor to Node's own TLS, so it is as fast as `node:tls`.
 * After the call, `conn` belongs to the result, and no other code may use it. If the handshake fails, `conn` is closed.
 *
 * If `conn` is a {@link Stream} that has read bytes ahead, the call fails with `ERR_TLS_BUFFERED`, and the stream stays
 * open. The peer sent these bytes before TLS began. After STARTTLS, an attacker could insert commands in this way (RFC
 * 3207, section 6). If the bytes are the first bytes of TLS, as after `peek()` or after a header, pass
 * `buffered: "tls"`.
 *
 * A client verifies the server's certificate and name, so it requires `servername` or `host`, unless
 * `rejectUnauthorized` is false. A server requires `cert` and `key`, `pfx`, or a `context` with them. For many
 * connections, one context costs less. TLS 1.2 and 1.3 are supported.
 *
 * @throws TlsError `ERR_TLS_PLAINTEXT_PEER`, `ERR_TLS_CERT_ALTNAME_INVALID`, `CERT_HAS_EXPIRED`,
 *   `DEPTH_ZERO_SELF_SIGNED_CERT`, `SELF_SIGNED_CERT_IN_CHAIN`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_TLS_BUFFERED`,
 *   `ERR_SSL_…` if OpenSSL or the peer refused the handshake
 * @throws SocketError with `syscall` `"tls_handshake"`: `ETIMEDOUT` after `handshakeTimeout`, `ECONNRESET` if the
 *   connection ended
 * @throws BusyError if a read is pending; the connection stays open
 * @throws the reason of `signal`
 * @throws TypeError or RangeError for an option that is wrong; the connection stays open
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

/** The options of a handshake, checked, and its context. */
export interface PreparedTls {
  readonly checked: CheckedConnection;
  readonly context: TlsContext;
  /** The options of a client; undefined for a server. */
  readonly client: CheckedClient | undefined;
}

/** Checks the options of a handshake before there is a connection. */
export function prepareTls(opts: TlsOptions, action: string): PreparedTls {
  const checked = checkConnection(opts, action);
  if (checked.context !== undefined && !isTlsContext(checked.context)) {
    throw new TypeError(`Cannot ${action}: context is ${quoteSecret(checked.context)}, required a TlsContext`);
  }
  const client = checked.isServer ? undefined : checkClient(opts as TlsClientOptions, checked, action);
  const context = checked.context ?? contextFor(checked);
  if (checked.isServer) {
    checkServerSupport(action);
    requireCertificate(context, action);
  }
  return { checked, context, client };
}

/**
 * Performs the handshake with checked options.
 *
 * @param waitOptions its `timeout` applies if it is less than `handshakeTimeout`. Its `signal` replaces that of the
 *   options
 * @param onTransport called with the transport before the handshake
 */
export async function wrapPrepared(
  conn: Conn,
  { checked, context, client }: PreparedTls,
  waitOptions: IoOptions = {},
  onTransport?: (transport: Transport) => void,
): Promise<TlsConn> {
  const { timeout, signal = checked.signal } = waitOptions;
  signal?.throwIfAborted();
  const { below, buffered } = takeConnBelow(conn, checked.takesBuffered);
  const handshakeTimeout = shorter(checked.handshakeTimeout, timeout ?? null);
  const transport = openTransport(below, buffered);
  onTransport?.(transport);
  const setup: HandshakeSetup = { conn: below, transport, context, checked: { ...checked, handshakeTimeout, signal } };
  try {
    return await (client === undefined ? serverHandshake(setup) : clientHandshake(setup, client));
  } catch (error) {
    // Node reports errors while OpenSSL is on the stack, so the transport is closed a turn later.
    await new Promise<void>((resolve) => setImmediate(resolve));
    await transport.close();
    throw error;
  }
}

/** The shorter of two times in milliseconds; null is no limit. */
function shorter(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.min(one, other);
}

/** Whether `conn` is a Stream of this copy of the package or of another one. */
function isStream(conn: Conn): conn is Stream {
  return isBranded(conn, "Stream");
}

/**
 * Takes a connection out of its streams. Returns the connection below all streams, and the bytes that the streams have
 * read ahead. Closes the streams, and leaves the connection open.
 *
 * @param takesBuffered whether the streams may have read bytes ahead
 */
function takeConnBelow(conn: Conn, takesBuffered: boolean): { readonly below: Conn; readonly buffered: Uint8Array } {
  if (!isConn(conn)) throw new TypeError(`Cannot ${ACTION}: conn is ${quote(conn)}, required a Conn`);
  const streams: Stream[] = [];
  let below = conn;
  for (; isStream(below); below = below.conn) streams.push(below);
  const lowest = streams.at(-1);
  // The reader of the lowest stream also returns the bytes of the streams above it. A stream of another copy of the
  // package has a buffer that this code can't read.
  const reader = lowest instanceof Stream ? readerOf(lowest) : undefined;
  const size = reader?.unread ?? streams.reduce((sum, { buffered }) => sum + buffered, 0);
  if (size > 0 && (!takesBuffered || reader === undefined)) {
    const reason = `the stream has ${size} bytes that were read before the handshake, which TLS does not protect`;
    throw new TlsError("ERR_TLS_BUFFERED", `Cannot ${ACTION}`, reason);
  }
  if (below.reading === true) throw new BusyError("read");
  const buffered = reader === undefined ? Buffer.alloc(0) : reader.takeUnread(size);
  for (const stream of streams) if (stream instanceof Stream) readerOf(stream).close();
  return { below, buffered };
}

function isConn(value: unknown): value is Conn {
  const { read, write } = (value ?? {}) as Partial<Conn>;
  return typeof read === "function" && typeof write === "function";
}

/** The context of a call without `context`. */
function contextFor({ isServer, contextOptions }: CheckedConnection): TlsContext {
  // These two options need no context of their own, because clientHandshake() reads them from `contextOptions`.
  const needsNoContext = (name: string): boolean => name === "alpnProtocols" || name === "rejectUnauthorized";
  if (!isServer && Object.keys(contextOptions).every(needsNoContext)) return (sharedContext ??= new TlsContext());
  return new TlsContext(contextOptions);
}

/** Checks the options that only a client has. */
function checkClient(opts: TlsClientOptions, checked: CheckedConnection, action: string): CheckedClient {
  const { checkServerIdentity, session } = opts;
  let serverName = checkHostName(opts.servername, action, "servername") ?? checkHostName(opts.host, action, "host");
  const { context, contextOptions: overrides } = checked;
  const options = context === undefined ? undefined : nodeContext(context).options;
  const rejectUnauthorized = overrides.rejectUnauthorized ?? options?.rejectUnauthorized ?? true;
  if (serverName === undefined && rejectUnauthorized) {
    throw new TypeError(`Cannot ${action}: the server has no name to verify, required servername or host`);
  }
  // oxlint-disable-next-line no-control-regex
  if (serverName !== undefined && /[^\0-\x7f]/.test(serverName)) {
    const ascii = domainToASCII(serverName);
    if (ascii === "")
      throw new TypeError(`Cannot ${action}: servername is ${quote(serverName)}, required the name of a host`);
    serverName = ascii;
  }
  if (checkServerIdentity !== undefined && typeof checkServerIdentity !== "function") {
    throw new TypeError(`Cannot ${action}: checkServerIdentity is ${quote(checkServerIdentity)}, required a function`);
  }
  const unpacked = isUint8Array(session) ? unpackSession(session) : undefined;
  if (session !== undefined && unpacked === undefined) {
    throw new TypeError(`Cannot ${action}: session is ${quote(session)}, required a result of nextSession()`);
  }
  // The callback runs in the asynchronous context of this call, not in that of a handshake.
  const check = checkServerIdentity && AsyncResource.bind(checkServerIdentity);
  return { serverName, checkServerIdentity: check, session: unpacked };
}
