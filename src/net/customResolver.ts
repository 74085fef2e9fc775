// From a host's name to its addresses: by the system's resolver, or by one of the caller's.
//
// The system's resolver sorts the addresses of both families together (RFC 6724, gai.conf(5)), so both come from one question. A
// resolver of the caller is asked for one family at a time.

import { offAbort, onAbort } from "../wait/aborts.js";
import {
  type Address,
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  type HostPort,
  Inet6Address,
  InetAddress,
  toAddress,
} from "../addr/index.js";
import { quote } from "../check/index.js";
import { localError, timeoutError } from "../wait/localError.js";
import { calls } from "../sys/calls.js";
import { within } from "../wait/within.js";
import { runLookup } from "../netdb/lookup.js";
import { resolveAll } from "../netdb/resolve.js";
import { addressDetails } from "../sys/sockaddr.js";
import type { CheckedWait } from "./endpointOptions.js";

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

/**
 * The addresses of `target` in `family`, by the caller's resolver or, off this thread, by getaddrinfo(3), which takes `AF_UNSPEC`
 * as well. When `signal` is aborted a lookup of getaddrinfo(3) is abandoned, and the promise never settles.
 */
export async function resolveFamily(
  target: HostPort,
  family: HostFamily | typeof AF_UNSPEC,
  resolver: Resolver | undefined,
  signal: AbortSignal,
): Promise<readonly HostAddress[]> {
  if (resolver === undefined || family === AF_UNSPEC) return resolveBySystem(target, family, signal);
  const found: unknown = await resolver(target.host, family, signal);
  if (!Array.isArray(found)) {
    throw new TypeError(
      `Cannot use what the resolver gave for ${quote(target.host)}, ${quote(found)}: required a list`,
    );
  }
  return found.map((given: unknown) => toHostAddress(target, family, given));
}

async function resolveBySystem(target: HostPort, family: number, signal: AbortSignal): Promise<readonly HostAddress[]> {
  const lookup = runLookup(resolveAll(calls, target, family));
  const member = { aborted: lookup.cancel };
  if (signal.aborted) lookup.cancel();
  else onAbort(signal, member);
  try {
    return (await lookup.result).filter(isHostAddress);
  } finally {
    offAbort(signal, member);
  }
}

function isHostAddress(address: Address): address is HostAddress {
  return address.family === AF_INET || address.family === AF_INET6;
}

/** What the addresses of a name are asked for with. */
export interface Lookup extends CheckedWait {
  readonly resolver?: Resolver | undefined;
}

/**
 * All addresses of a name in the order in which they are to be tried, within the deadline and until the signal. A resolver of the
 * caller answers for each family on its own; IPv6 goes first then, as in the default table of RFC 6724.
 */
export async function resolveAddresses(
  target: HostPort,
  family: HostFamily | typeof AF_UNSPEC,
  { deadline, signal, resolver }: Lookup,
): Promise<readonly HostAddress[]> {
  const unneeded = new AbortController();
  const families = family === AF_UNSPEC && resolver !== undefined ? ([AF_INET6, AF_INET] as const) : [family];
  const lookups = families.map((one) => resolveFamily(target, one, resolver, unneeded.signal));
  try {
    const answers = await within(
      Promise.allSettled(lookups),
      deadline.left() ?? null,
      signal === undefined ? [] : [signal],
      () => timeoutError("getaddrinfo", addressDetails(target)),
    );
    const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? [...answer.value] : []));
    if (found.length > 0) return found;
    const failed = answers.find((answer) => answer.status === "rejected");
    throw failed?.reason ?? localError("EAI_NODATA", "getaddrinfo", { address: target.host });
  } finally {
    unneeded.abort();
  }
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
