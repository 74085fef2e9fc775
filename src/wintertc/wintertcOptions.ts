// The arguments of connect() of the WinterTC sockets proposal, and their checks.

import type { HostPort } from "../addr/index.js";
import { type Inet6Address, type InetAddress, parseAddress, toAddress } from "../addr/index.js";
import { quote } from "../check/index.js";
import { SocketError, toSocketError } from "./wintertcError.js";

/** The address to connect to. */
export interface SocketAddress {
  /** A name or a numeric address. */
  readonly hostname: string;
  readonly port: number;
}

/** `{ hostname, port }`, or `"hostname:port"`. */
export type AnySocketAddress = string | SocketAddress;

/** `"off"`: no TLS. `"on"`: TLS from the beginning. `"starttls"`: no TLS until `startTls()`. */
export type SecureTransportKind = "off" | "on" | "starttls";

/** The options of `connect()`. */
export interface SocketOptions {
  /** Default `"off"`. */
  readonly secureTransport?: SecureTransportKind | undefined;
  /** Whether the writable stays open when the peer has finished. Default false: then the socket is closed. */
  readonly allowHalfOpen?: boolean | undefined;
  /** The server name that TLS sends, and that the certificate must have. Default: the `hostname`. */
  readonly sni?: string | null | undefined;
  /** The protocols of ALPN, in the order of preference. */
  readonly alpn?: readonly string[] | undefined;
}

/** The properties of an established connection. */
export interface SocketInfo {
  /** The address of the peer, such as `"127.0.0.1:443"`. */
  readonly remoteAddress: string | null;
  /** The address of this end. */
  readonly localAddress: string | null;
  /** The protocol of ALPN that both ends have agreed on. */
  readonly alpn: string | null;
}

/** `SocketOptions`, checked. */
export interface CheckedOptions {
  readonly secureTransport: SecureTransportKind;
  readonly allowHalfOpen: boolean;
  readonly servername: string;
  readonly alpn: readonly string[];
}

/** Checks and converts the address. Refuses a host that looks like a number and is no IP address, such as 127.1. */
export function checkAddress(address: AnySocketAddress): InetAddress | Inet6Address | HostPort {
  try {
    const parsed = typeof address === "string" ? parseAddress(address) : toAddress(hostPortOf(address));
    if (!("host" in parsed) || parsed.host === "" || parsed.port === 0) {
      throw new TypeError(`Cannot connect: address is ${quote(address)}, required a host and a port from 1 to 65535`);
    }
    return parsed;
  } catch (error) {
    throw toSocketError(error);
  }
}

/** The argument for toAddress(), which checks the port. */
function hostPortOf(address: unknown): { host: string; port: number } {
  const { hostname, port } = (address ?? {}) as Partial<SocketAddress>;
  if (typeof hostname !== "string") {
    throw new TypeError(`Cannot connect: address is ${quote(address)}, required "hostname:port" or { hostname, port }`);
  }
  // An IPv6 address may be in brackets, as in a URL.
  const host = /^\[[^\]]*\]$/.test(hostname) ? hostname.slice(1, -1) : hostname;
  return { host, port: port as number };
}

/** Checks the options, and fills in the defaults. `host` is the default of `sni`. */
export function checkSocketOptions(options: unknown, host: string): CheckedOptions {
  if (typeof options !== "object" || options === null) {
    throw new SocketError(`Cannot connect: options are ${quote(options)}, required an object`);
  }
  const { allowHalfOpen, alpn, secureTransport = "off", sni } = options as Readonly<Record<string, unknown>>;
  if (secureTransport !== "off" && secureTransport !== "on" && secureTransport !== "starttls") {
    throw new SocketError(
      `Cannot connect: secureTransport is ${quote(secureTransport)}, required "off", "on" or "starttls"`,
    );
  }
  if (sni !== undefined && sni !== null && typeof sni !== "string") {
    throw new SocketError(`Cannot connect: sni is ${quote(sni)}, required a name`);
  }
  if (alpn !== undefined && !(Array.isArray(alpn) && alpn.every((name) => typeof name === "string" && name !== ""))) {
    throw new SocketError(`Cannot connect: alpn is ${quote(alpn)}, required an array of names`);
  }
  const protocols = (alpn ?? []) as readonly string[];
  const hasSni = typeof sni === "string";
  if (secureTransport === "off" && (hasSni || protocols.length > 0)) {
    const required = 'required "on" or "starttls" with the option';
    throw new SocketError(`Cannot connect: secureTransport is "off", ${required} ${hasSni ? "sni" : "alpn"}`);
  }
  return { secureTransport, allowHalfOpen: Boolean(allowHalfOpen), servername: sni ?? host, alpn: protocols };
}
