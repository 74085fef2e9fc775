// send_fds() and recv_fds() pass descriptors over UNIX sockets. They have the names of Python's functions.

import { isBranded, quoteNonInstance } from "../check/index.js";
import type { Data } from "../io.js";
import type { HasFileno } from "../cmsg/index.js";
import { type DataWithFds, dataWithFds, sendmsgOptions, recvmsgOptions } from "../ops/fdPassing.js";
import type { RecvmsgOptions } from "../ops/recvmsg.js";
import type { SendmsgOptions } from "../ops/sendmsg.js";
import { isSocket } from "./promiseRunner.js";
import type { Socket } from "./socket.js";

function checkSocket(socket: unknown, action: string): void {
  // A Socket of another copy of the package is accepted too, because these functions call only its public methods.
  if (isSocket(socket) || isBranded(socket, "Socket")) return;
  throw new TypeError(`Cannot ${action}: socket is ${quoteNonInstance(socket, "Socket")}, required a Socket`);
}

/**
 * Sends data and descriptors over a UNIX socket: sendmsg(2) with SCM_RIGHTS. The receiver gets new descriptors for the
 * same open files. The sender may close its descriptors after the call.
 *
 * @param data at least one byte on a stream
 * @param fds numbers of descriptors, or sockets; the kernel takes at most 253
 * @returns the number of bytes that the kernel has taken. On a stream the kernel may take only the first part of
 *   `data`; all descriptors go with that part
 * @throws SocketError `EBADF` (a descriptor is not open), `EINVAL` (too many descriptors), `ETOOMANYREFS`, and the
 *   errors of `sendmsg`
 * @throws TypeError if the socket is no UNIX socket
 * @see unix(7), SCM_RIGHTS
 */
export async function send_fds(
  socket: Socket,
  data: Data,
  fds: readonly (number | HasFileno)[],
  opts?: Omit<SendmsgOptions, "control">,
): Promise<number> {
  checkSocket(socket, "send_fds");
  return socket.sendmsg(data, sendmsgOptions(fds, opts));
}

/**
 * Receives data and up to `maxfds` descriptors: recvmsg(2) with SCM_RIGHTS.
 *
 * @param size maximum number of bytes
 * @param maxfds maximum number of descriptors; the kernel closes further ones and sets `MSG_CTRUNC` in the flags
 * @returns data, descriptors, flags and address. Call `take()` of the descriptors; those that are not taken are closed
 *   when the object is disposed or garbage-collected
 * @throws SocketError the errors of `recvmsg`
 * @see unix(7), SCM_RIGHTS
 * @example
 * ```ts
 * import { recv_fds, send_fds, Socket, socketpair } from "berkeley";
 *
 * const [left, right] = socketpair();
 * const [one, other] = socketpair();
 * await send_fds(left, "here", [one]);
 * one.close();
 *
 * const [data, descriptors, flags] = await recv_fds(right, 100, 1);
 * await using passed = Socket.fromfd(descriptors.take()[0]!);
 * await passed.sendAll("through a passed socket");
 * console.log(data.toString(), flags, (await other.recv(100)).toString()); // prints: here 0 through a passed socket
 * for (const socket of [left, right, other]) socket.close();
 * ```
 */
export async function recv_fds(
  socket: Socket,
  size: number,
  maxfds: number,
  opts?: Omit<RecvmsgOptions, "controlSize">,
): Promise<DataWithFds> {
  checkSocket(socket, "recv_fds");
  return dataWithFds(await socket.recvmsg(size, recvmsgOptions(maxfds, opts)));
}
