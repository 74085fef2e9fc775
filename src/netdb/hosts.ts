// The older calls for the names of hosts: gethostbyname(3), gethostbyaddr(3), and Python's getfqdn().

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
import { addrinfoQuestion, answerTo, hostByAddrQuestion, hostByNameQuestion, type Inquiry } from "./lookup.js";
import { decodeAddress } from "../sys/sockaddr.js";
import { hostText, look, type LookupOptions } from "./questions.js";
import { gethostname } from "./hostname.js";
import { textOfAddress } from "./inet.js";

/** `[hostname, aliases, addresses]`: the official name, other names, and the numeric addresses. */
export type HostEntry = [hostname: string, aliases: string[], addresses: string[]];

/**
 * The first IPv4 address of a host, over getaddrinfo(3) on a thread of its own. `""` is the wildcard address and
 * `"<broadcast>"` is 255.255.255.255. New programs use {@link getaddrinfo}, which knows IPv6.
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
  return look(addressByName(calls, host), opts, "gethostbyname", host);
}

/**
 * All that gethostbyname(3) knows of a host: its official name, its aliases, its IPv4 addresses. On a thread of its own.
 *
 * @throws SocketError `EAI_NONAME`, `EAI_AGAIN`, `EAI_FAIL`, `EAI_NODATA`, which stand for the numbers of h_errno
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
  return look(entryByName(calls, host), opts, "gethostbyname", host);
}

/**
 * The names of an IPv4 or IPv6 address: gethostbyaddr(3), on a thread of its own. A host name is resolved first. New programs
 * use {@link getnameinfo}.
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
  return look(entryByAddress(calls, address), opts, "gethostbyaddr", address);
}

/**
 * The fully qualified name of a host: the first of the names of its address that has a dot, or else the official one; the
 * name as it was given where nothing is known. `""` (the default), `"0.0.0.0"` and `"::"` stand for this machine.
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
  return look(qualifiedName(calls, name), opts, "getfqdn", name);
}

export function* addressByName(table: Calls, host: string): Inquiry<string> {
  const name = hostText(host, "gethostbyname");
  if (name === "") return "0.0.0.0";
  return ((yield* firstAddress(table, name, AF_INET)) as InetAddress).host;
}

export function* entryByName(table: Calls, host: string): Inquiry<HostEntry> {
  const question = hostByNameQuestion(table, hostText(host, "gethostbyname"), AF_INET);
  return toEntry(yield* answerTo(question), AF_INET);
}

export function* entryByAddress(table: Calls, address: string): Inquiry<HostEntry> {
  const known = yield* firstAddress(table, hostText(address, "gethostbyaddr"), AF_UNSPEC);
  const { family, host } = known as InetAddress | Inet6Address;
  const bytes = family === AF_INET ? parseIPv4(host) : parseIPv6(host)?.bytes;
  return toEntry(yield* answerTo(hostByAddrQuestion(table, bytes!, family, host)), family);
}

export function* qualifiedName(table: Calls, name: string): Inquiry<string> {
  let host = hostText(name, "getfqdn").trim();
  if (host === "" || host === "0.0.0.0" || host === "::") host = gethostname(table);
  try {
    const [official, aliases] = yield* entryByAddress(table, host);
    return [official, ...aliases].find((candidate) => candidate.includes(".")) ?? official;
  } catch (error) {
    if (error instanceof SocketError) return host;
    throw error;
  }
}

function* firstAddress(table: Calls, host: string, family: number): Inquiry<Address> {
  if (host === "<broadcast>") return new InetAddress("255.255.255.255", 0);
  const [first] = yield* answerTo(addrinfoQuestion(table, host, null, family, SOCK_STREAM, 0, 0));
  return decodeAddress(first![3]);
}

function toEntry([name, aliases, addresses]: RawEntry, family: number): HostEntry {
  return [name, [...aliases], addresses.map((bytes) => textOfAddress(family, bytes))];
}
