// recvmmsg, sendmmsg and sendSegments: their arguments, checked.

import { isUint8Array } from "node:util/types";
import { type AddressLike, toAddress } from "../addr/index.js";
import { bytesToSend, EMPTY, integer, quote, quoteOther, type Sendable } from "../check/index.js";
import { DatagramBatch, ENTRY_WORDS, ERROR, MAX_MESSAGE, MAX_SEGMENTS, memoryOf, segmentSize } from "../batch/index.js";
import { encodeControl } from "../cmsg/index.js";
import { type BatchSending, RECVMMSG, type SegmentSending, SEND_SEGMENTS, SENDMMSG } from "./batchCalls.js";
import { encodeAddress } from "../sys/sockaddr.js";
import { flagsOf, sendFlagsOf, type TransferOptions } from "./flags.js";
import type { Addressed, Request } from "./request.js";

/** Options of `sendmmsg`. */
export interface SendBatchOptions extends TransferOptions {
  /** Number of the first datagram to send; 0 if not given. */
  readonly start?: number | undefined;
  /** Passes over datagrams that the kernel refuses, and notes why in the batch, instead of stopping at the first. */
  readonly skipRefused?: boolean | undefined;
}

/** Options of `sendSegments`. */
export interface SendSegmentsOptions extends TransferOptions {
  /** Where the datagrams go; left out on a connected socket. */
  readonly address?: AddressLike | undefined;
}

function memory(batch: unknown, action: string): ReturnType<typeof memoryOf> {
  if (batch instanceof DatagramBatch) return memoryOf(batch);
  throw new TypeError(`Cannot ${action}: batch is ${quoteOther(batch, "DatagramBatch")}, required a DatagramBatch`);
}

export function recvmmsgRequest(batch: DatagramBatch, opts: TransferOptions | undefined): Request<number> {
  return { operation: RECVMMSG, operand: memory(batch, "recvmmsg"), flags: flagsOf(opts, "recvmmsg") };
}

/** Undefined where there is nothing to send: who has nothing to send is not to wait for room. */
export function sendmmsgRequest(batch: DatagramBatch, opts: SendBatchOptions | undefined): Request<number> | undefined {
  const sending: BatchSending = {
    memory: memory(batch, "sendmmsg"),
    end: 0,
    skipRefused: false,
    next: 0,
    sent: 0,
    refused: false,
  };
  sending.end = sending.memory.count;
  const flags = sendFlagsOf(opts, "sendmmsg");
  if (opts !== undefined) readOptions(sending, opts);
  return sending.next === sending.end ? undefined : { operation: SENDMMSG, operand: sending, flags };
}

function readOptions(sending: BatchSending, opts: SendBatchOptions): void {
  const { skipRefused, start } = opts;
  const { count, words } = sending.memory;
  if (start !== undefined) sending.next = integer(start, "sendmmsg", "start", 0, count);
  if (skipRefused === undefined) return;
  if (typeof skipRefused !== "boolean") {
    throw new TypeError(`Cannot sendmmsg: skipRefused is ${quote(skipRefused)}, required true or false`);
  }
  sending.skipRefused = skipRefused;
  for (let i = sending.next; i < count; i++) words[i * ENTRY_WORDS + ERROR] = 0;
}

export function segmentsRequest(
  data: Sendable,
  size: number,
  opts: SendSegmentsOptions | undefined,
): Addressed<number> {
  const syscall = "sendSegments";
  const flags = sendFlagsOf(opts, syscall);
  const segment = segmentSize(size, syscall);
  const given = bytesToSend(data, syscall);
  const messages = cut(isUint8Array(given) ? given : Buffer.concat(given), segment);
  const control = encodeControl([{ type: "UDP_SEGMENT", gso_size: segment }]).bytes;
  return {
    syscall,
    target: opts?.address === undefined ? undefined : toAddress(opts.address),
    at: (address) => {
      const sockaddr = address === undefined ? null : encodeAddress(address);
      const operand: SegmentSending = { messages, control, address, sockaddr, next: 0, sent: 0 };
      return { operation: SEND_SEGMENTS, operand, flags };
    },
  };
}

/** What one call takes: as many whole segments as fit into a datagram of the largest size, and not too many. */
function cut(data: Uint8Array, segment: number): Uint8Array[] {
  const step = Math.max(1, Math.min(MAX_SEGMENTS, Math.floor(MAX_MESSAGE / segment))) * segment;
  if (data.length === 0) return [EMPTY];
  const messages: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += step) messages.push(data.subarray(at, at + step));
  return messages;
}
