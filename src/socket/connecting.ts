// Connecting and accepting for the layers above, where a promise for each would cost more than the rest.

import type { Address } from "../addr/index.js";
import type { WAITS } from "../reactor/index.js";
import { type Settler } from "../reactor/index.js";
import { check } from "../sys/errno.js";
import { CONNECT } from "../ops/connection.js";
import { encodeAddress, decodePort, addressBuffer } from "../sys/sockaddr.js";
import { descriptorOf } from "./moveSocket.js";
import { ACCEPT_ONLY, type Socket } from "./socket.js";

export { type Settler, WAITS } from "../reactor/index.js";

/**
 * Connects a socket that was made for this, and to which nothing else was done but setting options and binding: connect(2).
 *
 * @param tcp whether it is one of TCP
 * @returns WAITS if `settler` will hear how it went
 * @throws SocketError as `Socket.connect` rejects with
 */
export function connectTo(
  settler: Settler<void>,
  socket: Socket,
  address: Address,
  tcp: boolean,
  timeout: number | null,
): void | typeof WAITS {
  const { reading, writing } = descriptorOf(socket);
  const connecting = { address, sockaddr: encodeAddress(address), started: false, fresh: tcp };
  const outcome = writing.submit(settler, socket, CONNECT, connecting, undefined, timeout);
  // There is hardly a byte yet: an event will tell of it, one of the registration that is made or the one that reading makes.
  if (tcp) reading.exhausted();
  return outcome;
}

/**
 * Takes the next connection, and waits out a lack of descriptors or memory: accept4(2). Right after it the peer's address
 * stands in `addressBuffer` of sys/sockaddr.ts.
 *
 * @returns WAITS if `settler` will hear of it
 * @throws SocketError as `Socket.accept` rejects with
 */
export function acceptFrom(settler: Settler<Socket>, listener: Socket): Socket | typeof WAITS {
  return descriptorOf(listener).reading.submit(settler, listener, ACCEPT_ONLY, listener, true, null);
}

/** The local port of a socket of IP, whose whole address then stands in `addressBuffer`: getsockname(2). */
export function askLocalPort(socket: Socket): number {
  const { fd, reactor } = descriptorOf(socket);
  check(reactor.calls.getsockname(fd, addressBuffer), "getsockname");
  return decodePort();
}
