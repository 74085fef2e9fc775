// The operations that write: send, sendAll, sendto.
//
// A datagram to a UNIX address meets EAGAIN when the receiver's queue is full, and no event tells when it is not: the event
// that there is shows the room in our own buffer, which each failed try frees again (unix_dgram_sendmsg in
// net/unix/af_unix.c), so that waiting for it would spin. reactor/waitQueue.ts has the rule for such a refusal. A socket that is
// connected to the receiver has the event.

import type { Address } from "../addr/index.js";
import { moved, type Operation, operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import { EMPTY } from "../check/index.js";
import { EFAULT } from "../sys/errno.js";
import { addressDetails } from "../sys/sockaddr.js";
import { awaitOpening, flagsOnceOpen, type Opening } from "./fastOpen.js";
import { nowait } from "./recv.js";

function sendOnce(calls: Calls, fd: number, data: Uint8Array | Uint8Array[], skip: number, flags: number): number {
  if (Array.isArray(data)) return calls.sendmsg(fd, data, skip, flags, null, null);
  if (data.length === 0 && data !== EMPTY) return EFAULT;
  return skip === 0 && flags === 0 ? calls.send(fd, data) : calls.send(fd, data, skip, flags);
}

export const SEND: Operation<Uint8Array | Uint8Array[], number, number> = operation<
  Uint8Array | Uint8Array[],
  number,
  number
>({
  syscall: "send",
  movesBytes: true,
  attempt: (calls, fd, data, flags) => sendOnce(calls, fd, data, 0, flags),
  complete: (count) => count,
  nowait,
});

/** How far a sendAll got. */
export interface Sending {
  readonly data: Uint8Array | Uint8Array[];
  readonly total: number;
  sent: number;
}

export const SEND_ALL: Operation<Sending, number, void> = operation<Sending, number, void>({
  syscall: "send",
  movesBytes: true,
  attempt: (calls, fd, sending, flags) => {
    const result = sendOnce(calls, fd, sending.data, sending.sent, flags);
    if (result < 0) return result;
    // Nothing taken of a rest that is not empty: the views have been detached or have shrunk.
    if (result === 0 && sending.total > 0) return EFAULT;
    sending.sent += result;
    return sending.sent < sending.total ? moved(result) : result;
  },
  complete: () => undefined,
  transferred: (sending) => sending.sent,
  nowait,
});

/** A datagram and where it goes. */
export interface Datagram extends Opening {
  readonly data: Uint8Array | Uint8Array[];
  readonly address: Address;
  readonly sockaddr: Uint8Array;
}

export const SENDTO: Operation<Datagram, number, number> = operation<Datagram, number, number>({
  syscall: "sendto",
  movesBytes: true,
  attempt: (calls, fd, datagram, flags) => {
    const { data, sockaddr } = datagram;
    if (datagram.opening) return sendOnce(calls, fd, data, 0, flagsOnceOpen(flags));
    if (!Array.isArray(data) && data.length === 0 && data !== EMPTY) return EFAULT;
    const result = Array.isArray(data)
      ? calls.sendmsg(fd, data, 0, flags, sockaddr, null)
      : calls.sendto(fd, data, flags, sockaddr);
    return awaitOpening(result, datagram, flags);
  },
  complete: (count) => count,
  nowait,
  details: ({ address }) => addressDetails(address),
});
