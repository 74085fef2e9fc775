// The handshakes of a client and of a server: each makes a TlsConn on a transport.
//
// A client calls tls.connect() on the transport.
//
// A server passes the transport to the tls.Server of its context, as Node allows for any stream. A tls.Server emits the
// events of all its handshakes. To get the events of one handshake, this file passes the transport to an object that
// inherits from the server and overrides `emit`.

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
  readonly conn: Conn;
  readonly transport: Transport;
  readonly context: TlsContext;
  readonly checked: CheckedConnection;
}

/** A running handshake: a promise with a timeout and a signal. */
class HandshakeCall extends PendingCall<TlsConn> {
  readonly #destroy: () => void;

  constructor(opts: IoOptions, destroy: () => void) {
    super(opts, undefined, undefined, { call: "tls_handshake", object: { kind: "TlsConn" } });
    this.#destroy = destroy;
  }

  protected override cancel(): SocketError {
    this.#destroy();
    return timeoutError("tls_handshake");
  }
}

/**
 * Starts the timeout of the handshake. The timeout and the signal destroy the transport, and with it the TLS socket.
 */
function startCall({ transport, checked }: HandshakeSetup): HandshakeCall {
  return new HandshakeCall({ timeout: checked.handshakeTimeout, signal: checked.signal }, () =>
    transport.duplex.destroy(),
  );
}

function makeConn(
  setup: HandshakeSetup,
  socket: TLSSocket,
  servername: string | undefined,
  certificate: X509Certificate | undefined,
): TlsConn {
  const { conn, transport, checked } = setup;
  const { isServer, closeTimeout, allowTruncation } = checked;
  return new TlsConn({ socket, transport, conn, isServer, servername, certificate, closeTimeout, allowTruncation });
}

/** The options of a client, checked. */
export interface CheckedClient {
  /** The name that the certificate must have; undefined if the caller gave none. */
  readonly name: string | undefined;
  readonly checkServerIdentity: TlsClientOptions["checkServerIdentity"];
  readonly session: Session | undefined;
}

/** Performs the handshake of a client. */
export function clientHandshake(setup: HandshakeSetup, client: CheckedClient): Promise<TlsConn> {
  const { transport, context, checked } = setup;
  const nodeTlsContext = nodeContext(context);
  const { name, checkServerIdentity: check, session } = client;
  const rejectUnauthorized = checked.inline.rejectUnauthorized ?? nodeTlsContext.options.rejectUnauthorized ?? true;
  const alpnProtocols = checked.inline.alpnProtocols ?? nodeTlsContext.options.alpnProtocols;
  let conn: TlsConn | undefined;

  const verifyServer = (
    legacyObject: tls.PeerCertificate,
    certificate: () => X509Certificate | undefined,
  ): Error | undefined => {
    if (name === undefined) return new Error("no name to check was given");
    if (check === undefined) return nodeTls().checkServerIdentity(name, legacyObject);
    const found = certificate();
    return found === undefined ? new Error("the server showed no certificate") : verifyIdentity(check, name, found);
  };
  const isUsable = ({ certificate }: Session): boolean => {
    const legacyObject = certificate.toLegacyObject();
    return isCurrent(certificate) && verifyServer(legacyObject, () => certificate) === undefined;
  };
  // A session of another server, or with an expired certificate, is not offered, and the handshake is a full one.
  const offeredSession = session !== undefined && isUsable(session) ? session : undefined;
  // Stored, because Node returns the server's certificate only once.
  let serverCertificate: X509Certificate | undefined;

  const handshake = startCall(setup);
  let socket: TLSSocket;
  try {
    socket = nodeTls().connect({
      socket: transport.duplex,
      secureContext: nodeTlsContext.secureContext(),
      rejectUnauthorized,
      checkServerIdentity: (_, legacyObject) => {
        try {
          return verifyServer(legacyObject, () => (serverCertificate = socket.getPeerX509Certificate()));
        } catch (error) {
          // An error that this function throws would end the process. With `rejectUnauthorized: false`, Node would
          // ignore an error that the function returns.
          handshake.reject(error);
          socket.destroy();
          return callbackError(error, "checkServerIdentity");
        }
      },
      ...(name === undefined || net().isIP(name) !== 0 ? {} : { servername: name.replace(/\.$/, "") }),
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
    if (handshake.settled) return;
    socket.off("error", fail);
    socket.off("close", onSocketClosed);
    conn = makeConn(setup, socket, name, socket.isSessionReused() ? offeredSession?.certificate : serverCertificate);
    handshake.resolve(conn);
  });
  return handshake.promise;
}

/** Calls `checkServerIdentity`, and refuses a result that is neither undefined nor an Error. */
function verifyIdentity(
  check: NonNullable<CheckedClient["checkServerIdentity"]>,
  name: string,
  certificate: X509Certificate,
): Error | undefined {
  const result: unknown = check(name, certificate);
  if (result === undefined) return undefined;
  if (isNativeError(result) || result instanceof Error) return result;
  // No code awaits this promise.
  if (isPromise(result)) result.catch(() => undefined);
  throw new TypeError(
    `Cannot verify a server: the result of checkServerIdentity is ${quote(result)}, required undefined or an ` +
      "Error, and no Promise",
  );
}

/** Performs the handshake of a server. */
export function serverHandshake(setup: HandshakeSetup): Promise<TlsConn> {
  const { transport, context } = setup;
  const server = Object.create(nodeContext(context).server()) as tls.Server;
  const handshake = startCall(setup);
  server.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === "secureConnection") {
      const socket = args[0] as TLSSocket;
      const { servername } = socket as { servername?: string | false | null };
      handshake.resolve(makeConn(setup, socket, servername || undefined, undefined));
    } else if (event === "tlsClientError") {
      const [error, socket] = args as [unknown, TLSSocket];
      handshake.reject(refusedClient(socket) ?? fromNodeError(error, "tls_handshake"));
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

/**
 * The error for a client without a valid certificate, for which Node reports only a closed connection.
 */
function refusedClient(socket: TLSSocket): TlsError | undefined {
  const code = socket.authorizationError as unknown;
  if (typeof code !== "string") return undefined;
  return new TlsError(code, "TLS handshake failed", "the client's certificate does not verify");
}
