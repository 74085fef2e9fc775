// Descriptors that this process has already: inherited, or passed by another process.

import { Socket } from "../socket/index.js";
import { localError } from "../wait/localError.js";

/**
 * Makes a Socket of a descriptor when it has the type and a family that are needed and `check` does not throw. Otherwise it
 * stays open, and the caller's.
 *
 * @throws SocketError `EBADF`, `ENOTSOCK`, `EBUSY`; `EPROTOTYPE` and `EAFNOSUPPORT` for another type or family
 */
export function takeDescriptor(
  fd: number,
  type: number,
  families: readonly number[],
  syscall: string,
  check: (socket: Socket) => void,
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
    check(socket);
    return socket;
  } catch (error) {
    socket.detach();
    throw error;
  }
}
