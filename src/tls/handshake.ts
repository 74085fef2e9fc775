// The handshakes of a client and of a server: each makes a TlsConn on a transport (transport.ts).
//
// A client calls tls.connect() on the transport.
//
// A server passes the transport to the tls.Server of its context. A tls.Server accepts any stream, and emits the events
// of all its handshakes. To get the events of one handshake, this file passes the transport to an object that inherits
// from the tls.Server and overrides `emit`.

import type { X509Certificate } from "node:crypto";
import { EventEmitter } from "node:events";
import type tls from "node:tls";
import type { TLSSocket } from "node:tls";
import { isNativeError, isPromise } from "node:util/types";
import { net, tls as nodeTls } from "../builtins.js";
import { quote } from "../check/index.js";
import { type SocketError, TlsError } from "../errors/index.js";
import type { Conn, IoOptions } from "../io.js";
import { localError, timeoutError } from "../wait/localError.js";
import { PendingCall } from "../wait/pendingCall.js";
import type { Transport } from "./transport.js";
import { TlsConn } from "./tlsConn.js";
import { nodeContext, type TlsContext } from "./tlsContext.js";
import { callbackError, fromNodeError } from "./nodeError.js";
import type { CheckedConnection, TlsClientOptions } from "./tlsOptions.js";
import { isCurrent, type Session } from "./session.js";

/** The arguments of a handshake. */
export interface HandshakeSetup {
  /** The connection below. */
  readonly conn: Conn;
  readonly transport: Transport;
  readonly context: TlsContext;
  readonly checked: CheckedConnection;
}

/** A running handshake: a promise with a timeout and a signal. */
class HandshakeCall extends PendingCall<TlsConn> {
  readonly #destroy: () => void;

  constructor(opts: IoOptions, destroyTransport: () => void) {
    super(opts, undefined, undefined, { call: "tls_handshake", object: { kind: "TlsConn" } });
    this.#destroy = destroyTransport;
  }

  /** Called after the timeout or an abort. */
  protected override cancel(): SocketError {
    this.#destroy();
    return timeoutError("tls_handshake");
  }
}

/** Makes the promise of a handshake. Its timeout and its signal destroy the transport, and with it the TLS socket. */
function makeCall({ transport, checked }: HandshakeSetup): HandshakeCall {
  return new HandshakeCall({ timeout: checked.handshakeTimeout, signal: checked.signal }, () =>
    transport.duplex.destroy(),
  );
}

/** Makes the TlsConn after the handshake. For `certificate` see {@link HandshakeResult}. */
function makeConn(
  setup: HandshakeSetup,
  socket: TLSSocket,
  servername: string | undefined,
  certificate?: X509Certificate,
): TlsConn {
  const { conn, transport, checked } = setup;
  const { isServer, closeTimeout, allowTruncation } = checked;
  return new TlsConn({ socket, transport, conn, isServer, servername, certificate, closeTimeout, allowTruncation });
}

/** The options of a client, checked. */
export interface CheckedClient {
  /** The name that the server's certificate must have; undefined if the caller gave none. */
  readonly serverName: string | undefined;
  readonly checkServerIdentity: TlsClientOptions["checkServerIdentity"];
  readonly session: Session | undefined;
}

/** Performs the handshake of a client. */
export function clientHandshake(setup: HandshakeSetup, client: CheckedClient): Promise<TlsConn> {
  const { transport, context, checked } = setup;
  const nodeTlsContext = nodeContext(context);
  const { serverName, checkServerIdentity, session } = client;
  // A client can override two options of a shared context for one connection.
  const overrides = checked.contextOptions;
  const { options } = nodeTlsContext;
  const rejectUnauthorized = overrides.rejectUnauthorized ?? options.rejectUnauthorized ?? true;
  const alpnProtocols = overrides.alpnProtocols ?? options.alpnProtocols;
  /** Undefined until the handshake has succeeded. */
  let conn: TlsConn | undefined;

  /**
   * Checks the server's certificate. Returns the error that refuses it; undefined if it is right.
   *
   * @param legacyObject the certificate in Node's older form
   */
  const verify = (
    legacyObject: tls.PeerCertificate,
    getCertificate: () => X509Certificate | undefined,
  ): Error | undefined => {
    if (serverName === undefined) return new Error("no name to check was given");
    if (checkServerIdentity === undefined) return nodeTls().checkServerIdentity(serverName, legacyObject);
    const certificate = getCertificate();
    if (certificate === undefined) return new Error("the server showed no certificate");
    return callCheck(checkServerIdentity, serverName, certificate);
  };
  const isUsableSession = ({ certificate }: Session): boolean => {
    const legacyObject = certificate.toLegacyObject();
    return isCurrent(certificate) && verify(legacyObject, () => certificate) === undefined;
  };
  // A session of another server, or with an expired certificate, is not offered. Then the handshake resumes no session.
  const offeredSession = session !== undefined && isUsableSession(session) ? session : undefined;
  // Stored here, because Node returns the server's certificate only once.
  let serverCertificate: X509Certificate | undefined;

  const handshake = makeCall(setup);
  let socket: TLSSocket;
  try {
    socket = nodeTls().connect({
      socket: transport.duplex,
      secureContext: nodeTlsContext.secureContext(),
      rejectUnauthorized,
      checkServerIdentity: (_hostname, legacyObject) => {
        try {
          return verify(legacyObject, () => (serverCertificate = socket.getPeerX509Certificate()));
        } catch (error) {
          // If this function threw the error, the process would end. If this function only returned the error, Node
          // would ignore it with `rejectUnauthorized: false`.
          handshake.reject(error);
          socket.destroy();
          return callbackError(error, "checkServerIdentity");
        }
      },
      // SNI has no IP address, and no dot at the end of a name (RFC 6066, section 3).
      ...(serverName === undefined || net().isIP(serverName) !== 0
        ? {}
        : { servername: serverName.replace(/\.$/, "") }),
      ...(alpnProtocols === undefined ? {} : { ALPNProtocols: [...alpnProtocols] }),
      ...(offeredSession === undefined ? {} : { session: offeredSession.ticket }),
    });
  } catch (error) {
    handshake.reject(fromNodeError(error, "tls_handshake"));
    return handshake.promise;
  }
  const fail = (error: unknown): void => {
    handshake.reject(fromNodeError(error, "tls_handshake"));
    socket.destroy();
  };
  const onSocketClosed = (): void => fail(localError("ECONNRESET", "tls_handshake"));
  socket.on("session", (ticket) => conn?.storeSession(ticket));
  socket.on("error", fail);
  socket.on("close", onSocketClosed);
  socket.once("secureConnect", () => {
    // The timeout or the signal may have ended the handshake.
    if (handshake.settled) return;
    socket.off("error", fail);
    socket.off("close", onSocketClosed);
    const certificate = socket.isSessionReused() ? offeredSession?.certificate : serverCertificate;
    conn = makeConn(setup, socket, serverName, certificate);
    handshake.resolve(conn);
  });
  return handshake.promise;
}

/** Calls `checkServerIdentity`, and refuses a result that is neither undefined nor an Error. */
function callCheck(
  check: NonNullable<CheckedClient["checkServerIdentity"]>,
  serverName: string,
  certificate: X509Certificate,
): Error | undefined {
  const result: unknown = check(serverName, certificate);
  if (result === undefined) return undefined;
  if (isNativeError(result) || result instanceof Error) return result;
  // No code awaits this promise, so its rejection would be unhandled.
  if (isPromise(result)) result.catch(() => undefined);
  throw new TypeError(
    `Cannot verify a server: the result of checkServerIdentity is ${quote(result)}, required undefined or an ` +
      "Error, and no Promise",
  );
}

/** Performs the handshake of a server. */
export function serverHandshake(setup: HandshakeSetup): Promise<TlsConn> {
  const { transport, context } = setup;
  // Inherits from the tls.Server of the context, so that only the events of this handshake reach `emit`.
  const server = Object.create(nodeContext(context).server()) as tls.Server;
  const handshake = makeCall(setup);
  server.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === "secureConnection") {
      const socket = args[0] as TLSSocket;
      const { servername } = socket as { servername?: string | false | null };
      handshake.resolve(makeConn(setup, socket, servername || undefined));
    } else if (event === "tlsClientError") {
      const [error, socket] = args as [unknown, TLSSocket];
      handshake.reject(clientCertificateError(socket) ?? fromNodeError(error, "tls_handshake"));
      socket.destroy();
    }
    return true;
  };
  // The TLS socket copies `allowHalfOpen` from the transport. If the copy is false, an end of the client during the
  // handshake ends the handshake. After the handshake the copy has no effect.
  transport.duplex.allowHalfOpen = false;
  try {
    EventEmitter.prototype.emit.call(server, "connection", transport.duplex);
  } catch (error) {
    handshake.reject(fromNodeError(error, "tls_handshake"));
  }
  transport.duplex.allowHalfOpen = true;
  return handshake.promise;
}

/** The error for a client without a valid certificate. For such a client, Node reports only a closed connection. */
function clientCertificateError(socket: TLSSocket): TlsError | undefined {
  const code = socket.authorizationError as unknown;
  if (typeof code !== "string") return undefined;
  return new TlsError(code, "TLS handshake failed", "the client's certificate does not verify");
}
