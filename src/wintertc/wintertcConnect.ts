// connect() of the WinterTC sockets proposal, and createBinding(), which makes a connect() with further options (TLS,
// proxies, addresses).

import type { Conn } from "../io.js";
import { connect as berkeleyConnect, type ConnectOptions } from "../net/index.js";
import { type TlsClientOptions, wrapTls } from "../tls/index.js";
import { type AnySocketAddress, checkAddress, checkSocketOptions, type SocketOptions } from "./wintertcOptions.js";
import { type Socket, WintertcSocket } from "./wintertcSocket.js";

/** The options of a binding object, in addition to those of the proposal. */
export interface BindingOptions {
  /** How to connect: proxy, local address and others. `timeout` includes the handshake of `secureTransport: "on"`. */
  readonly connect?: Omit<ConnectOptions, "signal" | "tls"> | undefined;
  /** The options of TLS: trusted certificates, own certificates and others. */
  readonly tls?: Omit<TlsClientOptions, "alpnProtocols" | "host" | "servername" | "signal"> | undefined;
}

/** The "binding object" of the proposal: a `connect()` with options of its own. */
export interface Binding {
  connect(address: AnySocketAddress, options?: SocketOptions): Socket;
}

/**
 * Makes a binding object: a `connect()` of the proposal that uses these options for all its connections.
 *
 * @see https://sockets-api.proposal.wintertc.org/#binding-object-concept
 * @example
 * ```ts no-run
 * import { createBinding } from "berkeley/wintertc";
 * import { readFileSync } from "node:fs";
 *
 * const internal = createBinding({ tls: { ca: readFileSync("ca.pem") }, connect: { timeout: 2_000 } });
 * const socket = internal.connect("db.internal:5432", { secureTransport: "starttls" });
 * ```
 */
export function createBinding(binding: BindingOptions = {}): Binding {
  return {
    connect(address, options = {}) {
      const target = checkAddress(address);
      const checked = checkSocketOptions(options, target.host);
      const { alpn, secureTransport, servername } = checked;
      const tls = { ...binding.tls, ...(alpn.length > 0 ? { alpnProtocols: alpn } : {}), servername };
      const startTls = async (conn: Conn, signal: AbortSignal): Promise<Conn> => {
        try {
          return await wrapTls(conn, { ...tls, signal });
        } catch (error) {
          await conn.close();
          throw error;
        }
      };
      const open = async (signal: AbortSignal): Promise<Conn> => {
        const { host, port } = target;
        const [scheme, tlsOption] = secureTransport === "on" ? (["tls", { tls }] as const) : (["tcp", {}] as const);
        const stream = await berkeleyConnect({ scheme, host, port }, { ...binding.connect, ...tlsOption, signal });
        // Bytes of the peer that came together with the response of a proxy are in the buffer of the stream. Without
        // such bytes, the connection below the stream is enough.
        return stream.buffered > 0 ? stream : stream.conn;
      };
      return new WintertcSocket(open, startTls, checked);
    },
  };
}

const defaultBinding = createBinding();

/**
 * Connects as the WinterTC sockets proposal describes. It returns a socket at once, and its streams can be used at
 * once. When the connection is established, `opened` resolves and the streams move bytes.
 *
 * @throws SocketError for an address or an option that is wrong. All other errors reject `opened` and `closed`
 * @see https://sockets-api.proposal.wintertc.org/#connect-section
 * @example
 * ```ts
 * import { listen } from "berkeley";
 * import { connect } from "berkeley/wintertc";
 *
 * await using listener = await listen("tcp://127.0.0.1:8888");
 * const socket = connect("127.0.0.1:8888");
 * const writer = socket.writable.getWriter();
 * await writer.write("Hello!\n");
 *
 * const peer = await listener.accept();
 * await peer.write(`you said ${await peer.readLine()}`);
 * await peer.close();
 * for await (const chunk of socket.readable) console.log(Buffer.from(chunk).toString()); // prints: you said Hello!
 * await socket.closed;
 * ```
 */
export const connect: Binding["connect"] = (address, options) => defaultBinding.connect(address, options);
