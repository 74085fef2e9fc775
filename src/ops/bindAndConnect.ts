// connect and bind.
//
// connect() on a non-blocking TCP socket returns EINPROGRESS, and an event for writing reports the end of the attempt.
// A second connect() returns the outcome. Linux returns EALREADY while the attempt is under way, 0 once after a
// success, and the error after a failure (inet_stream_connect in net/ipv4/af_inet.c). Unlike SO_ERROR, that is right
// even after an early wake-up.
//
// A TCP socket that was made for this one connection does not need the second call: an event with EPOLLOUT and without
// EPOLLERR and EPOLLHUP means that the connection is established. In each other state that can follow, tcp_poll
// (net/ipv4/tcp.c) reports no EPOLLOUT, or reports it with one of the other two. On a socket with earlier calls the
// event may come from an earlier state.
//
// Between two sockets of this machine the handshake runs inside connect(): the peer's packets are processed while the
// kernel sends, and the answers when connect() releases the lock of the socket. So for a loopback address the second
// call comes at once, which saves the registration, an event and a turn of the loop.
//
// On a UNIX socket EAGAIN means that the listener's accept queue is full, and on an unbound UDP socket that no port is
// free (connect(2)). No event reports that this has changed; see reactor/retryPause.ts.

import { type Address, type AddressLike, type HostPort, Inet6Address, InetAddress, toAddress } from "../addr/index.js";
import { checkOptions } from "../check/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import { check, EACCES, EAGAIN, EALREADY, EINPROGRESS, EINTR, EISCONN } from "../sys/errno.js";
import { scratchCopy } from "../sys/scratch.js";
import { addressDetails, encodeAddress, toLocalAddress } from "../sys/sockaddr.js";
import { WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";
import type { Destination, Mode, Outcome, Runner } from "./runner.js";

export interface Connecting extends Destination {
  /** Whether an attempt was made, so that the connection is being established. */
  started: boolean;
  /** Whether the socket is a TCP socket on which only options and bind() were used before. */
  readonly fresh: boolean;
}

/** The operand for a known address. */
export function connecting(address: Address, fresh: boolean): Connecting {
  return { target: address, address, sockaddr: encodeAddress(address), started: false, fresh };
}

// epoll(7); the same on every Linux.
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;

function isLoopback(address: Address | undefined): boolean {
  if (address instanceof InetAddress) return address.host.startsWith("127.");
  return address instanceof Inet6Address && address.host === "::1";
}

export const CONNECT: Operation<Connecting, undefined, void> = operation<Connecting, undefined, void>({
  syscall: "connect",
  // Calls connect(2) even after EAGAIN, because the kernel returns EALREADY while an earlier attempt is under way.
  alwaysTries: true,
  movesBytes: false,
  attempt: (calls, fd, state) => {
    const sockaddr = state.sockaddr!;
    let result = calls.connect(fd, scratchCopy(sockaddr));
    if (result === EINPROGRESS && isLoopback(state.address)) {
      state.started = true;
      result = calls.connect(fd, scratchCopy(sockaddr));
    }
    if (result === EINPROGRESS || (result === EALREADY && state.started)) {
      state.started = true;
      return EAGAIN;
    }
    if (result === EINTR) {
      // The kernel goes on with the attempt; another call returns its outcome (connect(2), EINTR).
      state.started = true;
      return EINTR;
    }
    return result === EISCONN && state.started ? 0 : result;
  },
  completedBy: (events, { fresh, started }) =>
    fresh && started && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) === EPOLLOUT,
  complete: () => undefined,
  details: ({ address }) => addressDetails(address),
});

export function connect<M extends Mode>(
  socket: Runner<M>,
  address: AddressLike,
  opts: WaitOptions | undefined,
): Outcome<M, void> {
  try {
    checkOptions(opts, "connect", WAIT_NAMES, "connect([host, port])");
    const target: Address | HostPort = toAddress(address);
    const state: Connecting = { target, address: undefined, sockaddr: null, started: false, fresh: false };
    return socket.sendTo(CONNECT, state, undefined, opts);
  } catch (error) {
    return socket.fail(error);
  }
}

/** ip(7): ip_unprivileged_port_start. Another reason for EACCES, such as a security module, concerns any port. */
const PRIVILEGED_PORTS = 1024;

function bindHint(errno: number, local: Address): string | undefined {
  if (errno !== EACCES || !(local instanceof InetAddress || local instanceof Inet6Address)) return undefined;
  if (local.port === 0 || local.port >= PRIVILEGED_PORTS) return undefined;
  return "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE";
}

export function bind<M extends Mode>(
  socket: Runner<M>,
  address: AddressLike,
  opts: WaitOptions | undefined,
): Outcome<M, void> {
  try {
    checkOptions(opts, "bind", WAIT_NAMES, "bind([host, port])");
    const target = toLocalAddress(address, socket.family);
    return socket.withAddress(target, "bind", opts, (local) => {
      const result = socket.calls.bind(socket.checkOpen("bind"), encodeAddress(local));
      check(result, "bind", () => ({ ...addressDetails(local), hint: bindHint(result, local) }));
    });
  } catch (error) {
    return socket.fail(error);
  }
}
