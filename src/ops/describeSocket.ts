// Describes the state of a socket for `inspect` and JSON, for both Socket classes and for the objects on top of them.
//
// The state comes from system calls that change nothing. If getsockname(2) or getpeername(2) fails, its field is null.

import { type Address, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK } from "../addr/index.js";
import { type TcpState, tcpStateOf } from "../options/tcpInfo.js";
import type { Description, Fields } from "../registry/index.js";
import type { Calls } from "../sys/calls.js";
import {
  IPPROTO_IP,
  IPPROTO_TCP,
  SO_ACCEPTCONN,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_RDM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_INFO,
  VMADDR_PORT_ANY,
} from "../sys/constants.js";
import { readInt } from "../sys/nativeInts.js";
import { getpeername, getsockname } from "./plainCalls.js";
import type { OpenSocket } from "./runner.js";

/**
 * The state of a socket. TCP: the state of the connection, as `TCP_INFO` has it. Other sockets: `listening`,
 * `connected`, `bound` or `unbound`; `open` for families without these states. `closed` once the descriptor is closed
 * or detached.
 */
export type SocketState = TcpState | "listening" | "connected" | "bound" | "unbound" | "open" | "closed";

/** The fields of a socket in JSON. */
export interface SocketDescription extends Description {
  /** The descriptor; -1 once it is closed or detached. */
  readonly fd: number;
  /** The name of the address family, such as `AF_INET`; a number if the package has no name for it. */
  readonly family: string | number;
  /** The name of the socket type, such as `SOCK_STREAM`. */
  readonly type: string | number;
  readonly protocol: number;
  readonly state: SocketState;
  /** The local address, as `parseAddress()` reads it; null if there is none, or the socket is closed. */
  readonly local: string | null;
  /** The address of the peer; null if there is none, or the socket is closed. */
  readonly peer: string | null;
  /** Bytes that a stream on the socket has read from the kernel and that its reader has not taken. */
  readonly buffered: number;
  /** The names of the calls that wait. */
  readonly pending: readonly string[];
}

const FAMILIES: ReadonlyMap<number, string> = new Map([
  [AF_UNIX, "AF_UNIX"],
  [AF_INET, "AF_INET"],
  [AF_INET6, "AF_INET6"],
  [AF_NETLINK, "AF_NETLINK"],
  [AF_PACKET, "AF_PACKET"],
  [AF_VSOCK, "AF_VSOCK"],
]);
const TYPES: ReadonlyMap<number, string> = new Map([
  [SOCK_STREAM, "SOCK_STREAM"],
  [SOCK_DGRAM, "SOCK_DGRAM"],
  [SOCK_RAW, "SOCK_RAW"],
  [SOCK_RDM, "SOCK_RDM"],
  [SOCK_SEQPACKET, "SOCK_SEQPACKET"],
]);
/** Families whose sockets have the states bound and connected. */
const FAMILIES_WITH_PEERS: ReadonlySet<number> = new Set([AF_UNIX, AF_INET, AF_INET6, AF_VSOCK]);

/** The part of a Runner that `describeSocket` uses. */
type DescribedRunner = Pick<OpenSocket, "family" | "type" | "protocol" | "calls">;

/**
 * The fields of a socket.
 *
 * @param fd the descriptor; -1 once it is closed or detached
 * @param buffered the number of bytes that a stream has read ahead
 * @param pending the names of the calls that wait
 */
export function describeSocket(
  { family, type, protocol, calls }: DescribedRunner,
  fd: number,
  buffered: number,
  pending: readonly string[],
): Fields<SocketDescription> {
  const socket: OpenSocket = { family, type, protocol, calls, checkOpen: () => fd };
  const local = fd < 0 ? undefined : addressOrNone(socket, getsockname);
  const peer = fd < 0 || !FAMILIES_WITH_PEERS.has(family) ? undefined : addressOrNone(socket, getpeername);
  return {
    fd,
    family: FAMILIES.get(family) ?? family,
    type: TYPES.get(type) ?? type,
    protocol,
    state: fd < 0 ? "closed" : stateOf(socket, local, peer),
    local: local === undefined ? null : String(local),
    peer: peer === undefined ? null : String(peer),
    buffered,
    pending,
  };
}

function addressOrNone(socket: OpenSocket, call: (socket: OpenSocket) => Address): Address | undefined {
  try {
    return call(socket);
  } catch {
    return undefined;
  }
}

function stateOf(socket: OpenSocket, local: Address | undefined, peer: Address | undefined): SocketState {
  const { calls, family, protocol, type } = socket;
  const fd = socket.checkOpen("getsockopt");
  const isInternet = family === AF_INET || family === AF_INET6;
  if (isInternet && type === SOCK_STREAM && isTcpProtocol(protocol)) {
    const state = readTcpState(calls, fd);
    if (state !== undefined) return state;
  }
  if (isListening(calls, fd)) return "listening";
  if (peer !== undefined) return "connected";
  if (!FAMILIES_WITH_PEERS.has(family) || type === SOCK_RAW) return "open";
  if (local === undefined) return "unbound";
  return isBound(local) ? "bound" : "unbound";
}

/** Whether an internet stream socket with this protocol is a TCP socket. IPPROTO_IP is 0, the default protocol. */
const isTcpProtocol = (protocol: number): boolean => protocol === IPPROTO_IP || protocol === IPPROTO_TCP;

/** The state of a TCP socket: the first byte of `struct tcp_info`. Undefined if getsockopt(2) fails. */
function readTcpState(calls: Calls, fd: number): TcpState | undefined {
  const bytes = new Uint8Array(1);
  // calls.getsockopt() returns the number of bytes that the kernel has written, or -errno.
  return calls.getsockopt(fd, IPPROTO_TCP, TCP_INFO, bytes) === 1 ? tcpStateOf(bytes[0]!) : undefined;
}

function isListening(calls: Calls, fd: number): boolean {
  const bytes = new Uint8Array(4);
  return calls.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, bytes) === 4 && readInt(bytes) === 1;
}

/** Whether a local address shows that the socket is bound. A socket that is not bound has port 0, or an empty path. */
function isBound(local: Address): boolean {
  if ("path" in local) return local.path !== "";
  // A vsock(7) socket that is not bound has the port VMADDR_PORT_ANY.
  return !("port" in local) || (local.port !== 0 && local.port !== VMADDR_PORT_ANY);
}
