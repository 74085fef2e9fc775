// The operations that make connections: connect, accept; and the ones that only wait: readable, writable.
//
// connect() on a non-blocking TCP socket says EINPROGRESS, and readiness for writing tells that it is over. How it ended is
// asked by calling connect() again. Linux answers EALREADY while it is under way, 0 once when it has succeeded, and the
// error when it has failed (inet_stream_connect in net/ipv4/af_inet.c); unlike SO_ERROR that can't be confused by a wake-up
// that comes early.
//
// A TCP socket that was made for this one connection need not be asked: an event that says that there is room, and neither an
// error nor a hang-up, can only mean that the connection stands (tcp_poll in net/ipv4/tcp.c gives EPOLLOUT alone in no other
// state that follows). On a socket with a past the event may be an older one.
//
// Between two sockets of this machine the handshake goes on while connect() runs: its packets are handled on the way out, and
// what came back when the socket is released at the end of the call. So it is asked at once how the connection to a loopback
// address has ended, which saves the registration, an event and a turn of the loop.
//
// On a UNIX socket EAGAIN means that the listener's queue is full (connect(2)), and no event tells when it is not: it is
// tried again after a pause. The same holds for a datagram to a UNIX address, see send.ts.
//
// What accept() returns besides a connection (accept(2), "Error handling"): ECONNABORTED when the peer was gone before it
// was accepted, and pending network errors of the new connection. Those concern no connection that anybody has seen, so
// the next one is waited for. EMFILE, ENFILE, ENOBUFS and ENOMEM go to the caller; the connection stays in the kernel's
// queue, and a later accept() gets it. The iterator over connections, which has nobody to tell, waits and tries again.

import { AF_UNIX, type Address, Inet6Address, InetAddress } from "../../addr/index.js";
import { type Operation, operation } from "./operation.js";
import type { SocketError } from "../../errors.js";
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, SHUT_WR } from "../constants.js";
import {
  EAGAIN,
  EALREADY,
  EBADF,
  ECONNABORTED,
  ECONNRESET,
  EHOSTDOWN,
  EHOSTUNREACH,
  EINPROGRESS,
  EINTR,
  EISCONN,
  EMFILE,
  ENETDOWN,
  ENETUNREACH,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENONET,
  ENOPROTOOPT,
  EPIPE,
  EPROTO,
  socketError,
} from "../errno.js";
import { lent } from "../lent.js";
import { addressDetails, room } from "../sockaddr.js";

export interface Connecting {
  readonly address: Address;
  readonly sockaddr: Uint8Array;
  /** The first attempt has been made, and the connection is being established. */
  started: boolean;
  /** The socket is one of TCP, and this is the first that is done with it. */
  readonly fresh: boolean;
}

// epoll(7); the same on every Linux.
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;

function isNear(address: Address): boolean {
  if (address instanceof InetAddress) return address.host.startsWith("127.");
  return address instanceof Inet6Address && address.host === "::1";
}

/** A peer's full queue, apart from EAGAIN: outside the range of errno, and never seen outside of operations. */
export const QUEUE_FULL = -100_000;

export const CONNECT: Operation<Connecting, undefined, void> = operation<Connecting, undefined, void>({
  syscall: "connect",
  // While an attempt that was cut short is under way, the kernel says so: EALREADY.
  eager: true,
  movesBytes: false,
  attempt: (calls, fd, connecting) => {
    const { sockaddr } = connecting;
    let result = calls.connect(fd, lent(sockaddr));
    if (result === EINPROGRESS && isNear(connecting.address)) {
      connecting.started = true;
      result = calls.connect(fd, lent(sockaddr));
    }
    if (result === EINPROGRESS || (result === EALREADY && connecting.started)) {
      connecting.started = true;
      return EAGAIN;
    }
    if (result === EINTR) {
      // The connection is made in the background; another call asks how far it is (connect(2), EINTR).
      connecting.started = true;
      return EINTR;
    }
    if (result === EISCONN && connecting.started) return 0;
    // Would-block without a start is a full queue, for which there is no event: see `passes`.
    return result === EAGAIN && connecting.address.family === AF_UNIX ? QUEUE_FULL : result;
  },
  told: (events, { fresh, started }) => fresh && started && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) === EPOLLOUT,
  complete: () => undefined,
  passes: (errno) => errno === QUEUE_FULL,
  details: ({ address }) => addressDetails(address),
});

const NOT_OURS: ReadonlySet<number> = new Set([
  ECONNABORTED,
  ENETDOWN,
  EPROTO,
  ENOPROTOOPT,
  EHOSTDOWN,
  ENONET,
  EHOSTUNREACH,
  ENETUNREACH,
]);
const SHORTAGE: ReadonlySet<number> = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM]);

/** What accepting is, without its result. `patient`: whether to wait for descriptors and memory instead of failing. */
export const ACCEPT: Omit<Operation<unknown, boolean, never>, "complete"> = {
  syscall: "accept",
  movesBytes: false,
  attempt: (calls, fd) => {
    const result = calls.accept(fd, room);
    return result < 0 && NOT_OURS.has(result) ? EINTR : result;
  },
  passes: (errno, _listener, patient) => patient && SHORTAGE.has(errno),
};

/** The end of writing, in its turn behind the writes that are pending: shutdown(2). */
export const FINISH: Operation<undefined, undefined, void> = operation<undefined, undefined, void>({
  syscall: "shutdown",
  movesBytes: false,
  attempt: (calls, fd) => calls.shutdown(fd, SHUT_WR),
  complete: () => undefined,
});

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

/**
 * The end of a connection of which reading and writing say nothing while neither is tried: poll(2) with POLLHUP, both
 * directions are over. Its result is an errno, as positive number: ECONNRESET where the socket has an error, which is left for the
 * next call to take, or an end would look like one that is in order; else EPIPE.
 */
export const GONE: Operation<object, undefined, SocketError> = operation<object, undefined, SocketError>({
  syscall: "poll",
  movesBytes: false,
  idle: true,
  attempt: (calls, fd) => {
    const revents = calls.poll(fd, 0, 0);
    if (revents < 0) return revents;
    if ((revents & POLLNVAL) !== 0) return EBADF;
    if ((revents & POLLHUP) === 0) return EAGAIN;
    return (revents & POLLERR) === 0 ? -EPIPE : -ECONNRESET;
  },
  complete: (errno) => socketError(-errno, "send"),
});

export const READABLE: Operation<undefined, undefined, void> = readiness(POLLIN);
export const WRITABLE: Operation<undefined, undefined, void> = readiness(POLLOUT);
