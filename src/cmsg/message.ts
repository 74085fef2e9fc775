// A received message, and the recvmsg(2) call of the awaitable and of the blocking socket.

import type { Address } from "../addr/index.js";
import type { Calls } from "../sys/calls.js";
import { MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_TRUNC } from "../sys/constants.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { addressLength, decodeAddressBuffer, addressBuffer } from "../sys/sockaddr.js";
import { decodeControl, descriptorsOf } from "./decode.js";
import type { ControlMessage } from "./types.js";

/**
 * The fields of `struct msghdr` that recvmsg(2) returns besides the data. Disposing of this object (`using`), or its
 * garbage collection, closes the received descriptors that were not taken.
 */
export class MessageHeader<A extends Address = Address> {
  /** Number of bytes of the message that fit into the buffer. */
  readonly bytes: number;
  /** Bytes of the whole message. Larger than `bytes` only if the call had the flag `MSG_TRUNC`. */
  readonly length: number;
  /** The address of the sender; undefined on a connected stream, or if the sender has no address. */
  readonly address: A | undefined;
  /** `MSG_` flags of the message: `MSG_TRUNC`, `MSG_CTRUNC`, `MSG_EOR`, `MSG_OOB`, `MSG_ERRQUEUE`. */
  readonly flags: number;
  /** The control messages, in the order of the kernel. */
  readonly control: readonly ControlMessage[];

  /** @internal */
  constructor(
    bytes: number,
    length: number,
    address: A | undefined,
    flags: number,
    control: readonly ControlMessage[],
  ) {
    this.bytes = bytes;
    this.length = length;
    this.address = address;
    this.flags = flags;
    this.control = control;
  }

  /** Whether the datagram was longer than the buffer: `MSG_TRUNC`. The rest of the datagram is lost. */
  get truncated(): boolean {
    return (this.flags & MSG_TRUNC) !== 0;
  }

  /** Whether the control data were longer than their buffer: `MSG_CTRUNC`. The rest of the control data is lost. */
  get controlTruncated(): boolean {
    return (this.flags & MSG_CTRUNC) !== 0;
  }

  [Symbol.dispose](): void {
    for (const message of this.control) descriptorsOf(message)?.close();
  }
}

/** A message with its data. */
export class Message<A extends Address = Address> extends MessageHeader<A> {
  /** The bytes of the message. */
  readonly data: Buffer;

  /** @internal */
  constructor(data: Buffer, header: MessageHeader<A>) {
    super(header.bytes, header.length, header.address, header.flags, header.control);
    this.data = data;
  }
}

// All calls can share the memory below, because no other call runs between `tryRecvmsg` and `takeHeader`.

/** Memory for control data of usual size. */
const scratch = new Uint8Array(new ArrayBuffer(4096));
/** Two 32-bit results of the call: the length of the control data, and the flags of the message. */
const results = new Uint8Array(8);
/** The memory for the control data of the latest `tryRecvmsg`; null if it had none. */
let control: Uint8Array | null = null;

/** Memory of `size` bytes; null for 0. A call with the same size as the latest call uses the same view again. */
function controlMemory(size: number): Uint8Array | null {
  if (size === 0) return null;
  if (control !== null && control.length === size) return control;
  return size <= scratch.length ? scratch.subarray(0, size) : new Uint8Array(size);
}

/**
 * Calls recvmsg(2) once. If it succeeds, the caller must call {@link takeHeader} before the next `tryRecvmsg`: received
 * descriptors would leak otherwise.
 *
 * @param controlSize the maximum number of bytes of control data
 * @returns the length of the message, or -errno
 */
export function tryRecvmsg(
  calls: Calls,
  fd: number,
  views: readonly Uint8Array[],
  flags: number,
  controlSize: number,
): number {
  control = controlMemory(controlSize);
  return calls.recvmsg(fd, views, flags, addressBuffer, control, results);
}

/**
 * Returns the header of the message that the latest {@link tryRecvmsg} received. The header owns the descriptors of the
 * message.
 *
 * @param length the result of `tryRecvmsg`
 * @param size number of bytes of the views
 */
export function takeHeader(calls: Calls, length: number, size: number): MessageHeader {
  const input = view(results);
  const controlLength = input.getUint32(0, LITTLE_ENDIAN);
  // The addon passes MSG_CMSG_CLOEXEC with every call, and the kernel returns it with the flags of the message.
  const flags = input.getUint32(4, LITTLE_ENDIAN) & ~MSG_CMSG_CLOEXEC;
  const address = addressLength() === 0 ? undefined : decodeAddressBuffer();
  const isTruncated = (flags & MSG_CTRUNC) !== 0;
  const messages =
    control === null || controlLength === 0 ? [] : decodeControl(control, controlLength, calls, isTruncated);
  return new MessageHeader(Math.min(length, size), length, address, flags, messages);
}
