// A tunnel through an HTTP proxy: CONNECT of RFC 9110, section 9.3.6, in the form of HTTP/1.1 (RFC 9112).

import { type HostPort, Inet6Address, quote } from "../addr/index.js";
import type { Stream } from "../stream/index.js";
import { type CheckedWait, rest } from "./options.js";
import { type CheckedProxy, Refusal } from "./proxy.js";
import type { HostAddress } from "./resolver.js";

const END = Buffer.from("\r\n\r\n");
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r\n/;

/** What a status means for who wanted a connection; the rest is EPROTO. */
const CODES: Readonly<Record<number, string>> = {
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

/** Has the proxy connect to `target`. What follows its header stays in the stream. */
export async function httpConnect(
  stream: Stream,
  { credentials, maxHeader }: CheckedProxy,
  target: HostAddress | HostPort,
  wait: CheckedWait,
): Promise<void> {
  const { host, port } = target;
  const authority = target instanceof Inet6Address ? `[${host}]:${port}` : `${host}:${port}`;
  let request = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n`;
  if (credentials !== undefined) {
    const token = Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64");
    request += `Proxy-Authorization: Basic ${token}\r\n`;
  }
  await stream.write(`${request}\r\n`, rest(wait));
  // All interim answers (1xx) together have no more room than one.
  for (let room = maxHeader; ;) {
    const header = await stream.readUntil(END, { ...rest(wait), max: room });
    if (header === null) throw new Refusal("ECONNRESET", "the proxy ended the connection without an answer");
    const status = statusOf(header.toString("latin1"));
    // A 2xx answer ends at its header: the length of a body, where it names one, counts for nothing.
    if (status >= 200) return;
    room = Math.max(1, room - header.length);
  }
}

/** The status of an answer that does not refuse: 1xx or 2xx. */
function statusOf(header: string): number {
  const match = STATUS_LINE.exec(header);
  if (match === null) {
    throw new Refusal(
      "EPROTO",
      `the proxy answered ${quote(header.slice(0, 200))}, required a status line of HTTP/1.1`,
    );
  }
  const status = Number(match[1]);
  if (status < 300) return status;
  throw new Refusal(CODES[status] ?? "EPROTO", `the proxy answered ${status} ${quote(match[2] ?? "")}`);
}
