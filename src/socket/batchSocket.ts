// The calls that move many datagrams at a time: recvmmsg, sendmmsg, and segmentation offload.

import { type Address, type AddressLike, quote, toAddress } from "../addr/index.js";
import type { Data } from "../io.js";
import { bytesToSend, EMPTY, integer } from "../sys/arguments.js";
import {
  DatagramBatch,
  ENTRY_WORDS,
  ERROR,
  MAX_MESSAGE,
  MAX_SEGMENTS,
  memoryOf,
  segmentSize,
} from "../sys/batch/index.js";
import { encodeControl } from "../sys/control/index.js";
import { encodeAddress } from "../sys/sockaddr.js";
import { MessageSocket } from "./messageSocket.js";
import { type BatchSending, RECVMMSG, SEND_SEGMENTS, type SegmentSending, SENDMMSG } from "../sys/operations/batch.js";
import { flagsOf, signalOf, timeoutOf, type TransferOptions } from "./options.js";

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
  throw new TypeError(`Cannot ${action}: batch is ${quote(batch)}, required a DatagramBatch`);
}

export abstract class BatchSocket extends MessageSocket {
  /**
   * Receives as many datagrams as there are and the batch holds, and waits only while there is none: recvmmsg(2). What was in
   * the batch before is gone. Descriptors that come with a datagram (SCM_RIGHTS) are closed; `recvmsg` takes them.
   *
   * With `UDP_GRO` on, a datagram of the batch may be several that were joined: see `segmentSize` and `segments` of
   * {@link DatagramBatch}, which then needs a `size` of 65536.
   *
   * @returns how many came: at least 1, at most the capacity of the batch or 1024
   * @throws SocketError `ECONNREFUSED` (an earlier datagram was refused), `ETIMEDOUT`, `EFAULT` if the batch's memory was
   *   transferred away …
   * @see recvmmsg(2)
   * @example
   * ```ts
   * import { DatagramBatch, SOCK_DGRAM, socketpair, AF_UNIX } from "berkeley";
   *
   * const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
   * await left.send("first");
   * await left.send("");
   * const batch = new DatagramBatch();
   * console.log(await right.recvmmsg(batch)); // prints: 2
   * for (const [data] of batch) console.log(`${data.length} bytes`);
   * // prints: 5 bytes
   * // prints: 0 bytes
   * left.close();
   * right.close();
   * ```
   */
  recvmmsg(batch: DatagramBatch, opts?: TransferOptions): Promise<number> {
    try {
      return this.startRead(RECVMMSG, memory(batch, "recvmmsg"), flagsOf(opts, "recvmmsg"), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends the datagrams of a batch, each to its address: sendmmsg(2), as often as it takes. Resolves when the kernel has taken
   * all of them; what it does not take at once is tried again when there is room.
   *
   * When the kernel refuses a datagram, the call rejects, and `transferred` of the error is the number of datagrams that had
   * gone out: number `start + transferred` is the refused one, it and those behind it have not been sent. Call again with
   * a later `start` to go on. On a connected UDP socket the error may belong to a datagram that was sent earlier (udp(7));
   * going on at the same one is then right.
   *
   * With `skipRefused`, one that is refused twice is passed over: the promise resolves with the number of those that went out,
   * and `batch.error(i)` tells why number `i` did not.
   *
   * @returns how many went out
   * @throws SocketError with `transferred` in datagrams: `EMSGSIZE`, `ECONNREFUSED`, `EACCES`, `ENETUNREACH`,
   *   `EDESTADDRREQ`, `ETIMEDOUT` …
   * @see sendmmsg(2)
   * @example
   * ```ts
   * import { AF_INET, DatagramBatch, SOCK_DGRAM, Socket } from "berkeley";
   *
   * await using receiver = new Socket(AF_INET, SOCK_DGRAM);
   * await receiver.bind("127.0.0.1:0");
   * await using sender = new Socket(AF_INET, SOCK_DGRAM);
   * const batch = new DatagramBatch({ size: 65_600 });
   * batch.add("small", receiver.getsockname());
   * batch.add(new Uint8Array(65_600), receiver.getsockname());
   * console.log(await sender.sendmmsg(batch, { skipRefused: true })); // prints: 1
   * console.log(batch.error(1)?.code); // prints: EMSGSIZE
   * ```
   */
  sendmmsg(batch: DatagramBatch, opts?: SendBatchOptions): Promise<number> {
    try {
      const sending: BatchSending = { memory: memory(batch, "sendmmsg"), end: 0, skipRefused: false, next: 0, sent: 0, refused: false };
      sending.end = sending.memory.count;
      const flags = flagsOf(opts, "sendmmsg");
      if (opts !== undefined) readOptions(sending, opts);
      if (sending.next === sending.end) {
        // Who has nothing to send is not to wait for room.
        this.checkOpen("sendmmsg");
        return Promise.resolve(0);
      }
      return this.startWrite(SENDMMSG, sending, flags, opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends one buffer as many datagrams of `size` bytes, the last one perhaps shorter: sendmsg(2) with UDP_SEGMENT. The kernel
   * cuts them apart at the end of its way, which costs about as much as to send a single one. It pays for a dozen datagrams
   * and more.
   *
   * @param size bytes of each datagram: what fits into a packet of the path, 1472 where the MTU is 1500
   * @returns the number of bytes sent
   * @throws SocketError with `transferred` in bytes: `EINVAL` if a datagram would not fit into a packet, `EMSGSIZE`, `EIO` if
   *   the device cannot make checksums, `ENOPROTOOPT` on a socket that is not UDP …
   * @see udp(7), UDP_SEGMENT, since Linux 4.18
   * @example
   * ```ts
   * import { AF_INET, SOCK_DGRAM, Socket } from "berkeley";
   *
   * await using receiver = new Socket(AF_INET, SOCK_DGRAM);
   * await receiver.bind("127.0.0.1:0");
   * await using sender = new Socket(AF_INET, SOCK_DGRAM);
   * console.log(await sender.sendSegments(new Uint8Array(2500), 1000, { address: receiver.getsockname() })); // prints: 2500
   * console.log((await receiver.recv(2000)).length); // prints: 1000
   * ```
   */
  sendSegments(data: Data, size: number, opts?: SendSegmentsOptions): Promise<number> {
    try {
      const action = "sendSegments";
      const flags = flagsOf(opts, action);
      const segment = segmentSize(size, action);
      const given = bytesToSend(data, action);
      const messages = cut(given instanceof Uint8Array ? given : Buffer.concat(given), segment);
      const control = encodeControl([{ type: "UDP_SEGMENT", gso_size: segment }]).bytes;
      const timeout = timeoutOf(opts, this.timeout, action);
      const signal = signalOf(opts, action);
      const send = (address: Address | undefined): Promise<number> => {
        const sockaddr = address === undefined ? null : encodeAddress(address);
        const sending: SegmentSending = { messages, control, address, sockaddr, next: 0, sent: 0 };
        return this.descriptor.writing.run(this, SEND_SEGMENTS, sending, flags, timeout, signal);
      };
      if (opts?.address === undefined) return send(undefined);
      const target = toAddress(opts.address);
      this.checkOpen(action);
      const remote = this.resolve(target, timeout, signal);
      return remote instanceof Promise ? remote.then(send) : send(remote);
    } catch (error) {
      return Promise.reject(error);
    }
  }
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

/** What one call takes: as many whole segments as fit into a datagram of the largest size, and not too many. */
function cut(data: Uint8Array, segment: number): Uint8Array[] {
  const step = Math.max(1, Math.min(MAX_SEGMENTS, Math.floor(MAX_MESSAGE / segment))) * segment;
  if (data.length === 0) return [EMPTY];
  const messages: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += step) messages.push(data.subarray(at, at + step));
  return messages;
}
