// Receiving all requested bytes: MSG_WAITALL on streams.
//
// recv(2): the call waits until the full request is satisfied, but "may still return less data than requested if a
// signal is caught, an error or disconnect occurs, or the next data to be received is of a different type". On a
// non-blocking socket the kernel does not wait, so these operations wait, with the same results:
//
// - The call stores the bytes that it has read. If all bytes stayed in the kernel until they have arrived, the receive
//   buffer could fill up first. Then the peer and this call would wait for each other.
// - A call that ends early (timeout, abort, close) resolves with the bytes that it has read, as recv(2) does after a
//   signal. So no byte is lost. A call that has read nothing rejects like any other call.
// - A call that has read bytes leaves the end of the stream and errors to the next call. Before each further attempt it
//   reads the number of available bytes with SIOCINQ, because recv(2) would clear the pending error.
// - With MSG_PEEK the bytes stay in the kernel. The call waits until there are enough, or until no more can come.

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
export interface RecvAllProgress {
  readonly size: number;
  /** The caller's memory, or memory that the first attempt allocates. */
  buffer: Uint8Array | undefined;
  /** The number of bytes received so far. */
  received: number;
  /** The number of bytes that the latest attempt received. */
  lastCount: number;
}

/** @param buffer the caller's memory; without it the first attempt allocates memory */
export function recvAllProgress(size: number, buffer?: Uint8Array): RecvAllProgress {
  return { size, buffer, received: 0, lastCount: 0 };
}

/**
 * The number of bytes that a further read can return. 0 means that the next read gets the end of the stream or an
 * error, or stops at urgent data. EAGAIN means that nothing has arrived yet. Another -errno means that the socket has
 * no SIOCINQ, and that a read does not wait.
 */
export function bytesAvailable(calls: Calls, fd: number): number {
  const count = calls.inq(fd);
  if (count > 0) return count;
  const revents = calls.poll(fd, POLLIN, 0);
  if (revents === 0) return EAGAIN;
  // Bytes may have arrived between the two calls.
  return calls.inq(fd);
}

/** Whether a stream gets no more bytes, because it has ended or has an error. */
export function hasEnded(calls: Calls, fd: number): boolean {
  return (calls.poll(fd, POLLRDHUP, 0) & (POLLRDHUP | POLLHUP | POLLERR)) !== 0;
}

function bufferOf(call: RecvAllProgress): Uint8Array {
  // Cleared, because with MSG_TRUNC the kernel counts bytes that it does not store.
  return (call.buffer ??= Buffer.alloc(call.size));
}

function receiveOnce(calls: Calls, fd: number, call: RecvAllProgress, flags: number): number {
  const buffer = bufferOf(call);
  if (buffer.length !== call.size) return EFAULT;
  const { size, received } = call;
  if ((flags & MSG_PEEK) !== 0) {
    const count = calls.recv(fd, buffer, size, flags & ~MSG_WAITALL);
    if (count >= 0) call.received = count;
    const moreCanCome = count > 0 && count < size && !hasEnded(calls, fd);
    return moreCanCome ? INCOMPLETE : count;
  }
  if (received > 0) {
    const available = bytesAvailable(calls, fd);
    call.lastCount = 0;
    if (available === EAGAIN) return EAGAIN;
    // The next read would get the end of the stream or an error, which is left to the next call.
    if (available === 0) return received;
  }
  const count = calls.recv(
    fd,
    received === 0 ? buffer : buffer.subarray(received),
    size - received,
    flags & ~MSG_WAITALL,
  );
  // On a socket without SIOCINQ recv(2) may return the end or an error here.
  if (count <= 0) return received === 0 || count === EAGAIN ? count : received;
  call.received = received + count;
  call.lastCount = count;
  return call.received < size ? progress(count) : call.received;
}

/** The bytes of a call that has ended. Few bytes are copied, so that they do not keep a large buffer alive. */
function receivedBytes(call: RecvAllProgress): Buffer {
  const { buffer, received, size } = call;
  const bytes = buffer as Buffer;
  return received < size / 2 ? Buffer.from(bytes.subarray(0, received)) : bytes.subarray(0, received);
}

/** @param makeValue returns the value of the call */
function recvAllOperation<T>(
  syscall: string,
  makeValue: (call: RecvAllProgress) => T,
): Operation<RecvAllProgress, number, T> {
  return operation<RecvAllProgress, number, T>({
    syscall,
    movesBytes: true,
    cost: (_count, { lastCount }) => lastCount,
    attempt: receiveOnce,
    complete: (_count, call) => makeValue(call),
    received: (call, flags) => (call.received > 0 && (flags & MSG_PEEK) === 0 ? makeValue(call) : undefined),
  });
}

/** The address that recvfrom() returns for a stream, because recvfrom(2) writes none. */
function noAddress(): Address {
  return new OpaqueAddress(0, new Uint8Array(0));
}

export const RECV_ALL: Operation<RecvAllProgress, number, Buffer> = recvAllOperation("recv", receivedBytes);
export const RECV_ALL_INTO: Operation<RecvAllProgress, number, number> = recvAllOperation(
  "recv",
  ({ received }) => received,
);
export const RECVFROM_ALL: Operation<RecvAllProgress, number, [Buffer, Address]> = recvAllOperation(
  "recvfrom",
  (call) => [receivedBytes(call), noAddress()],
);
export const RECVFROM_ALL_INTO: Operation<RecvAllProgress, number, [number, Address]> = recvAllOperation(
  "recvfrom",
  ({ received }) => [received, noAddress()],
);

/** Whether a call waits for all requested bytes: with MSG_WAITALL, on a stream socket, if no other flag prevents it. */
export function waitsForAll(type: number, size: number, flags: number): boolean {
  return (
    (flags & MSG_WAITALL) !== 0 &&
    type === SOCK_STREAM &&
    size > 0 &&
    (flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)) === 0
  );
}
