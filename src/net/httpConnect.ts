// Opens a tunnel through an HTTP proxy: CONNECT of RFC 9110, section 9.3.6, in HTTP/1.1 (RFC 9112).
//
// The response is read line by line. A line may end with a bare LF (RFC 9112, section 2.2). A response that is not HTTP
// is refused after its first bytes or its first line, because the end of such a response may never come.

import { type HostPort, Inet6Address } from "../addr/index.js";
import { quote } from "../check/index.js";
import { LimitError } from "../errors/index.js";
import type { Stream } from "../stream/index.js";
import { type CheckedWait, remainingWait } from "./endpointOptions.js";
import { type CheckedProxy, ProxyRefusal } from "./proxy.js";
import type { HostAddress } from "./customResolver.js";

const HTTP_START = "HTTP/";
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: (.*))?$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*(.*?)[\t ]*$/;

/** The error code for a status of the response. Other statuses are EPROTO. */
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

/** Makes the proxy connect to `target`. Bytes after the response header stay in the stream. */
export async function httpConnect(
  stream: Stream,
  proxy: CheckedProxy,
  target: HostAddress | HostPort,
  wait: CheckedWait,
): Promise<void> {
  const { host, port } = target;
  const authority = target instanceof Inet6Address ? `[${host}]:${port}` : `${host}:${port}`;
  const request = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${proxy.fields}\r\n`;
  await stream.write(Buffer.from(request, "latin1"), remainingWait(wait));
  const reader = new ResponseReader(stream, proxy, wait);
  for (;;) {
    const { headers, status, statusText } = await reader.read();
    // A 2xx response to CONNECT has no body, even if it has a Content-Length.
    if (status >= 200 && status < 300) return;
    if (status >= 300) {
      const reason = `the proxy answered ${status} ${quote(statusText)}`;
      throw new ProxyRefusal(CODE_OF_STATUS[status] ?? "EPROTO", reason, { status, statusText, headers });
    }
  }
}

/** The header of a response. */
interface ResponseHeader {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Reads response headers. The limits hold for all interim responses (1xx) and the final one together. */
class ResponseReader {
  readonly #stream: Stream;
  readonly #proxy: CheckedProxy;
  readonly #wait: CheckedWait;
  #bytes = 0;
  #fields = 0;

  constructor(stream: Stream, proxy: CheckedProxy, wait: CheckedWait) {
    this.#stream = stream;
    this.#proxy = proxy;
    this.#wait = wait;
  }

  async read(): Promise<ResponseHeader> {
    const start = (await this.#stream.peek(HTTP_START.length, remainingWait(this.#wait)))?.toString("latin1") ?? "";
    // Checked before the line is complete, because the end of another protocol's line may never come.
    if (!HTTP_START.startsWith(start)) throw notHttp(start);
    const first = await this.#line();
    const match = STATUS_LINE.exec(first);
    if (match === null) throw notHttp(first);
    const headers: Record<string, string> = Object.create(null) as Record<string, string>;
    for (let line = await this.#line(); line !== ""; line = await this.#line()) {
      if (++this.#fields > this.#proxy.maxHeaders) {
        throw new LimitError("maxHeaders", this.#proxy.maxHeaders, this.#fields);
      }
      const field = FIELD.exec(line);
      if (field === null || line.includes("\r") || line.includes("\0")) {
        throw new ProxyRefusal(
          "EPROTO",
          `the proxy answered ${quote(line.slice(0, 200))}, required a field of a header`,
        );
      }
      const name = field[1]!.toLowerCase();
      const earlier = headers[name];
      headers[name] = earlier === undefined ? field[2]! : `${earlier}, ${field[2]!}`;
    }
    return { status: Number(match[1]), statusText: match[2] ?? "", headers };
  }

  /** The next line without its line end. */
  async #line(): Promise<string> {
    const { maxHeader } = this.#proxy;
    const max = maxHeader - this.#bytes;
    if (max <= 0) throw new LimitError("maxHeader", maxHeader, this.#bytes + 1);
    const bytes = await this.#stream.readUntil("\n", { ...remainingWait(this.#wait), max });
    if (bytes === null)
      throw new ProxyRefusal("ECONNRESET", "the proxy ended the connection before the end of its response");
    this.#bytes += bytes.length;
    return bytes.toString("latin1").replace(/\r?\n$/, "");
  }
}

function notHttp(found: string): ProxyRefusal {
  return new ProxyRefusal(
    "EPROTO",
    `the proxy answered ${quote(found.slice(0, 200))}, required a status line of HTTP/1.1`,
  );
}
