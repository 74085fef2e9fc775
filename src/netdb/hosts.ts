// The older calls that look up hosts: gethostbyname(3), gethostbyaddr(3), and Python's getfqdn().

import {
  AF_INET,
  AF_UNSPEC,
  type Address,
  type Inet6Address,
  InetAddress,
  parseIPv4,
  parseIPv6,
} from "../addr/index.js";
import { type Calls, calls, type HostEntry as RawEntry } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { SocketError } from "../errors/index.js";
import { awaitLookup, type LookupOptions } from "./awaitLookup.js";
import { type Lookup, resultOf } from "./lookup.js";
import { addrinfoQuery, hostByAddrQuery, hostByNameQuery } from "./query.js";
import { decodeAddress } from "../sys/sockaddr.js";
import { checkHostText } from "./textArguments.js";
import { gethostname } from "./hostname.js";
import { formatAddressBytes } from "./inet.js";

/** `[hostname, aliases, addresses]`: the official name, other names, and the numeric addresses. */
export type HostEntry = [hostname: string, aliases: string[], addresses: string[]];

/**
 * The first IPv4 address of a host: getaddrinfo(3) on another thread. `""` is the wildcard address, and
 * `"<broadcast>"` is 255.255.255.255. Prefer {@link getaddrinfo}, which returns IPv6 addresses too.
 *
 * @throws SocketError as `getaddrinfo`
 * @see gethostbyname(3)
 * @example
 * ```ts
 * import { gethostbyname } from "berkeley";
 *
 * console.log(await gethostbyname("localhost")); // prints: 127.0.0.1
 * ```
 */
export async function gethostbyname(host: string, opts?: LookupOptions): Promise<string> {
  return awaitLookup(hostAddressLookup(calls, host), opts, "gethostbyname", host);
}

/**
 * The official name, the aliases and the IPv4 addresses of a host: gethostbyname(3) on another thread.
 *
 * @throws SocketError `EAI_NONAME`, `EAI_AGAIN`, `EAI_FAIL`, `EAI_NODATA`: one code for each value of h_errno
 * @see gethostbyname(3)
 * @example
 * ```ts
 * import { gethostbyname_ex } from "berkeley";
 *
 * const [, , addresses] = await gethostbyname_ex("localhost");
 * console.log(addresses.includes("127.0.0.1")); // prints: true
 * ```
 */
export async function gethostbyname_ex(host: string, opts?: LookupOptions): Promise<HostEntry> {
  return awaitLookup(hostByNameLookup(calls, host), opts, "gethostbyname", host);
}

/**
 * The names of an IPv4 or IPv6 address: gethostbyaddr(3) on another thread. If `address` is a host name, the
 * function returns the names of its first address. Prefer {@link getnameinfo}.
 *
 * @throws SocketError `EAI_NONAME`, `EAI_AGAIN`, `EAI_FAIL`, `EAI_NODATA`
 * @see gethostbyaddr(3)
 * @example
 * ```ts
 * import { gethostbyaddr } from "berkeley";
 *
 * const [, , addresses] = await gethostbyaddr("127.0.0.1");
 * console.log(addresses[0]); // prints: 127.0.0.1
 * ```
 */
export async function gethostbyaddr(address: string, opts?: LookupOptions): Promise<HostEntry> {
  return awaitLookup(hostByAddressLookup(calls, address), opts, "gethostbyaddr", address);
}

/**
 * The fully qualified name of a host. The function looks up the names of the host's address. It returns the first name
 * with a dot; if no name has one, the official name; if the lookup fails, the name that was looked up. `""` (the
 * default), `"0.0.0.0"` and `"::"` stand for the name of this machine.
 *
 * @throws SocketError `ETIMEDOUT`
 * @example
 * ```ts
 * import { getfqdn } from "berkeley";
 *
 * console.log((await getfqdn("localhost")).length > 0); // prints: true
 * ```
 */
export async function getfqdn(name: string = "", opts?: LookupOptions): Promise<string> {
  return awaitLookup(qualifiedNameLookup(calls, name), opts, "getfqdn", name);
}

/** The lookup of `gethostbyname`. */
export function* hostAddressLookup(table: Calls, host: string): Lookup<string> {
  const name = checkHostText(host, "gethostbyname");
  if (name === "") return "0.0.0.0";
  return ((yield* firstAddress(table, name, AF_INET)) as InetAddress).host;
}

/** The lookup of `gethostbyname_ex`. */
export function* hostByNameLookup(table: Calls, host: string): Lookup<HostEntry> {
  const query = hostByNameQuery(table, checkHostText(host, "gethostbyname"), AF_INET);
  return toEntry(yield* resultOf(query), AF_INET);
}

/** The lookup of `gethostbyaddr`. */
export function* hostByAddressLookup(table: Calls, address: string): Lookup<HostEntry> {
  const first = yield* firstAddress(table, checkHostText(address, "gethostbyaddr"), AF_UNSPEC);
  const { family, host } = first as InetAddress | Inet6Address;
  const bytes = family === AF_INET ? parseIPv4(host) : parseIPv6(host)?.bytes;
  return toEntry(yield* resultOf(hostByAddrQuery(table, bytes!, family, host)), family);
}

/** The lookup of `getfqdn`. */
export function* qualifiedNameLookup(table: Calls, name: string): Lookup<string> {
  let host = checkHostText(name, "getfqdn").trim();
  if (host === "" || host === "0.0.0.0" || host === "::") host = gethostname(table);
  try {
    const [official, aliases] = yield* hostByAddressLookup(table, host);
    return [official, ...aliases].find((candidate) => candidate.includes(".")) ?? official;
  } catch (error) {
    if (error instanceof SocketError) return host;
    throw error;
  }
}

/** The lookup of the first address of a host. With `AF_UNSPEC` the address may have either family. */
function* firstAddress(table: Calls, host: string, family: number): Lookup<Address> {
  if (host === "<broadcast>") return new InetAddress("255.255.255.255", 0);
  const [first] = yield* resultOf(addrinfoQuery(table, host, null, family, SOCK_STREAM, 0, 0));
  const [, , , sockaddr] = first!;
  return decodeAddress(sockaddr);
}

function toEntry([name, aliases, addresses]: RawEntry, family: number): HostEntry {
  return [name, [...aliases], addresses.map((bytes) => formatAddressBytes(family, bytes))];
}
