// A handshake of a TLS listener, and the step before it.

import type { Conn } from "../io.js";
import type { Stream } from "../stream/index.js";
import type { TlsConn } from "./tlsConn.js";
import type { Transport } from "./transport.js";

/**
 * Reads what comes before the first record of TLS, such as a header of the PROXY protocol. Resolves with a function that
 * is called with the connection after its handshake, or with undefined if it has refused and reset the connection.
 */
export type BeforeHandshake = (stream: Stream) => Promise<((secured: TlsConn) => void) | undefined>;

/** A handshake that runs. */
export interface RunningHandshake {
  /** The start, as of `clock()`. */
  readonly since: number;
  /** The connection, while the step before the handshake runs. */
  early: Conn | undefined;
  /** Whether that step has refused the connection. */
  refused: boolean;
  transport: Transport | undefined;
  /** Whether it was dropped for another connection. */
  dropped: boolean;
  finished: Promise<void> | undefined;
}
