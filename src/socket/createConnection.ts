// create_connection: connects to the addresses of a host, one after the other.

import {
  type AddressLike,
  type Inet6Address,
  type InetAddress,
  type InetLike,
  type UnixAddress,
  type UnixLike,
  type VsockAddress,
  type VsockLike,
  AF_UNSPEC,
  type HostPort,
} from "../addr/index.js";
import { SocketError } from "../errors/index.js";
import { calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";
import {
  allAttemptsError,
  connectionRequest,
  type CreateConnectionOptions,
  knownAddress,
} from "../ops/createOptions.js";
import { signalOf } from "../wait/waitOptions.js";
import { resolveNames } from "./resolveAddress.js";
import { Socket } from "./socket.js";

/**
 * Connects a stream socket to a host: Python's `create_connection()`. It tries the addresses of the host one after the
 * other, in the order of the resolver, until an attempt succeeds. The sockets of failed attempts are closed.
 *
 * @param address a host and a port, or any address that a stream socket connects to
 * @returns the connected socket
 * @throws SocketError the error of the last attempt: `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `EADDRNOTAVAIL` and
 *   others; errors of the resolver: `EAI_NONAME`, `EAI_AGAIN` and others
 * @throws AggregateError with `allErrors`: the errors of all attempts, in order, in `errors`
 * @see getaddrinfo(3), socket(2), bind(2), connect(2)
 * @example
 * ```ts
 * import { create_connection, create_server } from "berkeley";
 *
 * await using server = await create_server(["127.0.0.1", 8888]);
 * await using socket = await create_connection(["localhost", 8888], { timeout: 5_000 });
 * console.log(String(socket.getpeername())); // prints: 127.0.0.1:8888
 * ```
 */
export function create_connection(
  address: UnixAddress | UnixLike | `unix:${string}`,
  opts?: CreateConnectionOptions,
): Promise<Socket<UnixAddress>>;
/** create_connection() for vsock(7). */
export function create_connection(
  address: VsockAddress | VsockLike | `vsock:${number}:${number}`,
  opts?: CreateConnectionOptions,
): Promise<Socket<VsockAddress>>;
/** create_connection() for a host and a port: the socket has the family of the address that it connects to. */
export function create_connection(
  address: InetLike,
  opts?: CreateConnectionOptions,
): Promise<Socket<InetAddress | Inet6Address>>;
/** create_connection() for an address whose form is known only at run time. */
export function create_connection(address: AddressLike, opts?: CreateConnectionOptions): Promise<Socket>;
export async function create_connection(address: AddressLike, opts?: CreateConnectionOptions): Promise<Socket> {
  const request = connectionRequest(address, opts);
  const { source, target, timeout } = request;
  const signal = signalOf(opts, "create_connection");
  signal?.throwIfAborted();

  const errors: SocketError[] = [];
  const known = knownAddress(calls, target);
  const signals = signal === undefined ? [] : [signal];
  const candidates =
    known === undefined ? await resolveNames(calls, target as HostPort, AF_UNSPEC, timeout, signals) : [known];
  for (const candidate of candidates) {
    let socket: Socket | undefined;
    try {
      socket = new Socket(candidate.family, SOCK_STREAM);
      socket.timeout = timeout;
      if (source !== undefined) await socket.bind(source, { signal });
      await socket.connect(candidate, { signal });
      return socket;
    } catch (error) {
      socket?.close();
      signal?.throwIfAborted();
      if (!(error instanceof SocketError)) throw error;
      errors.push(error);
    }
  }
  throw allAttemptsError(request, errors);
}
