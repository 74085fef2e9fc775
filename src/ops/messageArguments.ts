// sendmsg, recvmsg, and the passing of descriptors with them: their arguments, checked.

import { isUint8Array } from "node:util/types";
import { type Address, type AddressLike, AF_UNIX, toAddress } from "../addr/index.js";
import { byteCount, bytesToSend, checkOptions, integer, quote, type Sendable, totalLength } from "../check/index.js";
import { calls } from "../sys/calls.js";
import { IOV_MAX, SOCK_STREAM } from "../sys/constants.js";
import {
  CMSG_LEN,
  type ControlToSend,
  descriptorsOf,
  encodeControl,
  type EncodedControl,
  type HasFileno,
  MAX_CONTROL,
  type Message,
  type MessageHeader,
  ReceivedDescriptors,
} from "../cmsg/index.js";
import { incoming, type Outgoing, RECVMSG, RECVMSG_ALL, RECVMSG_ALL_INTO, RECVMSG_INTO, SENDMSG } from "./sendmsg.js";
import { waitsForAll } from "./recvAll.js";
import { encodeAddress } from "../sys/sockaddr.js";
import { flagsOf, sendFlagsOf, type TransferOptions } from "./flags.js";
import { type WaitOptions } from "../wait/waitOptions.js";
import type { Addressed, Request } from "./request.js";

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

/** More than SCM_MAX_FD, which is what the kernel passes with one message. */
const MOST_FDS = 1 << 16;

/** The socket whose call it is. */
interface Kind {
  readonly family: number;
  readonly type: number;
}

export function sendmsgRequest(kind: Kind, data: Sendable, opts: SendmsgOptions | undefined): Addressed<number> {
  const bytes = bytesToSend(data, "sendmsg");
  checkOptions(opts, "sendmsg");
  const flags = sendFlagsOf(opts, "sendmsg");
  const total = totalLength(bytes);
  // A message has to go out in one call, however many parts it has.
  const parts = isUint8Array(bytes) ? [bytes] : bytes.length > IOV_MAX ? [Buffer.concat(bytes)] : bytes;
  const control = controlOf(kind, opts?.control, total);
  return {
    syscall: "sendmsg",
    target: opts?.address === undefined ? undefined : toAddress(opts.address),
    at: (address) => {
      const sockaddr = address === undefined ? null : encodeAddress(address);
      const operand: Outgoing = { parts, total, address, sockaddr, control };
      return { operation: SENDMSG, operand, flags };
    },
  };
}

function controlOf(
  { family, type }: Kind,
  messages: readonly ControlToSend[] | undefined,
  total: number,
): EncodedControl | null {
  if (messages === undefined) return null;
  const control = encodeControl(messages);
  // unix(7): descriptors go with the bytes. A stream would take none of either, and say that all went well.
  if (control.rights && total === 0 && type === SOCK_STREAM && family === AF_UNIX) {
    throw new RangeError(
      "Cannot sendmsg: data are empty, required at least one byte to pass descriptors over a stream",
    );
  }
  return control.bytes.length === 0 ? null : control;
}

export function recvmsgRequest(kind: Kind, size: number, opts: RecvmsgOptions | undefined): Request<Message> {
  const count = byteCount(size, "recvmsg");
  const flags = flagsOf(opts, "recvmsg");
  const operand = incoming(count, undefined, controlSize(kind, opts), kind.family === AF_UNIX);
  return { operation: waitsForAll(kind.type, count, flags) ? RECVMSG_ALL : RECVMSG, operand, flags };
}

export function recvmsgIntoRequest(
  kind: Kind,
  buffers: Uint8Array | readonly Uint8Array[],
  opts: RecvmsgOptions | undefined,
): Request<MessageHeader> {
  const views = viewsToFill(buffers);
  const size = totalLength(views);
  const flags = flagsOf(opts, "recvmsg");
  const operand = incoming(size, views, controlSize(kind, opts), kind.family === AF_UNIX);
  return { operation: waitsForAll(kind.type, size, flags) ? RECVMSG_ALL_INTO : RECVMSG_INTO, operand, flags };
}

function controlSize({ family }: Kind, opts: RecvmsgOptions | undefined): number {
  const size = opts?.controlSize;
  if (size !== undefined) return integer(size, "recvmsg", "controlSize", 0, MAX_CONTROL);
  return family === AF_UNIX ? 0 : DEFAULT_CONTROL;
}

function viewsToFill(buffers: unknown): readonly Uint8Array[] {
  if (isUint8Array(buffers)) return [buffers];
  if (!Array.isArray(buffers)) {
    throw new TypeError(`Cannot recvmsg: buffers are ${quote(buffers)}, required a Uint8Array or an array of those`);
  }
  if (buffers.length > IOV_MAX) {
    throw new RangeError(`Cannot recvmsg: there are ${buffers.length} buffers, required at most ${IOV_MAX}`);
  }
  const wrong = buffers.findIndex((buffer) => !isUint8Array(buffer));
  if (wrong >= 0)
    throw new TypeError(`Cannot recvmsg: buffers[${wrong}] is ${quote(buffers[wrong])}, required a Uint8Array`);
  return [...(buffers as Uint8Array[])];
}

/** What `send_fds` has `sendmsg` take. */
export function withFds<O>(
  fds: readonly (number | HasFileno)[],
  opts: O | undefined,
): O & { readonly control: readonly ControlToSend[] } {
  // As in Python a number would be flags, and a copy of it is an empty object.
  checkOptions(opts as WaitOptions | undefined, "send_fds");
  return { ...(opts as O), control: [{ type: "SCM_RIGHTS", fds }] };
}

/** What `recv_fds` has `recvmsg` take. */
export function withRoomForFds<O>(maxfds: number, opts: O | undefined): O & { readonly controlSize: number } {
  checkOptions(opts as WaitOptions | undefined, "recv_fds");
  const most = integer(maxfds, "recv_fds", "maxfds", 0, MOST_FDS);
  // CMSG_LEN, not CMSG_SPACE: in its padding the kernel would deliver one more than was asked for.
  return { ...(opts as O), controlSize: most === 0 ? 0 : CMSG_LEN(4 * most) };
}

/** What `recv_fds` gives: data, descriptors, flags, address. */
export type DataWithFds = [data: Buffer, fds: ReceivedDescriptors, flags: number, address: Address | undefined];

export function fdsOf(message: Message): DataWithFds {
  const rights = message.control.flatMap((one) => (one.type === "SCM_RIGHTS" ? [one.fds] : []));
  const fds = ReceivedDescriptors.join(rights, calls);
  for (const other of message.control) if (other.type !== "SCM_RIGHTS") descriptorsOf(other)?.close();
  return [message.data, fds, message.flags, message.address];
}
