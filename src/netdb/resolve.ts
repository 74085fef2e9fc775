// From what a user wrote to the bytes of an address: numeric and UNIX addresses at once, names through the resolver.

import { AF_INET6, type Address, HostPort, Inet6Address, InetAddress, parseIPv6 } from "../addr/index.js";
import type { Calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { check } from "../sys/errno.js";
import { addrinfoQuestion, answerTo, type Inquiry } from "./lookup.js";
import { decodeAddress } from "../sys/sockaddr.js";

/** What is to be known of the socket whose address this will be. */
export interface Kind {
  readonly family: number;
}

/**
 * The address if it takes no resolver: numeric, a path, the wildcard (`""`), or an IPv6 address whose zone is the name of
 * an interface. Undefined for a name.
 */
export function resolveNow(calls: Calls, target: Address | HostPort, kind: Kind): Address | undefined {
  if (!(target instanceof HostPort)) return target;
  if (target.host === "") {
    if (kind.family === AF_INET6) return new Inet6Address("::", target.port, target.flowinfo, target.scopeid);
    return new InetAddress("0.0.0.0", target.port);
  }
  if (target.zone !== undefined && parseIPv6(target.host) !== undefined) {
    const index = check(calls.if_nametoindex(target.zone), "if_nametoindex", () => ({ address: target.zone }));
    return new Inet6Address(target.host, target.port, target.flowinfo, index);
  }
  return undefined;
}

/** All addresses of a host, with the port and the scope of `target`; `AF_UNSPEC` for both families. */
export function* resolveAll(calls: Calls, target: HostPort, family: number): Inquiry<Address[]> {
  // Without a service, because the C library knows none for raw sockets; as for one type, so that each address comes once,
  // but not as for the socket's own type and protocol, of which the C library knows but the common ones.
  const entries = yield* answerTo(addrinfoQuestion(calls, target.host, null, family, SOCK_STREAM, 0, 0));
  return entries.map(([, , , bytes]) => {
    const address = decodeAddress(bytes);
    if (address instanceof InetAddress) return new InetAddress(address.host, target.port);
    if (!(address instanceof Inet6Address)) return address;
    const scopeid = target.scopeid === 0 ? address.scopeid : target.scopeid;
    return new Inet6Address(address.host, target.port, target.flowinfo, scopeid);
  });
}
