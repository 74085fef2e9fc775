// Options of the level IPPROTO_TCP, tcp(7) and linux/tcp.h, in the order of their numbers. "Delivers X" means:
// recvmsg() returns X as control data.

import * as k from "../sys/constants.js";
import {
  booleanOption,
  bytesOption,
  intOption,
  withoutSet,
  readOnlyOption,
  writeOnlyOption,
  customOption,
  type SocketOption,
  textOption,
  uintOption,
} from "./option.js";
import { decodeTcpCcInfo, TCP_CC_INFO_SIZE, type TcpCcInfo } from "./tcpCongestion.js";
import { decodeTcpInfo, TCP_INFO_SIZE, type TcpInfo } from "./tcpInfo.js";
import {
  decodeRepairWindow,
  encodeRepairOptions,
  encodeRepairWindow,
  REPAIR_WINDOW_SIZE,
  type TcpRepairOption,
  type TcpRepairWindow,
} from "./tcpRepair.js";

/** The level of all options in this file. */
const L = k.IPPROTO_TCP;
/** Bytes of the longest name with its NUL: TCP_CA_NAME_MAX and TCP_ULP_NAME_MAX of the kernel. */
const NAME_SIZE = 16;
/** Bytes of a buffer for the headers of a SYN: link layer, IPv6 with extensions, TCP with options. */
const SYN_SIZE = 1024;

/** Sends small segments at once (no Nagle algorithm). */
export const TCP_NODELAY: SocketOption<boolean, boolean> = booleanOption("TCP_NODELAY", L, k.TCP_NODELAY);
/** Maximum size of a segment (bytes). If it is set before `connect` or `listen`, it is also announced to the peer. */
export const TCP_MAXSEG: SocketOption<number, number> = intOption("TCP_MAXSEG", L, k.TCP_MAXSEG, 0);
/** Delays segments that are not full, for 200 ms at most. Setting it to false sends them. */
export const TCP_CORK: SocketOption<boolean, boolean> = booleanOption("TCP_CORK", L, k.TCP_CORK);
/** Seconds without received data before the first keep-alive probe. */
export const TCP_KEEPIDLE: SocketOption<number, number> = intOption("TCP_KEEPIDLE", L, k.TCP_KEEPIDLE);
/** Seconds between two keep-alive probes. */
export const TCP_KEEPINTVL: SocketOption<number, number> = intOption("TCP_KEEPINTVL", L, k.TCP_KEEPINTVL);
/** Number of unanswered keep-alive probes after which the kernel ends the connection. */
export const TCP_KEEPCNT: SocketOption<number, number> = intOption("TCP_KEEPCNT", L, k.TCP_KEEPCNT);
/** Number of retransmissions of a SYN before `connect` fails. */
export const TCP_SYNCNT: SocketOption<number, number> = intOption("TCP_SYNCNT", L, k.TCP_SYNCNT, 1, 255);
/**
 * Seconds for which a closed socket waits for the FIN of the peer (FIN-WAIT-2). -1: it does not wait. 0: the system's
 * default.
 */
export const TCP_LINGER2: SocketOption<number, number> = intOption("TCP_LINGER2", L, k.TCP_LINGER2, -1);
/**
 * On a listener: a connection can be accepted when its first data arrives, or after this number of seconds. The kernel
 * rounds the time up to a number of SYN-ACK retransmissions.
 */
export const TCP_DEFER_ACCEPT: SocketOption<number, number> = intOption("TCP_DEFER_ACCEPT", L, k.TCP_DEFER_ACCEPT, 0);
/** Maximum receive window that is announced to the peer (bytes). */
export const TCP_WINDOW_CLAMP: SocketOption<number, number> = intOption("TCP_WINDOW_CLAMP", L, k.TCP_WINDOW_CLAMP, 0);
/** The state and the counters of the connection. */
export const TCP_INFO: SocketOption<TcpInfo, never> = readOnlyOption(
  "TCP_INFO",
  L,
  k.TCP_INFO,
  TCP_INFO_SIZE,
  decodeTcpInfo,
);
/** Sends acknowledgements at once. The kernel may return to delayed acknowledgements later. */
export const TCP_QUICKACK: SocketOption<boolean, boolean> = booleanOption("TCP_QUICKACK", L, k.TCP_QUICKACK);
/** Name of the congestion control: one in net.ipv4.tcp_available_congestion_control. `ENOENT` for another name. */
export const TCP_CONGESTION: SocketOption<string, string> = textOption(
  "TCP_CONGESTION",
  L,
  k.TCP_CONGESTION,
  NAME_SIZE,
);
/** Keeps the retransmission timeout constant instead of doubling it, for streams with few packets in flight. */
export const TCP_THIN_LINEAR_TIMEOUTS: SocketOption<boolean, boolean> = booleanOption(
  "TCP_THIN_LINEAR_TIMEOUTS",
  L,
  k.TCP_THIN_LINEAR_TIMEOUTS,
);
/** Milliseconds for which sent data may stay unacknowledged; 0 is the system's default. */
export const TCP_USER_TIMEOUT: SocketOption<number, number> = intOption("TCP_USER_TIMEOUT", L, k.TCP_USER_TIMEOUT, 0);
/** The repair mode, which saves or restores a connection: `TCP_REPAIR_ON`, `_OFF`, `_OFF_NO_WP`. */
export const TCP_REPAIR: SocketOption<number, number> = intOption("TCP_REPAIR", L, k.TCP_REPAIR, -1, 1);
/** The queue that other calls use in repair mode: `TCP_NO_QUEUE`, `TCP_RECV_QUEUE`, `TCP_SEND_QUEUE`. */
export const TCP_REPAIR_QUEUE: SocketOption<number, number> = intOption(
  "TCP_REPAIR_QUEUE",
  L,
  k.TCP_REPAIR_QUEUE,
  0,
  2,
);
/** Sequence number of the queue that TCP_REPAIR_QUEUE selects, in repair mode. */
export const TCP_QUEUE_SEQ: SocketOption<number, number> = uintOption("TCP_QUEUE_SEQ", L, k.TCP_QUEUE_SEQ);
/** Restores options that were negotiated in the handshake, in repair mode. */
export const TCP_REPAIR_OPTIONS: SocketOption<never, readonly TcpRepairOption[]> = writeOnlyOption(
  "TCP_REPAIR_OPTIONS",
  L,
  k.TCP_REPAIR_OPTIONS,
  encodeRepairOptions,
);
/**
 * On a listener: maximum number of pending Fast Open connections (RFC 7413). Requires the bit 0x2 in
 * net.ipv4.tcp_fastopen.
 */
export const TCP_FASTOPEN: SocketOption<number, number> = intOption("TCP_FASTOPEN", L, k.TCP_FASTOPEN, 0);
/** The current value of the TCP timestamp option. It can be set only in repair mode. */
export const TCP_TIMESTAMP: SocketOption<number, number> = uintOption("TCP_TIMESTAMP", L, k.TCP_TIMESTAMP);
/** The socket is writable only while fewer bytes than this number are unsent. */
export const TCP_NOTSENT_LOWAT: SocketOption<number, number> = uintOption("TCP_NOTSENT_LOWAT", L, k.TCP_NOTSENT_LOWAT);
/** The state of the congestion control. */
export const TCP_CC_INFO: SocketOption<TcpCcInfo, never> = readOnlyOption(
  "TCP_CC_INFO",
  L,
  k.TCP_CC_INFO,
  TCP_CC_INFO_SIZE,
  decodeTcpCcInfo,
);
/** On a listener: keeps the headers of each SYN. 1: from the IP header on. 2: also the link-layer header. */
export const TCP_SAVE_SYN: SocketOption<number, number> = intOption("TCP_SAVE_SYN", L, k.TCP_SAVE_SYN, 0, 2);
/** The headers of the SYN of this connection. Empty after the first reading, and without TCP_SAVE_SYN. */
export const TCP_SAVED_SYN: SocketOption<Uint8Array, never> = withoutSet(
  bytesOption("TCP_SAVED_SYN", L, k.TCP_SAVED_SYN, 0, SYN_SIZE),
);
/** The windows of the connection, in repair mode. */
export const TCP_REPAIR_WINDOW: SocketOption<TcpRepairWindow, TcpRepairWindow> = customOption<
  TcpRepairWindow,
  TcpRepairWindow
>("TCP_REPAIR_WINDOW", L, k.TCP_REPAIR_WINDOW, REPAIR_WINDOW_SIZE, decodeRepairWindow, (value) =>
  encodeRepairWindow("TCP_REPAIR_WINDOW", value),
);
/** If the kernel has a Fast Open cookie of the peer, `connect` sends nothing. The first send sends SYN and data. */
export const TCP_FASTOPEN_CONNECT: SocketOption<boolean, boolean> = booleanOption(
  "TCP_FASTOPEN_CONNECT",
  L,
  k.TCP_FASTOPEN_CONNECT,
);
/** Name of the upper layer protocol in the kernel, such as `"tls"`; `""` for none. `ENOENT` for an unknown name. */
export const TCP_ULP: SocketOption<string, string> = textOption("TCP_ULP", L, k.TCP_ULP, NAME_SIZE);
/** The key of Fast Open cookies: 16 bytes, or 32 bytes for a new key and the old key. */
export const TCP_FASTOPEN_KEY: SocketOption<Uint8Array, Uint8Array> = bytesOption(
  "TCP_FASTOPEN_KEY",
  L,
  k.TCP_FASTOPEN_KEY,
  16,
  32,
);
/** Accepts and sends data in a SYN without a cookie. Use it only in networks in which no peer can forge addresses. */
export const TCP_FASTOPEN_NO_COOKIE: SocketOption<boolean, boolean> = booleanOption(
  "TCP_FASTOPEN_NO_COOKIE",
  L,
  k.TCP_FASTOPEN_NO_COOKIE,
);
/** Delivers with each `recvmsg` the number of bytes that are left to read. */
export const TCP_INQ: SocketOption<boolean, boolean> = booleanOption("TCP_INQ", L, k.TCP_INQ);
/** Delay before the kernel sends a packet (us), for tests. Requires the fq queueing discipline. */
export const TCP_TX_DELAY: SocketOption<number, number> = intOption("TCP_TX_DELAY", L, k.TCP_TX_DELAY, 0);
/** Whether the connection uses Multipath TCP and has not fallen back to TCP. */
export const TCP_IS_MPTCP: SocketOption<boolean, never> = withoutSet(booleanOption("TCP_IS_MPTCP", L, k.TCP_IS_MPTCP));
/** Maximum retransmission timeout (ms). The kernel takes 1000 to 120000. */
export const TCP_RTO_MAX_MS: SocketOption<number, number> = intOption("TCP_RTO_MAX_MS", L, k.TCP_RTO_MAX_MS, 0);
/** Minimum retransmission timeout (us). */
export const TCP_RTO_MIN_US: SocketOption<number, number> = intOption("TCP_RTO_MIN_US", L, k.TCP_RTO_MIN_US, 0);
/** Maximum delay of an acknowledgement (us). */
export const TCP_DELACK_MAX_US: SocketOption<number, number> = intOption(
  "TCP_DELACK_MAX_US",
  L,
  k.TCP_DELACK_MAX_US,
  0,
);
