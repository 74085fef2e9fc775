// The handshakes of a client and of a server: each makes a TlsConn on a transport.
//
// A client calls tls.connect() on the transport. A server passes the transport to the tls.Server of its context, as
// Node allows for any stream. A tls.Server emits the events of all its handshakes. So the transport is passed to an
// object that inherits from the server and overrides `emit`; its events are those of one handshake.

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

class HandshakeCall extends PendingCall<TlsConn> {
  readonly #stop: () => void;

  constructor(opts: IoOptions, stop: () => void) {
    super(opts, undefined, undefined, { call: "tls_handshake", object: { kind: "TlsConn" } });
    this.#stop = stop;
  }

  protected override cancel(): SocketError {
    this.#stop();
    return timeoutError("tls_handshake");
  }
}

function begin({ transport, checked }: HandshakeSetup): HandshakeCall {
  // The TLS socket is destroyed together with the transport.
  return new HandshakeCall({ timeout: checked.handshakeTimeout, signal: checked.signal }, () =>
    transport.duplex.destroy(),
  );
}

function establish(
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
  /** The name that the certificate must have; undefined if the name is not checked. */
  readonly name: string | undefined;
  readonly check: TlsClientOptions["checkServerIdentity"];
  readonly session: Session | undefined;
}

export function clientHandshake(setup: HandshakeSetup, client: CheckedClient): Promise<TlsConn> {
  const { transport, context, checked } = setup;
  const inner = nodeContext(context);
  const { name, check, session } = client;
  const rejectUnauthorized = checked.inline.rejectUnauthorized ?? inner.options.rejectUnauthorized ?? true;
  const alpnProtocols = checked.inline.alpnProtocols ?? inner.options.alpnProtocols;
  let conn: TlsConn | undefined;

  const identify = (legacy: tls.PeerCertificate, certificate: () => X509Certificate | undefined): Error | undefined => {
    if (name === undefined) return new Error("no name to check was given");
    if (check === undefined) return nodeTls().checkServerIdentity(name, legacy);
    const found = certificate();
    return found === undefined ? new Error("the server showed no certificate") : verifyIdentity(check, name, found);
  };
  const fits = ({ certificate }: Session): boolean => {
    const legacy = certificate.toLegacyObject();
    return isCurrent(certificate) && identify(legacy, () => certificate) === undefined;
  };
  // A session that does not match is not offered. Then the handshake is a full one.
  const offered = session !== undefined && fits(session) ? session : undefined;
  // Stored, because Node returns the server's certificate only once.
  let shown: X509Certificate | undefined;

  const handshake = begin(setup);
  let socket: TLSSocket;
  try {
    socket = nodeTls().connect({
      socket: transport.duplex,
      secureContext: inner.secureContext(),
      rejectUnauthorized,
      checkServerIdentity: (_, legacy) => {
        try {
          return identify(legacy, () => (shown = socket.getPeerX509Certificate()));
        } catch (error) {
          // Thrown here, the error would end the process. With `rejectUnauthorized: false` Node would ignore a returned
          // error.
          handshake.reject(error);
          socket.destroy();
          return callbackError(error, "checkServerIdentity");
        }
      },
      ...(name === undefined || net().isIP(name) !== 0 ? {} : { servername: name.replace(/\.$/, "") }),
      ...(alpnProtocols === undefined ? {} : { ALPNProtocols: [...alpnProtocols] }),
      ...(offered === undefined ? {} : { session: offered.ticket }),
    });
  } catch (error) {
    handshake.reject(fromNodeError(error, "tls_handshake"));
    return handshake.promise;
  }
  const failed = (error: unknown): void => {
    handshake.reject(fromNodeError(error, "tls_handshake"));
    socket.destroy();
  };
  const gone = (): void => failed(localError("ECONNRESET", "tls_handshake"));
  socket.on("session", (ticket) => conn?.offer(ticket));
  socket.on("error", failed);
  socket.on("close", gone);
  socket.once("secureConnect", () => {
    if (handshake.settled) return;
    socket.off("error", failed);
    socket.off("close", gone);
    conn = establish(setup, socket, name, socket.isSessionReused() ? offered?.certificate : shown);
    handshake.resolve(conn);
  });
  return handshake.promise;
}

/** Calls `checkServerIdentity`, and refuses a result that is neither undefined nor an Error. */
function verifyIdentity(
  check: NonNullable<CheckedClient["check"]>,
  name: string,
  certificate: X509Certificate,
): Error | undefined {
  const result: unknown = check(name, certificate);
  if (result === undefined) return undefined;
  if (isNativeError(result) || result instanceof Error) return result;
  // No code awaits this promise.
  if (isPromise(result)) result.catch(() => undefined);
  throw new TypeError(
    `Cannot verify a server: the result of checkServerIdentity is ${quote(result)}, required undefined or an Error, and no Promise`,
  );
}

export function serverHandshake(setup: HandshakeSetup): Promise<TlsConn> {
  const { transport, context } = setup;
  const serverView = Object.create(nodeContext(context).server()) as tls.Server;
  const handshake = begin(setup);
  serverView.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === "secureConnection") {
      const socket = args[0] as TLSSocket;
      const { servername } = socket as { servername?: string | false | null };
      handshake.resolve(establish(setup, socket, servername || undefined, undefined));
    } else if (event === "tlsClientError") {
      const [error, socket] = args as [unknown, TLSSocket];
      handshake.reject(refusedClient(socket) ?? fromNodeError(error, "tls_handshake"));
      socket.destroy();
    }
    return true;
  };
  // The TLS socket copies `allowHalfOpen` from the transport. With false, an end during the handshake ends the
  // handshake. After the handshake the copy has no effect.
  transport.duplex.allowHalfOpen = false;
  try {
    EventEmitter.prototype.emit.call(serverView, "connection", transport.duplex);
  } catch (error) {
    handshake.reject(fromNodeError(error, "tls_handshake"));
  }
  transport.duplex.allowHalfOpen = true;
  return handshake.promise;
}

/** The error for a client without a valid certificate. Node reports only that it has closed the connection. */
function refusedClient(socket: TLSSocket): TlsError | undefined {
  const code = socket.authorizationError as unknown;
  if (typeof code !== "string") return undefined;
  return new TlsError(code, "TLS handshake failed", "the client's certificate does not verify");
}
