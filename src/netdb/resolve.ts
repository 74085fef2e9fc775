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
export function resolveNow(calls: Calls, address: Address | HostPort, socket: HasFamily): Address | undefined {
  if (!(address instanceof HostPort)) return address;
  const { flowinfo, host, port, scopeid, zone } = address;
  if (host === "") {
    return socket.family === AF_INET6
      ? new Inet6Address("::", port, flowinfo, scopeid)
      : new InetAddress("0.0.0.0", port);
  }
  if (zone !== undefined && parseIPv6(host) !== undefined) {
    return new Inet6Address(host, port, flowinfo, indexOfName(calls, zone));
  }
  return undefined;
}

/** The lookup of all addresses of a host, with the port and the scope of `hostPort`. `AF_UNSPEC`: of both families. */
export function* resolveAll(calls: Calls, hostPort: HostPort, family: number): Lookup<Address[]> {
  const { flowinfo, host, port } = hostPort;
  // The query has no service, because the port is known. The query requests one socket type, so that the C library
  // returns each address once. That type is SOCK_STREAM, because the C library does not support every type and protocol
  // that a socket can have.
  const entries = yield* resultOf(addrinfoQuery(calls, host, null, family, SOCK_STREAM, 0, 0));
  return entries.map(([, , , bytes]) => {
    const address = decodeAddress(bytes);
    if (address instanceof InetAddress) return new InetAddress(address.host, port);
    if (!(address instanceof Inet6Address)) return address;
    const scopeid = hostPort.scopeid === 0 ? address.scopeid : hostPort.scopeid;
    return new Inet6Address(address.host, port, flowinfo, scopeid);
  });
}
