// A UDP socket: packets one after the other, each with its address.
//
// The kernel's receive buffer is the only queue. A packet is received when it is asked for and not before; what comes when the
// buffer is full the kernel drops and counts. So memory has one bound, and it has a name: `receiveBuffer`.

import type { AddressLike } from "../addr/index.js";
import type { Data, IoOptions } from "../io.js";
import { type Socket, withoutDefaultTimeout } from "../socket/index.js";
import { SO_MEMINFO } from "../sys/options/index.js";
import type { HostAddress } from "./resolver.js";

/** A datagram that came. */
export interface Packet {
  /** Its bytes, all of them: the Buffer is the caller's. */
  readonly data: Buffer;
  /** Who sent it. */
  readonly address: HostAddress;
}

/** The longest datagram of UDP, headers included: its length field has 16 bits (RFC 768). */
const LONGEST = 65_535;
const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** A UDP socket. `bindUdp()` and `connectUdp()` make it. */
export class UdpSocket implements AsyncIterable<Packet> {
  readonly #socket: Socket;
  readonly #address: HostAddress;
  readonly #remote: HostAddress | undefined;

  /** @internal */
  constructor(socket: Socket, remote: HostAddress | undefined) {
    this.#socket = socket;
    withoutDefaultTimeout(socket);
    this.#address = socket.getsockname() as HostAddress;
    this.#remote = remote;
  }

  /** The address that it is bound to, with the real port where 0 was asked for. Stays readable after `close()`. */
  get address(): HostAddress {
    return this.#address;
  }

  /** The peer of a connected socket. */
  get remoteAddress(): HostAddress | undefined {
    return this.#remote;
  }

  /** The socket below, for its options, for multicast, and for batches of packets. */
  get socket(): Socket {
    return this.#socket;
  }

  /** Packets that the kernel has dropped so far because nobody received them in time. */
  get dropped(): number {
    return this.#socket.getsockopt(SO_MEMINFO).drops;
  }

  /**
   * The next packet; waits while there is none. Several calls may wait: they are served in order.
   *
   * @throws SocketError `ECONNREFUSED` on a connected socket when an earlier packet was refused, `ETIMEDOUT`, `ECANCELED` when it
   *   is closed meanwhile, `EBADF` when it was before; the signal's reason
   * @see recvfrom(2)
   */
  async receive(opts?: IoOptions): Promise<Packet> {
    const [data, address] = await this.#socket.recvfrom(LONGEST, opts);
    return { data, address: address as HostAddress };
  }

  /**
   * Sends one packet, to `address` or, on a connected socket without one, to its peer; waits only while the kernel takes none. A
   * host name is resolved each time.
   *
   * @throws SocketError `EMSGSIZE`, `ENETUNREACH`, `EACCES`, `EDESTADDRREQ` without an address on a socket that is not connected,
   *   `ECONNREFUSED` on a connected one when an earlier packet was refused …
   * @see sendto(2)
   */
  async send(data: Data, address?: AddressLike, opts?: IoOptions): Promise<void> {
    // A datagram goes out whole or not at all, so the count says nothing.
    await (address === undefined ? this.#socket.send(data, opts) : this.#socket.sendto(data, address, opts));
  }

  /**
   * Lets the process end while calls wait here: neither these, those that wait already among them, nor their deadlines keep it alive
   * from now on.
   */
  unref(): this {
    this.#socket.unref();
    return this;
  }

  /** Undoes `unref()`: a call that waits keeps the process alive, as it does from the beginning. */
  ref(): this {
    this.#socket.ref();
    return this;
  }

  /** Closes it. Pending calls reject with `ECANCELED`, later ones with `EBADF`. Never rejects, may be called twice. */
  close(): Promise<void> {
    try {
      this.#socket.close();
    } catch {
      // The descriptor is gone whatever close(2) says.
    }
    return Promise.resolve();
  }

  /** The packets, one after the other, until the socket is closed. Leaving the loop does not close it. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Packet> {
    const iterator: AsyncIterableIterator<Packet> = {
      next: async () => {
        try {
          return { done: false, value: await this.receive() };
        } catch (error) {
          if (this.#socket.closed) return END;
          throw error;
        }
      },
      return: () => Promise.resolve(END),
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
