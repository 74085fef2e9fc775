// send, sendAll, sendto, and trySend, which never waits.
//
// A send to a UNIX address returns EAGAIN if the receive queue of the receiver is full. No event reports that the queue
// has space again. EPOLLOUT reports only that the send buffer of the sender has space, and each failed send causes an
// EPOLLOUT (unix_dgram_sendmsg in net/unix/af_unix.c). So a wait for EPOLLOUT would spin, and reactor/waitQueue.ts
// pauses instead. A socket that is connected to the receiver does get an event.

import { isUint8Array } from "node:util/types";
import { type Address, type AddressLike, type HostPort, toAddress } from "../addr/index.js";
import { bytesToSend, checkOptions, type Sendable, totalLength } from "../check/index.js";
import { progress, type Operation, operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import { IOV_MAX } from "../sys/constants.js";
import { EFAULT } from "../sys/errno.js";
import { addressDetails } from "../sys/sockaddr.js";
import { noteHandshake, withoutFastOpen, type FastOpenState } from "./fastOpen.js";
import { FLAG_NAMES, type FlagOptions, sendFlagsOf, type TransferOptions } from "./flags.js";
import { isDetached, isNonblocking } from "./recv.js";
import type { AddressOperand, Mode, Outcome, Runner } from "./runner.js";

/** Calls send(2), or sendmsg(2) for several parts, without the first `skip` bytes of the data. */
function sendOnce(calls: Calls, fd: number, data: Uint8Array | Uint8Array[], skip: number, flags: number): number {
  if (Array.isArray(data)) return calls.sendmsg(fd, data, skip, flags, null, null);
  if (isDetached(data)) return EFAULT;
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
  isNonblocking,
});

/** The progress of a sendAll. */
export interface SendProgress {
  readonly data: Uint8Array | Uint8Array[];
  readonly total: number;
  sent: number;
}

export const SEND_ALL: Operation<SendProgress, number, void> = operation<SendProgress, number, void>({
  syscall: "send",
  movesBytes: true,
  attempt: (calls, fd, sending, flags) => {
    const result = sendOnce(calls, fd, sending.data, sending.sent, flags);
    if (result < 0) return result;
    // The kernel sent nothing although there were data: the memory was detached or has shrunk.
    if (result === 0 && sending.total > 0) return EFAULT;
    sending.sent += result;
    return sending.sent < sending.total ? progress(result) : result;
  },
  complete: () => undefined,
  transferred: (sending) => sending.sent,
  isNonblocking,
});

/** A datagram and its destination. */
export interface Datagram extends FastOpenState, AddressOperand {
  readonly data: Uint8Array | Uint8Array[];
  readonly target: Address | HostPort;
}

export const SENDTO: Operation<Datagram, number, number> = operation<Datagram, number, number>({
  syscall: "sendto",
  movesBytes: true,
  attempt: (calls, fd, datagram, flags) => {
    const { data } = datagram;
    const sockaddr = datagram.sockaddr!;
    if (datagram.handshaking) return sendOnce(calls, fd, data, 0, withoutFastOpen(flags));
    if (!Array.isArray(data) && isDetached(data)) return EFAULT;
    const result = Array.isArray(data)
      ? calls.sendmsg(fd, data, 0, flags, sockaddr, null)
      : calls.sendto(fd, data, flags, sockaddr);
    return noteHandshake(result, datagram, flags);
  },
  complete: (count) => count,
  isNonblocking,
  details: ({ address }) => addressDetails(address),
});

/**
 * The data as one system call takes them. A list of more than IOV_MAX parts is joined: a message must be sent in one
 * call, and for a stream each call would iterate over the parts again.
 */
function messageData(data: Sendable, action: string): Uint8Array | Uint8Array[] {
  const bytes = bytesToSend(data, action);
  return isUint8Array(bytes) || bytes.length <= IOV_MAX ? bytes : Buffer.concat(bytes);
}

export function send<M extends Mode>(
  socket: Runner<M>,
  data: Sendable,
  opts: TransferOptions | undefined,
): Outcome<M, number> {
  try {
    // The most frequent form, and `instanceof` is quicker than the checks in messageData().
    if (opts === undefined && data instanceof Uint8Array && data.length > 0) {
      return socket.write(SEND, data, 0, undefined);
    }
    return socket.write(SEND, messageData(data, "send"), sendFlagsOf(opts, "send"), opts);
  } catch (error) {
    return socket.fail(error);
  }
}

export function sendAll<M extends Mode>(
  socket: Runner<M>,
  data: Sendable,
  opts: TransferOptions | undefined,
): Outcome<M, void> {
  try {
    if (opts === undefined && data instanceof Uint8Array && data.length > 0) return socket.sendWhole(data);
    const bytes = messageData(data, "send");
    const sending: SendProgress = { data: bytes, total: totalLength(bytes), sent: 0 };
    return socket.write(SEND_ALL, sending, sendFlagsOf(opts, "send"), opts);
  } catch (error) {
    return socket.fail(error);
  }
}

export function trySend(socket: Runner<Mode>, data: Sendable, opts: FlagOptions | undefined): number | undefined {
  if (opts === undefined && data instanceof Uint8Array && data.length > 0) return socket.trySend(SEND, data, 0);
  return socket.trySend(SEND, messageData(data, "send"), sendFlagsOf(opts, "send", FLAG_NAMES));
}

export function sendto<M extends Mode>(
  socket: Runner<M>,
  data: Sendable,
  address: AddressLike,
  opts: TransferOptions | undefined,
): Outcome<M, number> {
  try {
    const bytes = messageData(data, "sendto");
    checkOptions(opts, "sendto", undefined, "sendto(data, [host, port])");
    const flags = sendFlagsOf(opts, "sendto");
    const datagram: Datagram = { data: bytes, target: toAddress(address), address: undefined, sockaddr: null };
    return socket.sendTo(SENDTO, datagram, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
