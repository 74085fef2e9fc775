// connect() and accept() without promises, and localPortOf(), for src/net and src/server. A promise would be a large
// part of the cost of a short connection.

import type { Address } from "../addr/index.js";
import type { CompletionHandler, PENDING } from "../reactor/index.js";
import { check } from "../sys/errno.js";
import { CONNECT, connectState } from "../ops/bindAndConnect.js";
import { decodePort, addressBuffer } from "../sys/sockaddr.js";
import { descriptorOf, runnerOf } from "./promiseRunner.js";
import { ACCEPT, type Socket } from "./socket.js";

export { type CompletionHandler, PENDING } from "../reactor/index.js";

/**
 * Connects a new socket: connect(2). Before this call, only setsockopt(2) and bind(2) may have been called on `socket`.
 *
 * @param isTcp whether `socket` is a TCP socket
 * @returns PENDING if the call waits; then `handler` gets the outcome
 * @throws SocketError the errors of `Socket.connect`
 */
export function connectTo(
  handler: CompletionHandler<void>,
  socket: Socket,
  address: Address,
  isTcp: boolean,
  timeout: number | null,
): void | typeof PENDING {
  const { reading, writing } = descriptorOf(socket);
  const state = connectState(address, isTcp);
  const outcome = writing.submit(handler, socket, CONNECT, state, undefined, timeout);
  // A new connection rarely has bytes to read. So the first read waits for an event without a recv(2), which would most
  // often return EAGAIN.
  if (isTcp) reading.setNotReady();
  return outcome;
}

/**
 * Accepts the next connection: accept4(2). Fails when descriptors or memory are short. When the function returns the
 * Socket or calls `handler` with it, `addressBuffer` (sys/sockaddr.ts) holds the address of the peer. The next system
 * call with an address overwrites that address.
 *
 * @returns PENDING if the call waits; then `handler` gets the outcome
 * @throws SocketError the errors of `Socket.accept`
 */
export function acceptFrom(handler: CompletionHandler<Socket>, listener: Socket): Socket | typeof PENDING {
  const runner = runnerOf(listener)!;
  const retryOnShortage = false;
  return runner.descriptor.reading.submit(handler, runner, ACCEPT.socketOnly, runner, retryOnShortage, null);
}

/** The local port of an IP socket: getsockname(2). Right after the call `addressBuffer` holds the whole address. */
export function localPortOf(socket: Socket): number {
  const { fd, reactor } = descriptorOf(socket);
  check(reactor.calls.getsockname(fd, addressBuffer), "getsockname");
  return decodePort();
}
