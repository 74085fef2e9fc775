// MSG_FASTOPEN: a send to an address that also connects, with the data in the SYN (sendmsg(2), RFC 7413).
//
// If the kernel has a cookie of the peer, it takes the data and sends them in the SYN. Without a cookie it starts the
// handshake, takes no data and returns EINPROGRESS. The send then waits until the connection is established, and sends
// without the flag and the address. With them the kernel would return EALREADY, and later EISCONN. If the handshake
// fails, the send fails with its error.

import { MSG_DONTWAIT, MSG_FASTOPEN } from "../sys/constants.js";
import { EAGAIN, EINPROGRESS } from "../sys/errno.js";

/** The state of a send that may have started a handshake. */
export interface FastOpenState {
  /** Whether the send has started a handshake, whose end it waits for. */
  handshaking?: boolean;
}

/** The result of the first attempt, or EAGAIN if the attempt started a handshake and the kernel took no data. */
export function waitForHandshake(result: number, state: FastOpenState, flags: number): number {
  if (result !== EINPROGRESS || (flags & MSG_FASTOPEN) === 0 || (flags & MSG_DONTWAIT) !== 0) return result;
  state.handshaking = true;
  return EAGAIN;
}

/** The flags of the send after the handshake. */
export function withoutFastOpen(flags: number): number {
  return flags & ~MSG_FASTOPEN;
}
