// UnixDatagramSocket: receives and sends datagrams of UNIX sockets, each with its address.
//
// The kernel's receive queue is the only queue. The number of datagrams (net.unix.max_dgram_qlen) and the send buffers
// of the senders limit it. The kernel drops no datagram: a sender waits while the queue of the receiver is full.

import { type AddressLike, toAddress, UnixAddress } from "../addr/index.js";
import { checkOptions, flag, quote } from "../check/index.js";
import type { Data, IoOptions } from "../io.js";
import type { SocketDescription } from "../ops/describeSocket.js";
import { makeDescribable, describe, Inspectable } from "../registry/index.js";
import { dropDefaultTimeout, receiveWholeDatagram, type Socket } from "../socket/index.js";
import { WAIT_NAMES } from "../wait/waitOptions.js";
import { ClosingSignal } from "./closingSignal.js";
import { iterateUntilClosed } from "./iterateUntilClosed.js";

/** A received datagram of a {@link UnixDatagramSocket}. */
export interface UnixDatagram {
  /** All bytes of the datagram, without truncation. The Buffer belongs to the caller. */
  readonly data: Buffer;
  /** The address of the sender. Its `path` is empty if the sender has no address; then no answer is possible. */
  readonly address: UnixAddress;
}

/** Options of {@link UnixDatagramSocket.close}. */
export interface CloseUnixDatagramOptions {
  /** Whether to remove the file of the socket. Default: the `unlink` with which the socket was made. */
  readonly unlink?: boolean | undefined;
}

/** Whether and how closing the socket removes its file, and the signal that closes the socket. */
export interface UnixClosing {
  /** Removes the file of the socket; undefined if there is none. */
  readonly removeFile: (() => void) | undefined;
  /** Whether `close()` removes the file by default. */
  readonly unlink: boolean;
  /** An abort closes the socket. */
  readonly signal: AbortSignal | undefined;
}

/** The counters of a {@link UnixDatagramSocket}. The kernel drops no datagram, so it has no count of drops. */
export interface UnixDatagramStats {
  /** Datagrams that were received. */
  readonly received: number;
  /** Datagrams that were sent. */
  readonly sent: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
}

/** The fields of a {@link UnixDatagramSocket} in JSON. Both addresses stay after `close()`. */
export interface UnixDatagramDescription extends SocketDescription {
  readonly stats: UnixDatagramStats;
}

/** A UNIX datagram socket: the result of `bindUnixDatagram()` and `connectUnixDatagram()`. */
export class UnixDatagramSocket extends Inspectable<UnixDatagramDescription> implements AsyncIterable<UnixDatagram> {
  static {
    makeDescribable<UnixDatagramSocket, UnixDatagramDescription>(
      UnixDatagramSocket.prototype,
      "UnixDatagramSocket",
      (unix) => ({
        ...(describe(unix.#socket) as SocketDescription),
        local: String(unix.#address),
        peer: unix.#remote === undefined ? null : String(unix.#remote),
        stats: unix.stats(),
      }),
    );
  }

  readonly #socket: Socket;
  readonly #address: UnixAddress;
  readonly #remote: UnixAddress | undefined;
  readonly #removeFile: (() => void) | undefined;
  readonly #unlink: boolean;
  readonly #closingSignal: ClosingSignal | undefined;

  /** @internal */
  constructor(
    socket: Socket,
    address: UnixAddress,
    remote: UnixAddress | undefined,
    { removeFile, signal, unlink }: UnixClosing,
  ) {
    super();
    this.#socket = socket;
    dropDefaultTimeout(socket);
    this.#address = address;
    this.#remote = remote;
    this.#removeFile = removeFile;
    this.#unlink = unlink;
    if (signal !== undefined) this.#closingSignal = new ClosingSignal(signal, () => void this.close());
  }

  /** The local address, to which the peers send. It stays readable after `close()`. */
  get address(): UnixAddress {
    return this.#address;
  }

  /** The peer of a connected socket. */
  get remoteAddress(): UnixAddress | undefined {
    return this.#remote;
  }

  /** The `Socket`, for options, descriptors and credentials (`recvmsg`, `sendmsg`), and batches. */
  get socket(): Socket {
    return this.#socket;
  }

  /** The counters of the socket, also after `close()`. They include the datagrams of calls on `socket`. */
  stats(): UnixDatagramStats {
    const { bytesReceived, bytesSent, reads, writes } = this.#socket.stats();
    return { received: reads, sent: writes, bytesReceived, bytesSent };
  }

  /**
   * Receives the next datagram as a whole, or waits for it. If several calls wait, they get datagrams in the order of
   * the calls. The call closes file descriptors that came with the datagram. A program that wants them calls
   * `socket.recvmsg()` instead.
   *
   * @throws SocketError `ETIMEDOUT`, `ECANCELED` if the socket is closed during the call, `EBADF` if it was closed
   *   before; `ECONNRESET` if the peer of a connected socket has connected to another socket, because the peer has then
   *   lost datagrams of this socket
   * @throws the reason of `signal`
   * @see recvfrom(2), unix(7)
   */
  async receive(opts?: IoOptions): Promise<UnixDatagram> {
    checkOptions(opts, "receive", WAIT_NAMES);
    const [data, address] = await receiveWholeDatagram(this.#socket, opts);
    return { data, address: address as UnixAddress };
  }

  /**
   * Sends one datagram to `address`, or to the peer of a connected socket. It waits while the queue of the receiver is
   * full.
   *
   * @throws SocketError `EMSGSIZE` if the datagram is larger than the send buffer; `ECONNREFUSED` if no process has the
   *   socket at the address open; `EPROTOTYPE` if the receiver is no datagram socket; `EPERM` if the receiver is
   *   connected to another socket; `ENOTCONN` without an address on a socket that is not connected; `ENOENT`, `EACCES`,
   *   `ETIMEDOUT`; and others
   * @throws TypeError for an argument that is wrong
   * @see sendto(2), unix(7)
   */
  async send(data: Data, address?: AddressLike, opts?: IoOptions): Promise<void> {
    checkOptions(opts, "send", WAIT_NAMES);
    // The returned counts are not needed, because a datagram is sent completely or not at all.
    if (address === undefined) await this.#socket.send(data, opts);
    else await this.#socket.sendto(data, checkDestination(address), opts);
  }

  /**
   * Lets the process end although calls wait here. From now on, neither waiting calls nor later ones keep it alive, nor
   * do their timeouts.
   */
  unref(): this {
    this.#socket.unref();
    return this;
  }

  /** Undoes `unref()`: waiting calls keep the process alive again. */
  ref(): this {
    this.#socket.ref();
    return this;
  }

  /**
   * Closes the socket, and removes its file if the file is still that of the socket. Pending calls reject with
   * `ECANCELED`, later calls with `EBADF`.
   *
   * @throws TypeError (by rejecting) for an option that is wrong
   */
  close(opts?: CloseUnixDatagramOptions): Promise<void> {
    let unlink = this.#unlink;
    if (opts !== undefined) {
      try {
        checkOptions(opts, "close", ["unlink"]);
        unlink = flag(opts.unlink, unlink, "close", "unlink");
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.#closingSignal?.release();
    if (!this.#socket.closed) {
      if (unlink) this.#removeFile?.();
      try {
        this.#socket.close();
      } catch {
        // The descriptor is closed even if close(2) fails.
      }
    }
    return Promise.resolve();
  }

  /**
   * The datagrams, one after the other, until the socket is closed. Leaving the loop neither closes the socket nor
   * loses a datagram.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<UnixDatagram> {
    return iterateUntilClosed(this.#socket, () => this.receive());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Checks the destination of a datagram. It must not be empty, because the kernel refuses an empty one with EINVAL.
 */
function checkDestination(destination: AddressLike): UnixAddress {
  const address = toAddress(destination);
  if (!(address instanceof UnixAddress)) {
    throw new TypeError(
      `Cannot send: address is ${quote(destination)}, required one of a UNIX socket, such as unix:/path`,
    );
  }
  if (address.path !== "") return address;
  throw new TypeError("Cannot send: address has no path, required one; a sender that is not bound can't be answered");
}
