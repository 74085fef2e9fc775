// A listening socket in one call.

import { type Address, type AddressLike, AF_INET, AF_INET6, HostPort, quote, toAddress } from "../addr/index.js";
import { SOCK_STREAM, SOMAXCONN } from "../sys/constants.js";
import { IPV6_V6ONLY, SO_REUSEADDR, SO_REUSEPORT } from "../sys/options/index.js";
import { checkOptions, type WaitOptions } from "./options.js";
import { Socket } from "./socket.js";

/** Options of {@link create_server}; `timeout` and `signal` are those of `bind()`, which resolves a name. */
export interface CreateServerOptions extends WaitOptions {
  /** `AF_INET`, `AF_INET6` …; without it that of the address, and `AF_INET` for a name and for `""`. */
  readonly family?: number | undefined;
  /** As `listen()` takes it. */
  readonly backlog?: number | undefined;
  /** SO_REUSEPORT: other sockets may listen at the same address, and the kernel shares the connections out. */
  readonly reuse_port?: boolean | undefined;
  /** Takes IPv4 connections as well, whose peers then have addresses such as `::ffff:192.0.2.1`. Needs `AF_INET6`. */
  readonly dualstack_ipv6?: boolean | undefined;
}

/**
 * A stream socket that is bound to `address` and listens: Python's `create_server()`. It has SO_REUSEADDR, so that a server
 * can start again while connections of the one before it are in TIME_WAIT. A socket of IPv6 takes IPv6 connections only,
 * unless `dualstack_ipv6` is set.
 *
 * @param address where to listen; `["", port]` is every address of the family
 * @throws SocketError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EAFNOSUPPORT`, `EAI_NONAME` …
 * @see socket(2), bind(2), listen(2), SO_REUSEADDR of socket(7), IPV6_V6ONLY of ipv6(7)
 * @example
 * ```ts
 * import { create_connection, create_server, has_dualstack_ipv6 } from "berkeley";
 *
 * await using server = await create_server(["", 8888], { dualstack_ipv6: has_dualstack_ipv6() });
 * await using client = await create_connection("127.0.0.1:8888");
 * const [conn, address] = await server.accept();
 * console.log("host" in address && address.host.endsWith("127.0.0.1")); // prints: true
 * conn.close();
 * ```
 */
export async function create_server(address: AddressLike, opts?: CreateServerOptions): Promise<Socket> {
  const action = "create_server";
  checkOptions(opts, action);
  const target = toAddress(address);
  const reusePort = flag(opts?.reuse_port, action, "reuse_port");
  const dualstack = flag(opts?.dualstack_ipv6, action, "dualstack_ipv6");
  const family = opts?.family ?? (dualstack ? AF_INET6 : familyOf(target));
  if (dualstack && family !== AF_INET6) {
    throw new TypeError(`Cannot ${action}: family is ${quote(family)}, required AF_INET6 with dualstack_ipv6`);
  }
  const socket = new Socket(family, SOCK_STREAM);
  try {
    socket.setsockopt(SO_REUSEADDR, true);
    if (reusePort) socket.setsockopt(SO_REUSEPORT, true);
    if (family === AF_INET6) socket.setsockopt(IPV6_V6ONLY, !dualstack);
    await socket.bind(target, { timeout: opts?.timeout, signal: opts?.signal });
    socket.listen(opts?.backlog ?? SOMAXCONN);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

function familyOf(target: Address | HostPort): number {
  if (!(target instanceof HostPort)) return target.family;
  return target.zone === undefined ? AF_INET : AF_INET6;
}

function flag(value: unknown, action: string, name: string): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? false;
  throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required true or false`);
}
