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
import { clearForTruncation, copyFromSlab, isNonblocking, slab, SLAB_SIZE } from "./recv.js";
import { hasEnded, bytesAvailable, waitsForAll } from "./recvAll.js";
import type { Mode, Outcome, Runner } from "./runner.js";

/** Options of `recvmsg`. */
export interface RecvmsgOptions extends TransferOptions {
  /**
   * The size of the memory for control data in bytes: the sum of `CMSG_SPACE()` of the expected control messages. The
   * default is 512, and 0 on a UNIX socket: a program receives descriptors only if it sets this option.
   */
  readonly controlSize?: number | undefined;
}

const DEFAULT_CONTROL = 512;

/** The operand of recvmsg: the memory of the message, and the progress of a call with MSG_WAITALL. */
export interface MessageToReceive {
  /** The maximum number of bytes to receive. */
  readonly size: number;
  /** The memory of the caller of recvmsgInto(). For recvmsg() the first attempt sets it. */
  views: readonly Uint8Array[] | undefined;
  readonly controlSize: number;
  /**
   * Whether control data end a call with MSG_WAITALL. On UNIX sockets they do, because control data belong to the bytes
   * with which they were sent (unix(7)).
   */
  readonly endsAtControl: boolean;
  // `received`, `header` and `lastCount` are only for a call with MSG_WAITALL.
  /** The number of bytes received so far. */
  received: number;
  /** The header of the latest attempt. */
  header: MessageHeader | undefined;
  /** The number of bytes that the latest attempt received. */
  lastCount: number;
  /**
   * The table of calls of the latest attempt. Its close() is for received descriptors that the caller does not take.
   */
  calls: Calls | undefined;
}

/** @param views the caller's memory; undefined for recvmsg(), which allocates its own */
export function messageToReceive(
  size: number,
  views: readonly Uint8Array[] | undefined,
  controlSize: number,
  endsAtControl: boolean,
): MessageToReceive {
  return { size, views, controlSize, endsAtControl, received: 0, header: undefined, lastCount: 0, calls: undefined };
}

/** One attempt without MSG_WAITALL. */
function attemptOnce(
  calls: Calls,
  fd: number,
  message: MessageToReceive,
  views: readonly Uint8Array[],
  flags: number,
): number {
  message.calls = calls;
  return tryRecvmsg(calls, fd, views, flags, message.controlSize);
}

/** The memory of recvmsg(): the slab for a small message, otherwise a buffer of its own. */
function slabOrLarge(message: MessageToReceive, flags: number): readonly Uint8Array[] {
  const { size } = message;
  message.views ??= [size <= SLAB_SIZE ? slab.subarray(0, size) : Buffer.allocUnsafeSlow(size)];
  clearForTruncation(message.views[0] as Buffer, size, flags);
  return message.views;
}

/** The received bytes. A short message is copied, so that it does not keep a large buffer alive. */
function receivedBytes(views: readonly Uint8Array[], count: number, size: number): Buffer {
  const buffer = views[0] as Buffer;
  return count < size / 2 ? Buffer.from(buffer.subarray(0, count)) : buffer.subarray(0, count);
}

export const RECVMSG: Operation<MessageToReceive, number, Message> = operation<MessageToReceive, number, Message>({
  syscall: "recvmsg",
  movesBytes: true,
  attempt: (calls, fd, message, flags) => attemptOnce(calls, fd, message, slabOrLarge(message, flags), flags),
  complete: (length, message) => {
    const { size } = message;
    const header = takeHeader(message.calls!, length, size);
    return new Message(
      size <= SLAB_SIZE ? copyFromSlab(header.bytes) : receivedBytes(message.views!, header.bytes, size),
      header,
    );
  },
  isNonblocking,
});

export const RECVMSG_INTO: Operation<MessageToReceive, number, MessageHeader> = operation<
  MessageToReceive,
  number,
  MessageHeader
>({
  syscall: "recvmsg",
  movesBytes: true,
  attempt: (calls, fd, message, flags) => {
    const views = message.views!;
    // If the lengths differ, memory of the caller was detached or has shrunk.
    return totalLength(views) === message.size ? attemptOnce(calls, fd, message, views, flags) : EFAULT;
  },
  complete: (length, message) => takeHeader(message.calls!, length, message.size),
  isNonblocking,
});

/** Returns views of the same memory without its first `skip` bytes. */
function withoutFirst(views: readonly Uint8Array[], skip: number): Uint8Array[] {
  const remaining: Uint8Array[] = [];
  for (const view of views) {
    if (skip < view.length) remaining.push(skip === 0 ? view : view.subarray(skip));
    skip = Math.max(0, skip - view.length);
  }
  return remaining;
}

/** An attempt with MSG_WAITALL; see recvAll.ts. The header of each attempt has the control data that it received. */
function attemptAll(calls: Calls, fd: number, message: MessageToReceive, flags: number): number {
  const views = (message.views ??= [Buffer.alloc(message.size)]);
  const { size, received, endsAtControl } = message;
  if (totalLength(views) !== size) return EFAULT;
  message.lastCount = 0;
  if (received > 0) {
    const available = bytesAvailable(calls, fd);
    if (available === EAGAIN) return EAGAIN;
    // The next read would get the end of the stream or an error, which is left to the next call.
    if (available === 0) return received;
  }
  const count = tryRecvmsg(calls, fd, withoutFirst(views, received), flags & ~MSG_WAITALL, message.controlSize);
  if (count < 0) return received === 0 || count === EAGAIN ? count : received;
  const header = takeHeader(calls, count, size - received);
  const peeks = (flags & MSG_PEEK) !== 0;
  const hasControl = header.control.length > 0 || (header.flags & MSG_CTRUNC) !== 0;
  const ends = endsAtControl && hasControl;
  if (peeks) {
    const moreCanCome = count > 0 && count < size && !ends && !hasEnded(calls, fd);
    if (moreCanCome) {
      // Closes the descriptors, because the next attempt receives them again.
      header[Symbol.dispose]();
      return INCOMPLETE;
    }
  } else if (count === 0 && received > 0) {
    return received;
  }
  message.received = received + count;
  message.lastCount = count;
  // A stream truncates nothing, so the number of stored bytes is the length.
  message.header = new MessageHeader(message.received, message.received, header.address, header.flags, header.control);
  const goesOn = message.received < size && count > 0 && !ends && !peeks;
  return goesOn ? progress(count) : message.received;
}

/** @param makeValue returns the value of the call */
function recvmsgAllOperation<T>(makeValue: (message: MessageToReceive) => T): Operation<MessageToReceive, number, T> {
  return operation<MessageToReceive, number, T>({
    syscall: "recvmsg",
    movesBytes: true,
    cost: (_count, { lastCount }) => lastCount,
    attempt: attemptAll,
    complete: (_count, message) => makeValue(message),
    received: (message) => (message.received > 0 ? makeValue(message) : undefined),
  });
}

export const RECVMSG_ALL: Operation<MessageToReceive, number, Message> = recvmsgAllOperation(
  (message) => new Message(receivedBytes(message.views!, message.received, message.size), message.header!),
);
export const RECVMSG_ALL_INTO: Operation<MessageToReceive, number, MessageHeader> = recvmsgAllOperation(
  (message) => message.header!,
);

function controlSizeOf({ family }: Runner<Mode>, opts: RecvmsgOptions | undefined): number {
  const size = opts?.controlSize;
  if (size !== undefined) return integer(size, "recvmsg", "controlSize", 0, MAX_CONTROL);
  return family === AF_UNIX ? 0 : DEFAULT_CONTROL;
}

/** Checks the buffers of recvmsgInto(). */
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
    const endsAtControl = socket.family === AF_UNIX;
    const message = messageToReceive(count, undefined, controlSizeOf(socket, opts), endsAtControl);
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
    const endsAtControl = socket.family === AF_UNIX;
    const message = messageToReceive(size, views, controlSizeOf(socket, opts), endsAtControl);
    const waits = waitsForAll(socket.type, size, flags);
    return socket.receive(waits ? RECVMSG_ALL_INTO : RECVMSG_INTO, message, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
