// The calls that move bytes: recv, send and their kin.

import type { Address, AddressLike } from "../addr/index.js";
import type { Data } from "../io.js";
import {
  recvfromIntoRequest,
  recvfromRequest,
  recvIntoRequest,
  recvRequest,
  sendAllRequest,
  sendRequest,
  sendtoRequest,
} from "../sys/requests/bytes.js";
import { RECV_INTO } from "../sys/operations/receive.js";
import { SEND } from "../sys/operations/send.js";
import type { TransferOptions } from "../sys/waitOptions.js";
import { DescriptorSocket } from "./descriptorSocket.js";

export abstract class ByteSocket extends DescriptorSocket {
  /**
   * Receives what there is, and waits only while there is nothing: recv(2). Of a datagram that is longer than `size` the rest
   * is lost.
   *
   * Flags: `MSG_PEEK` leaves what it gives. `MSG_WAITALL` waits on a stream for `size` bytes; it gives fewer at the end, before an
   * error (which the next call tells), and when it is cut short after some have come: then it resolves with those, so that none
   * is lost. `MSG_DONTWAIT` rejects with `EAGAIN` instead of waiting. `MSG_OOB` reads urgent data, and `MSG_ERRQUEUE` the error
   * queue; neither waits behind ordinary reads, nor they behind it.
   *
   * @param size at most so many bytes
   * @returns a Buffer of exactly the bytes that came. On a stream, an empty one is the end: the peer has finished
   * @throws SocketError `ECONNRESET`, `ENOTCONN`, `ECONNREFUSED`, `ETIMEDOUT` …
   * @see recv(2)
   */
  recv(size: number, opts?: TransferOptions): Promise<Buffer> {
    try {
      return this.startReceive(recvRequest(this.type, size, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Receives into `buffer`, at most its length, and copies nothing: recv(2). The buffer belongs to the call until the
   * promise settles.
   *
   * @returns the number of bytes that came; on a stream 0 is the end
   * @throws SocketError as `recv`
   * @see recv(2)
   */
  recvInto(buffer: Uint8Array, opts?: TransferOptions): Promise<number> {
    // The call that a busy server makes most, without the detour.
    if (opts === undefined && buffer instanceof Uint8Array && buffer.length > 0) {
      return this.startRead(RECV_INTO, buffer, 0, undefined);
    }
    try {
      return this.startReceive(recvIntoRequest(this.type, buffer, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Receives a datagram and the address that it came from: recvfrom(2). A datagram of no bytes gives an empty Buffer.
   *
   * @param size at most so many bytes; the rest of a longer datagram is lost
   * @throws SocketError `ECONNREFUSED` (an earlier datagram was refused), `ETIMEDOUT` …
   * @see recvfrom(2)
   */
  recvfrom(size: number, opts?: TransferOptions): Promise<[Buffer, Address]> {
    try {
      return this.startReceive(recvfromRequest(this.type, size, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Receives a datagram into `buffer`: recvfrom(2).
   *
   * @returns the number of bytes and the address of the sender
   * @throws SocketError as `recvfrom`
   * @see recvfrom(2)
   */
  recvfromInto(buffer: Uint8Array, opts?: TransferOptions): Promise<[number, Address]> {
    try {
      return this.startReceive(recvfromIntoRequest(this.type, buffer, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends what the kernel takes now, and waits only while it takes nothing: send(2). Several views go out in one call
   * (sendmsg(2)). No SIGPIPE is raised. `data` belongs to the call until the promise settles.
   *
   * @param data text (as UTF-8), bytes, or an array of those
   * @returns the number of bytes that were taken, which on a stream may be fewer than there are
   * @throws SocketError `EPIPE`, `ECONNRESET`, `ENOTCONN`, `EDESTADDRREQ`, `EMSGSIZE` …
   * @see send(2)
   */
  send(data: Data, opts?: TransferOptions): Promise<number> {
    // As with recvInto: the common call, without the detour.
    if (opts === undefined && data instanceof Uint8Array && data.length > 0) {
      return this.startWrite(SEND, data, 0, undefined);
    }
    try {
      return this.startSend(sendRequest(data, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends all of `data`: send(2), as often as it takes. Resolves when the kernel has taken everything, which is the
   * backpressure.
   *
   * When it is cut short (`timeout`, `close()`, an error), `transferred` of the error says how many bytes went out. An abort
   * rejects with the signal's reason, which then has the property `transferred` too if it is an object and bytes went out.
   *
   * @throws SocketError as `send`, with `transferred`
   * @see send(2)
   */
  sendAll(data: Data, opts?: TransferOptions): Promise<void> {
    try {
      return this.startSend(sendAllRequest(data, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends one datagram to `address`: sendto(2). A host name is resolved each time; give an address where that matters.
   *
   * @returns the number of bytes sent
   * @throws SocketError `EMSGSIZE`, `EACCES`, `ENETUNREACH`, `EDESTADDRREQ`, `EISCONN` …
   * @see sendto(2)
   */
  sendto(data: Data, address: AddressLike, opts?: TransferOptions): Promise<number> {
    try {
      return this.startSendTo(sendtoRequest(data, address, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}
