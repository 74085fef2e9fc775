// Passing descriptors over UNIX sockets: send_fds and recv_fds, as Python names them.

import { quote, isBranded } from "../check/index.js";
import type { Data } from "../io.js";
import type { HasFileno } from "../cmsg/index.js";
import { type DataWithFds, fdsOf, withFds, withRoomForFds } from "../ops/fdPassing.js";
import type { RecvmsgOptions } from "../ops/recvmsg.js";
import type { SendmsgOptions } from "../ops/sendmsg.js";
import { isSocket } from "./promiseRunner.js";
import type { Socket } from "./socket.js";

function checkSocket(socket: unknown, action: string): void {
  // Only its methods are called, so one of another copy is as good.
  if (isSocket(socket) || isBranded(socket, "Socket")) return;
  throw new TypeError(`Cannot ${action}: socket is ${quote(socket)}, required a Socket`);
}

/**
 * Sends data, and descriptors with them, over a UNIX socket: sendmsg(2) with SCM_RIGHTS. The receiver gets descriptors of its own for
 * the same open files; these here can be closed afterwards.
 *
 * @param data at least one byte on a stream
 * @param fds numbers of descriptors, or sockets; the kernel takes at most 253
 * @returns the number of bytes that were taken; on a stream that may be fewer than there are, and the descriptors have gone
 * @throws SocketError `EBADF` (a descriptor is not open), `EINVAL` (too many, or no UNIX socket), `ETOOMANYREFS`, as `sendmsg`
 * @see unix(7), SCM_RIGHTS
 */
export async function send_fds(
  socket: Socket,
  data: Data,
  fds: readonly (number | HasFileno)[],
  opts?: Omit<SendmsgOptions, "control">,
): Promise<number> {
  checkSocket(socket, "send_fds");
  return socket.sendmsg(data, withFds(fds, opts));
}

/**
 * Receives data and up to `maxfds` descriptors with them: recvmsg(2) with SCM_RIGHTS.
 *
 * @param size room for data in bytes
 * @param maxfds how many descriptors to take at most; the kernel closes others, and sets `MSG_CTRUNC` in the flags
 * @returns data, descriptors (take them, or they are closed when the object is disposed or collected), flags and address
 * @throws SocketError as `recvmsg`
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
  return fdsOf(await socket.recvmsg(size, withRoomForFds(maxfds, opts)));
}
