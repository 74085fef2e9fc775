// create_server: makes a socket, binds it and listens.

import type {
  AddressLike,
  Inet6Address,
  InetAddress,
  InetLike,
  UnixAddress,
  UnixLike,
  VsockAddress,
  VsockLike,
} from "../addr/index.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { type CreateServerOptions, serverRequest } from "../ops/createOptions.js";
import { Socket } from "./socket.js";

/**
 * Makes a stream socket that is bound to `address` and listens: Python's `create_server()`. It sets SO_REUSEADDR, so a
 * server can start again while connections of its predecessor are in TIME_WAIT. An IPv6 socket accepts only IPv6
 * connections, unless `dualstackIpv6` is set.
 *
 * @param address the address to listen on; `["", port]` is every address of the family
 * @throws SocketError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EAFNOSUPPORT`, `EAI_NONAME` and others
 * @see socket(2), bind(2), listen(2), SO_REUSEADDR of socket(7), IPV6_V6ONLY of ipv6(7)
 * @example
 * ```ts
 * import { create_connection, create_server, has_dualstack_ipv6 } from "berkeley";
 *
 * await using server = await create_server(["", 8888], { dualstackIpv6: has_dualstack_ipv6() });
 * await using client = await create_connection("127.0.0.1:8888");
 * const [conn, address] = await server.accept();
 * console.log("host" in address && address.host.endsWith("127.0.0.1")); // prints: true
 * conn.close();
 * ```
 */
export function create_server(
  address: UnixAddress | UnixLike | `unix:${string}`,
  opts?: CreateServerOptions,
): Promise<Socket<UnixAddress>>;
/** create_server() for vsock(7). */
export function create_server(
  address: VsockAddress | VsockLike | `vsock:${number}:${number}`,
  opts?: CreateServerOptions,
): Promise<Socket<VsockAddress>>;
/** create_server() for a host and a port: the socket has the family of the address that it listens on. */
export function create_server(
  address: InetLike,
  opts?: CreateServerOptions,
): Promise<Socket<InetAddress | Inet6Address>>;
/** create_server() for an address whose form is known only at run time. */
export function create_server(address: AddressLike, opts?: CreateServerOptions): Promise<Socket>;
export async function create_server(address: AddressLike, opts?: CreateServerOptions): Promise<Socket> {
  const { backlog, family, setOptions, target } = serverRequest(address, opts);
  const socket = new Socket(family, SOCK_STREAM);
  try {
    setOptions(socket);
    await socket.bind(target, { timeout: opts?.timeout, signal: opts?.signal });
    socket.listen(backlog);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}
