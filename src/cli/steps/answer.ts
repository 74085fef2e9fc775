// The answers of the server: an HTML page for an HTTP request, a line of text for all other data. No I/O.
//
// The request line shows whether a client uses HTTP (RFC 9112, section 3). Until the headers of a request are complete,
// the result of classify() is "beginning".

import { WELCOME } from "./exchange.js";

/** Maximum number of bytes of the request line and the headers. Browsers send one or two thousand. */
export const MAX_REQUEST = 16_384;

const METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS";
const METHOD = new RegExp(`^(?:${METHODS}) `);
const REQUEST_LINE = new RegExp(`^(${METHODS}) \\S+ HTTP/1\\.[01]\\r?$`);

/** The received bytes: a text, a request with this method, or the beginning of a request. */
export type Received =
  | { readonly kind: "text" }
  | { readonly kind: "request"; readonly method: string }
  /** `hasLine`: whether the request line is complete. */
  | { readonly kind: "beginning"; readonly hasLine: boolean };

/** Decides whether the bytes are a text or HTTP. A wrong request line is a text. */
export function classify(bytes: Uint8Array): Received {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  if (!METHOD.test(text)) return { kind: "text" };
  const lineEnd = text.indexOf("\n");
  if (lineEnd < 0) return { kind: "beginning", hasLine: false };
  const line = REQUEST_LINE.exec(text.slice(0, lineEnd));
  if (line === null) return { kind: "text" };
  return /\n\r?\n/.test(text) ? { kind: "request", method: line[1]! } : { kind: "beginning", hasLine: true };
}

/** The answer to a text. It ends with a newline if the text does. */
export function welcomeText(bytes: Uint8Array): string {
  return bytes.at(-1) === 0x0a ? `${WELCOME}\n` : WELCOME;
}

/** A whole HTTP response. `details` is a sentence for the page. It is not escaped, so it must have no client data. */
export function httpResponse(method: string, details: string): string {
  const isAllowed = method === "GET" || method === "HEAD";
  const body = isAllowed
    ? `<!doctype html>\n<html lang="en">\n<meta ` +
      `charset="utf-8">\n<title>berkeley</title>\n<h1>${WELCOME}</h1>\n<p>${details}</p>\n</html>\n`
    : "Only GET and HEAD are answered here\n";
  return formatResponse({
    status: isAllowed ? "200 OK" : "405 Method Not Allowed",
    headers: isAllowed ? [] : ["Allow: GET, HEAD"],
    type: isAllowed ? "text/html" : "text/plain",
    body,
    headOnly: method === "HEAD",
  });
}

/** The answer to a request that is too long. */
export function tooLargeResponse(): string {
  return formatResponse({
    status: "431 Request Header Fields Too Large",
    type: "text/plain",
    body: `At most ${MAX_REQUEST} bytes are read here\n`,
  });
}

interface ResponseParts {
  readonly status: string;
  /** Further headers. */
  readonly headers?: readonly string[];
  readonly type: "text/html" | "text/plain";
  readonly body: string;
  /** Whether the body is left out, as in an answer to HEAD. Content-Length is the same. */
  readonly headOnly?: boolean;
}

function formatResponse({ status, headers = [], type, body, headOnly = false }: ResponseParts): string {
  const lines = [
    `HTTP/1.1 ${status}`,
    `Date: ${new Date().toUTCString()}`,
    `Content-Type: ${type}; charset=utf-8`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    ...headers,
  ];
  return `${lines.join("\r\n")}\r\n\r\n${headOnly ? "" : body}`;
}
