// socketpair, create_connection and create_server, blocking.

import {
  type AddressLike,
  type AddressOf,
  type Inet6Address,
  type InetAddress,
  type InetLike,
  type UnixAddress,
  type UnixLike,
  type VsockAddress,
  type VsockLike,
  AF_UNIX,
  AF_UNSPEC,
  type HostPort,
} from "../addr/index.js";
import { SocketError } from "../errors/index.js";
import { calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { runLookupBlocking } from "../netdb/lookup.js";
import { allAttemptsError, connectionRequest, knownAddress, serverRequest } from "../ops/createOptions.js";
import { resolveAll } from "../netdb/resolve.js";
import { type CreateConnectionOptions, type CreateServerOptions, blockingTimeoutOf } from "./syncOptions.js";
import { Socket } from "./syncSocket.js";

/**
 * Two connected sockets without a name: socketpair(2).
 *
 * @throws SocketError `EOPNOTSUPP`, `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `EMFILE`; and others
 * @see socketpair(2)
 * @example
 * ```ts
 * import { socketpair } from "berkeley/sync";
 *
 * const [left, right] = socketpair();
 * left.sendAll("ping");
 * console.log(right.recv(16).toString()); // prints: ping
 * left.close();
 * right.close();
 * ```
 */
export function socketpair(
  family?: undefined,
  type?: number,
  protocol?: number,
): [Socket<UnixAddress>, Socket<UnixAddress>];
export function socketpair<F extends number>(
  family: F | undefined,
  type?: number,
  protocol?: number,
): [Socket<AddressOf<F>>, Socket<AddressOf<F>>];
export function socketpair(
  family: number = AF_UNIX,
  type: number = SOCK_STREAM,
  protocol: number = 0,
): [Socket, Socket] {
  return Socket.pair(family, type, protocol);
}

/**
 * Connects a stream socket to a host: Python's `create_connection()`, blocking. It tries the addresses of the host one
 * after the other, until an attempt succeeds. `timeout` limits each attempt, but not the resolver.
 *
 * @throws SocketError the error of the last attempt; errors of the resolver: `EAI_NONAME`, `EAI_AGAIN`; and others
 * @throws AggregateError with `allErrors`: the errors of all attempts, in order, in `errors`
 * @see getaddrinfo(3), socket(2), bind(2), connect(2)
 * @example
 * ```ts
 * import { create_connection, create_server } from "berkeley/sync";
 *
 * using server = create_server(["127.0.0.1", 8888]);
 * using socket = create_connection(["localhost", 8888], { timeout: 5_000 });
 * console.log(String(socket.getpeername())); // prints: 127.0.0.1:8888
 * ```
 */
export function create_connection(
  address: UnixAddress | UnixLike | `unix:${string}`,
  opts?: CreateConnectionOptions,
): Socket<UnixAddress>;
/** create_connection() for vsock(7). */
export function create_connection(
  address: VsockAddress | VsockLike | `vsock:${number}:${number}`,
  opts?: CreateConnectionOptions,
): Socket<VsockAddress>;
/** create_connection() for a host and a port: the socket has the family of the address that it connects to. */
export function create_connection(
  address: InetLike,
  opts?: CreateConnectionOptions,
): Socket<InetAddress | Inet6Address>;
/** create_connection() for an address whose form is known only at run time. */
export function create_connection(address: AddressLike, opts?: CreateConnectionOptions): Socket;
export function create_connection(address: AddressLike, opts?: CreateConnectionOptions): Socket {
  blockingTimeoutOf(opts, null, "create_connection");
  const request = connectionRequest(address, opts);
  const { source, target, timeout } = request;
  const known = knownAddress(calls, target);
  const errors: SocketError[] = [];
  for (const candidate of known ? [known] : runLookupBlocking(resolveAll(calls, target as HostPort, AF_UNSPEC))) {
    let socket: Socket | undefined;
    try {
      socket = new Socket(candidate.family, SOCK_STREAM);
      socket.timeout = timeout;
      if (source !== undefined) socket.bind(source);
      socket.connect(candidate);
      return socket;
    } catch (error) {
      socket?.close();
      // After a signal no other address is tried.
      if (!(error instanceof SocketError) || error.code === "EINTR") throw error;
      errors.push(error);
    }
  }
  throw allAttemptsError(request, errors);
}

/**
 * Makes a stream socket that is bound to `address` and listens: Python's `create_server()`, blocking.
 *
 * @param address the address to listen on; `["", port]` is every address of the family
 * @throws SocketError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EAFNOSUPPORT`, `EAI_NONAME`; and others
 * @see socket(2), bind(2), listen(2), SO_REUSEADDR of socket(7), IPV6_V6ONLY of ipv6(7)
 */
export function create_server(
  address: UnixAddress | UnixLike | `unix:${string}`,
  opts?: CreateServerOptions,
): Socket<UnixAddress>;
/** create_server() for vsock(7). */
export function create_server(
  address: VsockAddress | VsockLike | `vsock:${number}:${number}`,
  opts?: CreateServerOptions,
): Socket<VsockAddress>;
/** create_server() for a host and a port: the socket has the family of the address that it listens on. */
export function create_server(address: InetLike, opts?: CreateServerOptions): Socket<InetAddress | Inet6Address>;
/** create_server() for an address whose form is known only at run time. */
export function create_server(address: AddressLike, opts?: CreateServerOptions): Socket;
export function create_server(address: AddressLike, opts?: CreateServerOptions): Socket {
  const timeout = blockingTimeoutOf(opts, null, "create_server");
  const { backlog, family, setOptions, target } = serverRequest(address, opts);
  const socket = new Socket(family, SOCK_STREAM);
  try {
    setOptions(socket);
    socket.bind(target, { timeout });
    socket.listen(backlog);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}
