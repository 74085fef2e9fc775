// The calls that move many datagrams at a time: recvmmsg, sendmmsg, and segmentation offload.

import type { Data } from "../io.js";
import { DatagramBatch, memoryOf } from "../batch/index.js";
import { RECVMMSG } from "../ops/batchCalls.js";
import {
  recvmmsgRequest,
  segmentsRequest,
  type SendBatchOptions,
  sendmmsgRequest,
  type SendSegmentsOptions,
} from "../ops/batchArguments.js";
import type { TransferOptions } from "../ops/flags.js";
import { MessageSocket } from "./messageSocket.js";

/** From so many datagrams on, a registration costs more while they go out than it costs to give it up and register anew. */
const MANY = 16;

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
      // As with recvInto: the common call, without the detour.
      if (opts === undefined && batch instanceof DatagramBatch) {
        return this.startRead(RECVMMSG, memoryOf(batch), 0, undefined);
      }
      return this.startReceive(recvmmsgRequest(batch, opts), opts);
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
   * To a UNIX address whose receiver is slow, a connected socket sends faster: it has an event when there is room, others try
   * again after a pause.
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
   * const batch = new DatagramBatch({ size: 65_536 });
   * batch.add("small", receiver.getsockname());
   * batch.add(new Uint8Array(65_536), receiver.getsockname());
   * console.log(await sender.sendmmsg(batch, { skipRefused: true })); // prints: 1
   * console.log(batch.error(1)?.code); // prints: EMSGSIZE
   * ```
   */
  sendmmsg(batch: DatagramBatch, opts?: SendBatchOptions): Promise<number> {
    try {
      const request = sendmmsgRequest(batch, opts);
      if (request !== undefined) {
        if (batch.count - (opts?.start ?? 0) >= MANY) this.descriptor.unwatch();
        return this.startSend(request, opts);
      }
      this.checkOpen("sendmmsg");
      return Promise.resolve(0);
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
      return this.startSendTo(segmentsRequest(data, size, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}
