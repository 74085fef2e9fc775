// What the proposal's connect() takes, and the checks of it.

import type { HostPort } from "../addr/index.js";
import { type Inet6Address, type InetAddress, parseAddress, toAddress } from "../addr/index.js";
import { quote } from "../check/index.js";
import { SocketError, socketErrorOf } from "./wintertcError.js";

/** Where to connect to. */
export interface SocketAddress {
  /** A name or a numeric address. */
  readonly hostname: string;
  readonly port: number;
}

/** `{ hostname, port }`, or `"hostname:port"`. */
export type AnySocketAddress = string | SocketAddress;

/** `"off"`: plain. `"on"`: TLS from the beginning. `"starttls"`: plain until `startTls()`. */
export type SecureTransportKind = "off" | "on" | "starttls";

/** How to connect. */
export interface SocketOptions {
  /** Default `"off"`. */
  readonly secureTransport?: SecureTransportKind | undefined;
  /** Leaves the writable open when the peer has finished. Default false: then the whole socket is closed. */
  readonly allowHalfOpen?: boolean | undefined;
  /** The name that the server is asked for by TLS, and that its certificate must have. Default: the `hostname`. */
  readonly sni?: string | null | undefined;
  /** The protocols to agree on by TLS, the most wanted first. */
  readonly alpn?: readonly string[] | undefined;
}

/** What is known of a connection that stands. */
export interface SocketInfo {
  /** The other end, as `"127.0.0.1:443"`. */
  readonly remoteAddress: string | null;
  /** This end. */
  readonly localAddress: string | null;
  /** The protocol that was agreed on by TLS. */
  readonly alpn: string | null;
}

/** Options that were checked. */
export interface CheckedOptions {
  readonly secureTransport: SecureTransportKind;
  readonly allowHalfOpen: boolean;
  readonly servername: string;
  readonly alpn: readonly string[];
}

/** Where it leads; a name that is a number but no address is refused. */
export function checkAddress(address: AnySocketAddress): InetAddress | Inet6Address | HostPort {
  try {
    const found = typeof address === "string" ? parseAddress(address) : toAddress(fromObject(address));
    if (!("host" in found) || found.host === "" || found.port === 0) {
      throw new TypeError(`an address is ${quote(address)}, required a host and a port from 1 to 65535`);
    }
    return found;
  } catch (error) {
    throw socketErrorOf(error);
  }
}

function fromObject(address: unknown): { host: string; port: number } {
  const { hostname, port } = (address ?? {}) as Partial<SocketAddress>;
  if (typeof hostname !== "string") {
    throw new TypeError(`an address is ${quote(address)}, required "hostname:port" or { hostname, port }`);
  }
  // As in a URL.
  const host = /^\[[^\]]*\]$/.test(hostname) ? hostname.slice(1, -1) : hostname;
  return { host, port: port as number };
}

export function checkOptions(options: unknown, host: string): CheckedOptions {
  if (typeof options !== "object" || options === null) {
    throw new SocketError(`options are ${quote(options)}, required an object`);
  }
  const { allowHalfOpen, alpn, secureTransport = "off", sni } = options as Readonly<Record<string, unknown>>;
  if (secureTransport !== "off" && secureTransport !== "on" && secureTransport !== "starttls") {
    throw new SocketError(`secureTransport is ${quote(secureTransport)}, required "off", "on" or "starttls"`);
  }
  if (sni !== undefined && sni !== null && typeof sni !== "string") {
    throw new SocketError(`sni is ${quote(sni)}, required a name`);
  }
  if (alpn !== undefined && !(Array.isArray(alpn) && alpn.every((name) => typeof name === "string" && name !== ""))) {
    throw new SocketError(`alpn is ${quote(alpn)}, required an array of names`);
  }
  const names = (alpn ?? []) as readonly string[];
  if (secureTransport === "off") {
    if (typeof sni === "string") throw new SocketError('sni takes TLS, required secureTransport "on" or "starttls"');
    if (names.length > 0) throw new SocketError('alpn takes TLS, required secureTransport "on" or "starttls"');
  }
  return { secureTransport, allowHalfOpen: Boolean(allowHalfOpen), servername: sni ?? host, alpn: names };
}
