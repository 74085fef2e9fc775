// connect and bind.
//
// connect(2) on a non-blocking TCP socket returns EINPROGRESS, and EPOLLOUT reports the end of the handshake. A second
// connect(2) returns the result. It is EALREADY while the handshake goes on, 0 once after a success, and the error
// after a failure (inet_stream_connect in net/ipv4/af_inet.c). SO_ERROR is no substitute, because it is 0 both after a
// success and while the handshake goes on.
//
// A TCP socket that was made for this one connection does not need the second call: an event with EPOLLOUT and without
// EPOLLERR and EPOLLHUP means that the connection is established. In every other state of such a socket tcp_poll
// (net/ipv4/tcp.c) reports no EPOLLOUT, or reports it with EPOLLERR or EPOLLHUP. If other calls were made on the socket
// before, the event may come from an earlier state. Then the second call is necessary.
//
// Between two sockets of this machine the handshake ends inside connect(2): the kernel processes the packets of both
// sides before connect(2) returns. So for a loopback address the second call comes at once. That saves the
// registration, an event and a turn of the loop.
//
// On a UNIX socket EAGAIN means that the listener's accept queue is full. On an unbound UDP socket EAGAIN means that no
// port is free (connect(2)). No event reports the end of either shortage; see reactor/retryPause.ts.

import { type Address, type AddressLike, type HostPort, Inet6Address, InetAddress, toAddress } from "../addr/index.js";
import { checkOptions } from "../check/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import { check, EACCES, EAGAIN, EALREADY, EINPROGRESS, EINTR, EISCONN } from "../sys/errno.js";
import { scratchCopy } from "../sys/scratch.js";
import { addressDetails, encodeAddress, toLocalAddress } from "../sys/sockaddr.js";
import { WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";
import type { AddressOperand, Mode, Outcome, Runner } from "./runner.js";

/** The operand of CONNECT. */
export interface ConnectState extends AddressOperand {
  /** Whether connect(2) has started the handshake. */
  started: boolean;
  /**
   * Whether the socket is a TCP socket that was made for this connection: before connect(), the program has only set
   * options and called bind().
   */
  readonly isNewTcp: boolean;
}

/** The operand of CONNECT for an address that needs no resolver. */
export function connectState(address: Address, isNewTcp: boolean): ConnectState {
  return { target: address, address, sockaddr: encodeAddress(address), started: false, isNewTcp };
}

// Events of epoll(7). They have the same numbers on every architecture.
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;

function isLoopback(address: Address | undefined): boolean {
  if (address instanceof InetAddress) return address.host.startsWith("127.");
  return address instanceof Inet6Address && address.host === "::1";
}

/** connect(2). It waits until the connection is established. */
export const CONNECT: Operation<ConnectState, undefined, void> = operation<ConnectState, undefined, void>({
  syscall: "connect",
  // An earlier connect() may have timed out while its handshake goes on. Then a new call must get EALREADY from the
  // kernel, and must not wait.
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
      // The kernel goes on with the handshake; another connect(2) returns the result (connect(2), EINTR).
      state.started = true;
      return EINTR;
    }
    return result === EISCONN && state.started ? 0 : result;
  },
  completedBy: (events, { isNewTcp, started }) =>
    isNewTcp && started && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) === EPOLLOUT,
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
    const state: ConnectState = { target, address: undefined, sockaddr: null, started: false, isNewTcp: false };
    return socket.sendTo(CONNECT, state, undefined, opts);
  } catch (error) {
    return socket.fail(error);
  }
}

/** The default of net.ipv4.ip_unprivileged_port_start; see ip(7). */
const FIRST_UNPRIVILEGED_PORT = 1024;

/** A hint for EACCES on a low port. On other ports EACCES has another reason, such as a security module. */
function bindHint(errno: number, local: Address): string | undefined {
  if (errno !== EACCES || !(local instanceof InetAddress || local instanceof Inet6Address)) return undefined;
  if (local.port === 0 || local.port >= FIRST_UNPRIVILEGED_PORT) return undefined;
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
