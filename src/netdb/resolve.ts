// Resolves an address that a user passed: numeric and UNIX addresses without a lookup, host names by the resolver.

import { AF_INET6, type Address, HostPort, Inet6Address, InetAddress, parseIPv6 } from "../addr/index.js";
import type { Calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { indexOfName } from "../sys/interfaceIndex.js";
import { type Lookup, resultOf } from "./lookup.js";
import { addrinfoQuery } from "./query.js";
import { decodeAddress } from "../sys/sockaddr.js";

/** A socket, or another object with an address family. */
export interface HasFamily {
  readonly family: number;
}

/**
 * The address, if no lookup is necessary: for a numeric address, a path, the wildcard (`""`), or an IPv6 address whose
 * zone is the name of an interface. Undefined for a host name.
 */
export function resolveNow(calls: Calls, target: Address | HostPort, socket: HasFamily): Address | undefined {
  if (!(target instanceof HostPort)) return target;
  if (target.host === "") {
    if (socket.family === AF_INET6) return new Inet6Address("::", target.port, target.flowinfo, target.scopeid);
    return new InetAddress("0.0.0.0", target.port);
  }
  if (target.zone !== undefined && parseIPv6(target.host) !== undefined) {
    const index = indexOfName(calls, target.zone);
    return new Inet6Address(target.host, target.port, target.flowinfo, index);
  }
  return undefined;
}

/** All addresses of a host, with the port and the scope of `target`. With `AF_UNSPEC` it returns both families. */
export function* resolveAll(calls: Calls, target: HostPort, family: number): Lookup<Address[]> {
  // The query has no service, because the C library has no services for raw sockets. It requests one socket type, so
  // that the C library returns each address once. That type is SOCK_STREAM, because the C library does not support
  // every type and protocol that a socket can have.
  const entries = yield* resultOf(addrinfoQuery(calls, target.host, null, family, SOCK_STREAM, 0, 0));
  return entries.map(([, , , bytes]) => {
    const address = decodeAddress(bytes);
    if (address instanceof InetAddress) return new InetAddress(address.host, target.port);
    if (!(address instanceof Inet6Address)) return address;
    const scopeid = target.scopeid === 0 ? address.scopeid : target.scopeid;
    return new Inet6Address(address.host, target.port, target.flowinfo, scopeid);
  });
}
