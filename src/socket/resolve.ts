// From what a user wrote to the bytes of an address: numeric and UNIX addresses at once, names through the resolver.

import { AF_INET6, type Address, HostPort, Inet6Address, InetAddress, parseIPv6 } from "../addr/index.js";
import type { Calls } from "../sys/calls.js";
import { check, ETIMEDOUT, socketError } from "../sys/errno.js";
import { lookup } from "../sys/lookup.js";
import { addressDetails, decodeAddress } from "../sys/sockaddr.js";

/** What is to be known of the socket whose address this will be. */
export interface Kind {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
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

/** Asks the resolver for the first address of the socket's family. */
export async function resolveName(
  calls: Calls,
  target: HostPort,
  kind: Kind,
  timeout: number | null,
  signals: readonly AbortSignal[],
): Promise<Address> {
  const entries = await within(
    lookup(calls, target.host, String(target.port), kind.family, kind.type, kind.protocol, 0),
    timeout,
    signals,
    () => socketError(ETIMEDOUT, "getaddrinfo", addressDetails(target)),
  );
  const address = decodeAddress(entries[0]![3]);
  if (address.family !== AF_INET6 || !(address instanceof Inet6Address)) return address;
  return new Inet6Address(
    address.host,
    address.port,
    target.flowinfo,
    target.scopeid === 0 ? address.scopeid : target.scopeid,
  );
}

/** `promise`, or the reason of the first signal, or the error of the timeout. The work itself cannot be stopped. */
function within<T>(
  promise: Promise<T>,
  timeout: number | null,
  signals: readonly AbortSignal[],
  late: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const listeners: (() => void)[] = [];
    const end = (): void => {
      clearTimeout(timer);
      for (const remove of listeners) remove();
    };
    const timer =
      timeout === null
        ? undefined
        : setTimeout(
            () => {
              end();
              reject(late());
            },
            Math.min(Math.max(timeout, 1), 0x7fff_ffff),
          );
    for (const signal of signals) {
      const stop = (): void => {
        end();
        reject(signal.reason);
      };
      signal.addEventListener("abort", stop);
      listeners.push(() => signal.removeEventListener("abort", stop));
    }
    promise.then(
      (value) => {
        end();
        resolve(value);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
  });
}
