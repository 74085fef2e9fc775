// send_fds and recv_fds, blocking.

import { isBranded, quoteNonInstance } from "../check/index.js";
import type { Data } from "../io.js";
import type { HasFileno } from "../cmsg/index.js";
import { type DataWithFds, dataWithFds, sendmsgOptions, recvmsgOptions } from "../ops/fdPassing.js";
import type { RecvmsgOptions, SendmsgOptions } from "./syncOptions.js";
import { isBlockingSocket } from "./blockingRunner.js";
import type { Socket } from "./syncSocket.js";

function checkSyncSocket(socket: unknown, action: string): void {
  // A Socket of another copy of the package is accepted, because only public methods are called.
  if (isBlockingSocket(socket) || isBranded(socket, "Socket of berkeley/sync")) return;
  throw new TypeError(
    `Cannot ${action}: socket is ${quoteNonInstance(socket, "Socket")}, required a Socket of berkeley/sync`,
  );
}

/**
 * Sends data and descriptors over a UNIX socket: sendmsg(2) with SCM_RIGHTS, like the awaitable `send_fds`.
 *
 * @param data at least one byte on a stream
 * @param fds numbers of descriptors, or sockets; the kernel takes at most 253
 * @returns the number of bytes that the kernel has taken
 * @throws SocketError `EBADF`, `EINVAL`, `ETOOMANYREFS`, and the errors of `sendmsg`
 * @throws TypeError if the socket is no UNIX socket
 * @see unix(7), SCM_RIGHTS
 */
export function send_fds(
  socket: Socket,
  data: Data,
  fds: readonly (number | HasFileno)[],
  opts?: Omit<SendmsgOptions, "control">,
): number {
  checkSyncSocket(socket, "send_fds");
  return socket.sendmsg(data, sendmsgOptions(fds, opts));
}

/**
 * Receives data and up to `maxfds` descriptors: recvmsg(2) with SCM_RIGHTS, like the awaitable `recv_fds`.
 *
 * @returns data, descriptors, flags and address. When `descriptors` is disposed or collected, it closes each descriptor
 *   that was not taken with `take()`
 * @throws SocketError as `recvmsg`
 * @see unix(7), SCM_RIGHTS
 * @example
 * ```ts
 * import { recv_fds, send_fds, Socket, socketpair } from "berkeley/sync";
 *
 * const [left, right] = socketpair();
 * const [one, other] = socketpair();
 * send_fds(left, "here", [one]);
 * one.close();
 *
 * const [data, descriptors] = recv_fds(right, 100, 1);
 * using passed = Socket.fromfd(descriptors.take()[0]!);
 * passed.sendAll("through a passed socket");
 * console.log(data.toString(), other.recv(100).toString()); // prints: here through a passed socket
 * for (const socket of [left, right, other]) socket.close();
 * ```
 */
export function recv_fds(
  socket: Socket,
  size: number,
  maxfds: number,
  opts?: Omit<RecvmsgOptions, "controlSize">,
): DataWithFds {
  checkSyncSocket(socket, "recv_fds");
  return dataWithFds(socket.recvmsg(size, recvmsgOptions(maxfds, opts)));
}
