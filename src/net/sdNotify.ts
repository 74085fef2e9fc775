// Messages to the service manager: sd_notify(3), a datagram to the UNIX socket in NOTIFY_SOCKET.

import { AF_UNIX, UnixAddress } from "../addr/index.js";
import { Socket, send_fds, socketpair } from "../socket/index.js";
import { SOCK_DGRAM } from "../sys/constants.js";
import { localError } from "../wait/localError.js";

/** Milliseconds for each step: sending the message, sending the barrier, and waiting for its answer. */
const TIMEOUT = 5_000;

/**
 * Sends a message such as `"READY=1"`.
 *
 * @param lastMessage whether to wait until the manager has handled the message. Pass true before this process ends: the
 *   manager may not find the service of a process that has ended
 * @returns false if there is no manager
 * @throws SocketError the errors of connect(2) and sendmsg(2); `ETIMEDOUT`; `EAFNOSUPPORT` for another kind of address
 */
export async function notifyManager(message: string, lastMessage: boolean = false): Promise<boolean> {
  const managerName = process.env["NOTIFY_SOCKET"];
  if (managerName === undefined || managerName === "") return false;
  if (!/^[/@]./.test(managerName)) {
    throw localError("EAFNOSUPPORT", "sd_notify", {
      cause: new Error(`NOTIFY_SOCKET is ${managerName}, required a path or "@" and an abstract name`),
    });
  }
  await using socket = new Socket(AF_UNIX, SOCK_DGRAM);
  const address = new UnixAddress(managerName.replace(/^@/, "\0"));
  await socket.sendto(message, address, { timeout: TIMEOUT });
  if (!lastMessage) return true;
  // The barrier is a message with a descriptor. The manager closes this descriptor when it has handled all earlier
  // messages. Then recv() on the other end of the pair returns.
  const [ownEnd, managerEnd] = socketpair();
  try {
    await send_fds(socket, "BARRIER=1", [managerEnd], { address, timeout: TIMEOUT });
    // recv() would wait while this process has `managerEnd` open too.
    managerEnd.close();
    await ownEnd.recv(1, { timeout: TIMEOUT });
  } finally {
    managerEnd.close();
    ownEnd.close();
  }
  return true;
}
