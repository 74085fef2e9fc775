// Endpoints: an address and its protocol, as connect() and listen() take them.

import {
  type Address,
  HostPort,
  Inet6Address,
  InetAddress,
  isAddress,
  OpaqueAddress,
  UnixAddress,
  VsockAddress,
} from "./address.js";
import { checkInteger, readInteger, refusal, type Subject } from "./addressParts.js";
import {
  type AddressLike,
  type HostPortLike,
  readHostPort,
  readNumberPair,
  readUnix,
  toAddress,
  type UnixLike,
  type VsockLike,
} from "./parse.js";
import { AF_INET, AF_INET6 } from "./families.js";
import { quote } from "../check/index.js";

/** TCP, TLS over TCP, or UDP at a host and a port. */
export interface HostEndpoint {
  readonly scheme: "tcp" | "tls" | "udp";
  readonly address: InetAddress | Inet6Address | HostPort;
  /** The only family to which a name may resolve (`tcp4:`, `tcp6:`). Absent if both are allowed, or for an address. */
  readonly family?: typeof AF_INET | typeof AF_INET6 | undefined;
}

/** A UNIX stream socket, by path or abstract name. */
export interface UnixEndpoint {
  readonly scheme: "unix";
  readonly address: UnixAddress;
}

/** A vsock stream socket. */
export interface VsockEndpoint {
  readonly scheme: "vsock";
  readonly address: VsockAddress;
}

/** A descriptor that is open in this process already. */
export interface FdEndpoint {
  readonly scheme: "fd";
  readonly fd: number;
}

/** Descriptors that the service manager passed under a name; sd_listen_fds_with_names(3). */
export interface SystemdEndpoint {
  readonly scheme: "systemd";
  readonly name: string;
}

/** A checked endpoint to connect to or to listen at. `scheme` is its kind. */
export type Endpoint = HostEndpoint | UnixEndpoint | VsockEndpoint | FdEndpoint | SystemdEndpoint;

/**
 * Every form of an endpoint that calls accept. The scheme of a host and a port is `tcp` by default. A port without a
 * host is a port of `localhost` where a call connects, and of all addresses of this machine where it listens or binds.
 */
export type EndpointLike =
  | string
  | number
  | URL
  | Endpoint
  | InetAddress
  | Inet6Address
  | UnixAddress
  | VsockAddress
  | HostPort
  | (HostPortLike & { readonly scheme?: HostScheme | undefined })
  | { readonly scheme?: HostScheme | undefined; readonly host?: undefined; readonly port: number }
  | (UnixLike & { readonly scheme?: "unix" | undefined })
  | (VsockLike & { readonly scheme?: "vsock" | undefined })
  | { readonly scheme?: "fd" | undefined; readonly fd: number }
  | readonly [host: string, port: number];

/** The schemes of a host and a port. `tcp4` and `tcp6` are TCP over one family. */
export type HostScheme = "tcp" | "tcp4" | "tcp6" | "tls" | "udp";

/** An endpoint whose scheme is always `tls`. */
export type TlsEndpointLike =
  | `tls://${string}`
  | { readonly scheme: "tls"; readonly address: InetAddress | Inet6Address | HostPort }
  | (HostPortLike & { readonly scheme: "tls" });

/** An endpoint whose scheme is always `tcp`, `tcp4` or `tcp6`. */
export type TcpEndpointLike =
  | number
  | `tcp://${string}`
  | `tcp4://${string}`
  | `tcp6://${string}`
  | InetAddress
  | Inet6Address
  | HostPort
  | readonly [host: string, port: number]
  | { readonly scheme: "tcp"; readonly address: InetAddress | Inet6Address | HostPort }
  | (HostPortLike & { readonly scheme?: "tcp" | "tcp4" | "tcp6" | undefined })
  | { readonly scheme?: "tcp" | "tcp4" | "tcp6" | undefined; readonly host?: undefined; readonly port: number };

/** An endpoint that is always a UNIX socket. */
export type UnixEndpointLike =
  | `unix:${string}`
  | UnixAddress
  | UnixEndpoint
  | (UnixLike & { readonly scheme?: "unix" | undefined });

/** An endpoint that is always a vsock socket. */
export type VsockEndpointLike =
  | `vsock://${string}`
  | VsockAddress
  | VsockEndpoint
  | (VsockLike & { readonly scheme?: "vsock" | undefined });

/** An endpoint that is always a descriptor, which may have any family. */
export type FdEndpointLike =
  | `fd:${string}`
  | `systemd:${string}`
  | FdEndpoint
  | SystemdEndpoint
  | { readonly scheme?: "fd" | undefined; readonly fd: number };

/** The address of a TCP socket at an endpoint: of one family if the type of the endpoint has only that one. */
export type InetAt<E> = E extends `tcp4://${string}` | InetAddress | { readonly scheme: "tcp4" }
  ? InetAddress
  : E extends `tcp6://${string}` | Inet6Address | { readonly scheme: "tcp6" }
    ? Inet6Address
    : InetAddress | Inet6Address;

/** The address of a stream socket at an endpoint, as far as the type of the endpoint determines it. */
export type AddressAt<E> = E extends TcpEndpointLike
  ? InetAt<E>
  : E extends UnixEndpointLike
    ? UnixAddress
    : E extends VsockEndpointLike
      ? VsockAddress
      : Address;

const REQUIRED_TEXT =
  "required tcp://host:port (also tcp4, tcp6), tls://host:port, udp://host:port, unix:/path, unix:@name, " +
  "vsock://cid:port, fd:N or systemd:name";
const REQUIRED_FORM =
  "required a string, a URL, a port, [host, port], { scheme?, host?, port }, { path }, { cid, port }, { fd }, " +
  '{ scheme, address } or { scheme: "systemd", name }';

// sd_listen_fds_with_names(3): at most 255 characters, ASCII, no controls, and no colon, which separates the names in
// LISTEN_FDNAMES.
const FD_NAME = /^[\x20-\x39\x3b-\x7e]{1,255}$/;
const HOST_SCHEMES: ReadonlySet<unknown> = new Set<HostScheme>(["tcp", "tcp4", "tcp6", "tls", "udp"]);
/** The digit at the end of the scheme, by the `family` of the endpoint; 0 stands for an endpoint without `family`. */
const FAMILY_DIGIT = { 0: "", [AF_INET]: "4", [AF_INET6]: "6" } as const;
const MAX_PORT = 0xffff;
const MAX_FD = 0x7fff_ffff;

/** The host of an endpoint that has a port only; `""` is all addresses of this machine. */
type DefaultHost = "localhost" | "";

/**
 * Reads an endpoint: `tcp://host:port`, `tls://host:port`, `udp://host:port`, `unix:/path`, `unix:///path`,
 * `unix:@abstract`, `vsock://cid:port`, `fd:3`, `systemd:name`; or a port, a `URL`, an object or a tuple. It makes no
 * system call.
 *
 * The host is a name, an IPv4 address, or an IPv6 address in brackets. An IPv6 address may have a zone: `%eth0`, or
 * `%25eth0` as in RFC 6874. `tcp4://` and `tcp6://` allow addresses of one family only. `tcp`, `tls`, `udp` and `vsock`
 * require a port; 0 makes the kernel choose one. A port without a host is a port of `localhost`, as for `connect()`.
 *
 * @throws TypeError that names the wrong part; RangeError when a number or a length is out of range
 * @example
 * const endpoint = parseEndpoint("tls://example.org:443");
 * endpoint.scheme; // "tls"
 */
export function parseEndpoint(value: EndpointLike): Endpoint {
  return readEndpoint(value, "localhost");
}

/** `parseEndpoint()` for calls that bind: a port without a host is a port of all addresses of this machine. */
export function parseLocalEndpoint(value: EndpointLike): Endpoint {
  return readEndpoint(value, "");
}

function readEndpoint(value: EndpointLike, defaultHost: DefaultHost): Endpoint {
  const subject: Subject = { kind: "endpoint", value };
  if (typeof value === "string") return endpointFromText(subject, value);
  if (typeof value === "number") {
    return { scheme: "tcp", address: new HostPort(defaultHost, checkInteger(subject, "port", value, MAX_PORT)) };
  }
  if (Object.prototype.toString.call(value) === "[object URL]") return endpointFromUrl(value as URL);
  if (typeof value !== "object" || value === null) throw refusal(subject, REQUIRED_FORM);
  if (Array.isArray(value) || isAddress(value) || value instanceof HostPort) {
    return endpointFromAddress(subject, undefined, toAddress(value as AddressLike));
  }
  return endpointFromObject(subject, value as EndpointFields, defaultHost);
}

/** Reads a `URL`. Error messages quote its text, as for an endpoint that is a string. */
function endpointFromUrl({ href, protocol, username, password, host, pathname, search, hash }: URL): Endpoint {
  const subject: Subject = { kind: "endpoint", value: href };
  if (search !== "" || hash !== "") throw refusal(subject, `${quote(search + hash)} has no meaning, ${REQUIRED_TEXT}`);
  if (username !== "" || password !== "") {
    // The message does not contain the password.
    throw refusal(
      { kind: "endpoint", value: `${protocol}//` },
      `a user name and a password have no meaning, ${REQUIRED_TEXT}`,
    );
  }
  // Without a host, only the path follows the scheme.
  if (host === "") return endpointFromText(subject, `${protocol}${decodePath(subject, pathname)}`);
  if (protocol === "unix:") throw refusal(subject, `host is ${quote(host)}, required unix:/path or unix:///path`);
  if (pathname !== "" && pathname !== "/") throw refusal(subject, `path is ${quote(pathname)}, ${REQUIRED_TEXT}`);
  return endpointFromText(subject, `${protocol}//${host}`);
}

/** Decodes the path of a `URL`, which percent-encodes some characters, such as a space. */
function decodePath(subject: Subject, path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw refusal(subject, `path is ${quote(path)}, required an encoding in UTF-8`);
  }
}

function endpointFromText(subject: Subject, text: string): Endpoint {
  const colon = text.indexOf(":");
  const scheme = colon < 0 ? "" : text.slice(0, colon);
  const afterScheme = text.slice(colon + 1);
  switch (scheme) {
    case "tcp":
    case "tcp4":
    case "tcp6":
    case "tls":
    case "udp":
      return hostEndpoint(subject, scheme, readHostPort(subject, afterSlashes(subject, scheme, afterScheme)));
    case "vsock": {
      const [cid, port] = readNumberPair(subject, afterSlashes(subject, scheme, afterScheme), "cid", "port");
      return { scheme, address: new VsockAddress(cid, port) };
    }
    case "unix":
      return endpointFromAddress(subject, scheme, readUnix(subject, afterScheme));
    case "fd":
      return { scheme, fd: readInteger(subject, "descriptor", afterScheme, MAX_FD) };
    case "systemd":
      return { scheme, name: checkFdName(subject, afterScheme) };
  }
  if (afterScheme.startsWith("//")) throw refusal(subject, `scheme ${quote(scheme)} is unknown, ${REQUIRED_TEXT}`);
  throw refusal(subject, `scheme is missing, ${REQUIRED_TEXT}`);
}

/**
 * Makes an endpoint of a host. `tcp4` and `tcp6` become `tcp`. The endpoint of a name then gets the property `family`.
 * A numeric address has a family already, which is only checked.
 */
function hostEndpoint(
  subject: Subject,
  scheme: HostScheme,
  address: InetAddress | Inet6Address | HostPort,
): HostEndpoint {
  if (scheme !== "tcp4" && scheme !== "tcp6") return { scheme, address };
  const family = scheme === "tcp4" ? AF_INET : AF_INET6;
  if (address instanceof HostPort) {
    // A HostPort with a zone is an IPv6 address.
    if (address.zone !== undefined && family === AF_INET) throw wrongFamily(subject, address.host, scheme);
    return { scheme: "tcp", address, family };
  }
  if (address.family !== family) throw wrongFamily(subject, address.host, scheme);
  return { scheme: "tcp", address };
}

/** Makes the error for a host of the other family. */
function wrongFamily(subject: Subject, host: string, scheme: "tcp4" | "tcp6"): TypeError {
  const version = scheme === "tcp4" ? "IPv4" : "IPv6";
  return refusal(subject, `host is ${quote(host)}, required a name or an address of ${version} with ${scheme}`);
}

/** Removes the "//" that must follow the scheme. */
function afterSlashes(subject: Subject, scheme: string, afterScheme: string): string {
  if (!afterScheme.startsWith("//")) throw refusal(subject, `"//" is missing after "${scheme}:"`);
  return afterScheme.slice(2);
}

function checkFdName(subject: Subject, name: unknown): string {
  if (typeof name === "string" && FD_NAME.test(name)) return name;
  throw refusal(subject, `name is ${quote(name)}, required 1 to 255 printable ASCII characters without ":"`);
}

/** The fields of all forms of an endpoint that are objects, not checked yet. */
interface EndpointFields {
  readonly scheme?: unknown;
  readonly address?: unknown;
  readonly family?: unknown;
  readonly fd?: unknown;
  readonly name?: unknown;
  readonly host?: unknown;
  readonly path?: unknown;
  readonly cid?: unknown;
  readonly port?: unknown;
}

function endpointFromObject(subject: Subject, fields: EndpointFields, defaultHost: DefaultHost): Endpoint {
  const { scheme, address, fd, name, host, path, cid, port } = fields;
  const hasAddressFields = host !== undefined || path !== undefined || cid !== undefined || port !== undefined;
  const formCount = [hasAddressFields, address !== undefined, fd !== undefined, name !== undefined].filter(
    Boolean,
  ).length;
  if (formCount !== 1) throw refusal(subject, REQUIRED_FORM);
  if (fd !== undefined) {
    if (scheme !== undefined && scheme !== "fd") throw mismatch(subject, scheme, "a descriptor");
    return { scheme: "fd", fd: checkInteger(subject, "fd", fd, MAX_FD) };
  }
  if (name !== undefined) {
    if (scheme !== "systemd") throw mismatch(subject, scheme, "a name of descriptors");
    return { scheme, name: checkFdName(subject, name) };
  }
  const hasOnlyPort = port !== undefined && host === undefined && path === undefined && cid === undefined;
  // With the scheme vsock, toAddress() refuses the object, because `cid` is missing.
  if (hasOnlyPort && scheme !== "vsock") {
    const hostPort = new HostPort(defaultHost, checkInteger(subject, "port", port, MAX_PORT));
    return endpointFromAddress(subject, scheme, hostPort);
  }
  const endpoint = endpointFromAddress(subject, scheme, toAddress((address ?? fields) as AddressLike));
  const { family } = fields;
  // Without `address`, the field `family` is that of the address, and toAddress() has checked it.
  if (address === undefined || family === undefined || !("address" in endpoint)) return endpoint;
  if (family !== AF_INET && family !== AF_INET6) {
    throw refusal(subject, `family is ${quote(family)}, required AF_INET or AF_INET6`);
  }
  if (endpoint.scheme !== "tcp")
    throw refusal(subject, `scheme is ${quote(endpoint.scheme)}, required tcp with family`);
  return hostEndpoint(subject, family === AF_INET ? "tcp4" : "tcp6", endpoint.address);
}

/** @param scheme the scheme of the value, not checked yet; undefined if the value has none */
function endpointFromAddress(subject: Subject, scheme: unknown, address: Address | HostPort): Endpoint {
  if (address instanceof InetAddress || address instanceof Inet6Address || address instanceof HostPort) {
    if (scheme === undefined) return { scheme: "tcp", address };
    if (HOST_SCHEMES.has(scheme)) return hostEndpoint(subject, scheme as HostScheme, address);
    throw mismatch(subject, scheme, "a host and a port");
  }
  if (address instanceof UnixAddress) {
    if (address.path === "") throw refusal(subject, 'path is missing, required one, or "@" and an abstract name');
    if (scheme === undefined || scheme === "unix") return { scheme: "unix", address };
    throw mismatch(subject, scheme, "a UNIX path");
  }
  if (address instanceof VsockAddress) {
    if (scheme === undefined || scheme === "vsock") return { scheme: "vsock", address };
    throw mismatch(subject, scheme, "a vsock address");
  }
  if (address instanceof OpaqueAddress) throw refusal(subject, `data is only valid in an address, ${REQUIRED_TEXT}`);
  throw refusal(subject, `family ${address.family} has no endpoints, ${REQUIRED_TEXT}`);
}

/** Makes the error for a scheme that does not suit the other fields. `description` says what these fields are. */
function mismatch(subject: Subject, scheme: unknown, description: string): TypeError {
  return refusal(subject, `scheme is ${quote(scheme)}, which does not go with ${description}`);
}

/**
 * Returns an endpoint as text that `parseEndpoint()` reads, without the flow info of IPv6. Exception: the text of a
 * `HostPort` without a host is, for example, `tcp://*:80`, which `parseEndpoint()` does not accept.
 *
 * @example
 * formatEndpoint(parseEndpoint({ host: "::1", port: 80 })); // "tcp://[::1]:80"
 */
export function formatEndpoint(endpoint: Endpoint): string {
  switch (endpoint.scheme) {
    case "unix":
      return endpoint.address.toString();
    case "vsock":
      return `vsock://${endpoint.address.cid}:${endpoint.address.port}`;
    case "fd":
      return `fd:${endpoint.fd}`;
    case "systemd":
      return `systemd:${endpoint.name}`;
    default:
      return `${endpoint.scheme}${FAMILY_DIGIT[endpoint.family ?? 0]}://${hostText(endpoint.address)}`;
  }
}

/**
 * The text of a host and a port. A zone that begins with `25` and is longer is percent-encoded and written after `%25`.
 * After a plain `%`, the parser would read the `25` of the zone as a part of `%25`.
 */
function hostText(address: InetAddress | Inet6Address | HostPort): string {
  let zone = "";
  if (address instanceof Inet6Address) zone = String(address.scopeid);
  else if (address instanceof HostPort) zone = address.zone ?? "";
  if (!/^25./.test(zone)) return String(address);
  return `[${address.host}%25${encodeURIComponent(zone)}]:${address.port}`;
}
