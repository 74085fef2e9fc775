// Errors of TLS.

import { mark } from "./mark.js";

/**
 * TLS failed: in the handshake, in a check of the peer, or later. What the connection below failed with is a
 * {@link SocketError} as everywhere.
 *
 * `code` is OpenSSL's or Node's own where they have one, as users know them: `CERT_HAS_EXPIRED`,
 * `DEPTH_ZERO_SELF_SIGNED_CERT`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_TLS_CERT_ALTNAME_INVALID`, `ERR_SSL_…`. Made here:
 *
 * - `ERR_TLS_PLAINTEXT_PEER`: the peer sent something else than TLS,
 * - `ERR_TLS_TRUNCATED`: the peer's end came without close_notify, so nobody knows whether it had finished,
 * - `ERR_TLS_BUFFERED`: bytes were read before the upgrade to TLS and belong to nobody,
 * - `ERR_TLS_SILENT`: a client that had sent nothing made way for another one,
 * - `ERR_TLS_CONTEXT`: an option holds what TLS can't use, where OpenSSL has no code for it.
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
export class TlsError extends Error {
  /** Stable name of the error. */
  readonly code: string;
  /** What was wrong, for people, without the action. */
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
