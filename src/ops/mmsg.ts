// recvmmsg and sendmmsg: batches of datagrams.
//
// recvmmsg(2) on a non-blocking socket receives datagrams until the batch is full or a receive fails (do_recvmmsg in
// net/socket.c). If the receive returned EAGAIN, the socket is empty, in every family. After another error the kernel
// reports EPOLLERR, which is an event, and returns the error to the next call. So after a batch that is not full, the
// next call waits for an event without a system call.
//
// sendmmsg(2) stops at the first datagram that the kernel refuses, and returns the number of datagrams before it. The
// next call starts with that datagram and returns the reason. After EAGAIN the call waits and sends the rest later.
// ECONNREFUSED on a connected UDP socket does not concern the datagram itself: an earlier one was refused (udp(7)), and
// sending the same datagram again succeeds. So with `skipRefused` the call tries a refused datagram once more before it
// skips it.

import { flag, integer, quoteNonInstance } from "../check/index.js";
import {
  type BatchMemory,
  DatagramBatch,
  ENTRY_WORDS,
  ERROR,
  MAX_DATAGRAMS_PER_CALL,
  memoryOf,
} from "../batch/index.js";
import { progress, type Operation, operation } from "../reactor/operation.js";
import { EAGAIN, EBADF, ECANCELED, EFAULT, EINTR, ENOTSOCK } from "../sys/errno.js";
import { flagsOf, sendFlagsOf, TRANSFER_NAMES, type TransferOptions } from "./flags.js";
import { isNonblocking } from "./recv.js";
import type { Mode, Outcome, Runner } from "./runner.js";

/** Options of `sendmmsg`. */
export interface SendBatchOptions extends TransferOptions {
  /** The index of the first datagram to send; the default is 0. */
  readonly start?: number | undefined;
  /** Skips datagrams that the kernel refuses and stores the reason in the batch, instead of stopping at the first. */
  readonly skipRefused?: boolean | undefined;
}

/** A small datagram costs the kernel about as much as this many bytes of a stream. */
const BYTES_PER_DATAGRAM = 4096;

/** The cost of `count` datagrams in the budget of a turn. A large slot may hold many datagrams (GSO, GRO). */
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
  drained: (count, { capacity }) => count < Math.min(capacity, MAX_DATAGRAMS_PER_CALL),
  cost,
});

/** The progress of a sendmmsg. */
export interface BatchSendProgress {
  readonly memory: BatchMemory;
  /** The index of the next datagram to send. */
  next: number;
  /** The index after the last datagram to send. */
  end: number;
  skipRefused: boolean;
  /** The number of datagrams that were sent. */
  sent: number;
  /** Whether the kernel has refused the datagram at `next` once. */
  refusedOnce: boolean;
}

/** Errors that do not concern a single datagram. They end the call even with `skipRefused`. */
const GENERAL_ERRORS: ReadonlySet<number> = new Set([EAGAIN, EBADF, ECANCELED, EFAULT, EINTR, ENOTSOCK]);

export const SENDMMSG: Operation<BatchSendProgress, number, number> = operation<BatchSendProgress, number, number>({
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
        sending.refusedOnce = false;
        // If the rest needs several system calls, the queue checks the budget of the turn before the next one.
        if (end - sending.next > MAX_DATAGRAMS_PER_CALL) return progress(cost(result, memory));
      } else if (!skipRefused || GENERAL_ERRORS.has(result)) {
        return result;
      } else if (!sending.refusedOnce) {
        sending.refusedOnce = true;
      } else {
        memory.words[sending.next * ENTRY_WORDS + ERROR] = result;
        sending.next++;
        sending.refusedOnce = false;
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
  throw new TypeError(
    `Cannot ${action}: batch is ${quoteNonInstance(batch, "DatagramBatch")}, required a DatagramBatch`,
  );
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
    // The batch may have errors of an earlier call.
    if (opts?.skipRefused !== undefined) for (let i = next; i < end; i++) words[i * ENTRY_WORDS + ERROR] = 0;
    // Without datagrams the call must not wait until the socket is writable.
    if (next === end) return socket.finish(0, "sendmmsg", opts);
    socket.beforeDatagrams(end - next);
    const sending: BatchSendProgress = { memory, end, skipRefused, next, sent: 0, refusedOnce: false };
    return socket.write(SENDMMSG, sending, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
