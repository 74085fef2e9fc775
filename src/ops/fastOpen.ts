// MSG_FASTOPEN: a send to an address that also connects, with the data in the SYN (sendmsg(2), RFC 7413).
//
// If the kernel has a cookie of the peer, it sends the data in the SYN. Without a cookie it starts the handshake, sends
// no data and returns EINPROGRESS. The call then waits until the connection is established, and sends without the flag
// and the address. With the flag and the address the kernel would return EALREADY, and later EISCONN. If the handshake
// fails, the call fails with the error of the handshake.

import { MSG_DONTWAIT, MSG_FASTOPEN } from "../sys/constants.js";
import { EAGAIN, EINPROGRESS } from "../sys/errno.js";

/** The state of a send that may have started a handshake. */
export interface FastOpenState {
  /** Whether the send has started a handshake. Then its next attempts use neither MSG_FASTOPEN nor the address. */
  handshaking?: boolean;
}

/**
 * Returns EAGAIN and sets `handshaking` if the first attempt started a handshake and sent no data, and the flags do not
 * have MSG_DONTWAIT. Otherwise returns `result`, the result of that attempt.
 */
export function noteHandshake(result: number, state: FastOpenState, flags: number): number {
  if (result !== EINPROGRESS || (flags & MSG_FASTOPEN) === 0 || (flags & MSG_DONTWAIT) !== 0) return result;
  state.handshaking = true;
  return EAGAIN;
}

/** The flags for the attempt after the handshake. */
export function withoutFastOpen(flags: number): number {
  return flags & ~MSG_FASTOPEN;
}
