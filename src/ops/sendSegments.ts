// sendSegments: one buffer as many datagrams of one size (UDP_SEGMENT, udp(7)).

import { isUint8Array } from "node:util/types";
import { type AddressLike, toAddress } from "../addr/index.js";
import { MAX_MESSAGE, MAX_SEGMENTS, segmentSize } from "../batch/index.js";
import { bytesToSend, EMPTY, type Sendable } from "../check/index.js";
import { encodeControl } from "../cmsg/index.js";
import { progress, type Operation, operation } from "../reactor/operation.js";
import { EFAULT } from "../sys/errno.js";
import { addressDetails } from "../sys/sockaddr.js";
import { sendFlagsOf, TRANSFER_NAMES, type TransferOptions } from "./flags.js";
import { isNonblocking } from "./recv.js";
import type { Destination, Mode, Outcome, Runner } from "./runner.js";

/** Options of `sendSegments`. */
export interface SendSegmentsOptions extends TransferOptions {
  /** The destination; absent on a connected socket. */
  readonly address?: AddressLike | undefined;
}

const SEGMENTS_NAMES: readonly string[] = [...TRANSFER_NAMES, "address"];

/** The progress of a sendSegments: each view of `messages` goes out in one call. */
interface SegmentSending extends Destination {
  readonly messages: readonly Uint8Array[];
  readonly control: Uint8Array;
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
    return sending.next < messages.length ? progress(result) : result;
  },
  complete: (_result, sending) => sending.sent,
  isNonblocking,
  details: ({ address }) => addressDetails(address),
  transferred: (sending) => sending.sent,
});

/** The data of each call: as many whole segments as fit into the largest datagram, at most MAX_SEGMENTS. */
function messagesOf(data: Uint8Array, segment: number): Uint8Array[] {
  const step = Math.max(1, Math.min(MAX_SEGMENTS, Math.floor(MAX_MESSAGE / segment))) * segment;
  if (data.length === 0) return [EMPTY];
  const messages: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += step) messages.push(data.subarray(at, at + step));
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
    const segment = segmentSize(size, action);
    const given = bytesToSend(data, action);
    const messages = messagesOf(isUint8Array(given) ? given : Buffer.concat(given), segment);
    const control = encodeControl([{ type: "UDP_SEGMENT", gso_size: segment }]).bytes;
    const target = opts?.address === undefined ? undefined : toAddress(opts.address);
    const sending: SegmentSending = { messages, control, target, address: undefined, sockaddr: null, next: 0, sent: 0 };
    return socket.sendTo(SEND_SEGMENTS, sending, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
