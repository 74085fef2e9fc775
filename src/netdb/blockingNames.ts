// The functions of this folder that may wait, blocking the thread instead: for the blocking twin. The C library has no
// deadline for them, and no way to stop.

import type { AddressLike } from "../addr/index.js";
import { calls } from "../sys/calls.js";
import { inquireNow } from "./lookup.js";
import { addressByName, entryByAddress, entryByName, type HostEntry, qualifiedName } from "./hosts.js";
import { type AddrInfo, type AddrInfoHints, addresses, nameOf } from "./resolver.js";

/**
 * The addresses of a host and a service: getaddrinfo(3). Arguments, answers and errors are those of the awaitable
 * `getaddrinfo`.
 *
 * @see getaddrinfo(3)
 */
export function getaddrinfo(host: string | null, service: string | number | null, hints?: AddrInfoHints): AddrInfo[] {
  return inquireNow(addresses(calls, host, service, hints));
}

/**
 * `[host, service]` of an address: getnameinfo(3), as the awaitable `getnameinfo`.
 *
 * @see getnameinfo(3)
 */
export function getnameinfo(address: AddressLike, flags: number = 0): [host: string, service: string] {
  return inquireNow(nameOf(calls, address, flags));
}

/**
 * The first IPv4 address of a host, as the awaitable `gethostbyname`.
 *
 * @see gethostbyname(3)
 */
export function gethostbyname(host: string): string {
  return inquireNow(addressByName(calls, host));
}

/**
 * `[hostname, aliases, addresses]` of a host, as the awaitable `gethostbyname_ex`.
 *
 * @see gethostbyname(3)
 */
export function gethostbyname_ex(host: string): HostEntry {
  return inquireNow(entryByName(calls, host));
}

/**
 * `[hostname, aliases, addresses]` of an address, as the awaitable `gethostbyaddr`.
 *
 * @see gethostbyaddr(3)
 */
export function gethostbyaddr(address: string): HostEntry {
  return inquireNow(entryByAddress(calls, address));
}

/** The fully qualified name of a host, as the awaitable `getfqdn`. */
export function getfqdn(name: string = ""): string {
  return inquireNow(qualifiedName(calls, name));
}
