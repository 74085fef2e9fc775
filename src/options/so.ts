// Options of the level SOL_SOCKET, socket(7) and unix(7), in the order of their numbers. "Delivers X" means:
// recvmsg() returns X as control data.

import { quote } from "../check/index.js";
import * as k from "../sys/constants.js";
import { errnoName } from "../sys/errno.js";
import {
  decodeMemInfo,
  decodeUcred,
  decodeUints,
  type MemInfo,
  MEMINFO_SIZE,
  type Ucred,
  UCRED_SIZE,
} from "./socketStructs.js";
import { intBytes, LITTLE_ENDIAN, readInt, readText, view } from "../sys/nativeInts.js";
import {
  actionOption,
  booleanOption,
  byteCountOption,
  idOption,
  intOption,
  withoutSet,
  readOnlyOption,
  withoutGet,
  writeOnlyOption,
  customOption,
  type SocketOption,
  textOption,
  uintOption,
  numberMember,
} from "./option.js";
import { type BpfInstruction, decodeProgram, encodeProgram, MAX_PROGRAM_SIZE } from "./bpfProgram.js";
import { timeoutOption, type Timestamping, timestampingOption, type TxTime, txTimeOption } from "./timing.js";
import { interfaceMember } from "./memberChecks.js";
import type { NetworkInterface } from "../sys/interfaceIndex.js";

/** The level of all options in this file. */
const L = k.SOL_SOCKET;
/** IFNAMSIZ: the longest name of an interface, its NUL included. */
const IFNAMSIZ = 16;
/** Bytes of a buffer for 4096 groups. For a peer in more groups getsockopt(2) returns ERANGE. */
const GROUPS_SIZE = 4 * 4096;
/** Bytes of a buffer for a security label; unix(7) advises NAME_MAX bytes. */
const LABEL_SIZE = 256;

/**
 * How `close()` handles unsent data. `null`: the option is off. Above 0: `close()` waits at most that number of
 * seconds. 0: `close()` sends RST.
 */
export type Linger = number | null;

/** The code of the pending error; `null` if there is none. */
export type PendingError = string | null;

/** Records debugging information in the kernel. */
export const SO_DEBUG: SocketOption<boolean, boolean> = booleanOption("SO_DEBUG", L, k.SO_DEBUG);
/** Lets `bind` use an address with connections in TIME-WAIT. Datagram sockets that all set it can share an address. */
export const SO_REUSEADDR: SocketOption<boolean, boolean> = booleanOption("SO_REUSEADDR", L, k.SO_REUSEADDR);
/** The type of the socket, such as `SOCK_STREAM`. */
export const SO_TYPE: SocketOption<number, never> = withoutSet(intOption("SO_TYPE", L, k.SO_TYPE));
/** Returns the code of the pending error, such as `"ECONNREFUSED"`, or null. Reading clears the error. */
export const SO_ERROR: SocketOption<PendingError, never> = readOnlyOption("SO_ERROR", L, k.SO_ERROR, 4, (bytes) =>
  // errnoName() takes -errno.
  readInt(bytes) === 0 ? null : errnoName(-readInt(bytes)),
);
/** Sends only to hosts on the local link, never through a gateway. */
export const SO_DONTROUTE: SocketOption<boolean, boolean> = booleanOption("SO_DONTROUTE", L, k.SO_DONTROUTE);
/** Lets a datagram socket send to a broadcast address. */
export const SO_BROADCAST: SocketOption<boolean, boolean> = booleanOption("SO_BROADCAST", L, k.SO_BROADCAST);
/** Send buffer (bytes), limited by net.core.wmem_max. The kernel doubles the value and returns the double. */
export const SO_SNDBUF: SocketOption<number, number> = intOption("SO_SNDBUF", L, k.SO_SNDBUF, 0);
/** Receive buffer (bytes), limited by net.core.rmem_max. The kernel doubles the value and returns the double. */
export const SO_RCVBUF: SocketOption<number, number> = intOption("SO_RCVBUF", L, k.SO_RCVBUF, 0);
/** Sends probes on an idle connection; see TCP_KEEPIDLE. */
export const SO_KEEPALIVE: SocketOption<boolean, boolean> = booleanOption("SO_KEEPALIVE", L, k.SO_KEEPALIVE);
/** Urgent data is received in the ordinary stream, not with `MSG_OOB`. */
export const SO_OOBINLINE: SocketOption<boolean, boolean> = booleanOption("SO_OOBINLINE", L, k.SO_OOBINLINE);
/** Sends UDP over IPv4 without a checksum. */
export const SO_NO_CHECK: SocketOption<boolean, boolean> = booleanOption("SO_NO_CHECK", L, k.SO_NO_CHECK);
/** Priority of outgoing packets in the queues of the device. A value outside 0 to 6 requires a privilege. */
export const SO_PRIORITY: SocketOption<number, number> = intOption("SO_PRIORITY", L, k.SO_PRIORITY);
/**
 * `null`: the option is off. 0: `close()` sends RST. A number of seconds: `close()` blocks the thread until the peer
 * has acknowledged all data or the time is over, even on a non-blocking socket, like close(2). To wait without blocking
 * the thread, call `shutdown(SHUT_WR)` and then receive until the peer has finished.
 */
export const SO_LINGER: SocketOption<Linger, Linger> = customOption<Linger, Linger>(
  "SO_LINGER",
  L,
  k.SO_LINGER,
  8,
  (bytes) => (view(bytes).getInt32(0, LITTLE_ENDIAN) === 0 ? null : view(bytes).getInt32(4, LITTLE_ENDIAN)),
  (value) => {
    const bytes = new Uint8Array(8);
    if (value === null) return bytes;
    if (typeof value !== "number")
      throw new TypeError(`Cannot set SO_LINGER: value is ${quote(value)}, required seconds, or null for off`);
    view(bytes).setInt32(0, 1, LITTLE_ENDIAN);
    view(bytes).setInt32(4, numberMember("SO_LINGER", "value", value, 0, 0x7fff_ffff), LITTLE_ENDIAN);
    return bytes;
  },
);
/** Lets sockets of one user bind the same address. The kernel distributes connections and datagrams over them. */
export const SO_REUSEPORT: SocketOption<boolean, boolean> = booleanOption("SO_REUSEPORT", L, k.SO_REUSEPORT);
/** Delivers the sender's process, user and group with each message of a UNIX socket. */
export const SO_PASSCRED: SocketOption<boolean, boolean> = booleanOption("SO_PASSCRED", L, k.SO_PASSCRED);
/** Process, user and group of a UNIX socket's peer when the peer called `connect`, `listen` or `socketpair`. */
export const SO_PEERCRED: SocketOption<Ucred, never> = readOnlyOption(
  "SO_PEERCRED",
  L,
  k.SO_PEERCRED,
  UCRED_SIZE,
  decodeUcred,
);
/** Minimum number of received bytes for the socket to be readable. */
export const SO_RCVLOWAT: SocketOption<number, number> = intOption("SO_RCVLOWAT", L, k.SO_RCVLOWAT);
/** Always 1 on Linux. */
export const SO_SNDLOWAT: SocketOption<number, never> = withoutSet(intOption("SO_SNDLOWAT", L, k.SO_SNDLOWAT));
/** Timeout of a receive in the kernel (ms); 0 for none. No effect on sockets of this package: use `timeout`. */
export const SO_RCVTIMEO: SocketOption<number, number> = timeoutOption("SO_RCVTIMEO", L, k.SO_RCVTIMEO);
/** Timeout of a send in the kernel (ms); 0 for none. No effect on sockets of this package: use `timeout`. */
export const SO_SNDTIMEO: SocketOption<number, number> = timeoutOption("SO_SNDTIMEO", L, k.SO_SNDTIMEO);
/** Name of the only interface that the socket uses. `""` means that the socket is not bound to an interface. */
export const SO_BINDTODEVICE: SocketOption<string, string> = textOption(
  "SO_BINDTODEVICE",
  L,
  k.SO_BINDTODEVICE,
  IFNAMSIZ,
);
/** A classic BPF program that returns how many bytes of each packet to keep; 0 drops it. Reads `[]` if none is set. */
export const SO_ATTACH_FILTER: SocketOption<BpfInstruction[], readonly BpfInstruction[]> = customOption<
  BpfInstruction[],
  readonly BpfInstruction[]
>("SO_ATTACH_FILTER", L, k.SO_ATTACH_FILTER, MAX_PROGRAM_SIZE, decodeProgram, (value) =>
  encodeProgram("SO_ATTACH_FILTER", value),
);
/** Removes the filter, classic or extended. `ENOENT` if there is none. */
export const SO_DETACH_FILTER: SocketOption<never, true> = actionOption("SO_DETACH_FILTER", L, k.SO_DETACH_FILTER);
/** SO_DETACH_FILTER under its other name. */
export const SO_DETACH_BPF: SocketOption<never, true> = SO_DETACH_FILTER;
/** Delivers the time of arrival in microseconds with each message. */
export const SO_TIMESTAMP: SocketOption<boolean, boolean> = booleanOption("SO_TIMESTAMP", L, k.SO_TIMESTAMP);
/** Whether the socket listens. */
export const SO_ACCEPTCONN: SocketOption<boolean, never> = withoutSet(
  booleanOption("SO_ACCEPTCONN", L, k.SO_ACCEPTCONN),
);
/** Security label of the peer. `ENOPROTOOPT` if no security module has one. */
export const SO_PEERSEC: SocketOption<string, never> = readOnlyOption(
  "SO_PEERSEC",
  L,
  k.SO_PEERSEC,
  LABEL_SIZE,
  readText,
);
/** SO_SNDBUF without the limit of net.core.wmem_max. */
export const SO_SNDBUFFORCE: SocketOption<never, number> = withoutGet(
  intOption("SO_SNDBUFFORCE", L, k.SO_SNDBUFFORCE, 0),
);
/** SO_RCVBUF without the limit of net.core.rmem_max. */
export const SO_RCVBUFFORCE: SocketOption<never, number> = withoutGet(
  intOption("SO_RCVBUFFORCE", L, k.SO_RCVBUFFORCE, 0),
);
/** Delivers the sender's security label with each message of a UNIX socket. */
export const SO_PASSSEC: SocketOption<boolean, boolean> = booleanOption("SO_PASSSEC", L, k.SO_PASSSEC);
/** Delivers the time of arrival in nanoseconds with each message. */
export const SO_TIMESTAMPNS: SocketOption<boolean, boolean> = booleanOption("SO_TIMESTAMPNS", L, k.SO_TIMESTAMPNS);
/** Mark of the packets that are sent, for routing rules and packet filters. */
export const SO_MARK: SocketOption<number, number> = uintOption("SO_MARK", L, k.SO_MARK);
/** The time stamps that the kernel creates and reports: `SOF_TIMESTAMPING_` flags. */
export const SO_TIMESTAMPING: SocketOption<Timestamping, number | Timestamping> = timestampingOption(
  "SO_TIMESTAMPING",
  L,
  k.SO_TIMESTAMPING,
);
/** The protocol of the socket, such as `IPPROTO_TCP`. */
export const SO_PROTOCOL: SocketOption<number, never> = withoutSet(intOption("SO_PROTOCOL", L, k.SO_PROTOCOL));
/** The family of the socket, such as `AF_INET`. */
export const SO_DOMAIN: SocketOption<number, never> = withoutSet(intOption("SO_DOMAIN", L, k.SO_DOMAIN));
/** Delivers with each message the number of packets that were dropped so far because the queue was full. */
export const SO_RXQ_OVFL: SocketOption<boolean, boolean> = booleanOption("SO_RXQ_OVFL", L, k.SO_RXQ_OVFL);
/** Reports whether a wireless frame was acknowledged. */
export const SO_WIFI_STATUS: SocketOption<boolean, boolean> = booleanOption("SO_WIFI_STATUS", L, k.SO_WIFI_STATUS);
/** Offset of the next `MSG_PEEK`. Each peek adds the number of bytes that it returned. -1: always peek at the front. */
export const SO_PEEK_OFF: SocketOption<number, number> = intOption("SO_PEEK_OFF", L, k.SO_PEEK_OFF, -1);
/** The program sends the checksum of each frame as its last four bytes. */
export const SO_NOFCS: SocketOption<boolean, boolean> = booleanOption("SO_NOFCS", L, k.SO_NOFCS);
/** Locks the filter. Every call that would change, remove or unlock the filter then fails with `EPERM`. */
export const SO_LOCK_FILTER: SocketOption<boolean, boolean> = booleanOption("SO_LOCK_FILTER", L, k.SO_LOCK_FILTER);
/** Reports `POLLPRI` with each `POLLERR`. */
export const SO_SELECT_ERR_QUEUE: SocketOption<boolean, boolean> = booleanOption(
  "SO_SELECT_ERR_QUEUE",
  L,
  k.SO_SELECT_ERR_QUEUE,
);
/** Time (us) for which a call polls the device instead of waiting for an interrupt. */
export const SO_BUSY_POLL: SocketOption<number, number> = intOption("SO_BUSY_POLL", L, k.SO_BUSY_POLL, 0);
/** Maximum number of bytes per second to send; Infinity for no limit. */
export const SO_MAX_PACING_RATE: SocketOption<number, number> = byteCountOption(
  "SO_MAX_PACING_RATE",
  L,
  k.SO_MAX_PACING_RATE,
);
/** Extensions of classic BPF that the kernel supports: SKF_AD_MAX, 64 on all current kernels. */
export const SO_BPF_EXTENSIONS: SocketOption<number, never> = withoutSet(
  intOption("SO_BPF_EXTENSIONS", L, k.SO_BPF_EXTENSIONS),
);
/**
 * The CPU on which packets of the socket arrive; -1 before the first packet. If several listeners of a port set it, the
 * kernel prefers the listener with the CPU on which a connection arrives.
 */
export const SO_INCOMING_CPU: SocketOption<number, number> = intOption("SO_INCOMING_CPU", L, k.SO_INCOMING_CPU);
/** The descriptor, returned by bpf(2), of an extended BPF program that filters incoming packets. */
export const SO_ATTACH_BPF: SocketOption<never, number> = withoutGet(intOption("SO_ATTACH_BPF", L, k.SO_ATTACH_BPF, 0));
/**
 * A classic BPF program that chooses the socket of a SO_REUSEPORT group. It returns the index of a socket.
 * The sockets are in the order of `bind`, and TCP listeners in the order of `listen`.
 */
export const SO_ATTACH_REUSEPORT_CBPF: SocketOption<never, readonly BpfInstruction[]> = writeOnlyOption(
  "SO_ATTACH_REUSEPORT_CBPF",
  L,
  k.SO_ATTACH_REUSEPORT_CBPF,
  encodeProgram,
);
/** Descriptor of an extended BPF program that chooses the socket of a SO_REUSEPORT group. */
export const SO_ATTACH_REUSEPORT_EBPF: SocketOption<never, number> = withoutGet(
  intOption("SO_ATTACH_REUSEPORT_EBPF", L, k.SO_ATTACH_REUSEPORT_EBPF, 0),
);
/** Reports to the kernel that the route is bad. The kernel then looks for another route. */
export const SO_CNX_ADVICE: SocketOption<never, true> = actionOption("SO_CNX_ADVICE", L, k.SO_CNX_ADVICE);
/** The memory that the socket uses. */
export const SO_MEMINFO: SocketOption<MemInfo, never> = readOnlyOption(
  "SO_MEMINFO",
  L,
  k.SO_MEMINFO,
  MEMINFO_SIZE,
  decodeMemInfo,
);
/** The id of the device's receive queue (NAPI) that delivered the last packet; 0 for none. */
export const SO_INCOMING_NAPI_ID: SocketOption<number, never> = withoutSet(
  uintOption("SO_INCOMING_NAPI_ID", L, k.SO_INCOMING_NAPI_ID),
);
/** A number that no other socket has had since the boot of this host. */
export const SO_COOKIE: SocketOption<bigint, never> = idOption("SO_COOKIE", L, k.SO_COOKIE);
/** Supplementary groups of the peer of a UNIX socket. */
export const SO_PEERGROUPS: SocketOption<number[], never> = readOnlyOption(
  "SO_PEERGROUPS",
  L,
  k.SO_PEERGROUPS,
  GROUPS_SIZE,
  decodeUints,
);
/**
 * Allows sends with `MSG_ZEROCOPY`. The calls of this package refuse that flag (docs/options.md), so the option only
 * helps another program that gets the descriptor.
 */
export const SO_ZEROCOPY: SocketOption<boolean, boolean> = booleanOption("SO_ZEROCOPY", L, k.SO_ZEROCOPY);
/** Allows a send time with each packet (SCM_TXTIME). */
export const SO_TXTIME: SocketOption<TxTime, TxTime> = txTimeOption("SO_TXTIME", L, k.SO_TXTIME);
/** The only interface that the socket uses. Reading returns its index, or 0 for none. */
export const SO_BINDTOIFINDEX: SocketOption<number, NetworkInterface> = customOption<number, NetworkInterface>(
  "SO_BINDTOIFINDEX",
  L,
  k.SO_BINDTOIFINDEX,
  4,
  readInt,
  (value) => intBytes(interfaceMember("SO_BINDTOIFINDEX", "value", value)),
);
/** Removes the program that chooses the socket of a SO_REUSEPORT group. `ENOENT` if there is none. */
export const SO_DETACH_REUSEPORT_BPF: SocketOption<never, true> = actionOption(
  "SO_DETACH_REUSEPORT_BPF",
  L,
  k.SO_DETACH_REUSEPORT_BPF,
);
/** Prefers polling of the device to its interrupts. */
export const SO_PREFER_BUSY_POLL: SocketOption<boolean, boolean> = booleanOption(
  "SO_PREFER_BUSY_POLL",
  L,
  k.SO_PREFER_BUSY_POLL,
);
/** Maximum number of packets per poll of the device. */
export const SO_BUSY_POLL_BUDGET: SocketOption<never, number> = withoutGet(
  intOption("SO_BUSY_POLL_BUDGET", L, k.SO_BUSY_POLL_BUDGET, 0, 0xffff),
);
/** A number that no other network namespace has had since the boot of this host. */
export const SO_NETNS_COOKIE: SocketOption<bigint, never> = idOption("SO_NETNS_COOKIE", L, k.SO_NETNS_COOKIE);
/** The buffers whose size the kernel does not adjust: `SOCK_SNDBUF_LOCK`, `SOCK_RCVBUF_LOCK`. */
export const SO_BUF_LOCK: SocketOption<number, number> = uintOption("SO_BUF_LOCK", L, k.SO_BUF_LOCK, 0, 3);
/** Memory (bytes) that the memory cgroup reserves for the socket. Requires a memory cgroup. */
export const SO_RESERVE_MEM: SocketOption<number, number> = intOption("SO_RESERVE_MEM", L, k.SO_RESERVE_MEM, 0);
/** Whether TCP tries another path after timeouts: `SOCK_TXREHASH_DISABLED`, `_ENABLED`; -1 is the system's default. */
export const SO_TXREHASH: SocketOption<number, number> = intOption("SO_TXREHASH", L, k.SO_TXREHASH, -1, 1);
/** Delivers the mark of each packet. */
export const SO_RCVMARK: SocketOption<boolean, boolean> = booleanOption("SO_RCVMARK", L, k.SO_RCVMARK);
/** Delivers a descriptor of the sender's process with each message of a UNIX socket. */
export const SO_PASSPIDFD: SocketOption<boolean, boolean> = booleanOption("SO_PASSPIDFD", L, k.SO_PASSPIDFD);
/** A new close-on-exec descriptor that refers to the peer's process, like pidfd_open(2). The caller must close it. */
export const SO_PEERPIDFD: SocketOption<number, never> = withoutSet(intOption("SO_PEERPIDFD", L, k.SO_PEERPIDFD));
/** Delivers the priority of each packet. */
export const SO_RCVPRIORITY: SocketOption<boolean, boolean> = booleanOption("SO_RCVPRIORITY", L, k.SO_RCVPRIORITY);
/** Whether a UNIX socket accepts descriptors. If not, sending a message with descriptors to it fails with `EPERM`. */
export const SO_PASSRIGHTS: SocketOption<boolean, boolean> = booleanOption("SO_PASSRIGHTS", L, k.SO_PASSRIGHTS);
/** Delivers with each message of a UNIX stream how many bytes are left to read. */
export const SO_INQ: SocketOption<never, boolean> = withoutGet(booleanOption("SO_INQ", L, k.SO_INQ));
