// The operations on batches of datagrams: recvmmsg, sendmmsg, and one buffer sent as many datagrams.
//
// recvmmsg() on a non-blocking socket takes datagrams until the batch is full or the kernel says EAGAIN
// (do_recvmmsg in net/socket.c). So a batch that is not full has drained the socket, whatever its family: the next call
// waits for an event instead of asking again. It may also have ended at an error other than EAGAIN, which the kernel then
// keeps for the next call; such an error has an event of its own (EPOLLERR).
//
// sendmmsg() stops at the first datagram that is not taken, and says how many were before it. Only the next call, which
// starts with that datagram, tells why: EAGAIN waits, and the unsent tail is tried again. One thing is told with a
// datagram that it does not concern. A connected UDP socket reports that an earlier datagram was refused (udp(7)):
// to send the same one again then succeeds. That is why a caller who wants refused datagrams passed over gets each tried
// twice.

import type { Address } from "../addr/index.js";
import { moved, type Operation, operation } from "../reactor/operation.js";
import { EMPTY } from "../check/index.js";
import { type BatchMemory, ENTRY_WORDS, ERROR, MAX_AT_ONCE } from "../batch/index.js";
import { EAGAIN, EBADF, ECANCELED, EFAULT, EINTR, ENOTSOCK } from "../sys/errno.js";
import { addressDetails } from "../sys/sockaddr.js";
import { nowait } from "./recv.js";

/** What a datagram counts for in the budget of a turn: it costs the kernel about as much as so many bytes of a stream. */
const BYTES_PER_DATAGRAM = 4096;

/** A large slot may hold many datagrams in one (GSO, GRO). */
function cost(count: number, { slotSize }: BatchMemory): number {
  return count * Math.max(slotSize, BYTES_PER_DATAGRAM);
}

export const RECVMMSG: Operation<BatchMemory, number, number> = operation<BatchMemory, number, number>({
  syscall: "recvmmsg",
  movesBytes: true,
  attempt: (calls, fd, { slab, table, control }, flags) => calls.recvmmsg(fd, slab, table, control, flags),
  complete: (count, memory) => (memory.count = count),
  nowait,
  exhausted: (count, { capacity }) => count < Math.min(capacity, MAX_AT_ONCE),
  cost,
});

/** How far a sendmmsg got in the range [next, end). */
export interface BatchSending {
  readonly memory: BatchMemory;
  end: number;
  skipRefused: boolean;
  next: number;
  /** Datagrams that went out. */
  sent: number;
  /** The datagram at `next` has been refused once. */
  refused: boolean;
}

/** Errors that are no datagram's own. */
const NOT_OF_ONE: ReadonlySet<number> = new Set([EAGAIN, EBADF, ECANCELED, EFAULT, EINTR, ENOTSOCK]);

export const SENDMMSG: Operation<BatchSending, number, number> = operation<BatchSending, number, number>({
  syscall: "sendmmsg",
  movesBytes: true,
  attempt: (calls, fd, sending, flags) => {
    const { memory, end, skipRefused } = sending;
    while (sending.next < end) {
      const result = calls.sendmmsg(fd, memory.slab, memory.table, sending.next, end, flags);
      if (result > 0) {
        sending.next += result;
        sending.sent += result;
        sending.refused = false;
        if (end - sending.next > MAX_AT_ONCE) return moved(cost(result, memory));
      } else if (!skipRefused || NOT_OF_ONE.has(result)) {
        return result;
      } else if (!sending.refused) {
        sending.refused = true;
      } else {
        memory.words[sending.next * ENTRY_WORDS + ERROR] = result;
        sending.next++;
        sending.refused = false;
        if (sending.next < end) return moved(BYTES_PER_DATAGRAM);
      }
    }
    return sending.sent;
  },
  complete: (_sent, sending) => sending.sent,
  cost: (sent, { memory }) => cost(sent, memory),
  nowait,
  details: () => ({ unit: "datagrams" }),
  transferred: (sending) => sending.sent,
});

/** How far one buffer that is sent as many datagrams got: the views of `messages` go out in one call each. */
export interface SegmentSending {
  readonly messages: readonly Uint8Array[];
  readonly control: Uint8Array;
  readonly address: Address | undefined;
  readonly sockaddr: Uint8Array | null;
  next: number;
  sent: number;
}

export const SEND_SEGMENTS: Operation<SegmentSending, number, number> = operation<SegmentSending, number, number>({
  syscall: "sendmsg",
  movesBytes: true,
  attempt: (calls, fd, sending, flags) => {
    const { messages, control, sockaddr } = sending;
    const message = messages[sending.next]!;
    if (message.length === 0 && message !== EMPTY) return EFAULT;
    const result = calls.sendmsg(fd, [message], 0, flags, sockaddr, control);
    if (result < 0) return result;
    sending.next++;
    sending.sent += result;
    return sending.next < messages.length ? moved(result) : result;
  },
  complete: (_result, sending) => sending.sent,
  nowait,
  details: ({ address }) => addressDetails(address),
  transferred: (sending) => sending.sent,
});
