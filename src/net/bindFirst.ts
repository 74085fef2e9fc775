// Binding to the first of several addresses that this machine has.

import { HostPort, Inet6Address, InetAddress } from "../addr/index.js";
import { restated, SocketError } from "../errors/index.js";
import type { HostAddress } from "./customResolver.js";

/** This machine lacks the address, or its family. */
const UNAVAILABLE_CODES: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);

/** The addresses of the wildcard, if `target` is the wildcard of no family: that of IPv6, which takes IPv4 too, and that of IPv4. */
export function wildcards(
  target: InetAddress | Inet6Address | HostPort,
  ipv6Only: boolean,
): readonly HostAddress[] | undefined {
  if (!(target instanceof HostPort) || target.host !== "") return undefined;
  const six = new Inet6Address("::", target.port);
  return ipv6Only ? [six] : [six, new InetAddress("0.0.0.0", target.port)];
}

/**
 * Calls `bind` with one address after the other until one is there: without IPv6 in the kernel, or with IPv6 switched off, `::1`
 * fails where `127.0.0.1` does not.
 */
export async function bindFirst<T>(
  addresses: readonly HostAddress[],
  bind: (address: HostAddress) => Promise<T>,
  action: string,
): Promise<T> {
  const errors: unknown[] = [];
  for (const address of addresses) {
    try {
      return await bind(address);
    } catch (error) {
      errors.push(error);
      if (!(error instanceof SocketError) || !UNAVAILABLE_CODES.has(error.code)) break;
    }
  }
  throw lastOf(errors, `Cannot ${action}: none of ${errors.length} addresses can be bound`);
}

/** The last error, with all of them in `cause` when there are several. */
export function lastOf(errors: readonly unknown[], message: string): unknown {
  const last = errors.at(-1);
  if (errors.length === 1 || !(last instanceof SocketError)) return last;
  const { syscall, address, port } = last;
  return restated(last, syscall, { address, port, cause: new AggregateError(errors, message) });
}
