// The two sides of the handshake, each from a transport to a TlsConn.
//
// A client is tls.connect() on the transport. A server is the context's tls.Server with the transport put into it, as Node
// allows for any stream. That server reports all its handshakes as its own events; so that each of ours hears of its own
// and of nothing else, the connection is given to an object that is that server in all but `emit`.

import type { X509Certificate } from "node:crypto";
import { EventEmitter } from "node:events";
import type tls from "node:tls";
import type { TLSSocket } from "node:tls";
import { types } from "node:util";
import { net, tls as nodeTls } from "../builtins.js";
import { quote } from "../check/index.js";
import { type SocketError, TlsError } from "../errors/index.js";
import type { Conn, IoOptions } from "../io.js";
import { localError, timeoutError } from "../wait/localError.js";
import { Wait } from "../wait/pendingCall.js";
import type { Transport } from "./transport.js";
import { TlsConn } from "./tlsConn.js";
import { nodeContext, type TlsContext } from "./tlsContext.js";
import { callbackError, fromNodeError } from "./nodeError.js";
import type { CheckedConnection, TlsClientOptions } from "./tlsOptions.js";
import { isCurrent, type Session } from "./session.js";

/** What is handed to a handshake: the connection, what carries it, and the settings. */
export interface HandshakeSetup {
  readonly conn: Conn;
  readonly transport: Transport;
  readonly context: TlsContext;
  readonly checked: CheckedConnection;
}

class HandshakeCall extends Wait<TlsConn> {
  readonly #stop: () => void;

  constructor(opts: IoOptions, stop: () => void) {
    super(opts);
    this.#stop = stop;
  }

  protected override cut(): SocketError {
    this.#stop();
    return timeoutError("tls_handshake");
  }
}

function begin({ transport, checked }: HandshakeSetup): HandshakeCall {
  // Node's end of it is destroyed with what it stands on.
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

/** What the client's own options come to. */
export interface CheckedClient {
  /** What the certificate is checked for; undefined where nothing is checked. */
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
  // One that does not fit is not offered: then the handshake is a full one.
  const offered = session !== undefined && fits(session) ? session : undefined;
  // Node gives the server's certificate once: a second call finds none.
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
          // Thrown here it would end the process, and with `rejectUnauthorized: false` Node goes on in spite of it.
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

/** What `checkServerIdentity` says, which is undefined or an Error and nothing else. */
function verifyIdentity(
  check: NonNullable<CheckedClient["check"]>,
  name: string,
  certificate: X509Certificate,
): Error | undefined {
  const said: unknown = check(name, certificate);
  if (said === undefined) return undefined;
  if (types.isNativeError(said) || said instanceof Error) return said;
  // Nobody will wait for it.
  if (types.isPromise(said)) said.catch(() => undefined);
  throw new TypeError(
    `Cannot verify a server: checkServerIdentity gave ${quote(said)}, required undefined or an Error, at once`,
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
  // The TLS socket takes this over from what it is made on. Until the handshake is over, an end is the end of it; after that
  // it is not asked any more.
  transport.duplex.allowHalfOpen = false;
  try {
    EventEmitter.prototype.emit.call(serverView, "connection", transport.duplex);
  } catch (error) {
    handshake.reject(fromNodeError(error, "tls_handshake"));
  }
  transport.duplex.allowHalfOpen = true;
  return handshake.promise;
}

/** Node closes the connection of a client whose certificate does not verify, and says no more than that it is closed. */
function refusedClient(socket: TLSSocket): TlsError | undefined {
  const code = socket.authorizationError as unknown;
  if (typeof code !== "string") return undefined;
  return new TlsError(code, "TLS handshake failed", "the client's certificate does not verify");
}
