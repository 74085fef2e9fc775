// Resolves a host name, with the system's resolver or with the `resolver` of the caller.
//
// The system's resolver sorts the addresses of both families together (RFC 6724, gai.conf(5)), so one lookup requests
// both families. A resolver of the caller is called once for each family.

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

/** A family of host addresses. */
export type HostFamily = typeof AF_INET | typeof AF_INET6;

/** An address of a host, for TCP or UDP. */
export type HostAddress = InetAddress | Inet6Address;

/**
 * Finds the addresses of a host in one family, in the order in which `connect()` attempts them. If there are none, it
 * returns an empty list or rejects. An address may be a literal without a port. The port of an address is ignored,
 * because the endpoint has one.
 *
 * `signal` is aborted when the answer is no longer needed.
 */
export type Resolver = (
  host: string,
  family: HostFamily,
  signal: AbortSignal,
) => Promise<readonly (string | InetAddress | Inet6Address)[]>;

/**
 * Resolves `target` in `family`, with the caller's resolver or with getaddrinfo(3) on another thread. With `AF_UNSPEC`
 * the call always uses getaddrinfo(3). If `signal` is aborted during getaddrinfo(3), the promise never settles.
 */
export async function resolveFamily(
  target: HostPort,
  family: HostFamily | typeof AF_UNSPEC,
  resolver: Resolver | undefined,
  signal: AbortSignal,
): Promise<readonly HostAddress[]> {
  if (resolver === undefined || family === AF_UNSPEC) return resolveBySystem(target, family, signal);
  const answer: unknown = await resolver(target.host, family, signal);
  if (!Array.isArray(answer)) {
    throw new TypeError(
      `Cannot resolve ${quote(target.host)}: the result of resolver is ${quote(answer)}, required an array`,
    );
  }
  return answer.map((given: unknown) => toHostAddress(target, family, given));
}

async function resolveBySystem(target: HostPort, family: number, signal: AbortSignal): Promise<readonly HostAddress[]> {
  const lookup = runLookup(resolveAll(calls, target, family));
  const abortListener = { onAborted: lookup.cancel };
  if (signal.aborted) lookup.cancel();
  else onAbort(signal, abortListener);
  try {
    return (await lookup.result).filter(isHostAddress);
  } finally {
    offAbort(signal, abortListener);
  }
}

function isHostAddress(address: Address): address is HostAddress {
  return address.family === AF_INET || address.family === AF_INET6;
}

/** The options of a lookup. */
export interface LookupOptions extends CheckedWait {
  readonly resolver?: Resolver | undefined;
}

/**
 * Resolves a name to all its addresses, in the order of preference. The deadline or the signal ends the lookup. A
 * resolver of the caller is called once for each family, and its IPv6 addresses come first, as in the default table of
 * RFC 6724.
 */
export async function resolveAddresses(
  target: HostPort,
  family: HostFamily | typeof AF_UNSPEC,
  { deadline, signal, resolver }: LookupOptions,
): Promise<readonly HostAddress[]> {
  const lookupsAborter = new AbortController();
  const families = family === AF_UNSPEC && resolver !== undefined ? ([AF_INET6, AF_INET] as const) : [family];
  const lookups = families.map((oneFamily) => resolveFamily(target, oneFamily, resolver, lookupsAborter.signal));
  try {
    const answers = await within(
      Promise.allSettled(lookups),
      deadline.remainingTime() ?? null,
      signal === undefined ? [] : [signal],
      () => timeoutError("getaddrinfo", addressDetails(target)),
    );
    const addresses = answers.flatMap((answer) => (answer.status === "fulfilled" ? [...answer.value] : []));
    if (addresses.length > 0) return addresses;
    const failed = answers.find((answer) => answer.status === "rejected");
    throw failed?.reason ?? localError("EAI_NODATA", "getaddrinfo", { address: target.host });
  } finally {
    lookupsAborter.abort();
  }
}

/** Checks an address from a resolver of the caller. Returns the address with the port and the zone of the target. */
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
    `Cannot resolve ${quote(target.host)}: an address of resolver is ${quote(given)}, ` +
      `required an ${family === AF_INET ? "IPv4" : "IPv6"} address`,
  );
}
