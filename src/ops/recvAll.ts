// Receiving all requested bytes: MSG_WAITALL on streams.
//
// recv(2): the call waits until the full request is satisfied, but "may still return less data than requested if a
// signal is caught, an error or disconnect occurs, or the next data to be received is of a different type". On a
// non-blocking socket the kernel does not wait. So the waiting is done here, with the same outcomes:
//
// - The call stores the bytes that it has read. They can't stay in the kernel until all have arrived: the receive
//   buffer could fill up first, and then the peer and this call would wait for each other.
// - A call that ends early (timeout, abort, close) resolves with the bytes that it has read, as the kernel's call
//   does after a signal. No byte is lost. A call that has read nothing rejects like any other call.
// - A call that has bytes leaves the end of the stream and errors for the next call. Before each further attempt it
//   asks SIOCINQ whether there are bytes, because recv() would take the error from the socket.
// - With MSG_PEEK the bytes stay in the kernel. The call waits until there are enough, or no more can come.

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

/** The progress of a call with MSG_WAITALL. */
export interface ReceivingAll {
  readonly size: number;
  /** The caller's memory, or memory that the first attempt allocates. */
  buffer: Uint8Array | undefined;
  got: number;
  /** The number of bytes of the last attempt. */
  last: number;
}

/** `buffer` is the caller's memory. Without it the call allocates its own. */
export function receivingAll(size: number, buffer?: Uint8Array): ReceivingAll {
  return { size, buffer, got: 0, last: 0 };
}

/**
 * The bytes that a stream has for a further read. 0 means that the next read meets the end, an error or the mark of
 * urgent data; EAGAIN means that nothing has arrived yet.
 */
export function bytesAvailable(calls: Calls, fd: number): number {
  const count = calls.inq(fd);
  if (count > 0) return count;
  const revents = calls.poll(fd, POLLIN, 0);
  if (revents === 0) return EAGAIN;
  // Bytes may have arrived between the two calls.
  return calls.inq(fd);
}

/** Whether a stream gets no more bytes: it has ended, or has an error. */
export function canGetNoMore(calls: Calls, fd: number): boolean {
  return (calls.poll(fd, POLLRDHUP, 0) & (POLLRDHUP | POLLHUP | POLLERR)) !== 0;
}

function bufferOf(call: ReceivingAll): Uint8Array {
  // Cleared, because with MSG_TRUNC the kernel counts bytes that it does not store.
  return (call.buffer ??= Buffer.alloc(call.size));
}

function receiveOnce(calls: Calls, fd: number, call: ReceivingAll, flags: number): number {
  const buffer = bufferOf(call);
  if (buffer.length !== call.size) return EFAULT;
  const { size, got } = call;
  if ((flags & MSG_PEEK) !== 0) {
    const count = calls.recv(fd, buffer, size, flags & ~MSG_WAITALL);
    if (count >= 0) call.got = count;
    return count > 0 && count < size && !canGetNoMore(calls, fd) ? INCOMPLETE : count;
  }
  if (got > 0) {
    const count = bytesAvailable(calls, fd);
    call.last = 0;
    if (count === EAGAIN) return EAGAIN;
    if (count === 0) return got;
  }
  const count = calls.recv(fd, got === 0 ? buffer : buffer.subarray(got), size - got, flags & ~MSG_WAITALL);
  // On a socket without SIOCINQ this call may meet the end or an error.
  if (count <= 0) return got === 0 || count === EAGAIN ? count : got;
  call.got = got + count;
  call.last = count;
  return call.got < size ? progress(count) : call.got;
}

function receivedBytes(call: ReceivingAll): Buffer {
  const { buffer, got, size } = call;
  const bytes = buffer as Buffer;
  return got < size / 2 ? Buffer.from(bytes.subarray(0, got)) : bytes.subarray(0, got);
}

function recvAllOperation<T>(syscall: string, make: (call: ReceivingAll) => T): Operation<ReceivingAll, number, T> {
  return operation<ReceivingAll, number, T>({
    syscall,
    movesBytes: true,
    cost: (_count, { last }) => last,
    attempt: receiveOnce,
    complete: (_count, call) => make(call),
    received: (call, flags) => (call.got > 0 && (flags & MSG_PEEK) === 0 ? make(call) : undefined),
  });
}

/** The address of a connected stream: recvfrom(2) returns none. */
function noAddress(): Address {
  return new OpaqueAddress(0, new Uint8Array(0));
}

export const RECV_ALL: Operation<ReceivingAll, number, Buffer> = recvAllOperation("recv", receivedBytes);
export const RECV_ALL_INTO: Operation<ReceivingAll, number, number> = recvAllOperation("recv", ({ got }) => got);
export const RECVFROM_ALL: Operation<ReceivingAll, number, [Buffer, Address]> = recvAllOperation("recvfrom", (call) => [
  receivedBytes(call),
  noAddress(),
]);
export const RECVFROM_ALL_INTO: Operation<ReceivingAll, number, [number, Address]> = recvAllOperation(
  "recvfrom",
  ({ got }) => [got, noAddress()],
);

/**
 * Whether a call waits for all requested bytes. A call with MSG_DONTWAIT does not, and a datagram is complete in any
 * case.
 */
export function waitsForAll(type: number, size: number, flags: number): boolean {
  return (
    (flags & MSG_WAITALL) !== 0 &&
    type === SOCK_STREAM &&
    size > 0 &&
    (flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)) === 0
  );
}
