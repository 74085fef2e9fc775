// connect() of the proposal, and its "binding object": the same with more to say about TLS, proxies and addresses.

import type { Conn } from "../io.js";
import { connect as dial, type ConnectOptions } from "../net/index.js";
import { type TlsClientOptions, wrapTls } from "../tls/index.js";
import { type AnySocketAddress, checkAddress, checkOptions, type SocketOptions } from "./wintertcOptions.js";
import { type Socket, WinterSocket } from "./wintertcSocket.js";

/** What a binding object adds to the proposal's options. */
export interface BindingOptions {
  /** How to dial: timeout (of the handshake, too), proxy, local address and the like. */
  readonly connect?: Omit<ConnectOptions, "signal" | "tls"> | undefined;
  /** How to speak TLS: the certificates that are trusted, those that are shown, and the like. */
  readonly tls?: Omit<TlsClientOptions, "alpnProtocols" | "host" | "servername" | "signal"> | undefined;
}

/** The proposal's "binding object": a `connect()` with options of its own. */
export interface Binding {
  connect(address: AnySocketAddress, options?: SocketOptions): Socket;
}

/**
 * A binding object: `connect()` as the proposal has it, with these options for all its connections.
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
      const checked = checkOptions(options, target.host);
      const { alpn, secureTransport, servername } = checked;
      const tls = { ...binding.tls, ...(alpn.length > 0 ? { alpnProtocols: alpn } : {}), servername };
      const secure = async (conn: Conn, signal: AbortSignal): Promise<Conn> => {
        try {
          return await wrapTls(conn, { ...tls, signal });
        } catch (error) {
          await conn.close();
          throw error;
        }
      };
      const open = async (signal: AbortSignal): Promise<Conn> => {
        const { host, port } = target;
        const [scheme, security] = secureTransport === "on" ? (["tls", { tls }] as const) : (["tcp", {}] as const);
        const stream = await dial({ scheme, host, port }, { ...binding.connect, ...security, signal });
        // No buffer in between: what nobody has asked for stays in the kernel, also for TLS. But for what came along
        // with the answer of a proxy, which is in the stream.
        return stream.buffered > 0 ? stream : stream.conn;
      };
      return new WinterSocket(open, secure, checked);
    },
  };
}

const plain = createBinding();

/**
 * Connects as the WinterTC sockets proposal says: gives a socket at once, whose streams can be used at once and move
 * bytes as soon as the connection stands. `opened` tells when that is.
 *
 * @throws SocketError for an address or an option that is wrong; all else is told by `opened` and `closed`
 * @see https://sockets-api.proposal.wintertc.org/#connect-section
 * @example
 * ```ts
 * import { listen } from "berkeley";
 * import { connect } from "berkeley/wintertc";
 *
 * await using listener = await listen("tcp://127.0.0.1:8888");
 * const socket = connect("127.0.0.1:8888");
 * const writer = socket.writable.getWriter();
 * await writer.write("Hello, World!\n");
 *
 * const peer = await listener.accept();
 * await peer.write(`you said ${await peer.readLine()}`);
 * await peer.close();
 * for await (const chunk of socket.readable) console.log(Buffer.from(chunk).toString()); // prints: you said Hello, World!
 * await socket.closed;
 * ```
 */
export const connect: Binding["connect"] = (address, options) => plain.connect(address, options);
