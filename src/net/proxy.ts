// Which proxy to go through, with whose credentials, and to where; all of it checked before anything is sent.

import { domainToASCII } from "node:url";
import { HostPort, Inet6Address, InetAddress, quote, toAddress } from "../addr/index.js";
import { integer } from "../sys/arguments.js";
import { checkApplies } from "./options.js";
import type { HostAddress } from "./resolver.js";

/** A proxy to go through. */
export interface ProxyOptions {
  /** SOCKS version 5 (RFC 1928), or HTTP's CONNECT (RFC 9110, section 9.3.6). */
  readonly protocol: "socks5" | "http";
  readonly host: string;
  readonly port: number;
  /** Who to be: RFC 1929 for SOCKS, the Basic scheme (RFC 7617) for HTTP. In the clear, either way. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Most bytes of the header that an HTTP proxy answers with. Default 16 KiB. */
  readonly maxHeader?: number | undefined;
}

/** A user and a password, both there. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** `ProxyOptions` that were checked. */
export interface CheckedProxy {
  readonly protocol: "socks5" | "http";
  readonly address: HostAddress | HostPort;
  readonly credentials: Credentials | undefined;
  readonly maxHeader: number;
}

/** What a proxy answered instead of opening the tunnel: the code for the error, and the words for its cause. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const FORM =
  "required socks5://host:port or http://host:port, with user:password@ before the host where the proxy asks";
const MAX_HEADER = 16_384;
/** RFC 1035, section 2.3.4, without the length bytes at both ends. */
const MAX_NAME = 253;

/** Reads a proxy from text or parts. Messages of its errors leave the credentials out. */
export function checkProxy(value: unknown, action: string): CheckedProxy {
  if (typeof value === "string") return fromText(value, action);
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`Cannot ${action}: via is ${quote(value)}, ${FORM}, or { protocol, host, port }`);
  }
  checkApplies(value, ["protocol", "host", "port", "username", "password", "maxHeader"], action, "via");
  const { protocol, host, port, username, password, maxHeader } = value as ProxyOptions;
  if (protocol !== "socks5" && protocol !== "http") {
    throw new TypeError(`Cannot ${action}: via.protocol is ${quote(protocol)}, required "socks5" or "http"`);
  }
  return {
    protocol,
    address: checkProxyAddress(toAddress({ host, port }), action),
    credentials: checkCredentials(protocol, username, password, action),
    maxHeader: maxHeader === undefined ? MAX_HEADER : integer(maxHeader, action, "via.maxHeader", 1, 1 << 24),
  };
}

function fromText(text: string, action: string): CheckedProxy {
  const match = /^(socks5|http):\/\/(?:([^@/]*)@)?([^@/]*)\/?$/.exec(text);
  if (match === null) {
    throw new TypeError(`Cannot ${action}: via is ${quote(text.replace(/\/\/.*@/s, "//…@"))}, ${FORM}`);
  }
  const [, protocol, user, place] = match as unknown as [string, "socks5" | "http", string | undefined, string];
  const address = checkProxyAddress(toAddress(place), action);
  if (user === undefined) return { protocol, address, credentials: undefined, maxHeader: MAX_HEADER };
  const colon = user.indexOf(":");
  const username = unescape(colon < 0 ? user : user.slice(0, colon), action);
  const password = colon < 0 ? "" : unescape(user.slice(colon + 1), action);
  return {
    protocol,
    address,
    credentials: checkCredentials(protocol, username, password, action),
    maxHeader: MAX_HEADER,
  };
}

function unescape(text: string, action: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new TypeError(
      `Cannot ${action}: user or password of via has a "%" that escapes nothing, required "%25" for it`,
    );
  }
}

function checkProxyAddress(address: ReturnType<typeof toAddress>, action: string): HostAddress | HostPort {
  const hosted = address instanceof InetAddress || address instanceof Inet6Address || address instanceof HostPort;
  if (hosted && address.host !== "") return address;
  throw new TypeError(`Cannot ${action}: via is at ${quote(String(address))}, required a host and a port`);
}

function checkCredentials(
  protocol: "socks5" | "http",
  username: unknown,
  password: unknown,
  action: string,
): Credentials | undefined {
  if (username === undefined && password === undefined) return undefined;
  const given = { username: username ?? "", password: password ?? "" };
  for (const [name, value] of Object.entries(given)) {
    if (typeof value !== "string") throw new TypeError(`Cannot ${action}: via.${name} is no string, required one`);
    const bytes = Buffer.byteLength(value);
    // RFC 1929, section 2: each has a length of one byte, and the name at least one byte.
    if (protocol === "socks5" && (bytes > 255 || (bytes === 0 && name === "username"))) {
      throw new RangeError(
        `Cannot ${action}: via.${name} has ${bytes} bytes, required ${name === "username" ? 1 : 0} to 255`,
      );
    }
    // RFC 7617, section 2: no control characters in either, and no colon in the name.
    if (protocol === "http" && (/\p{Cc}/u.test(value) || (name === "username" && value.includes(":")))) {
      throw new TypeError(`Cannot ${action}: via.${name} has a character that the Basic scheme cannot carry`);
    }
  }
  return given as Credentials;
}

/** What a proxy is asked to connect to: an address, or a name in ASCII. */
export function checkDestination(target: HostAddress | HostPort, action: string): HostAddress | HostPort {
  if (target instanceof InetAddress) return target;
  if (target.scopeid !== 0 || (target instanceof HostPort && target.zone !== undefined)) {
    throw new TypeError(`Cannot ${action}: its scope is one of this machine and means nothing to the proxy`);
  }
  if (target instanceof Inet6Address || /^[\0-\x7f]*$/.test(target.host)) return target;
  const name = domainToASCII(target.host);
  if (name !== "" && name.length <= MAX_NAME) return new HostPort(name, target.port);
  throw new TypeError(`Cannot ${action}: ${quote(target.host)} is no host name that the DNS could have`);
}
