// The operations that read: recv, recvInto, recvfrom, recvfromInto.

import type { Address } from "../addr/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import { EMPTY } from "../check/index.js";
import { MSG_DONTWAIT, MSG_TRUNC } from "../sys/constants.js";
import { EFAULT } from "../sys/errno.js";
import { decodeAddressBuffer, addressBuffer } from "../sys/sockaddr.js";

/** What is read lands here first, and is copied out at its exact length. One per thread: an attempt and its completion are one step. */
export const SLAB_SIZE: number = 1 << 16;
export const slab: Buffer = Buffer.allocUnsafeSlow(SLAB_SIZE);

/** Below this a loop is cheaper than a call. */
const LOOP_COPY = 24;

/** The first `count` bytes of the slab. */
export function copyOut(count: number): Buffer {
  const out = Buffer.allocUnsafe(count);
  if (count <= LOOP_COPY) for (let i = 0; i < count; i++) out[i] = slab[i]!;
  // `slab.copy()` makes such a view too, and looks at its arguments before.
  else out.set(new Uint8Array(slab.buffer, 0, count));
  return out;
}

/**
 * With MSG_TRUNC a TCP socket throws the bytes away and says how many they were (tcp(7)): memory that was not cleared would
 * show what somebody else received before.
 */
export function clearIfThrownAway(memory: Buffer, size: number, flags: number): void {
  if ((flags & MSG_TRUNC) !== 0) memory.fill(0, 0, size);
}

/** Whether the flags of a call, its second operand, say that it must not wait. */
export function nowait(_a: unknown, flags: number): boolean {
  return (flags & MSG_DONTWAIT) !== 0;
}

/** A read for which the slab is too small. Its memory is taken at the first attempt. */
export interface LargeRead {
  readonly size: number;
  buffer: Buffer | undefined;
}

function largeBuffer(read: LargeRead, flags: number): Buffer {
  const buffer = (read.buffer ??= Buffer.allocUnsafeSlow(read.size));
  clearIfThrownAway(buffer, read.size, flags);
  return buffer;
}

function cut(read: LargeRead, count: number): Buffer {
  const buffer = read.buffer!;
  const length = Math.min(count, read.size);
  // A small piece must not keep a large buffer alive.
  return length < read.size / 2 ? Buffer.from(buffer.subarray(0, length)) : buffer.subarray(0, length);
}

/** recv(size, flags) of at most SLAB_SIZE bytes. */
export const RECV: Operation<number, number, Buffer> = operation<number, number, Buffer>({
  syscall: "recv",
  movesBytes: true,
  attempt: (calls, fd, size, flags) => {
    if (flags !== 0) clearIfThrownAway(slab, size, flags);
    return calls.recv(fd, slab, size, flags);
  },
  // With MSG_TRUNC the result is the length of the datagram, which may be more than was asked for.
  complete: (count, size) => copyOut(count < size ? count : size),
  asked: (size, flags) => (flags === 0 ? size : 0),
  nowait,
});

export const RECV_LARGE: Operation<LargeRead, number, Buffer> = operation<LargeRead, number, Buffer>({
  syscall: "recv",
  movesBytes: true,
  attempt: (calls, fd, read, flags) => calls.recv(fd, largeBuffer(read, flags), read.size, flags),
  complete: (count, read) => cut(read, count),
  asked: (read, flags) => (flags === 0 ? read.size : 0),
  nowait,
});

export const RECV_INTO: Operation<Uint8Array, number, number> = operation<Uint8Array, number, number>({
  syscall: "recv",
  movesBytes: true,
  attempt: (calls, fd, buffer, flags) => {
    if (buffer.length === 0 && buffer !== EMPTY) return EFAULT;
    return flags === 0 ? calls.recv(fd, buffer) : calls.recv(fd, buffer, buffer.length, flags);
  },
  complete: (count) => count,
  asked: (buffer, flags) => (flags === 0 ? buffer.length : 0),
  nowait,
});

export const RECVFROM: Operation<number, number, [Buffer, Address]> = operation<number, number, [Buffer, Address]>({
  syscall: "recvfrom",
  movesBytes: true,
  attempt: (calls, fd, size, flags) => {
    clearIfThrownAway(slab, size, flags);
    return calls.recvfrom(fd, slab, size, flags, addressBuffer);
  },
  complete: (count, size) => [copyOut(Math.min(count, size)), decodeAddressBuffer()],
  nowait,
});

export const RECVFROM_LARGE: Operation<LargeRead, number, [Buffer, Address]> = operation<
  LargeRead,
  number,
  [Buffer, Address]
>({
  syscall: "recvfrom",
  movesBytes: true,
  attempt: (calls, fd, read, flags) => calls.recvfrom(fd, largeBuffer(read, flags), read.size, flags, addressBuffer),
  complete: (count, read) => [cut(read, count), decodeAddressBuffer()],
  nowait,
});

export const RECVFROM_INTO: Operation<Uint8Array, number, [number, Address]> = operation<
  Uint8Array,
  number,
  [number, Address]
>({
  syscall: "recvfrom",
  movesBytes: true,
  attempt: (calls, fd, buffer, flags) =>
    buffer.length === 0 && buffer !== EMPTY ? EFAULT : calls.recvfrom(fd, buffer, buffer.length, flags, addressBuffer),
  complete: (count) => [count, decodeAddressBuffer()],
  nowait,
});
