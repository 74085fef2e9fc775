// The constructor of Socket, with the type of the addresses. TypeScript can't derive the type argument of a class from
// an argument that is absent, so the constructor has an interface of its own. At run time the constructor is the class
// Socket.

import type { Address, AddressOf, InetAddress } from "../addr/index.js";
import { Socket as SocketCalls } from "./syncSocket.js";

/**
 * A socket whose addresses have the type `A`. `Socket` without a type argument is a socket of any family: each
 * `Socket<A>` can be used as one.
 *
 * @example
 * ```ts
 * import { AF_INET6, type Inet6Address, Socket } from "berkeley/sync";
 *
 * const server = new Socket();
 * console.log(server.getsockname().port); // prints: 0
 * const other: Socket<Inet6Address> = new Socket(AF_INET6);
 * const both: Socket[] = [server, other];
 * for (const socket of both) socket.close();
 * ```
 */
export type Socket<A extends Address = Address> = SocketCalls<A>;

/** The constructor of `Socket`. */
export interface SocketConstructor {
  readonly prototype: Socket;
  /**
   * Makes a socket: socket(2). It is close-on-exec. The types of its addresses follow from the family.
   *
   * @param family `AF_INET` (the default), `AF_INET6`, `AF_UNIX`; and others
   * @param type `SOCK_STREAM` (the default), `SOCK_DGRAM`, `SOCK_SEQPACKET`, `SOCK_RAW`; and others
   * @param protocol 0 (the default) for the default of family and type
   * @throws SocketError `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `EMFILE`, `EPERM`; and others
   * @see socket(2)
   */
  new (family?: undefined, type?: number, protocol?: number): Socket<InetAddress>;
  new <F extends number>(family: F | undefined, type?: number, protocol?: number): Socket<AddressOf<F>>;
  /** See `fromfd` of the class. */
  fromfd: typeof SocketCalls.fromfd;
  /** See `pair` of the class. The function `socketpair()` also derives the types of the addresses. */
  pair: typeof SocketCalls.pair;
}

/** The class of sockets. Its constructor derives the type of the addresses from the family. */
export const Socket: SocketConstructor = SocketCalls;
// A bundler may rename the class, because this file uses the name Socket too.
Object.defineProperty(SocketCalls, "name", { value: "Socket", configurable: true });
