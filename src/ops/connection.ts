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
// On a UNIX socket EAGAIN means that the listener's queue is full, on an unbound UDP socket that there is no free port (connect(2)).
// No event tells when that has changed; reactor/waitQueue.ts has the rule for it.
//
// What accept() returns besides a connection (accept(2), "Error handling"): ECONNABORTED when the peer was gone before it
// was accepted, and pending network errors of the new connection. Those concern no connection that anybody has seen, so
// the next one is waited for. EPERM is a firewall's refusal of one connection; a loop over connections passes over it as well, while
// a single accept() fails with it. When many in a row are none, there are pauses, because the reason may be a lasting one. EMFILE, ENFILE, ENOBUFS and ENOMEM go to the caller; the connection stays in the kernel's
// queue, and a later accept() gets it. The iterator over connections, which has nobody to tell, waits and tries again.

import { type Address, Inet6Address, InetAddress } from "../addr/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import type { SocketError } from "../errors/index.js";
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, SHUT_WR } from "../sys/constants.js";
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
  EPERM,
  EPIPE,
  EPROTO,
  socketError,
} from "../sys/errno.js";
import { toScratch } from "../sys/scratch.js";
import { addressDetails, addressBuffer } from "../sys/sockaddr.js";

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

export const CONNECT: Operation<Connecting, undefined, void> = operation<Connecting, undefined, void>({
  syscall: "connect",
  // While an attempt that was cut short is under way, the kernel says so: EALREADY.
  eager: true,
  movesBytes: false,
  attempt: (calls, fd, connecting) => {
    const { sockaddr } = connecting;
    let result = calls.connect(fd, toScratch(sockaddr));
    if (result === EINPROGRESS && isNear(connecting.address)) {
      connecting.started = true;
      result = calls.connect(fd, toScratch(sockaddr));
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
    return result === EISCONN && connecting.started ? 0 : result;
  },
  told: (events, { fresh, started }) => fresh && started && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) === EPOLLOUT,
  complete: () => undefined,
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

/** So many connections in a row that are none are passed over before there is a pause. */
const PASSED_OVER = 16;

/** Whether accept(2) failed because of one connection, which the caller does not hear of. */
function isGone(errno: number, patient: boolean): boolean {
  return NOT_OURS.has(errno) || (patient && errno === EPERM);
}

/** What accepting is, without its result. `patient`: whether to wait for descriptors and memory instead of failing. */
export const ACCEPT: Omit<Operation<unknown, boolean, never>, "complete"> = {
  syscall: "accept",
  movesBytes: false,
  attempt: (calls, fd, _listener, patient) => {
    let result = calls.accept(fd, addressBuffer);
    for (let passed = 1; result < 0 && passed < PASSED_OVER && isGone(result, patient); passed++) {
      result = calls.accept(fd, addressBuffer);
    }
    return result;
  },
  passes: (errno, _listener, patient) => isGone(errno, patient) || (patient && SHORTAGE.has(errno)),
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
