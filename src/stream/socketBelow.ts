// The socket below a stream, and its type.

import type { Conn, SocketSettings } from "../io.js";

/**
 * The type of `stream.socket`. Over a `SocketConn` it is the `Socket`. A read of this socket rejects with a
 * `BufferedError` (`ERR_BUFFERED`) while the stream has unread bytes. Over TLS it is a {@link SocketSettings}. That
 * type has no reads and no writes, because they would break the records of TLS. In JavaScript such a call fails with
 * `ERR_TLS_SOCKET`. Over a connection without a socket of the kernel it is undefined.
 */
export type SocketBelow<C extends Conn> = C extends { readonly socket: infer S } ? S : SocketSettings | undefined;

/** The `socket` of the connection if it has one, otherwise its settings. */
export function socketBelow<C extends Conn>(conn: C): SocketBelow<C> {
  return ("socket" in conn ? conn.socket : conn.settings?.()) as SocketBelow<C>;
}
