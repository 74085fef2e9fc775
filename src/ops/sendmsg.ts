// The operations that move messages: sendmsg, recvmsg, recvmsgInto.

import type { Address } from "../addr/index.js";
import { moved, NOT_ENOUGH, type Operation, operation } from "../reactor/operation.js";
import { totalLength } from "../check/index.js";
import type { Calls } from "../sys/calls.js";
import { MSG_CTRUNC, MSG_PEEK, MSG_WAITALL } from "../sys/constants.js";
import { type EncodedControl, Message, MessageHeader, takeHeader, tryRecvmsg } from "../cmsg/index.js";
import { EAGAIN, EBADF, EFAULT } from "../sys/errno.js";
import { addressDetails } from "../sys/sockaddr.js";
import { awaitOpening, flagsOnceOpen, type Opening } from "./fastOpen.js";
import { clearIfThrownAway, copyOut, nowait, slab, SLAB_SIZE } from "./recv.js";
import { isOver, more } from "./recvAll.js";

/** A message to send. */
export interface Outgoing extends Opening {
  readonly parts: readonly Uint8Array[];
  readonly total: number;
  readonly address: Address | undefined;
  readonly sockaddr: Uint8Array | null;
  readonly control: EncodedControl | null;
}

export const SENDMSG: Operation<Outgoing, number, number> = operation<Outgoing, number, number>({
  syscall: "sendmsg",
  movesBytes: true,
  attempt: (calls, fd, outgoing, flags) => {
    const { parts, total, sockaddr, control } = outgoing;
    if (control !== null && !control.refreshDescriptors()) return EBADF;
    // The views have been detached or have shrunk: what they hold now is not what was to be sent.
    if (totalLength(parts) !== total) return EFAULT;
    const bytes = control === null ? null : control.bytes;
    if (outgoing.opening) return calls.sendmsg(fd, parts, 0, flagsOnceOpen(flags), null, bytes);
    const result = calls.sendmsg(fd, parts, 0, flags, sockaddr, bytes);
    return awaitOpening(result, outgoing, flags);
  },
  complete: (count) => count,
  nowait,
  details: ({ address }) => addressDetails(address),
});

/** A message to receive: its room, and with MSG_WAITALL how far it got. */
export interface Incoming {
  readonly size: number;
  /** Memory of the caller's; for recvmsg() the slab, or a buffer that is taken at the first attempt. */
  views: readonly Uint8Array[] | undefined;
  readonly controlSize: number;
  /** With MSG_WAITALL: whether control data end it, because they belong to the bytes before them. unix(7) */
  readonly controlEnds: boolean;
  got: number;
  header: MessageHeader | undefined;
  calls: Calls | undefined;
}

/** `views` is the caller's memory; without it the call takes its own. */
export function incoming(
  size: number,
  views: readonly Uint8Array[] | undefined,
  controlSize: number,
  controlEnds: boolean,
): Incoming {
  return { size, views, controlSize, controlEnds, got: 0, header: undefined, calls: undefined };
}

/** One try, as `recvmsg` of either kind makes it without MSG_WAITALL. */
function attempt(calls: Calls, fd: number, message: Incoming, views: readonly Uint8Array[], flags: number): number {
  message.calls = calls;
  return tryRecvmsg(calls, fd, views, flags, message.controlSize);
}

function slabOrLarge(message: Incoming, flags: number): readonly Uint8Array[] {
  const memory =
    message.size <= SLAB_SIZE
      ? slab
      : ((message.views?.[0] as Buffer | undefined) ?? Buffer.allocUnsafeSlow(message.size));
  clearIfThrownAway(memory, message.size, flags);
  return (message.views ??= [memory.subarray(0, message.size)]);
}

/** What was stored, without keeping a large buffer alive for a small piece. */
function stored(views: readonly Uint8Array[], count: number, size: number): Buffer {
  const buffer = views[0] as Buffer;
  return count < size / 2 ? Buffer.from(buffer.subarray(0, count)) : buffer.subarray(0, count);
}

export const RECVMSG: Operation<Incoming, number, Message> = operation<Incoming, number, Message>({
  syscall: "recvmsg",
  movesBytes: true,
  attempt: (calls, fd, message, flags) => attempt(calls, fd, message, slabOrLarge(message, flags), flags),
  complete: (length, message) => {
    const { size } = message;
    const header = takeHeader(message.calls!, length, size);
    return new Message(size <= SLAB_SIZE ? copyOut(header.bytes) : stored(message.views!, header.bytes, size), header);
  },
  nowait,
});

export const RECVMSG_INTO: Operation<Incoming, number, MessageHeader> = operation<Incoming, number, MessageHeader>({
  syscall: "recvmsg",
  movesBytes: true,
  attempt: (calls, fd, message, flags) => {
    const views = message.views!;
    return totalLength(views) === message.size ? attempt(calls, fd, message, views, flags) : EFAULT;
  },
  complete: (length, message) => takeHeader(message.calls!, length, message.size),
  nowait,
});

/** The views without their first `skip` bytes. */
function rest(views: readonly Uint8Array[], skip: number): Uint8Array[] {
  const left: Uint8Array[] = [];
  for (const view of views) {
    if (skip < view.length) left.push(skip === 0 ? view : view.subarray(skip));
    skip = Math.max(0, skip - view.length);
  }
  return left;
}

/** MSG_WAITALL: see receiveAll.ts. What a try brought is taken at once, descriptors included. */
function attemptAll(calls: Calls, fd: number, message: Incoming, flags: number): number {
  const views = (message.views ??= [Buffer.alloc(message.size)]);
  const { size, got, controlEnds } = message;
  if (totalLength(views) !== size) return EFAULT;
  if (got > 0) {
    const count = more(calls, fd);
    if (count === EAGAIN) return EAGAIN;
    if (count === 0) return got;
  }
  const count = tryRecvmsg(calls, fd, rest(views, got), flags & ~MSG_WAITALL, message.controlSize);
  if (count < 0) return got === 0 || count === EAGAIN ? count : got;
  const header = takeHeader(calls, count, size - got);
  const ends = controlEnds && (header.control.length > 0 || (header.flags & MSG_CTRUNC) !== 0);
  if ((flags & MSG_PEEK) !== 0) {
    if (count > 0 && count < size && !ends && !isOver(calls, fd)) {
      header[Symbol.dispose]();
      return NOT_ENOUGH;
    }
  } else if (count === 0 && got > 0) {
    return got;
  }
  message.got = got + count;
  message.header = new MessageHeader(message.got, message.got, header.address, header.flags, header.control);
  return message.got < size && count > 0 && !ends && (flags & MSG_PEEK) === 0 ? moved(count) : message.got;
}

function all<T>(make: (message: Incoming) => T): Operation<Incoming, number, T> {
  return {
    syscall: "recvmsg",
    movesBytes: false,
    attempt: attemptAll,
    complete: (_count, message) => make(message),
    received: (message) => (message.got > 0 ? make(message) : undefined),
  };
}

export const RECVMSG_ALL: Operation<Incoming, number, Message> = all(
  (message) => new Message(stored(message.views!, message.got, message.size), message.header!),
);
export const RECVMSG_ALL_INTO: Operation<Incoming, number, MessageHeader> = all((message) => message.header!);
