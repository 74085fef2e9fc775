// sendSegments: sends a buffer as many datagrams of one size (UDP_SEGMENT, udp(7)).

import { isUint8Array } from "node:util/types";
import { type AddressLike, toAddress } from "../addr/index.js";
import { MAX_MESSAGE, MAX_SEGMENTS, segmentSize } from "../batch/index.js";
import { bytesToSend, EMPTY, type Sendable } from "../check/index.js";
import { encodeControl } from "../cmsg/index.js";
import { progress, type Operation, operation } from "../reactor/operation.js";
import { EFAULT } from "../sys/errno.js";
import { addressDetails } from "../sys/sockaddr.js";
import { sendFlagsOf, TRANSFER_NAMES, type TransferOptions } from "./flags.js";
import { isDetached, isNonblocking } from "./recv.js";
import type { AddressOperand, Mode, Outcome, Runner } from "./runner.js";

/** Options of `sendSegments`. */
export interface SendSegmentsOptions extends TransferOptions {
  /** The destination; without it the peer of the connected socket. */
  readonly address?: AddressLike | undefined;
}

const SEGMENTS_NAMES: readonly string[] = [...TRANSFER_NAMES, "address"];

/** The progress of a sendSegments. */
interface SegmentSendProgress extends AddressOperand {
  /** Each message is sent with one system call. The kernel splits it into datagrams. */
  readonly messages: readonly Uint8Array[];
  readonly control: Uint8Array;
  /** The index of the next message. */
  next: number;
  /** The number of bytes sent. */
  sent: number;
}

export const SEND_SEGMENTS: Operation<SegmentSendProgress, number, number> = operation<
  SegmentSendProgress,
  number,
  number
>({
  syscall: "sendmsg",
  movesBytes: true,
  attempt: (calls, fd, sending, flags) => {
    const { messages, control, sockaddr } = sending;
    const message = messages[sending.next]!;
    if (isDetached(message)) return EFAULT;
    const result = calls.sendmsg(fd, [message], 0, flags, sockaddr, control);
    if (result < 0) return result;
    sending.next++;
    sending.sent += result;
    return sending.next < messages.length ? progress(result) : result;
  },
  complete: (_result, sending) => sending.sent,
  isNonblocking,
  details: ({ address }) => addressDetails(address),
  transferred: (sending) => sending.sent,
});

/**
 * Splits the data into messages of at most MAX_SEGMENTS segments and MAX_MESSAGE bytes each. Only the last segment of
 * the data may be shorter than `size`.
 */
function messagesOf(data: Uint8Array, size: number): Uint8Array[] {
  const segmentsPerMessage = Math.max(1, Math.min(MAX_SEGMENTS, Math.floor(MAX_MESSAGE / size)));
  const messageSize = segmentsPerMessage * size;
  if (data.length === 0) return [EMPTY];
  const messages: Uint8Array[] = [];
  for (let start = 0; start < data.length; start += messageSize) {
    messages.push(data.subarray(start, start + messageSize));
  }
  return messages;
}

export function sendSegments<M extends Mode>(
  socket: Runner<M>,
  data: Sendable,
  size: number,
  opts: SendSegmentsOptions | undefined,
): Outcome<M, number> {
  const action = "sendSegments";
  try {
    const flags = sendFlagsOf(opts, action, SEGMENTS_NAMES);
    const checkedSize = segmentSize(size, action);
    const bytes = bytesToSend(data, action);
    const messages = messagesOf(isUint8Array(bytes) ? bytes : Buffer.concat(bytes), checkedSize);
    const control = encodeControl([{ type: "UDP_SEGMENT", gso_size: checkedSize }]).bytes;
    const target = opts?.address === undefined ? undefined : toAddress(opts.address);
    const sending: SegmentSendProgress = {
      messages,
      control,
      target,
      address: undefined,
      sockaddr: null,
      next: 0,
      sent: 0,
    };
    return socket.sendTo(SEND_SEGMENTS, sending, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
