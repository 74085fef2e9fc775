// recvmmsg and sendmmsg: batches of datagrams.
//
// recvmmsg() on a non-blocking socket takes datagrams until the batch is full or a receive returns EAGAIN (do_recvmmsg
// in net/socket.c). So after a batch that is not full the socket is empty, in every family, and the next call waits for
// an event without a system call. The batch may also have ended at an error other than EAGAIN, which the kernel then
// keeps for the next call; such an error has an event of its own (EPOLLERR).
//
// sendmmsg() stops at the first datagram that the kernel refuses, and returns the number of datagrams before it. Only
// the next call, which starts with that datagram, returns the reason: EAGAIN waits, and the unsent rest is tried again.
// One reason does not concern the datagram itself: a connected UDP socket reports that an earlier datagram was refused
// (udp(7)), and sending the same datagram again succeeds. So with `skipRefused` each datagram is tried twice.

import { flag, integer, quoteOther } from "../check/index.js";
import { type BatchMemory, DatagramBatch, ENTRY_WORDS, ERROR, MAX_AT_ONCE, memoryOf } from "../batch/index.js";
import { progress, type Operation, operation } from "../reactor/operation.js";
import { EAGAIN, EBADF, ECANCELED, EFAULT, EINTR, ENOTSOCK } from "../sys/errno.js";
import { flagsOf, sendFlagsOf, TRANSFER_NAMES, type TransferOptions } from "./flags.js";
import { isNonblocking } from "./recv.js";
import type { Mode, Outcome, Runner } from "./runner.js";

/** Options of `sendmmsg`. */
export interface SendBatchOptions extends TransferOptions {
  /** The number of the first datagram to send; the default is 0. */
  readonly start?: number | undefined;
  /** Skips datagrams that the kernel refuses and stores the reason in the batch, instead of stopping at the first. */
  readonly skipRefused?: boolean | undefined;
}

/** The cost of a datagram in the budget of a turn. It costs the kernel about as much as this many bytes of a stream. */
const BYTES_PER_DATAGRAM = 4096;

/** A large slot may hold many datagrams (GSO, GRO). */
function cost(count: number, { slotSize }: BatchMemory): number {
  return count * Math.max(slotSize, BYTES_PER_DATAGRAM);
}

export const RECVMMSG: Operation<BatchMemory, number, number> = operation<BatchMemory, number, number>({
  syscall: "recvmmsg",
  movesBytes: true,
  batch: true,
  attempt: (calls, fd, { slab, table, control }, flags) => calls.recvmmsg(fd, slab, table, control, flags),
  complete: (count, memory) => (memory.count = count),
  isNonblocking,
  drained: (count, { capacity }) => count < Math.min(capacity, MAX_AT_ONCE),
  cost,
});

/** The progress of a sendmmsg in the range [next, end). */
export interface BatchSending {
  readonly memory: BatchMemory;
  end: number;
  skipRefused: boolean;
  next: number;
  /** Datagrams that went out. */
  sent: number;
  /** Whether the datagram at `next` has been refused once. */
  refused: boolean;
}

/** Errors that do not concern a single datagram. */
const GENERAL_ERRORS: ReadonlySet<number> = new Set([EAGAIN, EBADF, ECANCELED, EFAULT, EINTR, ENOTSOCK]);

export const SENDMMSG: Operation<BatchSending, number, number> = operation<BatchSending, number, number>({
  syscall: "sendmmsg",
  movesBytes: true,
  batch: true,
  attempt: (calls, fd, sending, flags) => {
    const { memory, end, skipRefused } = sending;
    while (sending.next < end) {
      const result = calls.sendmmsg(fd, memory.slab, memory.table, sending.next, end, flags);
      if (result > 0) {
        sending.next += result;
        sending.sent += result;
        sending.refused = false;
        if (end - sending.next > MAX_AT_ONCE) return progress(cost(result, memory));
      } else if (!skipRefused || GENERAL_ERRORS.has(result)) {
        return result;
      } else if (!sending.refused) {
        sending.refused = true;
      } else {
        memory.words[sending.next * ENTRY_WORDS + ERROR] = result;
        sending.next++;
        sending.refused = false;
        if (sending.next < end) return progress(BYTES_PER_DATAGRAM);
      }
    }
    return sending.sent;
  },
  complete: (_sent, sending) => sending.sent,
  cost: (sent, { memory }) => cost(sent, memory),
  isNonblocking,
  details: () => ({ unit: "datagrams" }),
  transferred: (sending) => sending.sent,
});

function checkedMemory(batch: unknown, action: string): ReturnType<typeof memoryOf> {
  if (batch instanceof DatagramBatch) return memoryOf(batch);
  throw new TypeError(`Cannot ${action}: batch is ${quoteOther(batch, "DatagramBatch")}, required a DatagramBatch`);
}

export function recvmmsg<M extends Mode>(
  socket: Runner<M>,
  batch: DatagramBatch,
  opts: TransferOptions | undefined,
): Outcome<M, number> {
  try {
    return socket.receive(RECVMMSG, checkedMemory(batch, "recvmmsg"), flagsOf(opts, "recvmmsg"), opts);
  } catch (error) {
    return socket.fail(error);
  }
}

const SEND_BATCH_NAMES: readonly string[] = [...TRANSFER_NAMES, "start", "skipRefused"];

export function sendmmsg<M extends Mode>(
  socket: Runner<M>,
  batch: DatagramBatch,
  opts: SendBatchOptions | undefined,
): Outcome<M, number> {
  try {
    const memory = checkedMemory(batch, "sendmmsg");
    const flags = sendFlagsOf(opts, "sendmmsg", SEND_BATCH_NAMES);
    const { count: end, words } = memory;
    const next = opts?.start === undefined ? 0 : integer(opts.start, "sendmmsg", "start", 0, end);
    const skipRefused = flag(opts?.skipRefused, false, "sendmmsg", "skipRefused");
    if (opts?.skipRefused !== undefined) for (let i = next; i < end; i++) words[i * ENTRY_WORDS + ERROR] = 0;
    // A call without datagrams does not wait for room.
    if (next === end) return socket.done(0, "sendmmsg", opts);
    socket.beforeDatagrams(end - next);
    const sending: BatchSending = { memory, end, skipRefused, next, sent: 0, refused: false };
    return socket.write(SENDMMSG, sending, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
