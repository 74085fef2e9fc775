// Two sockets that are connected to each other.

import { type AddressOf, AF_UNIX, type UnixAddress } from "../addr/index.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { Socket } from "./socket.js";

/**
 * Two connected sockets without a name: socketpair(2).
 *
 * @param family `AF_UNIX`: of the families that this package supports, only this one has pairs
 * @param type `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_SEQPACKET`
 * @throws SocketError `EOPNOTSUPP`, `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `EMFILE`; and others
 * @see socketpair(2)
 * @example
 * ```ts
 * import { socketpair } from "berkeley";
 *
 * const [left, right] = socketpair();
 * await left.sendAll("ping");
 * console.log((await right.recv(16)).toString()); // prints: ping
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
