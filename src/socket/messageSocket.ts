// The calls that move messages: data with flags, an address and control data.

import type { Data } from "../io.js";
import type { Message, MessageHeader } from "../cmsg/index.js";
import {
  recvmsgIntoRequest,
  type RecvmsgOptions,
  recvmsgRequest,
  type SendmsgOptions,
  sendmsgRequest,
} from "../ops/messageArguments.js";
import { ByteSocket } from "./byteSocket.js";

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
      return this.startSendTo(sendmsgRequest(this, data, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Receives a message: recvmsg(2). A datagram that is longer than `size` is cut, and `truncated` says so; a datagram without
   * bytes gives empty data and is not the end, which only a stream has. Flags are those of `recv`: with `MSG_ERRQUEUE` an entry of the
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
      return this.startReceive(recvmsgRequest(this, size, opts), opts);
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
      return this.startReceive(recvmsgIntoRequest(this, buffers, opts), opts);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}
