// From a host's name to its addresses, one family at a time: the system's resolver, or one of the caller's.

import {
  type Address,
  AF_INET,
  AF_INET6,
  type HostPort,
  Inet6Address,
  InetAddress,
  quote,
  toAddress,
} from "../addr/index.js";
import { calls } from "../sys/calls.js";
import { inquire } from "../sys/lookup.js";
import { resolveAll } from "../sys/resolve.js";

/** A family that host names have addresses of. */
export type HostFamily = typeof AF_INET | typeof AF_INET6;

/** An address of a host, of TCP or UDP. */
export type HostAddress = InetAddress | Inet6Address;

/**
 * Finds the addresses of a host in one family, in the order in which they are to be tried; none is an empty list, or a
 * rejection that says why. A literal needs no port, and the port of an address counts for nothing: it is the endpoint's.
 *
 * `signal` is aborted when nobody needs the answer any more.
 */
export type Resolver = (
  host: string,
  family: HostFamily,
  signal: AbortSignal,
) => Promise<readonly (string | InetAddress | Inet6Address)[]>;

/** The addresses of `target` in `family`, by the caller's resolver or, off this thread, by getaddrinfo(3). */
export async function resolveFamily(
  target: HostPort,
  family: HostFamily,
  resolver: Resolver | undefined,
  signal: AbortSignal,
): Promise<readonly HostAddress[]> {
  if (resolver === undefined) {
    const found = await inquire(resolveAll(calls, target, family));
    return found.filter((address): address is HostAddress => address.family === family);
  }
  const found: unknown = await resolver(target.host, family, signal);
  if (!Array.isArray(found)) {
    throw new TypeError(
      `Cannot use what the resolver gave for ${quote(target.host)}, ${quote(found)}: required a list`,
    );
  }
  return found.map((given: unknown) => toHostAddress(target, family, given));
}

function toHostAddress(target: HostPort, family: HostFamily, given: unknown): HostAddress {
  const { port, flowinfo, scopeid } = target;
  let address: Address | HostPort | undefined;
  if (typeof given === "string") address = toAddress([given, port]);
  else if (given instanceof InetAddress) address = toAddress([given.host, port]);
  else if (given instanceof Inet6Address) address = toAddress([given.host, port, given.flowinfo, given.scopeid]);
  if (address instanceof InetAddress && family === AF_INET) return address;
  if (address instanceof Inet6Address && family === AF_INET6) {
    if (flowinfo === 0 && scopeid === 0) return address;
    return new Inet6Address(address.host, port, flowinfo, scopeid === 0 ? address.scopeid : scopeid);
  }
  throw new TypeError(
    `Cannot use ${quote(given)}, which the resolver gave for ${quote(target.host)}: ` +
      `required an ${family === AF_INET ? "IPv4" : "IPv6"} address`,
  );
}
