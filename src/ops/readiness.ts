// Calls that only wait: readable, writable, and the end of a connection. poll(2) decides; no bytes move.

import { checkOptions } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import { type FailedAt, type Operation, operation } from "../reactor/operation.js";
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, SHUT_WR } from "../sys/constants.js";
import { EAGAIN, EBADF, ECONNRESET, EPIPE, socketError } from "../sys/errno.js";
import { endsOf } from "../sys/socketEnds.js";
import { WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";
import type { Mode, Outcome, Runner } from "./runner.js";

function readiness(events: number): Operation<undefined, undefined, void> {
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

export const READABLE: Operation<undefined, undefined, void> = readiness(POLLIN);
export const WRITABLE: Operation<undefined, undefined, void> = readiness(POLLOUT);

/** The error of a broken connection, with both of its ends. A call that has found the error before knows its code. */
function brokenError(errno: number, at: FailedAt): SocketError {
  return socketError(at.breakage || errno, "poll", endsOf(at.reactor.calls, at.fd));
}

/**
 * The end of a connection on which no read and no write is pending: POLLHUP of poll(2) reports that both directions
 * have ended. The result is ECONNRESET if the socket has a pending error, otherwise EPIPE. The pending error stays for
 * the next call; a read would otherwise report an orderly end.
 */
export const HANGUP: Operation<object, FailedAt, SocketError> = operation<object, FailedAt, SocketError>({
  syscall: "poll",
  movesBytes: false,
  background: true,
  attempt: (calls, fd) => {
    const revents = calls.poll(fd, 0, 0);
    if (revents < 0) return revents;
    if ((revents & POLLNVAL) !== 0) return EBADF;
    if ((revents & POLLHUP) === 0) return EAGAIN;
    return (revents & POLLERR) === 0 ? -EPIPE : -ECONNRESET;
  },
  complete: (errno, _, at) => brokenError(-errno, at),
});

/**
 * The end of the peer's direction: POLLRDHUP of poll(2) reports it also while there are unread bytes. It takes none. The
 * result is undefined after an orderly end, and the error if the connection is broken.
 */
export const PEER_END: Operation<object, FailedAt, SocketError | undefined> = operation<
  object,
  FailedAt,
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
    // The error queue alone sets POLLERR too.
    return (revents & POLLHUP) !== 0 && (revents & POLLERR) !== 0 ? -ECONNRESET : 0;
  },
  complete: (errno, _, at) =>
    errno > 0 || (at.breakage !== undefined && at.breakage < 0) ? brokenError(-errno, at) : undefined,
});

/** shutdown(2) of writing, queued behind the pending writes. */
export const FINISH: Operation<undefined, undefined, void> = operation<undefined, undefined, void>({
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
