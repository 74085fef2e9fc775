// What a visitor of the server gets: a browser a page, anybody else the welcome. Pure.
//
// Whether it is HTTP is seen by the request line (RFC 9112, section 3). That may come in pieces, so there is a third outcome:
// it can't be said yet.

import { WELCOME } from "./exchange.js";

/** Bytes of request line and headers at most. Browsers send about one or two thousand. */
export const MAX_REQUEST = 16_384;

const METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS";
const METHOD = new RegExp(`^(?:${METHODS}) `);
const REQUEST_LINE = new RegExp(`^(${METHODS}) \\S+ HTTP/1\\.[01]\\r?$`);

/** What the bytes so far are: a text, a request of this method, or the beginning of one. */
export type Heard =
  | { readonly kind: "text" }
  | { readonly kind: "request"; readonly method: string }
  | { readonly kind: "beginning"; readonly requestLine: boolean };

export function understand(bytes: Uint8Array): Heard {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  if (!METHOD.test(text)) return { kind: "text" };
  const end = text.indexOf("\n");
  if (end < 0) return { kind: "beginning", requestLine: false };
  const line = REQUEST_LINE.exec(text.slice(0, end));
  if (line === null) return { kind: "text" };
  return /\n\r?\n/.test(text) ? { kind: "request", method: line[1]! } : { kind: "beginning", requestLine: true };
}

/** The welcome; with a line end for who sent a line. */
export function welcome(bytes: Uint8Array): string {
  return bytes.at(-1) === 0x0a ? `${WELCOME}\n` : WELCOME;
}

/** An HTTP response, whole. `details`: a sentence for the page, without anything that came from the visitor. */
export function response(method: string, details: string): string {
  const good = method === "GET" || method === "HEAD";
  const body = good
    ? `<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>berkeley</title>\n<h1>${WELCOME}</h1>\n<p>${details}</p>\n</html>\n`
    : "Only GET and HEAD are answered here\n";
  return respond(
    good ? "200 OK" : "405 Method Not Allowed",
    good ? [] : ["Allow: GET, HEAD"],
    good,
    body,
    method === "HEAD",
  );
}

/** The answer to a request that does not end. */
export function tooLarge(): string {
  return respond(
    "431 Request Header Fields Too Large",
    [],
    false,
    `At most ${MAX_REQUEST} bytes are read here\n`,
    false,
  );
}

function respond(status: string, extra: readonly string[], html: boolean, body: string, headOnly: boolean): string {
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
