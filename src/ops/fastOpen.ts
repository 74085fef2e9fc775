// MSG_FASTOPEN: a send to an address that also connects, with the data in the SYN (sendmsg(2), RFC 7413).
//
// With a cookie of the peer the kernel takes data and sends the SYN. Without one it begins the handshake, takes nothing and
// says EINPROGRESS; the data then goes the ordinary way once the connection stands. In that second part neither the flag
// nor the address may be given again: the kernel would say EALREADY, and later EISCONN. A handshake that fails gives its
// error to the send.

import { MSG_DONTWAIT, MSG_FASTOPEN } from "../sys/constants.js";
import { EAGAIN, EINPROGRESS } from "../sys/errno.js";

/** What a send to an address remembers of the handshake that it began. */
export interface Opening {
  /** The handshake is under way, and the data waits for its end. */
  opening?: boolean;
}

/** What a first try returned, with a handshake that began without the data turned into a wait. */
export function awaitOpening(result: number, state: Opening, flags: number): number {
  if (result !== EINPROGRESS || (flags & MSG_FASTOPEN) === 0 || (flags & MSG_DONTWAIT) !== 0) return result;
  state.opening = true;
  return EAGAIN;
}

/** The flags for the data once the connection stands. */
export function flagsOnceOpen(flags: number): number {
  return flags & ~MSG_FASTOPEN;
}
