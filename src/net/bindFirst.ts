// Takes a list of addresses, and binds a socket to the first one that belongs to this machine.

import { AF_INET, AF_INET6, HostPort, Inet6Address, InetAddress } from "../addr/index.js";
import { attemptsError, restateError, SocketError } from "../errors/index.js";
import type { HostAddress } from "./resolveHost.js";

/** Codes of bind(2) and socket(2) if this machine does not have the address or its family. */
const UNAVAILABLE_CODES: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);

/**
 * The addresses to bind for the wildcard (`["", port]`): `::`, which also accepts IPv4, and then `0.0.0.0`, for a
 * machine without IPv6. With `family`, only the address of that family; with `ipv6Only`, only `::`. Undefined if the
 * target is not the wildcard.
 */
export function wildcardAddresses(
  target: InetAddress | Inet6Address | HostPort,
  ipv6Only: boolean,
  family?: number,
): readonly HostAddress[] | undefined {
  if (!(target instanceof HostPort) || target.host !== "") return undefined;
  const ipv6 = new Inet6Address("::", target.port);
  const ipv4 = new InetAddress("0.0.0.0", target.port);
  if (family === AF_INET) return [ipv4];
  return ipv6Only || family === AF_INET6 ? [ipv6] : [ipv6, ipv4];
}

/**
 * Calls `bind` with one address after the other, until a call succeeds. After a failure, the next address follows only
 * if this machine does not have the address that failed. For example, if IPv6 is switched off, `::1` fails and
 * `127.0.0.1` may succeed.
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
  throw lastErrorOf(errors, `Cannot ${action}`);
}

/**
 * Returns the last error. If there are several errors and the last one is a SocketError, returns a copy of it whose
 * `cause` has all errors.
 */
export function lastErrorOf(errors: readonly unknown[], summary: string): unknown {
  const last = errors.at(-1);
  if (errors.length === 1 || !(last instanceof SocketError)) return last;
  const { syscall, address, port } = last;
  return restateError(last, syscall, { address, port, cause: attemptsError(summary, errors) });
}
