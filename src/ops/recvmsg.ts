// recvmsg and recvmsgInto: data with flags, an address and control data.

import { isUint8Array } from "node:util/types";
import { AF_UNIX } from "../addr/index.js";
import { byteCount, integer, quote, totalLength } from "../check/index.js";
import { MAX_CONTROL, Message, MessageHeader, takeHeader, tryRecvmsg } from "../cmsg/index.js";
import { progress, INCOMPLETE, type Operation, operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import { IOV_MAX, MSG_CTRUNC, MSG_PEEK, MSG_WAITALL } from "../sys/constants.js";
import { EAGAIN, EFAULT } from "../sys/errno.js";
import { flagsOf, TRANSFER_NAMES, type TransferOptions } from "./flags.js";
import { clearForTruncation, copyOut, isNonblocking, slab, SLAB_SIZE } from "./recv.js";
import { canGetNoMore, bytesAvailable, waitsForAll } from "./recvAll.js";
import type { Mode, Outcome, Runner } from "./runner.js";

/** Options of `recvmsg`. */
export interface RecvmsgOptions extends TransferOptions {
  /**
   * Bytes of room for control data: the sum of `CMSG_SPACE()` over the messages that may come. The default is 512, and
   * 0 on a UNIX socket, where control data may contain descriptors: a program gets them only if it sets this option.
   */
  readonly controlSize?: number | undefined;
}

const DEFAULT_CONTROL = 512;

/** A message to receive: its memory, and the progress of a call with MSG_WAITALL. */
export interface IncomingMessage {
  readonly size: number;
  /** The caller's memory. For recvmsg() the slab, or a buffer that the first attempt allocates. */
  views: readonly Uint8Array[] | undefined;
  readonly controlSize: number;
  /** With MSG_WAITALL: whether control data end the call, because they belong to the bytes before them (unix(7)). */
  readonly controlEnds: boolean;
  got: number;
  header: MessageHeader | undefined;
  calls: Calls | undefined;
}

/** `views` is the caller's memory. Without it the call allocates its own. */
export function incomingMessage(
  size: number,
  views: readonly Uint8Array[] | undefined,
  controlSize: number,
  controlEnds: boolean,
): IncomingMessage {
  return { size, views, controlSize, controlEnds, got: 0, header: undefined, calls: undefined };
}

/** One attempt without MSG_WAITALL. */
function attemptOnce(
  calls: Calls,
  fd: number,
  message: IncomingMessage,
  views: readonly Uint8Array[],
  flags: number,
): number {
  message.calls = calls;
  return tryRecvmsg(calls, fd, views, flags, message.controlSize);
}

function slabOrLarge(message: IncomingMessage, flags: number): readonly Uint8Array[] {
  const memory =
    message.size <= SLAB_SIZE
      ? slab
      : ((message.views?.[0] as Buffer | undefined) ?? Buffer.allocUnsafeSlow(message.size));
  clearForTruncation(memory, message.size, flags);
  return (message.views ??= [memory.subarray(0, message.size)]);
}

/** The received bytes. A short message does not keep a large buffer alive. */
function received(views: readonly Uint8Array[], count: number, size: number): Buffer {
  const buffer = views[0] as Buffer;
  return count < size / 2 ? Buffer.from(buffer.subarray(0, count)) : buffer.subarray(0, count);
}

export const RECVMSG: Operation<IncomingMessage, number, Message> = operation<IncomingMessage, number, Message>({
  syscall: "recvmsg",
  movesBytes: true,
  attempt: (calls, fd, message, flags) => attemptOnce(calls, fd, message, slabOrLarge(message, flags), flags),
  complete: (length, message) => {
    const { size } = message;
    const header = takeHeader(message.calls!, length, size);
    return new Message(
      size <= SLAB_SIZE ? copyOut(header.bytes) : received(message.views!, header.bytes, size),
      header,
    );
  },
  isNonblocking,
});

export const RECVMSG_INTO: Operation<IncomingMessage, number, MessageHeader> = operation<
  IncomingMessage,
  number,
  MessageHeader
>({
  syscall: "recvmsg",
  movesBytes: true,
  attempt: (calls, fd, message, flags) => {
    const views = message.views!;
    return totalLength(views) === message.size ? attemptOnce(calls, fd, message, views, flags) : EFAULT;
  },
  complete: (length, message) => takeHeader(message.calls!, length, message.size),
  isNonblocking,
});

/** The views without their first `skip` bytes. */
function withoutFirst(views: readonly Uint8Array[], skip: number): Uint8Array[] {
  const left: Uint8Array[] = [];
  for (const view of views) {
    if (skip < view.length) left.push(skip === 0 ? view : view.subarray(skip));
    skip = Math.max(0, skip - view.length);
  }
  return left;
}

/** An attempt with MSG_WAITALL; see recvAll.ts. Each attempt takes the descriptors that arrived. */
function attemptAll(calls: Calls, fd: number, message: IncomingMessage, flags: number): number {
  const views = (message.views ??= [Buffer.alloc(message.size)]);
  const { size, got, controlEnds } = message;
  if (totalLength(views) !== size) return EFAULT;
  if (got > 0) {
    const count = bytesAvailable(calls, fd);
    if (count === EAGAIN) return EAGAIN;
    if (count === 0) return got;
  }
  const count = tryRecvmsg(calls, fd, withoutFirst(views, got), flags & ~MSG_WAITALL, message.controlSize);
  if (count < 0) return got === 0 || count === EAGAIN ? count : got;
  const header = takeHeader(calls, count, size - got);
  const ends = controlEnds && (header.control.length > 0 || (header.flags & MSG_CTRUNC) !== 0);
  if ((flags & MSG_PEEK) !== 0) {
    if (count > 0 && count < size && !ends && !canGetNoMore(calls, fd)) {
      header[Symbol.dispose]();
      return INCOMPLETE;
    }
  } else if (count === 0 && got > 0) {
    return got;
  }
  message.got = got + count;
  message.header = new MessageHeader(message.got, message.got, header.address, header.flags, header.control);
  return message.got < size && count > 0 && !ends && (flags & MSG_PEEK) === 0 ? progress(count) : message.got;
}

function receiveAll<T>(make: (message: IncomingMessage) => T): Operation<IncomingMessage, number, T> {
  return operation<IncomingMessage, number, T>({
    syscall: "recvmsg",
    movesBytes: false,
    attempt: attemptAll,
    complete: (_count, message) => make(message),
    received: (message) => (message.got > 0 ? make(message) : undefined),
  });
}

export const RECVMSG_ALL: Operation<IncomingMessage, number, Message> = receiveAll(
  (message) => new Message(received(message.views!, message.got, message.size), message.header!),
);
export const RECVMSG_ALL_INTO: Operation<IncomingMessage, number, MessageHeader> = receiveAll(
  (message) => message.header!,
);

function controlSizeOf({ family }: Runner<Mode>, opts: RecvmsgOptions | undefined): number {
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

const RECVMSG_NAMES: readonly string[] = [...TRANSFER_NAMES, "controlSize"];

export function recvmsg<M extends Mode>(
  socket: Runner<M>,
  size: number,
  opts: RecvmsgOptions | undefined,
): Outcome<M, Message> {
  try {
    const count = byteCount(size, "recvmsg");
    const flags = flagsOf(opts, "recvmsg", RECVMSG_NAMES);
    const message = incomingMessage(count, undefined, controlSizeOf(socket, opts), socket.family === AF_UNIX);
    return socket.receive(waitsForAll(socket.type, count, flags) ? RECVMSG_ALL : RECVMSG, message, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}

export function recvmsgInto<M extends Mode>(
  socket: Runner<M>,
  buffers: Uint8Array | readonly Uint8Array[],
  opts: RecvmsgOptions | undefined,
): Outcome<M, MessageHeader> {
  try {
    const views = viewsToFill(buffers);
    const size = totalLength(views);
    const flags = flagsOf(opts, "recvmsg", RECVMSG_NAMES);
    const message = incomingMessage(size, views, controlSizeOf(socket, opts), socket.family === AF_UNIX);
    const all = waitsForAll(socket.type, size, flags);
    return socket.receive(all ? RECVMSG_ALL_INTO : RECVMSG_INTO, message, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
