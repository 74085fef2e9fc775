// Reads the state, the addresses and the queues of a socket from the kernel. The parameter `calls` is the table of
// calls without the wrappers of recording.ts, so these calls are not recorded.

import { type Address, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK } from "../addr/index.js";
import { decodeTcpInfo, TCP_INFO_SIZE, type TcpInfo, tcpStateOf } from "../options/tcpInfo.js";
import type { Calls } from "../sys/calls.js";
import {
  IPPROTO_IP,
  IPPROTO_TCP,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_MEMINFO,
  SO_PROTOCOL,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_RDM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_INFO,
} from "../sys/constants.js";
import { readInt, view, LITTLE_ENDIAN } from "../sys/nativeInts.js";
import { ADDRESS_BUFFER_SIZE, decodeAddressBuffer } from "../sys/sockaddr.js";
import type { SocketRow } from "./socketRow.js";

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

export const familyName = (family: number): string => FAMILIES.get(family) ?? `${family}`;
export const typeName = (type: number): string => TYPES.get(type) ?? `${type}`;

/** Offsets in `struct tcp_info`: of the state, and of tcpi_retransmits, _unacked, _sacked and _bytes_acked. */
const AT = { state: 0, retransmits: 2, unacked: 24, sacked: 28, acknowledged: 120 } as const;
/** Offsets in the result of SO_MEMINFO: of SK_MEMINFO_RMEM_ALLOC and SK_MEMINFO_DROPS. */
const MEMINFO_AT = { receiveMemory: 0, drops: 32 } as const;

// Buffers that all calls of this file share.
const tcpInfo = new Uint8Array(TCP_INFO_SIZE);
const tcpView = view(tcpInfo);
const intValue = new Uint8Array(4);
const memInfo = new Uint8Array(36);
const memInfoView = view(memInfo);
const address = new Uint8Array(ADDRESS_BUFFER_SIZE);

export const isTcp = ({ family, type, protocol }: Pick<SocketRow, "family" | "type" | "protocol">): boolean =>
  (family === AF_INET || family === AF_INET6) &&
  type === SOCK_STREAM &&
  (protocol === IPPROTO_IP || protocol === IPPROTO_TCP);

/** The value of an int option of SOL_SOCKET; undefined if the call fails. */
function intOption(calls: Calls, fd: number, optname: number): number | undefined {
  return calls.getsockopt(fd, SOL_SOCKET, optname, intValue) === 4 ? readInt(intValue) : undefined;
}

/** Family, type and protocol of a descriptor; undefined if it is not a socket. */
export function kindOfDescriptor(
  calls: Calls,
  fd: number,
): { readonly family: number; readonly type: number; readonly protocol: number } | undefined {
  const family = intOption(calls, fd, SO_DOMAIN);
  const type = intOption(calls, fd, SO_TYPE);
  if (family === undefined || type === undefined) return undefined;
  return { family, type, protocol: intOption(calls, fd, SO_PROTOCOL) ?? 0 };
}

/** The address that getsockname() or getpeername() returns; undefined if the call fails. */
export function addressOf(calls: Calls, name: "getsockname" | "getpeername", fd: number): Address | undefined {
  return calls[name](fd, address) < 0 ? undefined : decodeAddressBuffer(address);
}

/** The address as text; null if the socket has none. */
function addressText(calls: Calls, name: "getsockname" | "getpeername", fd: number): string | null {
  const decoded = addressOf(calls, name, fd);
  if (decoded === undefined) return null;
  if ("path" in decoded) return decoded.path === "" ? null : String(decoded);
  // 0xffffffff is VMADDR_PORT_ANY of vsock(7).
  if ("port" in decoded && (decoded.port === 0 || decoded.port === 0xffff_ffff)) return null;
  return String(decoded);
}

/** Reads state, addresses and queues into the row. */
export function probe(calls: Calls, row: SocketRow, now: number): void {
  row.probedAt = now;
  const { fd } = row;
  if (!row.addressesKnown) {
    row.addressesKnown = true;
    // When a socket is not connected any more, its row keeps the address of the last peer.
    row.local = addressText(calls, "getsockname", fd) ?? row.local;
    row.peer = addressText(calls, "getpeername", fd) ?? row.peer;
  }
  if (isTcp(row)) {
    probeTcp(calls, row);
  } else {
    const isListening = row.type !== SOCK_DGRAM && intOption(calls, fd, SO_ACCEPTCONN) === 1;
    row.state = isListening ? "listening" : stateOf(row);
  }
  if (row.isTcpListener || row.state === "listening") {
    row.receiveQueue = row.sendQueue = null;
    return;
  }
  // For a datagram socket, inq() returns only the size of the first datagram. So the memory of the queue is reported.
  // AF_UNIX is an exception: there the kernel counts that memory for the sender.
  row.receiveQueue =
    row.type === SOCK_DGRAM && row.family !== AF_UNIX
      ? memInfoField(calls, fd, MEMINFO_AT.receiveMemory)
      : nullIfFailed(calls.inq(fd));
  row.sendQueue = nullIfFailed(calls.outq(fd));
}

const nullIfFailed = (result: number): number | null => (result < 0 ? null : result);

/** Families whose sockets have the states "bound" and "connected". */
const CONNECTABLE: ReadonlySet<number> = new Set([AF_UNIX, AF_INET, AF_INET6, AF_VSOCK]);

/**
 * The state of a socket that neither listens nor is of TCP. The state is derived from the addresses, because the kernel
 * reports none.
 */
function stateOf({ family, type, local, peer, pair }: SocketRow): string {
  if (!CONNECTABLE.has(family) || type === SOCK_RAW) return "open";
  // An accepted UNIX socket has the address of its listener, and the peer mostly has no address. So each UNIX stream
  // socket with an address counts as accepted, also one that is only bound.
  const isAcceptedUnix = family === AF_UNIX && type === SOCK_STREAM && local !== null;
  if (peer !== null || pair !== undefined || isAcceptedUnix) return "connected";
  return local === null ? "open" : "bound";
}

/** A field of SO_MEMINFO; null if the call fails, or the kernel does not have the field. */
function memInfoField(calls: Calls, fd: number, at: number): number | null {
  const length = calls.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memInfo);
  return length >= at + 4 ? memInfoView.getUint32(at, LITTLE_ENDIAN) : null;
}

function probeTcp(calls: Calls, row: SocketRow): void {
  const length = calls.getsockopt(row.fd, IPPROTO_TCP, TCP_INFO, tcpInfo);
  if (length < AT.sacked + 4) return;
  const state = tcpStateOf(tcpInfo[AT.state]!) ?? "CLOSE";
  row.state = state;
  row.retransmits = tcpInfo[AT.retransmits]!;
  if (state === "LISTEN") {
    // For a listener, the kernel returns the length and the limit of the accept queue in these two fields.
    row.acceptLength = tcpView.getUint32(AT.unacked, LITTLE_ENDIAN);
    row.acceptLimit = tcpView.getUint32(AT.sacked, LITTLE_ENDIAN);
    row.drops = memInfoField(calls, row.fd, MEMINFO_AT.drops) ?? 0;
    return;
  }
  row.acceptLength = row.acceptLimit = -1;
  if (length >= AT.acknowledged + 8) row.acknowledged = Number(tcpView.getBigUint64(AT.acknowledged, LITTLE_ENDIAN));
}

/** All of TCP_INFO; undefined if the socket has none. */
export function readTcpInfo(calls: Calls, { fd }: SocketRow): TcpInfo | undefined {
  const length = calls.getsockopt(fd, IPPROTO_TCP, TCP_INFO, tcpInfo);
  // The kernel returns -errno for a socket without TCP. decodeTcpInfo() requires the first 8 bytes.
  return length < 8 ? undefined : decodeTcpInfo(tcpInfo.subarray(0, length));
}
