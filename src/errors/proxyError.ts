// ProxyError: a proxy has refused a connection.

import { mark } from "./mark.js";
import { SocketError, type SocketErrorDetails } from "./socketError.js";

/** The answer of the proxy; see {@link ProxyError}. */
export interface ProxyErrorDetails extends SocketErrorDetails {
  readonly status?: number | undefined;
  readonly statusText?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly reply?: number | undefined;
}

/**
 * A proxy did not open the tunnel. `code` is the code of errno(3) that is closest to the answer of the proxy. The other
 * properties are the answer itself.
 *
 * @example
 * ```ts
 * import { connect, listen, ProxyError } from "berkeley";
 *
 * await using proxy = await listen("tcp://127.0.0.1:8888");
 * const connecting = connect("tcp://example.org:443", { via: "http://127.0.0.1:8888" }).catch((error) => error);
 * await using client = await proxy.accept();
 * await client.write("HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=x\r\n\r\n");
 * const error = await connecting;
 * if (error instanceof ProxyError) console.log(error.code, error.status, error.headers?.["proxy-authenticate"]);
 * // prints: EACCES 407 Basic realm=x
 * ```
 */
export class ProxyError extends SocketError {
  /** The status of the answer of an HTTP proxy, such as 407. */
  declare readonly status?: number;
  /** The text after the status. */
  declare readonly statusText?: string;
  /** Header fields of the answer, by their names in lower case. The values of a repeated field are joined by commas. */
  declare readonly headers?: Readonly<Record<string, string>>;
  /** The reply code of a SOCKS proxy; RFC 1928, section 6. */
  declare readonly reply?: number;

  constructor(code: string, errno: number, syscall: string, details: ProxyErrorDetails = {}) {
    super(code, errno, syscall, details);
    const { headers, reply, status, statusText } = details;
    if (status !== undefined) this.status = status;
    if (statusText !== undefined) this.statusText = statusText;
    if (headers !== undefined) this.headers = headers;
    if (reply !== undefined) this.reply = reply;
  }

  static {
    ProxyError.prototype.name = "ProxyError";
    mark(ProxyError);
  }
}
