// The calls that move bytes: recv, send and their kin.

import type { Address, AddressLike } from "../addr/index.js";
import type { Data } from "../io.js";
import { MSG_ERRQUEUE, MSG_OOB } from "../sys/constants.js";
import { EAGAIN, EBADF } from "../sys/errno.js";
import {
  recvfromIntoRequest,
  recvfromRequest,
  recvIntoRequest,
  recvRequest,
  sendAllRequest,
  sendRequest,
  sendtoRequest,
} from "../ops/byteArguments.js";
import { RECV_INTO } from "../ops/recv.js";
import { failure } from "../reactor/operation.js";
import { SEND, SEND_ALL, type Sending } from "../ops/send.js";
import type { Request } from "../ops/request.js";
import { countOf, type FlagOptions, tryRecvIntoRequest, tryRecvRequest } from "../ops/tryArguments.js";
import type { TransferOptions } from "../ops/flags.js";
import { checkAhead, DescriptorSocket } from "./descriptorSocket.js";

/** `recvInto` for the layer that reads ahead itself. */
export let receiveInto: (socket: ByteSocket, buffer: Uint8Array, opts: TransferOptions | undefined) => Promise<number>;

export abstract class ByteSocket extends DescriptorSocket {
  static {
    receiveInto = (socket, buffer, opts) => {
      try {
        if (opts === undefined && buffer instanceof Uint8Array && buffer.length > 0) {
          return socket.startRead(RECV_INTO, buffer, 0, undefined);
        }
        const { operand, operation, flags } = recvIntoRequest(socket.type, buffer, opts);
        return socket.startRead(operation, operand, flags, opts);
      } catch (error) {
        return Promise.reject(error);
      }
    };
  }

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
    try {
      // The call that a busy server makes most, without the detour.
      if (opts === undefined && buffer instanceof Uint8Array && buffer.length > 0 && this.ahead === undefined) {
        return this.startRead(RECV_INTO, buffer, 0, undefined);
      }
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
    try {
      // As with recvInto: the common call, without the detour.
      if (opts === undefined && data instanceof Uint8Array && data.length > 0) {
        return this.startWrite(SEND, data, 0, undefined);
      }
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
   * rejects with the signal's reason, which then has the property `transferred` too if it is an object and bytes went out. One
   * signal has one reason: when it cuts several calls short, the property is that of the last. Where the counts matter, give each
   * call a controller of its own.
   *
   * @throws SocketError as `send`, with `transferred`
   * @see send(2)
   */
  sendAll(data: Data, opts?: TransferOptions): Promise<void> {
    try {
      // Mostly the kernel takes all of it at once.
      if (opts === undefined && data instanceof Uint8Array && data.length > 0) return this.#sendWhole(data);
      return this.startSend(sendAllRequest(data, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #sendWhole(data: Uint8Array): Promise<void> {
    const total = data.length;
    const sent = this.descriptor.writing.tryIfReady(SEND, data, 0);
    if (sent === total) return Promise.resolve();
    const sending: Sending = { data, total, sent: Math.max(sent, 0) };
    if (sent < 0 && sent !== EAGAIN && sent !== EBADF) return Promise.reject(failure(SEND_ALL, sent, sending, 0));
    return this.startWrite(SEND_ALL, sending, 0, undefined);
  }

  /**
   * Sends what the kernel takes now, without a wait and without a promise: one send(2). A server that answers small requests is
   * spared a turn of the event queue by it:
   *
   * ```ts
   * import { socketpair } from "berkeley";
   *
   * const [left, right] = socketpair();
   * const answer = Buffer.from("hello");
   * const sent = left.trySend(answer) ?? 0;
   * if (sent < answer.length) await left.sendAll(answer.subarray(sent));
   * console.log((await right.recv(100)).toString()); // prints: hello
   * left.close();
   * right.close();
   * ```
   *
   * @returns the number of bytes that were taken, which on a stream may be fewer than there are; `undefined` where it would
   *   have to wait: the kernel takes nothing, other calls wait to send, or this turn of the event loop has had its share of
   *   calls (a loop that never awaits gets no further)
   * @throws SocketError as `send` rejects with
   * @see send(2)
   */
  trySend(data: Data, opts?: FlagOptions): number | undefined {
    const { writing } = this.descriptor;
    if (opts === undefined && data instanceof Uint8Array && data.length > 0) {
      return countOf(SEND, writing.tryNow(SEND, data, 0), data, 0);
    }
    const { operand, operation, flags } = sendRequest(data, opts);
    return countOf(operation, writing.tryNow(operation, operand, flags), operand, flags);
  }

  /**
   * Receives what there is, without a wait and without a promise: one recv(2).
   *
   * @returns as `recv`; `undefined` where it would have to wait: there is nothing, other calls wait to receive, or this turn of
   *   the event loop has had its share of calls
   * @throws SocketError as `recv` rejects with
   * @see recv(2)
   */
  tryRecv(size: number, opts?: FlagOptions): Buffer | undefined {
    return this.#tryReceive(tryRecvRequest(this.type, size, opts));
  }

  /**
   * Receives into `buffer`, without a wait and without a promise: one recv(2).
   *
   * @returns as `recvInto`; `undefined` as `tryRecv`
   * @throws SocketError as `recvInto` rejects with
   * @see recv(2)
   */
  tryRecvInto(buffer: Uint8Array, opts?: FlagOptions): number | undefined {
    if (opts === undefined && buffer instanceof Uint8Array && buffer.length > 0 && this.ahead === undefined) {
      return countOf(RECV_INTO, this.descriptor.reading.tryNow(RECV_INTO, buffer, 0), buffer, 0);
    }
    return this.#tryReceive(tryRecvIntoRequest(this.type, buffer, opts));
  }

  #tryReceive<T>({ operand, operation, flags }: Request<T>): T | undefined {
    if (this.ahead !== undefined && (flags & (MSG_ERRQUEUE | MSG_OOB)) === 0) checkAhead(this, operation.syscall);
    const result = this.queueOf(flags).tryNow(operation, operand, flags);
    const count = countOf(operation, result, operand, flags);
    return count === undefined ? undefined : operation.complete(count, operand, flags);
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
