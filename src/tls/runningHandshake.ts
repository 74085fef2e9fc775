// A running handshake of a TLS listener, and the step before it.

import type { Conn } from "../io.js";
import type { Stream } from "../stream/index.js";
import type { TlsConn } from "./tlsConn.js";
import type { Transport } from "./transport.js";

/**
 * A step before the handshake: reads the bytes before the first record of TLS, such as a header of the PROXY protocol.
 * Resolves with a function that the listener calls with the connection after the handshake. Resolves with undefined if
 * the step has refused and reset the connection.
 */
export type BeforeHandshake = (stream: Stream) => Promise<((secured: TlsConn) => void) | undefined>;

/** A handshake of a listener, with the step before it. */
export interface RunningHandshake {
  /** When the listener began with this connection, as of `clock()`. */
  readonly since: number;
  /** The connection while the step before the handshake runs, otherwise undefined. */
  connBeforeTls: Conn | undefined;
  /** Whether the step before the handshake has refused the connection. */
  refused: boolean;
  /** Undefined until the handshake itself has started. */
  transport: Transport | undefined;
  /** Whether the client was dropped for another connection. */
  dropped: boolean;
  /** Resolves when the handshake has ended. */
  whenFinished: Promise<void> | undefined;
}
