// The calls that move messages: data with flags, an address and control data.

import { AF_UNIX, type Address, type AddressLike, quote, toAddress } from "../addr/index.js";
import type { Data } from "../io.js";
import { byteCount, bytesToSend, integer, totalLength } from "../sys/arguments.js";
import { IOV_MAX, SOCK_STREAM } from "../sys/constants.js";
import { type ControlToSend, encodeControl, type EncodedControl, MAX_CONTROL, type Message, type MessageHeader } from "../sys/control/index.js";
import { encodeAddress } from "../sys/sockaddr.js";
import { ByteSocket } from "./byteSocket.js";
import { incoming, type Outgoing, RECVMSG, RECVMSG_ALL, RECVMSG_ALL_INTO, RECVMSG_INTO, SENDMSG } from "../sys/operations/message.js";
import { waitsForAll } from "../sys/operations/receiveAll.js";
import { checkOptions, flagsOf, signalOf, timeoutOf, type TransferOptions } from "./options.js";

/** Options of `sendmsg`. */
export interface SendmsgOptions extends TransferOptions {
  /** Where the message goes; without it to the peer of the connection. */
  readonly address?: AddressLike | undefined;
  /** Control data, in order: `[{ type: "IP_TTL", ttl: 1 }]`. */
  readonly control?: readonly ControlToSend[] | undefined;
}

/** Options of `recvmsg`. */
export interface RecvmsgOptions extends TransferOptions {
  /**
   * Bytes of room for control data, the sum of `CMSG_SPACE()` over what may come. By default 512, but 0 on a UNIX socket, where
   * control data may bring descriptors: they come only to who asks for them.
   */
  readonly controlSize?: number | undefined;
}

const DEFAULT_CONTROL = 512;

export abstract class MessageSocket extends ByteSocket {
  /**
   * Sends a message: sendmsg(2), with gathered data, control data and an address. On a stream the kernel may take fewer bytes
   * than there are; control data go with the first of them. `data`, buffers and descriptors belong to the call until the
   * promise settles.
   *
   * @param data text (as UTF-8), bytes, or an array of those, which go out one after the other as one message
   * @returns the number of bytes that were taken
   * @throws TypeError or RangeError for control data that are wrong, or descriptors without a byte on a stream
   * @throws SocketError `EMSGSIZE`, `EPIPE`, `ENOTCONN`, `EDESTADDRREQ`, `EPERM` (credentials of others), `EBADF` (a descriptor to
   *   pass is not open), `EINVAL` (control data that the kernel does not know here), `ETOOMANYREFS` …
   * @see sendmsg(2), cmsg(3), unix(7), ip(7), ipv6(7)
   * @example
   * ```ts
   * import { AF_INET, SOCK_DGRAM, Socket } from "berkeley";
   *
   * await using receiver = new Socket(AF_INET, SOCK_DGRAM);
   * await receiver.bind("127.0.0.1:0");
   * await using sender = new Socket(AF_INET, SOCK_DGRAM);
   * const address = receiver.getsockname();
   * console.log(await sender.sendmsg(["head", "body"], { address, control: [{ type: "IP_TTL", ttl: 3 }] })); // prints: 8
   * console.log((await receiver.recv(100)).toString()); // prints: headbody
   * ```
   */
  sendmsg(data: Data, opts?: SendmsgOptions): Promise<number> {
    try {
      const bytes = bytesToSend(data, "sendmsg");
      checkOptions(opts, "sendmsg");
      const flags = flagsOf(opts, "sendmsg");
      const timeout = timeoutOf(opts, this.timeout, "sendmsg");
      const signal = signalOf(opts, "sendmsg");
      const total = totalLength(bytes);
      // A message has to go out in one call, however many parts it has.
      const parts = bytes instanceof Uint8Array ? [bytes] : bytes.length > IOV_MAX ? [Buffer.concat(bytes)] : bytes;
      const control = this.#control(opts?.control, total);
      const send = (address: Address | undefined): Promise<number> => {
        const sockaddr = address === undefined ? null : encodeAddress(address);
        const outgoing: Outgoing = { parts, total, address, sockaddr, control };
        return this.descriptor.writing.run(this, SENDMSG, outgoing, flags, timeout, signal);
      };
      if (opts?.address === undefined) return send(undefined);
      const target = toAddress(opts.address);
      this.checkOpen("sendmsg");
      const remote = this.resolve(target, timeout, signal);
      return remote instanceof Promise ? remote.then(send) : send(remote);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #control(messages: readonly ControlToSend[] | undefined, total: number): EncodedControl | null {
    if (messages === undefined) return null;
    const control = encodeControl(messages);
    // unix(7): descriptors go with the bytes. A stream would take none of either, and say that all went well.
    if (control.rights && total === 0 && this.type === SOCK_STREAM && this.family === AF_UNIX) {
      throw new RangeError("Cannot sendmsg: data are empty, required at least one byte to pass descriptors over a stream");
    }
    return control.bytes.length === 0 ? null : control;
  }

  /**
   * Receives a message: recvmsg(2). A datagram that is longer than `size` is cut, and `truncated` says so; a datagram without
   * bytes has no data and a `flags` of its own, and is not the end. Flags are those of `recv`: with `MSG_ERRQUEUE` an entry of the
   * error queue comes, without waiting behind ordinary calls.
   *
   * Descriptors (SCM_RIGHTS) are owned by the message until they are taken, and closed with it: see `ReceivedDescriptors`.
   *
   * @param size room for data in bytes
   * @throws SocketError as `recvfrom`
   * @see recvmsg(2), cmsg(3)
   * @example
   * ```ts
   * import { AF_INET, IPPROTO_IP, SOCK_DGRAM, Socket } from "berkeley";
   *
   * const IP_RECVTTL = 12;
   * await using receiver = new Socket(AF_INET, SOCK_DGRAM);
   * await receiver.bind("127.0.0.1:0");
   * receiver.setsockopt(IPPROTO_IP, IP_RECVTTL, 1);
   * await using sender = new Socket(AF_INET, SOCK_DGRAM);
   * const control = [{ type: "IP_TTL", ttl: 3 }] as const;
   * await sender.sendmsg("hop", { address: receiver.getsockname(), control });
   *
   * const message = await receiver.recvmsg(100);
   * console.log(message.data.toString(), message.truncated); // prints: hop false
   * for (const one of message.control) {
   *   if (one.type === "IP_TTL") console.log(one.ttl); // prints: 3
   * }
   * ```
   */
  recvmsg(size: number, opts?: RecvmsgOptions): Promise<Message> {
    try {
      const count = byteCount(size, "recvmsg");
      const flags = flagsOf(opts, "recvmsg");
      const message = incoming(count, undefined, this.#controlSize(opts), this.family === AF_UNIX);
      if (waitsForAll(this.type, count, flags)) return this.startRead(RECVMSG_ALL, message, flags, opts);
      return this.startReceive(RECVMSG, message, flags, opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Receives a message into `buffers`, one after the other, and copies nothing: recvmsg(2). The buffers belong to the call until
   * the promise settles.
   *
   * @param buffers one, or several up to `IOV_MAX` (1024)
   * @returns what the message was beside its data; `bytes` says how many were stored
   * @throws SocketError as `recvfrom`
   * @see recvmsg(2)
   * @example
   * ```ts
   * import { SOCK_DGRAM, AF_UNIX, socketpair } from "berkeley";
   *
   * const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
   * await left.sendmsg(["head", "the body"]);
   * const head = Buffer.alloc(4);
   * const body = Buffer.alloc(100);
   * const { bytes } = await right.recvmsgInto([head, body]);
   * console.log(head.toString(), body.toString("utf8", 0, bytes - 4)); // prints: head the body
   * left.close();
   * right.close();
   * ```
   */
  recvmsgInto(buffers: Uint8Array | readonly Uint8Array[], opts?: RecvmsgOptions): Promise<MessageHeader> {
    try {
      const views = viewsToFill(buffers);
      const size = totalLength(views);
      const flags = flagsOf(opts, "recvmsg");
      const message = incoming(size, views, this.#controlSize(opts), this.family === AF_UNIX);
      if (waitsForAll(this.type, size, flags)) return this.startRead(RECVMSG_ALL_INTO, message, flags, opts);
      return this.startReceive(RECVMSG_INTO, message, flags, opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #controlSize(opts: RecvmsgOptions | undefined): number {
    checkOptions(opts, "recvmsg");
    const size = opts?.controlSize;
    if (size !== undefined) return integer(size, "recvmsg", "controlSize", 0, MAX_CONTROL);
    return this.family === AF_UNIX ? 0 : DEFAULT_CONTROL;
  }
}

function viewsToFill(buffers: unknown): readonly Uint8Array[] {
  if (buffers instanceof Uint8Array) return [buffers];
  if (!Array.isArray(buffers)) {
    throw new TypeError(`Cannot recvmsg: buffers are ${quote(buffers)}, required a Uint8Array or an array of those`);
  }
  if (buffers.length > IOV_MAX) {
    throw new RangeError(`Cannot recvmsg: there are ${buffers.length} buffers, required at most ${IOV_MAX}`);
  }
  const wrong = buffers.findIndex((buffer) => !(buffer instanceof Uint8Array));
  if (wrong >= 0) throw new TypeError(`Cannot recvmsg: buffers[${wrong}] is ${quote(buffers[wrong])}, required a Uint8Array`);
  return [...(buffers as Uint8Array[])];
}
