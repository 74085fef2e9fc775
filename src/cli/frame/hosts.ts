// Hosts as a user types them, and their addresses in the order of the resolver.

import {
  type AddrInfo,
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  getaddrinfo,
  Inet6Address,
  InetAddress,
  parseEndpoint,
  SOCK_STREAM,
} from "berkeley";

import { UsageError } from "./failure.js";

/**
 * The beginning of an error message of `parseEndpoint()`: `Cannot use {…} as an address:`, or `Cannot …"…"…:`. It is
 * removed, because the message of the UsageError quotes the argument already.
 */
const PARSER_PREFIX = /^Cannot (?:use \{[^}]*\} as an address|[^:]*?"(?:[^"\\]|\\.)*"[^:]*): /;

export type HostAddress = InetAddress | Inet6Address;

export interface HostOptions {
  /** The name of the argument in error messages, `HOST` by default. */
  readonly name?: string;
  /** Whether only addresses of this family are looked up. */
  readonly inet4?: boolean;
  readonly inet6?: boolean;
  /** The socket type, SOCK_STREAM by default. */
  readonly type?: number;
  readonly signal: AbortSignal;
}

/** The family that -4 or -6 selects; AF_UNSPEC without these options. */
export function familyOf({ inet4 = false, inet6 = false }: Pick<HostOptions, "inet4" | "inet6">): number {
  if (inet4 && inet6) throw new UsageError("-4 and -6 are given together");
  if (inet4) return AF_INET;
  return inet6 ? AF_INET6 : AF_UNSPEC;
}

/**
 * The addresses of a host.
 *
 * @throws UsageError when the text can't be a host
 * @throws SocketError of the resolver
 */
export async function lookUp(text: string, options: HostOptions): Promise<HostAddress[]> {
  const { name = "HOST", type = SOCK_STREAM, signal } = options;
  const family = familyOf(options);
  // Removes the brackets of an IPv6 address, which a user may copy from a URL.
  const host = text.replace(/^\[(.*:.*)\]$/, "$1");
  if (host === "") throw new UsageError(`${name} is "", required a name or an address`);
  let found: AddrInfo[];
  try {
    // Refuses hosts that connect() refuses too, such as `127.1` and octal numbers. getaddrinfo(3) would accept them.
    // The port is any valid one.
    parseEndpoint({ scheme: "tcp", host, port: 1 });
    found = await getaddrinfo(host, null, { family, type, signal });
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new UsageError(`${name} is ${JSON.stringify(text)}: ${error.message.replace(PARSER_PREFIX, "")}`);
  }
  return found.flatMap(({ address }) =>
    address instanceof InetAddress || address instanceof Inet6Address ? [address] : [],
  );
}

/** The host of an address, with the scope (`%2`) of an IPv6 address. */
export function hostOf({ host, scopeid }: Pick<Inet6Address, "host"> & { readonly scopeid?: number }): string {
  return scopeid === undefined || scopeid === 0 ? host : `${host}%${scopeid}`;
}
