// Finds out whether this machine supports IPv6 and dual-stack sockets. Each test makes a new socket and one call.

import { AF_INET6, Inet6Address } from "../addr/index.js";
import { type Calls, calls } from "../sys/calls.js";
import { IPPROTO_IPV6, IPV6_V6ONLY, SOCK_DGRAM, SOCK_STREAM } from "../sys/constants.js";
import { intBytes } from "../sys/nativeInts.js";
import { encodeAddress } from "../sys/sockaddr.js";

/** Makes an IPv6 socket, and returns whether `trial`, a call on its descriptor, returns >= 0. */
function tryOnSocket(table: Calls, type: number, trial: (fd: number) => number): boolean {
  const fd = table.socket(AF_INET6, type, 0);
  if (fd < 0) return false;
  const result = trial(fd);
  table.close(fd);
  return result >= 0;
}

/** Whether a UDP socket can be bound to `::1`. */
export function probeIPv6(table: Calls): boolean {
  return tryOnSocket(table, SOCK_DGRAM, (fd) => table.bind(fd, encodeAddress(new Inet6Address("::1", 0))));
}

/**
 * Whether this machine has IPv6: whether a UDP socket could be bound to `::1` when the package was loaded.
 *
 * @see ipv6(7)
 * @example
 * ```ts
 * import { AF_INET, AF_INET6, has_ipv6, Socket } from "berkeley";
 *
 * await using server = new Socket(has_ipv6 ? AF_INET6 : AF_INET);
 * await server.bind(has_ipv6 ? "[::1]:0" : "127.0.0.1:0");
 * ```
 */
export const has_ipv6: boolean = probeIPv6(calls);

/**
 * Whether an IPv6 socket can accept IPv4 connections too: whether IPV6_V6ONLY can be switched off on a new socket.
 *
 * @see ipv6(7)
 * @example
 * ```ts
 * import { AF_INET6, create_server, has_dualstack_ipv6 } from "berkeley";
 *
 * await using server = has_dualstack_ipv6()
 *   ? await create_server(["", 0], { family: AF_INET6, dualstackIpv6: true })
 *   : await create_server(["", 0]);
 * ```
 */
export function has_dualstack_ipv6(): boolean {
  return tryOnSocket(calls, SOCK_STREAM, (fd) => calls.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, intBytes(0)));
}
