// The operations that write: send, sendAll, sendto.

import type { Address } from "../../addr/index.js";
import type { Operation } from "../../fd/index.js";
import type { Calls } from "../../sys/calls.js";
import { EMPTY } from "../../sys/arguments.js";
import { EFAULT } from "../../sys/errno.js";
import { addressDetails } from "../../sys/sockaddr.js";

function sendOnce(calls: Calls, fd: number, data: Uint8Array | Uint8Array[], skip: number, flags: number): number {
  if (!(data instanceof Uint8Array)) return calls.sendmsg(fd, data, skip, flags, null, null);
  return data.length === 0 && data !== EMPTY ? EFAULT : calls.send(fd, data, skip, flags);
}

export const SEND: Operation<Uint8Array | Uint8Array[], number, number> = {
  syscall: "send",
  movesBytes: true,
  attempt: (calls, fd, data, flags) => sendOnce(calls, fd, data, 0, flags),
  complete: (count) => count,
};

/** How far a sendAll got. */
export interface Sending {
  readonly data: Uint8Array | Uint8Array[];
  readonly total: number;
  sent: number;
}

export const SEND_ALL: Operation<Sending, number, void> = {
  syscall: "send",
  movesBytes: true,
  attempt: (calls, fd, sending, flags) => {
    const before = sending.sent;
    do {
      const result = sendOnce(calls, fd, sending.data, sending.sent, flags);
      if (result < 0) return result;
      // Nothing taken of a rest that is not empty: the views have been detached or have shrunk.
      if (result === 0 && sending.total > 0) return EFAULT;
      sending.sent += result;
    } while (sending.sent < sending.total);
    return sending.sent - before;
  },
  complete: () => undefined,
  transferred: (sending) => sending.sent,
};

/** A datagram and where it goes. */
export interface Datagram {
  readonly data: Uint8Array | Uint8Array[];
  readonly address: Address;
  readonly sockaddr: Uint8Array;
}

export const SENDTO: Operation<Datagram, number, number> = {
  syscall: "sendto",
  movesBytes: true,
  attempt: (calls, fd, { data, sockaddr }, flags) =>
    data instanceof Uint8Array
      ? calls.sendto(fd, data, flags, sockaddr)
      : calls.sendmsg(fd, data, 0, flags, sockaddr, null),
  complete: (count) => count,
  details: ({ address }) => addressDetails(address),
};
