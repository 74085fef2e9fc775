// Makes sockets of descriptors that this process inherited or received from another process.

import { Socket } from "../socket/index.js";
import { localError } from "../wait/localError.js";

/**
 * Makes a Socket of a descriptor that has the required type and one of the required families. If the call throws, the
 * descriptor stays open and belongs to the caller.
 *
 * @param syscall the `syscall` of errors
 * @param prepare makes further checks, and sets options. If it throws, the call throws the same error
 * @throws SocketError `EBADF`, `ENOTSOCK`, `EBUSY`; `EPROTOTYPE` and `EAFNOSUPPORT` for another type or family
 */
export function takeDescriptor(
  fd: number,
  type: number,
  families: readonly number[],
  syscall: string,
  prepare: (socket: Socket) => void,
): Socket {
  const socket = Socket.fromfd(fd);
  try {
    const found = `descriptor ${fd} is a socket of family ${socket.family} and type ${socket.type}`;
    if (socket.type !== type) {
      throw localError("EPROTOTYPE", syscall, { cause: new Error(`${found}, required type ${type}`) });
    }
    if (!families.includes(socket.family)) {
      const cause = new Error(`${found}, required family ${families.join(" or ")}`);
      throw localError("EAFNOSUPPORT", syscall, { cause });
    }
    prepare(socket);
    return socket;
  } catch (error) {
    // Leaves the descriptor open.
    socket.detach();
    throw error;
  }
}
