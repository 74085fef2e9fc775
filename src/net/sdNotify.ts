// Messages to the service manager: sd_notify(3), a datagram to the UNIX socket in NOTIFY_SOCKET.

import { AF_UNIX, UnixAddress } from "../addr/index.js";
import { Socket, send_fds, socketpair } from "../socket/index.js";
import { SOCK_DGRAM } from "../sys/constants.js";
import { localError } from "../wait/localError.js";

/** Milliseconds for each step: the message, the barrier and its answer. */
const TIMEOUT = 5_000;

/**
 * Sends a message such as `"READY=1"`.
 *
 * @param lastMessage if true, waits until the manager has handled the message, because after the end of this process
 *   the manager may not find the service of the process
 * @returns false if there is no manager
 * @throws SocketError the errors of connect(2) and sendmsg(2); `ETIMEDOUT`; `EAFNOSUPPORT` for another kind of address
 */
export async function notifyManager(state: string, lastMessage: boolean = false): Promise<boolean> {
  const place = process.env["NOTIFY_SOCKET"];
  if (place === undefined || place === "") return false;
  if (!/^[/@]./.test(place)) {
    throw localError("EAFNOSUPPORT", "sd_notify", {
      cause: new Error(`NOTIFY_SOCKET is ${place}, required a path or "@" and an abstract name`),
    });
  }
  await using socket = new Socket(AF_UNIX, SOCK_DGRAM);
  const address = new UnixAddress(place.startsWith("@") ? `\0${place.slice(1)}` : place);
  await socket.sendto(state, address, { timeout: TIMEOUT });
  if (!lastMessage) return true;
  // The manager closes the passed descriptor when it has handled all earlier messages.
  const [ownEnd, managerEnd] = socketpair();
  try {
    await send_fds(socket, "BARRIER=1", [managerEnd], { address, timeout: TIMEOUT });
    managerEnd.close();
    await ownEnd.recv(1, { timeout: TIMEOUT });
  } finally {
    managerEnd.close();
    ownEnd.close();
  }
  return true;
}
