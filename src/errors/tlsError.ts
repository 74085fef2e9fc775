// TlsError: TLS has failed.

import { BerkeleyError } from "./berkeleyError.js";
import { mark } from "./mark.js";

/**
 * TLS failed: in the handshake, in a check of the peer, or later. An error of the connection below TLS is a
 * {@link SocketError}.
 *
 * `code` is the code of OpenSSL or Node.js where they have one: `CERT_HAS_EXPIRED`, `DEPTH_ZERO_SELF_SIGNED_CERT`,
 * `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_TLS_CERT_ALTNAME_INVALID`, `ERR_SSL_…`. The library makes these:
 *
 * - `ERR_TLS_PLAINTEXT_PEER`: the peer sent bytes that are not TLS,
 * - `ERR_TLS_TRUNCATED`: the connection ended without close_notify, so it is unknown whether the peer had finished,
 * - `ERR_TLS_BUFFERED`: bytes of plain text were read ahead before the upgrade to TLS,
 * - `ERR_TLS_SOCKET`: the program has called a read or a write of the socket below TLS,
 * - `ERR_TLS_SILENT`: the listener has closed a connection on which nothing arrived, to accept another one,
 * - `ERR_TLS_CONTEXT`: an option has a value that TLS can't use, and OpenSSL has no code for it.
 *
 * @example
 * ```ts
 * import { TlsError, wrapTls } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, b] = memoryPair();
 * await b.write("220 mail.example ready\r\n");
 * const error = await wrapTls(a, { servername: "mail.example" }).catch((error) => error);
 * console.log(error instanceof TlsError && error.code); // prints: ERR_TLS_PLAINTEXT_PEER
 * ```
 */
export class TlsError extends BerkeleyError {
  /** The stable name of the error. */
  override readonly code: string;
  /** The reason as a text, without the action. */
  readonly reason: string;

  constructor(code: string, action: string, reason: string, options?: { cause?: unknown }) {
    super(`${action}: ${reason} (${code})`, options);
    this.code = code;
    this.reason = reason;
  }

  static {
    TlsError.prototype.name = "TlsError";
    mark(TlsError);
  }
}
