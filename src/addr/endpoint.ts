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
import { checkInteger, readInteger, refuse, type Subject } from "./check.js";
import {
  type AddressLike,
  type HostPortLike,
  readHostPort,
  readPair,
  readUnix,
  toAddress,
  type UnixLike,
  type VsockLike,
} from "./parse.js";
import { quote } from "../check/index.js";

/** TCP, TLS over TCP, or UDP at a host and a port. */
export interface HostEndpoint {
  readonly scheme: "tcp" | "tls" | "udp";
  readonly address: InetAddress | Inet6Address | HostPort;
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

/** A checked endpoint to connect to or to listen at. `scheme` says which kind it is. */
export type Endpoint = HostEndpoint | UnixEndpoint | VsockEndpoint | FdEndpoint | SystemdEndpoint;

/** Every form of an endpoint that calls accept. The scheme of a host and a port is `tcp` by default. */
export type EndpointLike =
  | string
  | Endpoint
  | InetAddress
  | Inet6Address
  | UnixAddress
  | VsockAddress
  | HostPort
  | (HostPortLike & { readonly scheme?: "tcp" | "tls" | "udp" | undefined })
  | (UnixLike & { readonly scheme?: "unix" | undefined })
  | (VsockLike & { readonly scheme?: "vsock" | undefined })
  | { readonly scheme?: "fd" | undefined; readonly fd: number }
  | readonly [host: string, port: number];

/** An endpoint that is always one of TLS. */
export type TlsEndpointLike =
  | `tls://${string}`
  | { readonly scheme: "tls"; readonly address: InetAddress | Inet6Address | HostPort }
  | (HostPortLike & { readonly scheme: "tls" });

const FORMS =
  "required tcp://host:port, tls://host:port, udp://host:port, unix:/path, unix:@name, vsock://cid:port, fd:N " +
  "or systemd:name";
const OBJECTS =
  "required a string, [host, port], { scheme?, host, port }, { path }, { cid, port }, { fd }, " +
  '{ scheme, address } or { scheme: "systemd", name }';

// sd_listen_fds_with_names(3): at most 255 characters, ASCII, no controls, no colon, because LISTEN_FDNAMES uses it.
const FD_NAME = /^[\x20-\x39\x3b-\x7e]{1,255}$/;
const FD_MAX = 0x7fff_ffff;

/**
 * Reads an endpoint: `tcp://host:port`, `tls://host:port`, `udp://host:port` (the host a name, an IPv4 address, or an
 * IPv6 address in brackets, with or without a zone: `%eth0`, or `%25eth0` as in RFC 6874), `unix:/path`,
 * `unix:///path`, `unix:@abstract`, `vsock://cid:port`, `fd:3`, `systemd:name`; or an object or tuple. It makes no
 * system call. A port is always required; 0 makes the kernel choose one.
 *
 * @throws TypeError that says which part is wrong; RangeError when a number or a length is out of range
 * @example
 * const endpoint = parseEndpoint("tls://example.org:443");
 * endpoint.scheme; // "tls"
 */
export function parseEndpoint(value: EndpointLike): Endpoint {
  const subject: Subject = { kind: "endpoint", value };
  if (typeof value === "string") return endpointFromText(subject, value);
  if (typeof value !== "object" || value === null) throw refuse(subject, OBJECTS);
  if (Array.isArray(value) || isAddress(value) || value instanceof HostPort) {
    return endpointFromAddress(subject, undefined, toAddress(value as AddressLike));
  }
  return endpointFromObject(subject, value as EndpointFields);
}

function endpointFromText(subject: Subject, text: string): Endpoint {
  const colon = text.indexOf(":");
  const scheme = colon < 0 ? "" : text.slice(0, colon);
  const rest = text.slice(colon + 1);
  switch (scheme) {
    case "tcp":
    case "tls":
    case "udp":
      return { scheme, address: readHostPort(subject, afterSlashes(subject, scheme, rest)) };
    case "vsock": {
      const [cid, port] = readPair(subject, afterSlashes(subject, scheme, rest), "cid", "port");
      return { scheme, address: new VsockAddress(cid, port) };
    }
    case "unix":
      return endpointFromAddress(subject, scheme, readUnix(subject, rest));
    case "fd":
      return { scheme, fd: readInteger(subject, "descriptor", rest, FD_MAX) };
    case "systemd":
      return { scheme, name: checkFdName(subject, rest) };
  }
  if (rest.startsWith("//")) throw refuse(subject, `scheme ${quote(scheme)} is unknown, ${FORMS}`);
  throw refuse(subject, `scheme is missing, ${FORMS}`);
}

function afterSlashes(subject: Subject, scheme: string, rest: string): string {
  if (!rest.startsWith("//")) throw refuse(subject, `"//" is missing after "${scheme}:"`);
  return rest.slice(2);
}

function checkFdName(subject: Subject, name: unknown): string {
  if (typeof name === "string" && FD_NAME.test(name)) return name;
  throw refuse(subject, `name is ${quote(name)}, required 1 to 255 printable ASCII characters without ":"`);
}

interface EndpointFields {
  readonly scheme?: unknown;
  readonly address?: unknown;
  readonly fd?: unknown;
  readonly name?: unknown;
  readonly host?: unknown;
  readonly path?: unknown;
  readonly cid?: unknown;
  readonly port?: unknown;
}

function endpointFromObject(subject: Subject, fields: EndpointFields): Endpoint {
  const { scheme, address, fd, name, host, path, cid, port } = fields;
  const parts = host !== undefined || path !== undefined || cid !== undefined || port !== undefined;
  const forms = [parts, address !== undefined, fd !== undefined, name !== undefined];
  if (forms.filter(Boolean).length !== 1) throw refuse(subject, OBJECTS);
  if (fd !== undefined) {
    if (scheme !== undefined && scheme !== "fd") throw mismatch(subject, scheme, "a descriptor");
    return { scheme: "fd", fd: checkInteger(subject, "fd", fd, FD_MAX) };
  }
  if (name !== undefined) {
    if (scheme !== "systemd") throw mismatch(subject, scheme, "a name of descriptors");
    return { scheme, name: checkFdName(subject, name) };
  }
  return endpointFromAddress(subject, scheme, toAddress((address ?? fields) as AddressLike));
}

function endpointFromAddress(subject: Subject, scheme: unknown, address: Address | HostPort): Endpoint {
  if (address instanceof InetAddress || address instanceof Inet6Address || address instanceof HostPort) {
    if (scheme === undefined) return { scheme: "tcp", address };
    if (scheme === "tcp" || scheme === "tls" || scheme === "udp") return { scheme, address };
    throw mismatch(subject, scheme, "a host and a port");
  }
  if (address instanceof UnixAddress) {
    if (address.path === "") throw refuse(subject, 'path is missing, required one, or "@" and an abstract name');
    if (scheme === undefined || scheme === "unix") return { scheme: "unix", address };
    throw mismatch(subject, scheme, "a UNIX path");
  }
  if (address instanceof VsockAddress) {
    if (scheme === undefined || scheme === "vsock") return { scheme: "vsock", address };
    throw mismatch(subject, scheme, "a vsock address");
  }
  if (address instanceof OpaqueAddress) throw refuse(subject, `data is only valid in an address, ${FORMS}`);
  throw refuse(subject, `family ${address.family} has no endpoints, ${FORMS}`);
}

function mismatch(subject: Subject, scheme: unknown, found: string): TypeError {
  return refuse(subject, `scheme is ${quote(scheme)}, which does not go with ${found}`);
}

/**
 * Prints an endpoint in a form that `parseEndpoint()` reads, without the flow info of IPv6. Exception: the wildcard of
 * a family is printed as `tcp://*:80`, which `parseEndpoint()` does not accept.
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
      return `${endpoint.scheme}://${printHost(endpoint.address)}`;
  }
}

/** The text of the address. A zone that begins with 25 is encoded, because the parser would read `%25` as a `%`. */
function printHost(address: InetAddress | Inet6Address | HostPort): string {
  let zone = "";
  if (address instanceof Inet6Address) zone = String(address.scopeid);
  else if (address instanceof HostPort) zone = address.zone ?? "";
  if (!/^25./.test(zone)) return String(address);
  return `[${address.host}%25${encodeURIComponent(zone)}]:${address.port}`;
}
