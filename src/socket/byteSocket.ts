// The calls that move bytes: recv, send and their kin.

import type { Address, AddressLike } from "../addr/index.js";
import { toAddress } from "../addr/index.js";
import type { Data } from "../io.js";
import { byteCount, bytesToSend, byteView, totalLength } from "../sys/arguments.js";
import { encodeAddress } from "../sys/sockaddr.js";
import { DescriptorSocket } from "./descriptorSocket.js";
import {
  type LargeRead,
  RECV,
  RECV_INTO,
  RECV_LARGE,
  RECVFROM,
  RECVFROM_INTO,
  RECVFROM_LARGE,
  SLAB_SIZE,
} from "../sys/operations/receive.js";
import {
  filling,
  RECV_ALL,
  RECV_ALL_INTO,
  RECVFROM_ALL,
  RECVFROM_ALL_INTO,
  waitsForAll,
} from "../sys/operations/receiveAll.js";
import { SEND, SEND_ALL, type Sending, SENDTO } from "../sys/operations/send.js";
import { checkOptions, flagsOf, signalOf, timeoutOf, type TransferOptions } from "./options.js";

/** Most parts of one sendmsg(2): UIO_MAXIOV of the kernel. */
const IOV_MAX = 1024;

export abstract class ByteSocket extends DescriptorSocket {
  /**
   * What is to be sent. A message has to go out in one call, and each call of a sendAll walks over the parts anew: a list of
   * more parts than one call takes is put together first.
   */
  #message(data: Data, action: string): Uint8Array | Uint8Array[] {
    const bytes = bytesToSend(data, action);
    return bytes instanceof Uint8Array || bytes.length <= IOV_MAX ? bytes : Buffer.concat(bytes);
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
      const count = byteCount(size, "recv");
      const flags = flagsOf(opts, "recv");
      if (flags !== 0 && waitsForAll(this.type, count, flags)) {
        return this.startRead(RECV_ALL, filling(count), flags, opts);
      }
      if (count <= SLAB_SIZE) return this.startReceive(RECV, count, flags, opts);
      const large: LargeRead = { size: count, buffer: undefined };
      return this.startReceive(RECV_LARGE, large, flags, opts);
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
      const bytes = byteView(buffer, "recv");
      const flags = flagsOf(opts, "recv");
      if (flags !== 0 && waitsForAll(this.type, bytes.length, flags)) {
        return this.startRead(RECV_ALL_INTO, filling(bytes.length, bytes), flags, opts);
      }
      return this.startReceive(RECV_INTO, bytes, flags, opts);
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
      const count = byteCount(size, "recvfrom");
      const flags = flagsOf(opts, "recvfrom");
      if (flags !== 0 && waitsForAll(this.type, count, flags)) {
        return this.startRead(RECVFROM_ALL, filling(count), flags, opts);
      }
      if (count <= SLAB_SIZE) return this.startReceive(RECVFROM, count, flags, opts);
      const large: LargeRead = { size: count, buffer: undefined };
      return this.startReceive(RECVFROM_LARGE, large, flags, opts);
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
      const bytes = byteView(buffer, "recvfrom");
      const flags = flagsOf(opts, "recvfrom");
      if (flags !== 0 && waitsForAll(this.type, bytes.length, flags)) {
        return this.startRead(RECVFROM_ALL_INTO, filling(bytes.length, bytes), flags, opts);
      }
      return this.startReceive(RECVFROM_INTO, bytes, flags, opts);
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
      return this.startWrite(SEND, this.#message(data, "send"), flagsOf(opts, "send"), opts);
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
      const bytes = this.#message(data, "send");
      const sending: Sending = { data: bytes, total: totalLength(bytes), sent: 0 };
      return this.startWrite(SEND_ALL, sending, flagsOf(opts, "send"), opts);
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
      checkOptions(opts, "sendto");
      const bytes = this.#message(data, "sendto");
      const flags = flagsOf(opts, "sendto");
      const timeout = timeoutOf(opts, this.timeout, "sendto");
      const signal = signalOf(opts, "sendto");
      const send = (known: Address): Promise<number> => {
        const datagram = { data: bytes, address: known, sockaddr: encodeAddress(known) };
        return this.descriptor.writing.run(this, SENDTO, datagram, flags, timeout, signal);
      };
      const target = toAddress(address);
      this.checkOpen("sendto");
      const remote = this.resolve(target, timeout, signal);
      return remote instanceof Promise ? remote.then(send) : send(remote);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}
