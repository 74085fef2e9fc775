// Calls that wait for readiness or for the end of a connection and move no bytes. Each attempt is a poll(2) without a
// wait. SHUTDOWN_WRITING is here too: shutdown(2) behind the pending writes.

import { checkOptions } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import { type FailedDescriptor, type Operation, operation } from "../reactor/operation.js";
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, SHUT_WR } from "../sys/constants.js";
import { EAGAIN, EBADF, ECONNRESET, EPIPE, socketError } from "../sys/errno.js";
import { socketAddresses } from "../sys/socketAddresses.js";
import { WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";
import type { Mode, Outcome, Runner } from "./runner.js";

/** Makes an operation that completes when poll(2) reports one of `events`, or an error. */
function readinessOperation(events: number): Operation<undefined, undefined, void> {
  return operation<undefined, undefined, void>({
    syscall: "poll",
    movesBytes: false,
    attempt: (calls, fd) => {
      const revents = calls.poll(fd, events, 0);
      if (revents === 0) return EAGAIN;
      return revents > 0 && (revents & POLLNVAL) !== 0 ? EBADF : revents;
    },
    complete: () => undefined,
  });
}

export const READABLE: Operation<undefined, undefined, void> = readinessOperation(POLLIN);
export const WRITABLE: Operation<undefined, undefined, void> = readinessOperation(POLLOUT);

/**
 * The error of a broken connection, with its two addresses. poll(2) returns no errno. So the error has the errno that
 * an earlier call has got, or else `errno`.
 */
function brokenError(errno: number, descriptor: FailedDescriptor): SocketError {
  const { connectionErrno, fd, reactor } = descriptor;
  return socketError(connectionErrno || errno, "poll", socketAddresses(reactor.calls, fd));
}

/**
 * Waits for the end of both directions of a connection, which POLLHUP of poll(2) reports. The value is an error
 * with the errno that an earlier call has got. Without such a call it has ECONNRESET if the socket has a pending error,
 * otherwise EPIPE. The pending error is not cleared, because the next read must report it instead of an orderly end.
 */
export const HANGUP: Operation<object, FailedDescriptor, SocketError> = operation<
  object,
  FailedDescriptor,
  SocketError
>({
  syscall: "poll",
  movesBytes: false,
  background: true,
  attempt: (calls, fd) => {
    const revents = calls.poll(fd, 0, 0);
    if (revents < 0) return revents;
    if ((revents & POLLNVAL) !== 0) return EBADF;
    if ((revents & POLLHUP) === 0) return EAGAIN;
    // A negative result would fail the call. So the result is the positive number of the errno. EPIPE and ECONNRESET
    // are negative.
    return (revents & POLLERR) === 0 ? -EPIPE : -ECONNRESET;
  },
  complete: (positiveErrno, _, descriptor) => brokenError(-positiveErrno, descriptor),
});

/**
 * Waits until the peer has closed its direction. POLLRDHUP of poll(2) reports that even while there are unread bytes,
 * and the call reads none. The value is undefined after an orderly end, and the error if the connection is broken.
 */
export const PEER_END: Operation<object, FailedDescriptor, SocketError | undefined> = operation<
  object,
  FailedDescriptor,
  SocketError | undefined
>({
  syscall: "poll",
  movesBytes: false,
  background: true,
  attempt: (calls, fd) => {
    const revents = calls.poll(fd, POLLRDHUP, 0);
    if (revents < 0) return revents;
    if ((revents & POLLNVAL) !== 0) return EBADF;
    if ((revents & (POLLHUP | POLLRDHUP)) === 0) return EAGAIN;
    // POLLERR alone may come from the error queue.
    return (revents & POLLHUP) !== 0 && (revents & POLLERR) !== 0 ? -ECONNRESET : 0;
  },
  complete: (positiveErrno, _, descriptor) => {
    const { connectionErrno } = descriptor;
    const isBroken = positiveErrno > 0 || (connectionErrno !== undefined && connectionErrno < 0);
    return isBroken ? brokenError(-positiveErrno, descriptor) : undefined;
  },
});

/** shutdown(2) of writing, queued behind the pending writes. */
export const SHUTDOWN_WRITING: Operation<undefined, undefined, void> = operation<undefined, undefined, void>({
  syscall: "shutdown",
  movesBytes: false,
  attempt: (calls, fd) => calls.shutdown(fd, SHUT_WR),
  complete: () => undefined,
});

export function readable<M extends Mode>(socket: Runner<M>, opts: WaitOptions | undefined): Outcome<M, void> {
  try {
    checkOptions(opts, "poll", WAIT_NAMES);
    return socket.read(READABLE, undefined, undefined, opts);
  } catch (error) {
    return socket.fail(error);
  }
}

export function writable<M extends Mode>(socket: Runner<M>, opts: WaitOptions | undefined): Outcome<M, void> {
  try {
    checkOptions(opts, "poll", WAIT_NAMES);
    return socket.write(WRITABLE, undefined, undefined, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
