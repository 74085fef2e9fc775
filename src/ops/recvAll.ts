// Receiving as many bytes as were asked for: MSG_WAITALL on streams.
//
// recv(2): the call waits until the full request is satisfied, but "may still return less data than requested if a signal is
// caught, an error or disconnect occurs, or the next data to be received is of a different type". On a non-blocking socket
// the kernel returns what there is, so the waiting is done here, with the kernel's own outcomes:
//
// - What is read stays with the call. To leave it in the kernel until all of it has come cannot work: the receive buffer
//   would be full before, and the peer would wait for us while we wait for the peer.
// - A call that is cut short (timeout, abort, close) resolves with what it has read, as the kernel does after a signal; no
//   byte is lost. If it has read nothing it rejects as any other call.
// - The end and errors are left for the next call once there are bytes: before each further try SIOCINQ tells whether
//   there are any, so recv() is not asked for the error that it would take away.
// - With MSG_PEEK nothing is taken; the call waits until there is enough to see, or no more can come.

import { OpaqueAddress, type Address } from "../addr/index.js";
import { progress, INCOMPLETE, operation, type Operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import {
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_WAITALL,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLRDHUP,
  SOCK_STREAM,
} from "../sys/constants.js";
import { EAGAIN, EFAULT } from "../sys/errno.js";

/** How far a call with MSG_WAITALL got. */
export interface Filling {
  readonly size: number;
  /** Memory of the caller's, or taken at the first attempt. */
  buffer: Uint8Array | undefined;
  got: number;
  /** What the last attempt added. */
  last: number;
}

/** `buffer` is the caller's memory; without it the call takes its own. */
export function toFill(size: number, buffer?: Uint8Array): Filling {
  return { size, buffer, got: 0, last: 0 };
}

/** Bytes that a stream has for a read after others: 0 means the end, an error or a mark, EAGAIN nothing yet. */
export function more(calls: Calls, fd: number): number {
  const count = calls.inq(fd);
  if (count > 0) return count;
  const revents = calls.poll(fd, POLLIN, 0);
  if (revents === 0) return EAGAIN;
  // Bytes may have come between the two calls.
  return calls.inq(fd);
}

/** Whether a stream that has too little can get no more. */
export function isOver(calls: Calls, fd: number): boolean {
  return (calls.poll(fd, POLLRDHUP, 0) & (POLLRDHUP | POLLHUP | POLLERR)) !== 0;
}

function memory(call: Filling): Uint8Array {
  // Cleared: what MSG_TRUNC throws away is not stored.
  return (call.buffer ??= Buffer.alloc(call.size));
}

function attempt(calls: Calls, fd: number, call: Filling, flags: number): number {
  const buffer = memory(call);
  if (buffer.length !== call.size) return EFAULT;
  const { size, got } = call;
  if ((flags & MSG_PEEK) !== 0) {
    const count = calls.recv(fd, buffer, size, flags & ~MSG_WAITALL);
    if (count >= 0) call.got = count;
    return count > 0 && count < size && !isOver(calls, fd) ? INCOMPLETE : count;
  }
  if (got > 0) {
    const count = more(calls, fd);
    call.last = 0;
    if (count === EAGAIN) return EAGAIN;
    if (count === 0) return got;
  }
  const count = calls.recv(fd, got === 0 ? buffer : buffer.subarray(got), size - got, flags & ~MSG_WAITALL);
  // Where the kernel has no SIOCINQ, the end or an error may be met here.
  if (count <= 0) return got === 0 || count === EAGAIN ? count : got;
  call.got = got + count;
  call.last = count;
  return call.got < size ? progress(count) : call.got;
}

function result(call: Filling): Buffer {
  const { buffer, got, size } = call;
  const bytes = buffer as Buffer;
  return got < size / 2 ? Buffer.from(bytes.subarray(0, got)) : bytes.subarray(0, got);
}

function filling<T>(syscall: string, make: (call: Filling) => T): Operation<Filling, number, T> {
  return operation<Filling, number, T>({
    syscall,
    movesBytes: true,
    cost: (_count, { last }) => last,
    attempt,
    complete: (_count, call) => make(call),
    received: (call, flags) => (call.got > 0 && (flags & MSG_PEEK) === 0 ? make(call) : undefined),
  });
}

/** A connected stream has no address to tell. */
function nobody(): Address {
  return new OpaqueAddress(0, new Uint8Array(0));
}

export const RECV_ALL: Operation<Filling, number, Buffer> = filling("recv", result);
export const RECV_ALL_INTO: Operation<Filling, number, number> = filling("recv", ({ got }) => got);
export const RECVFROM_ALL: Operation<Filling, number, [Buffer, Address]> = filling("recvfrom", (call) => [
  result(call),
  nobody(),
]);
export const RECVFROM_ALL_INTO: Operation<Filling, number, [number, Address]> = filling("recvfrom", ({ got }) => [
  got,
  nobody(),
]);

/** Whether a call waits for all that it asks for. A call that must not wait does not, and datagrams come as they are. */
export function waitsForAll(type: number, size: number, flags: number): boolean {
  return (
    (flags & MSG_WAITALL) !== 0 &&
    type === SOCK_STREAM &&
    size > 0 &&
    (flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)) === 0
  );
}
