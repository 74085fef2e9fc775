// The blocking lookups of "berkeley/sync". They block the thread until the C library returns. They can't be cancelled
// and have no deadline, because the C library offers neither.

import type { AddressLike } from "../addr/index.js";
import { calls } from "../sys/calls.js";
import {
  hostAddressLookup,
  hostByAddressLookup,
  hostByNameLookup,
  type HostEntry,
  qualifiedNameLookup,
} from "./hosts.js";
import { type AddrInfo, type AddrInfoHints, addrinfoLookup, nameinfoLookup } from "./addrinfo.js";
import { runLookupBlocking } from "./lookup.js";

/**
 * The addresses of a host and a service: getaddrinfo(3). Arguments, results and errors are those of the awaitable
 * `getaddrinfo`.
 *
 * @see getaddrinfo(3)
 */
export function getaddrinfo(host: string | null, service: string | number | null, hints?: AddrInfoHints): AddrInfo[] {
  return runLookupBlocking(addrinfoLookup(calls, host, service, hints));
}

/**
 * `[host, service]` of an address: getnameinfo(3), as the awaitable `getnameinfo`.
 *
 * @see getnameinfo(3)
 */
export function getnameinfo(address: AddressLike, flags: number = 0): [host: string, service: string] {
  return runLookupBlocking(nameinfoLookup(calls, address, flags));
}

/**
 * The first IPv4 address of a host, as the awaitable `gethostbyname`.
 *
 * @see gethostbyname(3)
 */
export function gethostbyname(host: string): string {
  return runLookupBlocking(hostAddressLookup(calls, host));
}

/**
 * `[hostname, aliases, addresses]` of a host, as the awaitable `gethostbyname_ex`.
 *
 * @see gethostbyname(3)
 */
export function gethostbyname_ex(host: string): HostEntry {
  return runLookupBlocking(hostByNameLookup(calls, host));
}

/**
 * `[hostname, aliases, addresses]` of an address, as the awaitable `gethostbyaddr`.
 *
 * @see gethostbyaddr(3)
 */
export function gethostbyaddr(address: string): HostEntry {
  return runLookupBlocking(hostByAddressLookup(calls, address));
}

/** The fully qualified name of a host, as the awaitable `getfqdn`. */
export function getfqdn(name: string = ""): string {
  return runLookupBlocking(qualifiedNameLookup(calls, name));
}
