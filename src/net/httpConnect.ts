// Opens a tunnel through an HTTP proxy: CONNECT of RFC 9110, section 9.3.6, in HTTP/1.1 (RFC 9112).
//
// The response is read line by line. A line may end with LF alone (RFC 9112, section 2.2). A response that is not HTTP
// is refused after its first bytes or its first line, because the end of such a response may never come.

import { type HostPort, Inet6Address } from "../addr/index.js";
import { quote } from "../check/index.js";
import { LimitError } from "../errors/index.js";
import type { Stream } from "../stream/index.js";
import { type CheckedWait, remainingWait } from "./endpointOptions.js";
import { type CheckedProxy, ProxyRefusal } from "./proxy.js";
import type { HostAddress } from "./resolveHost.js";

const STATUS_LINE_START = "HTTP/";
/** Maximum number of characters of a response that an error quotes. */
const MAX_QUOTED = 200;
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: (.*))?$/;
/** A field of a header, with its name and its value. */
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*(.*?)[\t ]*$/;

/** The error codes for statuses of the response. Any other status of at least 300 is EPROTO. */
const CODE_OF_STATUS: Readonly<Record<number, string>> = {
  401: "EACCES",
  403: "EACCES",
  404: "EHOSTUNREACH",
  405: "EOPNOTSUPP",
  407: "EACCES",
  408: "ETIMEDOUT",
  429: "EBUSY",
  501: "EOPNOTSUPP",
  502: "EHOSTUNREACH",
  503: "EHOSTUNREACH",
  504: "ETIMEDOUT",
};

/** Makes the proxy connect to `target`. Bytes after the header of the response stay in the stream. */
export async function httpConnect(
  stream: Stream,
  proxy: CheckedProxy,
  target: HostAddress | HostPort,
  wait: CheckedWait,
): Promise<void> {
  const { host, port } = target;
  const authority = target instanceof Inet6Address ? `[${host}]:${port}` : `${host}:${port}`;
  const request = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${proxy.requestFields}\r\n`;
  await stream.write(Buffer.from(request, "latin1"), remainingWait(wait));
  const reader = new ResponseReader(stream, proxy, wait);
  let response = await reader.readHeader();
  // Interim responses, which precede the final one.
  while (response.status < 200) response = await reader.readHeader();
  const { headers, status, statusText } = response;
  // A 2xx response to CONNECT has no body, even if it has a Content-Length.
  if (status < 300) return;
  const message = `the proxy answered ${status} ${quote(statusText)}`;
  throw new ProxyRefusal(CODE_OF_STATUS[status] ?? "EPROTO", message, { status, statusText, headers });
}

/** The header of a response. */
interface ResponseHeader {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Reads headers of responses. `maxHeaderBytes` and `maxHeaderFields` limit all interim responses (1xx) and the final
 * one together.
 */
class ResponseReader {
  readonly #stream: Stream;
  readonly #proxy: CheckedProxy;
  readonly #wait: CheckedWait;
  #bytesRead = 0;
  #fieldsRead = 0;

  constructor(stream: Stream, proxy: CheckedProxy, wait: CheckedWait) {
    this.#stream = stream;
    this.#proxy = proxy;
    this.#wait = wait;
  }

  async readHeader(): Promise<ResponseHeader> {
    const { maxHeaderFields } = this.#proxy;
    const bytes = await this.#stream.peek(STATUS_LINE_START.length, remainingWait(this.#wait));
    const start = bytes?.toString("latin1") ?? "";
    // Checked before the line is complete, because the end of another protocol's line may never come. If the peer ended
    // the connection, `start` can be shorter.
    if (!STATUS_LINE_START.startsWith(start)) throw notHttpError(start);
    const statusLine = await this.#readLine();
    const match = STATUS_LINE.exec(statusLine);
    if (match === null) throw notHttpError(statusLine);
    const headers: Record<string, string> = Object.create(null) as Record<string, string>;
    for (let line = await this.#readLine(); line !== ""; line = await this.#readLine()) {
      if (++this.#fieldsRead > maxHeaderFields) {
        throw new LimitError("maxHeaders", maxHeaderFields, this.#fieldsRead, "header fields");
      }
      const field = FIELD.exec(line);
      if (field === null || line.includes("\r") || line.includes("\0")) {
        throw new ProxyRefusal(
          "EPROTO",
          `the proxy answered ${quote(line.slice(0, MAX_QUOTED))}, required a field of a header`,
        );
      }
      const name = field[1]!.toLowerCase();
      const earlier = headers[name];
      headers[name] = earlier === undefined ? field[2]! : `${earlier}, ${field[2]!}`;
    }
    return { status: Number(match[1]), statusText: match[2] ?? "", headers };
  }

  /** Reads the next line. Returns it without its line end. */
  async #readLine(): Promise<string> {
    const { maxHeaderBytes } = this.#proxy;
    const max = maxHeaderBytes - this.#bytesRead;
    if (max <= 0) throw new LimitError("maxHeader", maxHeaderBytes, this.#bytesRead + 1);
    const bytes = await this.#stream.readUntil("\n", { ...remainingWait(this.#wait), max }).catch((error: unknown) => {
      // The limit of the caller is that of all lines together.
      if (error instanceof LimitError) throw new LimitError("maxHeader", maxHeaderBytes, this.#bytesRead + error.found);
      throw error;
    });
    if (bytes === null)
      throw new ProxyRefusal("ECONNRESET", "the proxy ended the connection before the end of its response");
    this.#bytesRead += bytes.length;
    return bytes.toString("latin1").replace(/\r?\n$/, "");
  }
}

function notHttpError(found: string): ProxyRefusal {
  return new ProxyRefusal(
    "EPROTO",
    `the proxy answered ${quote(found.slice(0, MAX_QUOTED))}, required a status line of HTTP/1.1`,
  );
}
