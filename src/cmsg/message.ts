// A message that came, and the one try to receive it that both sockets share: recvmsg(2).

import type { Address } from "../addr/index.js";
import type { Calls } from "../sys/calls.js";
import { MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_TRUNC } from "../sys/constants.js";
import { LITTLE, view } from "../sys/nativeInts.js";
import { addressLength, decodeAddressBuffer, addressBuffer } from "../sys/sockaddr.js";
import { decodeControl, descriptorsOf } from "./decode.js";
import type { ControlMessage } from "./types.js";

/**
 * What recvmsg(2) says of a message beside its data: the fields of `struct msghdr`. Dispose of it (`using`) to close the
 * descriptors that came along and that nobody took; when it is collected they are closed as well.
 */
export class MessageHeader {
  /** Bytes that were stored. */
  readonly bytes: number;
  /** Bytes that the message had. More than `bytes` only when `MSG_TRUNC` was among the flags of the call. */
  readonly length: number;
  /** Who sent it; undefined on a connected stream, or when the sender has no address. */
  readonly address: Address | undefined;
  /** `MSG_` flags of the message: `MSG_TRUNC`, `MSG_CTRUNC`, `MSG_EOR`, `MSG_OOB`, `MSG_ERRQUEUE`. */
  readonly flags: number;
  /** The control data, in the order in which they came. */
  readonly control: readonly ControlMessage[];

  /** @internal */
  constructor(
    bytes: number,
    length: number,
    address: Address | undefined,
    flags: number,
    control: readonly ControlMessage[],
  ) {
    this.bytes = bytes;
    this.length = length;
    this.address = address;
    this.flags = flags;
    this.control = control;
  }

  /** Whether there was less room than the datagram had bytes, and the rest is lost: `MSG_TRUNC`. */
  get truncated(): boolean {
    return (this.flags & MSG_TRUNC) !== 0;
  }

  /** Whether there was less room than control data came, and the rest is lost: `MSG_CTRUNC`. */
  get controlTruncated(): boolean {
    return (this.flags & MSG_CTRUNC) !== 0;
  }

  [Symbol.dispose](): void {
    for (const message of this.control) descriptorsOf(message)?.close();
  }
}

/** A message with its data. */
export class Message extends MessageHeader {
  /** Exactly the bytes that came. */
  readonly data: Buffer;

  /** @internal */
  constructor(data: Buffer, header: MessageHeader) {
    super(header.bytes, header.length, header.address, header.flags, header.control);
    this.data = data;
  }
}

/** Room for control data, and for what recvmsg() says of it. A try and the taking of its result are one step. */
const scratch = new Uint8Array(new ArrayBuffer(4096));
const out = new Uint8Array(8);
let control: Uint8Array | null = null;

function controlRoom(size: number): Uint8Array | null {
  if (size === 0) return null;
  if (control !== null && control.length === size) return control;
  return size <= scratch.length ? scratch.subarray(0, size) : new Uint8Array(size);
}

/**
 * Tries once to receive a message into `views`. What it said is taken with {@link takeHeader}, before the next try, and has to
 * be: descriptors may have come.
 *
 * @returns the length of the message, or -errno
 */
export function tryRecvmsg(
  calls: Calls,
  fd: number,
  views: readonly Uint8Array[],
  flags: number,
  controlSize: number,
): number {
  control = controlRoom(controlSize);
  return calls.recvmsg(fd, views, flags, addressBuffer, control, out);
}

/** What the last try said of its message. `size` is the room that it had for data. */
export function takeHeader(calls: Calls, length: number, size: number): MessageHeader {
  const result = view(out);
  const controlLength = result.getUint32(0, LITTLE);
  // The kernel repeats what it was asked with MSG_CMSG_CLOEXEC, which every call here is.
  const flags = result.getUint32(4, LITTLE) & ~MSG_CMSG_CLOEXEC;
  const address = addressLength() === 0 ? undefined : decodeAddressBuffer();
  const messages =
    control === null || controlLength === 0
      ? []
      : decodeControl(control, controlLength, calls, (flags & MSG_CTRUNC) !== 0);
  return new MessageHeader(Math.min(length, size), length, address, flags, messages);
}
