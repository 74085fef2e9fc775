// The `via` option of connect(): checks the proxy, its credentials and the destination before any byte is sent.

import { domainToASCII } from "node:url";
import { HostPort, Inet6Address, InetAddress, parseEndpoint, toAddress, UnixAddress } from "../addr/index.js";
import { checkNames, integer, quote, quoteSecret } from "../check/index.js";
import type { PreparedTls } from "../tls/wrapTls.js";
import type { HostAddress } from "./resolveHost.js";
import { prepareClientTls, type TlsConnectOptions } from "./endpointTls.js";

/** A proxy at `host` and `port`, or at the UNIX socket `path`. */
export interface ProxyOptions {
  /**
   * `"socks5"`: SOCKS version 5 (RFC 1928). `"http"`: CONNECT of HTTP (RFC 9110, section 9.3.6); `"https"` is the same
   * over TLS. `"socks5h"` is another name of `"socks5"`: in both cases the proxy resolves names.
   */
  readonly protocol: "socks5" | "socks5h" | "http" | "https";
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** A UNIX socket, which replaces host and port; `"@name"` is an abstract name. */
  readonly path?: string | undefined;
  /**
   * User name: RFC 1929 for SOCKS, the Basic scheme (RFC 7617) for HTTP. It is sent without encryption unless
   * `protocol` is `"https"`.
   */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** HTTP: a token, sent as `Proxy-Authorization: Bearer …` (RFC 6750). */
  readonly token?: string | undefined;
  /** HTTP: the value of `Proxy-Authorization` for another scheme, such as `"Negotiate …"`. */
  readonly authorization?: string | undefined;
  /** HTTP: further header fields of the request. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined;
  /** HTTP: maximum size of the response header in bytes. Default 16 KiB. */
  readonly maxHeader?: number | undefined;
  /** HTTP: maximum number of fields of the response header. Default 128. */
  readonly maxHeaders?: number | undefined;
  /** `"https"`: options of TLS to the proxy. The `tls` option of the destination does not apply to the proxy. */
  readonly tls?: TlsConnectOptions | undefined;
}

/** A user name and a password. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** `ProxyOptions`, checked. */
export interface CheckedProxy {
  readonly protocol: "socks5" | "http";
  readonly address: HostAddress | HostPort | UnixAddress;
  /** SOCKS: the user name and the password. For HTTP, `requestFields` has them. */
  readonly credentials: Credentials | undefined;
  /** HTTP: the header fields of the request except Host, in Latin-1. Each ends with CRLF. */
  readonly requestFields: string;
  /** HTTP: the option `maxHeader`. */
  readonly maxHeaderBytes: number;
  /** HTTP: the option `maxHeaders`. */
  readonly maxHeaderFields: number;
  /** `"https"`: the options of TLS to the proxy. */
  readonly tls: PreparedTls | undefined;
}

/** The response of a proxy. */
export interface ProxyAnswer {
  /** HTTP: the status and its text. */
  readonly status?: number;
  readonly statusText?: string;
  /** HTTP: the fields by their names in lower case. Repeated fields are joined by commas. */
  readonly headers?: Readonly<Record<string, string>>;
  /** SOCKS: the reply field. */
  readonly reply?: number;
}

/**
 * The proxy has refused the tunnel, has sent a wrong response, or has ended the connection. connect() rejects with an
 * error that has the same code, and this error as its `cause`.
 */
export class ProxyRefusal extends Error {
  readonly code: string;
  readonly answer: ProxyAnswer;

  constructor(code: string, message: string, answer: ProxyAnswer = {}) {
    super(message);
    this.code = code;
    this.answer = answer;
  }
}

const REQUIRED_URL =
  "required socks5://host:port, socks5h://, http:// or https://, with user:password@ before the host if needed, " +
  "or socks5+unix:/path, http+unix:/path and so on for a UNIX socket";
const PROTOCOLS: readonly unknown[] = ["socks5", "socks5h", "http", "https"];
/** The options that only HTTP has. */
const HTTP_OPTIONS = ["token", "authorization", "headers", "maxHeader", "maxHeaders"] as const;
const PROXY_OPTIONS = ["protocol", "host", "port", "path", "username", "password", "tls", ...HTTP_OPTIONS];
const DEFAULT_MAX_HEADER_BYTES = 16_384;
const DEFAULT_MAX_HEADER_FIELDS = 128;
/**
 * Maximum length of a name as text: the 255 bytes of RFC 1035, section 2.3.4, without the length byte of the first
 * label and the 0 at the end.
 */
const MAX_HOST_NAME_LENGTH = 253;

/** Checks the option `via`, a string or an object. Its error messages do not contain credentials. */
export function checkProxy(via: unknown, action: string): CheckedProxy {
  if (typeof via === "string") return checkProxyOptions(parseProxyUrl(via, action), action);
  if (typeof via !== "object" || via === null) {
    throw new TypeError(
      `Cannot ${action}: via is ${quote(via)}, ${REQUIRED_URL}, or { protocol, host, port } or { protocol, path }`,
    );
  }
  checkNames(via, PROXY_OPTIONS, action, "via");
  return checkProxyOptions(via as ProxyOptions, action);
}

/** Checks the object form of `via`. */
function checkProxyOptions(opts: ProxyOptions, action: string): CheckedProxy {
  const { maxHeader = DEFAULT_MAX_HEADER_BYTES, maxHeaders = DEFAULT_MAX_HEADER_FIELDS, protocol, tls } = opts;
  if (!PROTOCOLS.includes(protocol)) {
    throw new TypeError(
      `Cannot ${action}: via.protocol is ${quote(protocol)}, required "socks5", "socks5h", "http" or "https"`,
    );
  }
  const tunnelProtocol = protocol.startsWith("socks5") ? "socks5" : "http";
  const httpOption = HTTP_OPTIONS.find((name) => opts[name] !== undefined);
  if (tunnelProtocol === "socks5" && httpOption !== undefined)
    throw new TypeError(`Cannot ${action}: via.${httpOption} is set for SOCKS, required protocol http or https`);
  if (tls !== undefined && protocol !== "https") {
    throw new TypeError(`Cannot ${action}: via.tls is set for ${protocol}, required protocol https`);
  }
  const address = addressFromOptions(opts, action);
  const credentials = checkCredentials(tunnelProtocol, opts.username, opts.password, action);
  return {
    protocol: tunnelProtocol,
    address,
    credentials,
    requestFields: tunnelProtocol === "http" ? makeRequestFields(opts, credentials, action) : "",
    maxHeaderBytes: integer(maxHeader, action, "via.maxHeader", 1, 1 << 24),
    maxHeaderFields: integer(maxHeaders, action, "via.maxHeaders", 0, 1 << 16),
    tls:
      protocol === "https"
        ? prepareClientTls(tls, address instanceof UnixAddress ? undefined : address, action, "via.tls")
        : undefined,
  };
}

/** Replaces the text between the scheme and the last "@", which may be a user name and a password. */
function hideCredentials(text: string): string {
  if (!text.includes("@")) return text;
  const scheme = /^[a-z\d+]*:\/\//i.exec(text)?.[0] ?? "";
  return `${scheme}…${text.slice(text.lastIndexOf("@"))}`;
}

/** Parses the string form of `via`. */
function parseProxyUrl(text: string, action: string): ProxyOptions {
  const unixMatch = /^(socks5h?|https?)\+unix:(.+)$/s.exec(text);
  if (unixMatch !== null) {
    const [, protocol, path] = unixMatch as unknown as [string, ProxyOptions["protocol"], string];
    // A path that starts with "@" is an abstract name. Another "@" before the first slash ends a user name.
    const hasCredentials = !path.startsWith("@") && /^(?:\/\/)?[^/]*@/.test(path);
    if (hasCredentials) {
      throw new TypeError(
        `Cannot ${action}: via has a user or a password before a path, required { protocol, path, username, password }`,
      );
    }
    // `http+unix:///path` means the same as `http+unix:/path`.
    return { protocol, path: path.replace(/^\/\/(?=\/)/, "") };
  }
  const match = /^(socks5h?|https?):\/\/(?:([^@/]*)@)?([^@/]*)\/?$/.exec(text);
  if (match === null) {
    throw new TypeError(`Cannot ${action}: via is ${quote(hideCredentials(text))}, ${REQUIRED_URL}`);
  }
  const [, protocol, userInfo, addressText] = match as unknown as [
    string,
    ProxyOptions["protocol"],
    string | undefined,
    string,
  ];
  const { host, port } = requireHost(parseHostPort(addressText, action), action);
  if (userInfo === undefined) return { protocol, host, port };
  const colon = userInfo.indexOf(":");
  const username = decodePercent(colon < 0 ? userInfo : userInfo.slice(0, colon), action);
  const password = colon < 0 ? "" : decodePercent(userInfo.slice(colon + 1), action);
  return { protocol, host, port, username, password };
}

/** The form of a host, a port, or both. A text of another form may contain a user name or a password. */
const HOST_PORT = /^(?:\[[^\]%]*\]|[^:%]*)(?::\d*)?$/;

/** Parses `host:port`. An error quotes the text only if the text can't contain a user name or a password. */
function parseHostPort(text: string, action: string): ReturnType<typeof toAddress> {
  try {
    return toAddress(text);
  } catch (error) {
    if (HOST_PORT.test(text)) throw error;
    // No `cause`, because the message of `error` quotes the text.
    // oxlint-disable-next-line preserve-caught-error
    throw new TypeError(`Cannot ${action}: host or port of via has a wrong form, ${REQUIRED_URL}`);
  }
}

/** Decodes the percent-encoding of a user name or password. */
function decodePercent(text: string, action: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new TypeError(
      `Cannot ${action}: user or password of via has a "%" that escapes nothing, required "%25" for it`,
    );
  }
}

/** The address of the proxy in the options `host` and `port`, or `path`. */
function addressFromOptions({ host, path, port }: ProxyOptions, action: string): CheckedProxy["address"] {
  if (path === undefined) return requireHost(toAddress({ host, port } as { host: string; port: number }), action);
  if (host !== undefined || port !== undefined) {
    throw new TypeError(
      `Cannot ${action}: via has a path and also a host or a port, required only a path, or only a host and a port`,
    );
  }
  if (typeof path !== "string" || path === "") {
    throw new TypeError(`Cannot ${action}: via.path is ${quote(path)}, required the path of a UNIX socket`);
  }
  const endpoint = parseEndpoint(path.startsWith("unix:") ? path : `unix:${path.replace(/^\0/, "@")}`);
  if (endpoint.scheme === "unix" && endpoint.address.path !== "") return endpoint.address;
  throw new TypeError(`Cannot ${action}: via.path is ${quote(path)}, required the path of a UNIX socket`);
}

/** Returns the address if it has a host and a port. */
function requireHost(address: ReturnType<typeof toAddress>, action: string): HostAddress | HostPort {
  const hasHost = address instanceof InetAddress || address instanceof Inet6Address || address instanceof HostPort;
  if (hasHost && address.host !== "") return address;
  throw new TypeError(`Cannot ${action}: via is at ${quote(String(address))}, required a host and a port`);
}

function checkCredentials(
  protocol: "socks5" | "http",
  username: unknown,
  password: unknown,
  action: string,
): Credentials | undefined {
  if (username === undefined && password === undefined) return undefined;
  const credentials = { username: username ?? "", password: password ?? "" };
  for (const [name, value] of Object.entries(credentials)) {
    if (typeof value !== "string")
      throw new TypeError(`Cannot ${action}: via.${name} has another type, required a string`);
    const bytes = Buffer.byteLength(value);
    // RFC 1929, section 2: one byte is the length of a value, and the user name is not empty.
    const minBytes = name === "username" ? 1 : 0;
    if (protocol === "socks5" && (bytes < minBytes || bytes > 255)) {
      throw new RangeError(`Cannot ${action}: via.${name} has ${bytes} bytes, required ${minBytes} to 255`);
    }
    // RFC 7617, section 2: neither value has control characters, and the user name has no colon.
    const hasControl = /\p{Cc}/u.test(value);
    const hasColon = name === "username" && value.includes(":");
    if (protocol === "http" && (hasControl || hasColon)) {
      const found = hasControl ? "a control character" : "a colon";
      throw new TypeError(`Cannot ${action}: via.${name} has ${found}, required none for the Basic scheme`);
    }
  }
  return credentials as Credentials;
}

/** Fields that a caller can't set: httpConnect.ts sets Host, and the others would announce a body. */
const RESERVED_FIELDS: ReadonlySet<string> = new Set(["host", "content-length", "transfer-encoding"]);
/** A token of RFC 9110, section 5.6.2, such as the name of a field. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** The value of a field; RFC 9110, section 5.5. */
// oxlint-disable-next-line no-control-regex
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Makes the header fields of the request. Error messages do not contain their values, which may be secrets. */
function makeRequestFields(
  { authorization, headers = {}, token }: ProxyOptions,
  credentials: Credentials | undefined,
  action: string,
): string {
  if (typeof headers !== "object" || headers === null || Array.isArray(headers)) {
    throw new TypeError(`Cannot ${action}: via.headers is ${quoteSecret(headers)}, required an object`);
  }
  // The syntax of a token: RFC 6750, section 2.1.
  if (token !== undefined && (typeof token !== "string" || !/^[\w.~+/-]+=*$/.test(token))) {
    throw new TypeError(`Cannot ${action}: via.token has a wrong form, required a token of RFC 6750`);
  }
  // RFC 9110, section 11.4: a scheme, then its credentials.
  const hasScheme = typeof authorization === "string" && TOKEN.test(authorization.split(" ", 1)[0]!);
  if (authorization !== undefined && !hasScheme) {
    throw new TypeError(`Cannot ${action}: via.authorization has no scheme, required "scheme credentials"`);
  }
  const fields: [name: string, value: unknown][] = [];
  if (credentials !== undefined) {
    const basic = Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64");
    fields.push(["Proxy-Authorization", `Basic ${basic}`]);
  }
  if (token !== undefined) fields.push(["Proxy-Authorization", `Bearer ${token}`]);
  if (authorization !== undefined) fields.push(["Proxy-Authorization", authorization]);
  for (const [name, value] of Object.entries(headers)) {
    if (!TOKEN.test(name) || RESERVED_FIELDS.has(name.toLowerCase())) {
      throw new TypeError(
        `Cannot ${action}: via.headers has ${quote(name)}, ` +
          "required a valid field name other than Host, Content-Length and Transfer-Encoding",
      );
    }
    for (const fieldValue of Array.isArray(value) ? (value as unknown[]) : [value]) fields.push([name, fieldValue]);
  }
  if (fields.filter(([name]) => name.toLowerCase() === "proxy-authorization").length > 1) {
    throw new TypeError(
      `Cannot ${action}: via has several credentials, required one of username, token, authorization and the header`,
    );
  }
  return fields
    .map(([name, value]) => {
      if (typeof value === "string" && FIELD_VALUE.test(value)) return `${name}: ${value}\r\n`;
      throw new TypeError(
        `Cannot ${action}: the value of ${quote(name)} in via has a wrong character or type, required a field ` +
          "value of RFC 9110",
      );
    })
    .join("");
}

/** Checks the address or name to which the proxy will connect. Returns the address, or the name in ASCII. */
export function checkDestination(target: HostAddress | HostPort, action: string): HostAddress | HostPort {
  if (target instanceof InetAddress) return target;
  const hasZone = target.scopeid !== 0 || (target instanceof HostPort && target.zone !== undefined);
  if (hasZone) {
    throw new TypeError(
      `Cannot ${action}: the address has a zone of this machine, required one without a zone for a proxy`,
    );
  }
  if (target instanceof Inet6Address || /^[\0-\x7f]*$/.test(target.host)) return target;
  const name = domainToASCII(target.host);
  if (name !== "" && name.length <= MAX_HOST_NAME_LENGTH) return new HostPort(name, target.port);
  throw new TypeError(`Cannot ${action}: host is ${quote(target.host)}, required a name of the DNS`);
}
