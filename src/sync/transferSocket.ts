// The blocking calls that move something: bytes, messages, batches, files.

import type { Address, AddressLike } from "../addr/index.js";
import type { Data } from "../io.js";
import type { DatagramBatch } from "../batch/index.js";
import { POLLOUT } from "../sys/constants.js";
import type { Message, MessageHeader } from "../cmsg/index.js";
import { type FileSource, SENDFILE } from "../ops/transfer.js";
import { recvmmsgRequest, segmentsRequest, sendmmsgRequest } from "../ops/batchArguments.js";
import {
  recvfromIntoRequest,
  recvfromRequest,
  recvIntoRequest,
  recvRequest,
  sendAllRequest,
  sendRequest,
  sendtoRequest,
} from "../ops/byteArguments.js";
import { fileSending, sendfileRequest, sendfileRuns } from "../ops/sendfileArguments.js";
import { type FlagOptions, tryRecvIntoRequest, tryRecvRequest } from "../ops/tryArguments.js";
import { recvmsgIntoRequest, recvmsgRequest, sendmsgRequest } from "../ops/messageArguments.js";
import { DescriptorSocket } from "./syncDescriptorSocket.js";
import {
  type RecvmsgOptions,
  type SendBatchOptions,
  type SendFileOptions,
  type SendmsgOptions,
  type SendSegmentsOptions,
  timeoutOf,
  type TransferOptions,
} from "./syncOptions.js";

export abstract class TransferSocket extends DescriptorSocket {
  /**
   * Receives what there is, and blocks only while there is nothing: recv(2). The flags are those of the awaitable `recv`;
   * with `MSG_DONTWAIT` it throws `EAGAIN` instead of waiting.
   *
   * @param size at most so many bytes
   * @returns a Buffer of exactly the bytes that came. On a stream, an empty one is the end: the peer has finished
   * @throws SocketError `ECONNRESET`, `ENOTCONN`, `ECONNREFUSED`, `ETIMEDOUT` …
   * @see recv(2)
   */
  recv(size: number, opts?: TransferOptions): Buffer {
    return this.receive(recvRequest(this.type, size, opts), opts);
  }

  /**
   * Receives into `buffer`, at most its length, and copies nothing: recv(2).
   *
   * @returns the number of bytes that came; on a stream 0 is the end
   * @throws SocketError as `recv`
   * @see recv(2)
   */
  recvInto(buffer: Uint8Array, opts?: TransferOptions): number {
    return this.receive(recvIntoRequest(this.type, buffer, opts), opts);
  }

  /**
   * Receives a datagram and the address that it came from: recvfrom(2). A datagram of no bytes gives an empty Buffer.
   *
   * @param size at most so many bytes; the rest of a longer datagram is lost
   * @throws SocketError `ECONNREFUSED` (an earlier datagram was refused), `ETIMEDOUT` …
   * @see recvfrom(2)
   */
  recvfrom(size: number, opts?: TransferOptions): [Buffer, Address] {
    return this.receive(recvfromRequest(this.type, size, opts), opts);
  }

  /**
   * Receives a datagram into `buffer`: recvfrom(2).
   *
   * @returns the number of bytes and the address of the sender
   * @throws SocketError as `recvfrom`
   * @see recvfrom(2)
   */
  recvfromInto(buffer: Uint8Array, opts?: TransferOptions): [number, Address] {
    return this.receive(recvfromIntoRequest(this.type, buffer, opts), opts);
  }

  /**
   * Sends what the kernel takes now, and blocks only while it takes nothing: send(2). Several views go out in one call
   * (sendmsg(2)). No SIGPIPE is raised.
   *
   * @param data text (as UTF-8), bytes, or an array of those
   * @returns the number of bytes that were taken, which on a stream may be fewer than there are
   * @throws SocketError `EPIPE`, `ECONNRESET`, `ENOTCONN`, `EDESTADDRREQ`, `EMSGSIZE` …
   * @see send(2)
   */
  send(data: Data, opts?: TransferOptions): number {
    return this.transmit(sendRequest(data, opts), opts);
  }

  /**
   * Sends all of `data`: send(2), as often as it takes. When it is cut short, `transferred` of the error says how many bytes
   * went out.
   *
   * @throws SocketError as `send`, with `transferred`
   * @see send(2)
   */
  sendAll(data: Data, opts?: TransferOptions): void {
    this.transmit(sendAllRequest(data, opts), opts);
  }

  /**
   * Sends what the kernel takes now, and never blocks: one send(2).
   *
   * @returns the number of bytes that were taken; `undefined` where it would have to wait
   * @throws SocketError as `send`
   * @see send(2)
   */
  trySend(data: Data, opts?: FlagOptions): number | undefined {
    return this.attempt(sendRequest(data, opts));
  }

  /**
   * Receives what there is, and never blocks: one recv(2).
   *
   * @returns as `recv`; `undefined` where it would have to wait
   * @throws SocketError as `recv`
   * @see recv(2)
   */
  tryRecv(size: number, opts?: FlagOptions): Buffer | undefined {
    return this.attempt(tryRecvRequest(this.type, size, opts));
  }

  /**
   * Receives into `buffer`, and never blocks: one recv(2).
   *
   * @returns as `recvInto`; `undefined` where it would have to wait
   * @throws SocketError as `recv`
   * @see recv(2)
   */
  tryRecvInto(buffer: Uint8Array, opts?: FlagOptions): number | undefined {
    return this.attempt(tryRecvIntoRequest(this.type, buffer, opts));
  }

  /**
   * Sends one datagram to `address`: sendto(2). A host name is resolved each time.
   *
   * @returns the number of bytes sent
   * @throws SocketError `EMSGSIZE`, `EACCES`, `ENETUNREACH`, `EDESTADDRREQ`, `EISCONN` …
   * @see sendto(2)
   */
  sendto(data: Data, address: AddressLike, opts?: TransferOptions): number {
    return this.transmitTo(sendtoRequest(data, address, opts), opts);
  }

  /**
   * Sends a message, with gathered data, control data and an address: sendmsg(2).
   *
   * @param data text (as UTF-8), bytes, or an array of those, which go out one after the other as one message
   * @returns the number of bytes that were taken
   * @throws SocketError `EMSGSIZE`, `EPIPE`, `ENOTCONN`, `EDESTADDRREQ`, `EPERM`, `EBADF`, `EINVAL` …
   * @see sendmsg(2), cmsg(3)
   */
  sendmsg(data: Data, opts?: SendmsgOptions): number {
    return this.transmitTo(sendmsgRequest(this, data, opts), opts);
  }

  /**
   * Receives a message: recvmsg(2). Descriptors (SCM_RIGHTS) are owned by the message until they are taken, and closed with it.
   *
   * @param size room for data in bytes
   * @throws SocketError as `recvfrom`
   * @see recvmsg(2), cmsg(3)
   */
  recvmsg(size: number, opts?: RecvmsgOptions): Message {
    return this.receive(recvmsgRequest(this, size, opts), opts);
  }

  /**
   * Receives a message into `buffers`, one after the other, and copies nothing: recvmsg(2).
   *
   * @returns what the message was beside its data; `bytes` says how many were stored
   * @throws SocketError as `recvfrom`
   * @see recvmsg(2)
   */
  recvmsgInto(buffers: Uint8Array | readonly Uint8Array[], opts?: RecvmsgOptions): MessageHeader {
    return this.receive(recvmsgIntoRequest(this, buffers, opts), opts);
  }

  /**
   * Receives as many datagrams as there are and the batch holds, and blocks only while there is none: recvmmsg(2).
   *
   * @returns how many came: at least 1
   * @throws SocketError `ECONNREFUSED` (an earlier datagram was refused), `ETIMEDOUT` …
   * @see recvmmsg(2)
   */
  recvmmsg(batch: DatagramBatch, opts?: TransferOptions): number {
    return this.receive(recvmmsgRequest(batch, opts), opts);
  }

  /**
   * Sends the datagrams of a batch, each to its address: sendmmsg(2), as often as it takes. `start` and `skipRefused` are those
   * of the awaitable `sendmmsg`.
   *
   * @returns how many went out
   * @throws SocketError with `transferred` in datagrams: `EMSGSIZE`, `ECONNREFUSED`, `ETIMEDOUT` …
   * @see sendmmsg(2)
   */
  sendmmsg(batch: DatagramBatch, opts?: SendBatchOptions): number {
    const request = sendmmsgRequest(batch, opts);
    if (request !== undefined) return this.transmit(request, opts);
    timeoutOf(opts, null, "sendmmsg");
    this.checkOpen("sendmmsg");
    return 0;
  }

  /**
   * Sends one buffer as many datagrams of `size` bytes, the last one perhaps shorter: sendmsg(2) with UDP_SEGMENT.
   *
   * @returns the number of bytes sent
   * @throws SocketError with `transferred` in bytes: `EINVAL`, `EMSGSIZE`, `EIO`, `ENOPROTOOPT` …
   * @see udp(7), UDP_SEGMENT, since Linux 4.18
   */
  sendSegments(data: Data, size: number, opts?: SendSegmentsOptions): number {
    return this.transmitTo(segmentsRequest(data, size, opts), opts);
  }

  /**
   * Sends the bytes of a file without taking them into the program: sendfile(2), as often as it takes. When it is cut short,
   * `transferred` of the error says how many bytes went out.
   *
   * @param file descriptor of a regular file or a block device, or an object with one, such as a FileHandle
   * @returns the number of bytes sent: fewer than `count` where the file ends before
   * @throws SocketError with `transferred`: `EPIPE`, `ECONNRESET`, `ENOTCONN`, `EBADF`, `EIO`, `ETIMEDOUT`; `EINVAL` if it is no
   *   regular file …
   * @see sendfile(2)
   */
  sendfile(file: FileSource, opts?: SendFileOptions): number {
    const request = sendfileRequest(file, opts);
    const timeout = timeoutOf(opts, this.timeout, "sendfile");
    this.checkOpen("sendfile");
    const sending = fileSending(this.calls(), request);
    for (const left of sendfileRuns(sending, request, timeout)) {
      this.run(SENDFILE, sending, undefined, POLLOUT, left);
    }
    return sending.sent;
  }
}
