// recv, recvInto, recvfrom, recvfromInto, and tryRecv and tryRecvInto, which never wait.

import type { Address } from "../addr/index.js";
import { byteCount, byteView, EMPTY } from "../check/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import { MSG_DONTWAIT, MSG_TRUNC } from "../sys/constants.js";
import { EFAULT } from "../sys/errno.js";
import { decodeAddressBuffer, addressBuffer } from "../sys/sockaddr.js";
import { FLAG_NAMES, type FlagOptions, flagsOf, type TransferOptions } from "./flags.js";
import { RECV_ALL, RECV_ALL_INTO, RECVFROM_ALL, RECVFROM_ALL_INTO, recvAllProgress, waitsForAll } from "./recvAll.js";
import type { Mode, Outcome, Runner } from "./runner.js";

/** The size of the slab in bytes: enough for every UDP datagram. */
export const SLAB_SIZE: number = 1 << 16;
/**
 * The memory of all reads that return a new Buffer of at most SLAB_SIZE bytes. complete() copies the bytes into the new
 * Buffer. attempt() and complete() are one step of JavaScript, so no other read comes in between.
 */
export const slab: Buffer = Buffer.allocUnsafeSlow(SLAB_SIZE);

/** Up to this many bytes, copying in a loop costs less than `set()`. */
const MAX_LOOP_COPY_BYTES = 24;

const slabMemory = slab.buffer;
/** A view of the bytes of the latest copy. Most messages have the length of the one before, and use the view again. */
let copiedBytes = new Uint8Array(slabMemory);

/** Returns a copy of the first `count` bytes of the slab. */
export function copyFromSlab(count: number): Buffer {
  const out = Buffer.allocUnsafe(count);
  if (count <= MAX_LOOP_COPY_BYTES) {
    for (let i = 0; i < count; i++) out[i] = slab[i]!;
  } else {
    // Quicker than `slab.copy()`, which makes a view each time and checks its arguments first.
    if (copiedBytes.length !== count) copiedBytes = new Uint8Array(slabMemory, 0, count);
    out.set(copiedBytes);
  }
  return out;
}

/**
 * Clears the first `size` bytes of `memory` if the flags have MSG_TRUNC. A TCP socket then discards the bytes and
 * returns their number (tcp(7)), so memory that was not cleared would show the bytes of an earlier read.
 */
export function clearForTruncation(memory: Buffer, size: number, flags: number): void {
  if ((flags & MSG_TRUNC) !== 0) memory.fill(0, 0, size);
}

/**
 * Whether the memory of a view was detached after the check of the arguments. The check replaces a view without bytes
 * by EMPTY, so another view has no bytes only if its memory was detached. A read of 0 bytes would look like the end of
 * a stream.
 */
export function isDetached(view: Uint8Array): boolean {
  return view.length === 0 && view !== EMPTY;
}

/** `Operation.isNonblocking` of operations whose second operand is the flags: whether they have MSG_DONTWAIT. */
export function isNonblocking(_a: unknown, flags: number): boolean {
  return (flags & MSG_DONTWAIT) !== 0;
}

/** The operand of a read that is larger than the slab. The first attempt allocates `buffer`. */
export interface LargeRead {
  readonly size: number;
  buffer: Buffer | undefined;
}

/** The memory for an attempt of a LargeRead. */
function largeBuffer(read: LargeRead, flags: number): Buffer {
  const buffer = (read.buffer ??= Buffer.allocUnsafeSlow(read.size));
  clearForTruncation(buffer, read.size, flags);
  return buffer;
}

function receivedBytes(read: LargeRead, count: number): Buffer {
  const buffer = read.buffer!;
  // With MSG_TRUNC `count` is the length of the datagram, which may exceed the size of the read.
  const length = Math.min(count, read.size);
  // A copy if the result is short, so that it does not keep a large buffer alive.
  return length < read.size / 2 ? Buffer.from(buffer.subarray(0, length)) : buffer.subarray(0, length);
}

// The second operand of these operations is the flags. The first operand is the size of the read if it is at most
// SLAB_SIZE, a LargeRead for a larger one, and the caller's memory in the *_INTO operations.

export const RECV: Operation<number, number, Buffer> = operation<number, number, Buffer>({
  syscall: "recv",
  movesBytes: true,
  attempt: (calls, fd, size, flags) => {
    if (flags !== 0) clearForTruncation(slab, size, flags);
    return calls.recv(fd, slab, size, flags);
  },
  // With MSG_TRUNC the result is the length of the datagram, which may exceed the size of the read.
  complete: (count, size) => copyFromSlab(count < size ? count : size),
  requested: (size, flags) => (flags === 0 ? size : 0),
  isNonblocking,
});

export const RECV_LARGE: Operation<LargeRead, number, Buffer> = operation<LargeRead, number, Buffer>({
  syscall: "recv",
  movesBytes: true,
  attempt: (calls, fd, read, flags) => calls.recv(fd, largeBuffer(read, flags), read.size, flags),
  complete: (count, read) => receivedBytes(read, count),
  requested: (read, flags) => (flags === 0 ? read.size : 0),
  isNonblocking,
});

export const RECV_INTO: Operation<Uint8Array, number, number> = operation<Uint8Array, number, number>({
  syscall: "recv",
  movesBytes: true,
  attempt: (calls, fd, buffer, flags) => {
    if (isDetached(buffer)) return EFAULT;
    return flags === 0 ? calls.recv(fd, buffer) : calls.recv(fd, buffer, buffer.length, flags);
  },
  complete: (count) => count,
  requested: (buffer, flags) => (flags === 0 ? buffer.length : 0),
  isNonblocking,
});

export const RECVFROM: Operation<number, number, [Buffer, Address]> = operation<number, number, [Buffer, Address]>({
  syscall: "recvfrom",
  movesBytes: true,
  attempt: (calls, fd, size, flags) => {
    clearForTruncation(slab, size, flags);
    return calls.recvfrom(fd, slab, size, flags, addressBuffer);
  },
  complete: (count, size) => [copyFromSlab(Math.min(count, size)), decodeAddressBuffer()],
  isNonblocking,
});

export const RECVFROM_LARGE: Operation<LargeRead, number, [Buffer, Address]> = operation<
  LargeRead,
  number,
  [Buffer, Address]
>({
  syscall: "recvfrom",
  movesBytes: true,
  attempt: (calls, fd, read, flags) => calls.recvfrom(fd, largeBuffer(read, flags), read.size, flags, addressBuffer),
  complete: (count, read) => [receivedBytes(read, count), decodeAddressBuffer()],
  isNonblocking,
});

export const RECVFROM_INTO: Operation<Uint8Array, number, [number, Address]> = operation<
  Uint8Array,
  number,
  [number, Address]
>({
  syscall: "recvfrom",
  movesBytes: true,
  attempt: (calls, fd, buffer, flags) =>
    isDetached(buffer) ? EFAULT : calls.recvfrom(fd, buffer, buffer.length, flags, addressBuffer),
  complete: (count) => [count, decodeAddressBuffer()],
  isNonblocking,
});

export function recv<M extends Mode>(
  socket: Runner<M>,
  size: number,
  opts: TransferOptions | undefined,
): Outcome<M, Buffer> {
  try {
    const count = byteCount(size, "recv");
    const flags = flagsOf(opts, "recv");
    if (flags !== 0 && waitsForAll(socket.type, count, flags)) {
      return socket.receive(RECV_ALL, recvAllProgress(count), flags, opts);
    }
    if (count <= SLAB_SIZE) return socket.receive(RECV, count, flags, opts);
    return socket.receive(RECV_LARGE, { size: count, buffer: undefined }, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}

export function recvInto<M extends Mode>(
  socket: Runner<M>,
  buffer: Uint8Array,
  opts: TransferOptions | undefined,
): Outcome<M, number> {
  try {
    // The most frequent call of a busy server, and `instanceof` is quicker than the check in byteView().
    if (opts === undefined && buffer instanceof Uint8Array && buffer.length > 0) {
      return socket.receive(RECV_INTO, buffer, 0, undefined);
    }
    const view = byteView(buffer, "recv");
    const flags = flagsOf(opts, "recv");
    if (!waitsForAll(socket.type, view.length, flags)) return socket.receive(RECV_INTO, view, flags, opts);
    return socket.receive(RECV_ALL_INTO, recvAllProgress(view.length, view), flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}

export function recvfrom<M extends Mode>(
  socket: Runner<M>,
  size: number,
  opts: TransferOptions | undefined,
): Outcome<M, [Buffer, Address]> {
  try {
    const count = byteCount(size, "recvfrom");
    const flags = flagsOf(opts, "recvfrom");
    if (waitsForAll(socket.type, count, flags))
      return socket.receive(RECVFROM_ALL, recvAllProgress(count), flags, opts);
    if (count <= SLAB_SIZE) return socket.receive(RECVFROM, count, flags, opts);
    return socket.receive(RECVFROM_LARGE, { size: count, buffer: undefined }, flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}

export function recvfromInto<M extends Mode>(
  socket: Runner<M>,
  buffer: Uint8Array,
  opts: TransferOptions | undefined,
): Outcome<M, [number, Address]> {
  try {
    const view = byteView(buffer, "recvfrom");
    const flags = flagsOf(opts, "recvfrom");
    if (!waitsForAll(socket.type, view.length, flags)) return socket.receive(RECVFROM_INTO, view, flags, opts);
    return socket.receive(RECVFROM_ALL_INTO, recvAllProgress(view.length, view), flags, opts);
  } catch (error) {
    return socket.fail(error);
  }
}

export function tryRecv(socket: Runner<Mode>, size: number, opts: FlagOptions | undefined): Buffer | undefined {
  const count = byteCount(size, "recv");
  const flags = flagsOf(opts, "recv", FLAG_NAMES);
  if (count <= SLAB_SIZE) return socket.tryReceive(RECV, count, flags);
  return socket.tryReceive(RECV_LARGE, { size: count, buffer: undefined }, flags);
}

export function tryRecvInto(
  socket: Runner<Mode>,
  buffer: Uint8Array,
  opts: FlagOptions | undefined,
): number | undefined {
  if (opts === undefined && buffer instanceof Uint8Array && buffer.length > 0) {
    return socket.tryReceive(RECV_INTO, buffer, 0);
  }
  return socket.tryReceive(RECV_INTO, byteView(buffer, "recv"), flagsOf(opts, "recv", FLAG_NAMES));
}
