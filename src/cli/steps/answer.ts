// The answers of the server: an HTML page for an HTTP request, a line of text for all other data. No I/O.
//
// The request line shows whether a client uses HTTP (RFC 9112, section 3). Until the end of the headers, the result of
// classify() is "beginning".

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
  /** `requestLine` says whether the request line is complete. */
  | { readonly kind: "beginning"; readonly requestLine: boolean };

export function classify(bytes: Uint8Array): Received {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  if (!METHOD.test(text)) return { kind: "text" };
  const end = text.indexOf("\n");
  if (end < 0) return { kind: "beginning", requestLine: false };
  const line = REQUEST_LINE.exec(text.slice(0, end));
  if (line === null) return { kind: "text" };
  return /\n\r?\n/.test(text) ? { kind: "request", method: line[1]! } : { kind: "beginning", requestLine: true };
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
  return formatResponse(
    isAllowed ? "200 OK" : "405 Method Not Allowed",
    isAllowed ? [] : ["Allow: GET, HEAD"],
    isAllowed,
    body,
    method === "HEAD",
  );
}

/** The answer to a request that is too long. */
export function tooLargeResponse(): string {
  return formatResponse(
    "431 Request Header Fields Too Large",
    [],
    false,
    `At most ${MAX_REQUEST} bytes are read here\n`,
    false,
  );
}

function formatResponse(
  status: string,
  extra: readonly string[],
  html: boolean,
  body: string,
  headOnly: boolean,
): string {
  const headers = [
    `HTTP/1.1 ${status}`,
    `Date: ${new Date().toUTCString()}`,
    `Content-Type: text/${html ? "html" : "plain"}; charset=utf-8`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    ...extra,
  ];
  return `${headers.join("\r\n")}\r\n\r\n${headOnly ? "" : body}`;
}
