// Options of the level IPPROTO_TCP, tcp(7) and linux/tcp.h. In the order of their numbers.

import * as k from "../sys/constants.js";
import {
  booleanOption,
  bytesOption,
  intOption,
  withoutSet,
  readOnlyOption,
  writeOnlyOption,
  shapedOption,
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

const L = k.IPPROTO_TCP;
/** TCP_CA_NAME_MAX and TCP_ULP_NAME_MAX of the kernel, NUL included. */
const NAME_SIZE = 16;
/** Headers of a SYN at their longest: link layer, IPv6 with extensions, TCP with options. */
const SYN_SIZE = 1024;

/** Sends small segments at once (no Nagle algorithm). */
export const TCP_NODELAY: SocketOption<boolean, boolean> = booleanOption("TCP_NODELAY", L, k.TCP_NODELAY);
/** The longest segment (bytes). Before `connect` and `listen` it is also announced to the peer. */
export const TCP_MAXSEG: SocketOption<number, number> = intOption("TCP_MAXSEG", L, k.TCP_MAXSEG, 0);
/** Holds back segments that are not full, for 200 ms at most; switching it off sends them. */
export const TCP_CORK: SocketOption<boolean, boolean> = booleanOption("TCP_CORK", L, k.TCP_CORK);
/** Seconds of silence before keep-alive probes begin. */
export const TCP_KEEPIDLE: SocketOption<number, number> = intOption("TCP_KEEPIDLE", L, k.TCP_KEEPIDLE);
/** Seconds between two probes. */
export const TCP_KEEPINTVL: SocketOption<number, number> = intOption("TCP_KEEPINTVL", L, k.TCP_KEEPINTVL);
/** Unanswered probes after which the connection is given up. */
export const TCP_KEEPCNT: SocketOption<number, number> = intOption("TCP_KEEPCNT", L, k.TCP_KEEPCNT);
/** How often a SYN is sent again before `connect` gives up. */
export const TCP_SYNCNT: SocketOption<number, number> = intOption("TCP_SYNCNT", L, k.TCP_SYNCNT, 1, 255);
/**
 * Seconds for which a closed socket waits for the peer's end (FIN-WAIT-2); -1 for not at all, 0 for the system's
 * default.
 */
export const TCP_LINGER2: SocketOption<number, number> = intOption("TCP_LINGER2", L, k.TCP_LINGER2, -1);
/** Seconds for which a connection waits for its first data before it can be accepted; rounded up to retransmissions. */
export const TCP_DEFER_ACCEPT: SocketOption<number, number> = intOption("TCP_DEFER_ACCEPT", L, k.TCP_DEFER_ACCEPT, 0);
/** Limit of the receive window that is announced (bytes). */
export const TCP_WINDOW_CLAMP: SocketOption<number, number> = intOption("TCP_WINDOW_CLAMP", L, k.TCP_WINDOW_CLAMP, 0);
/** The state and the counters of the connection. */
export const TCP_INFO: SocketOption<TcpInfo, never> = readOnlyOption(
  "TCP_INFO",
  L,
  k.TCP_INFO,
  TCP_INFO_SIZE,
  decodeTcpInfo,
);
/** Acknowledges at once. The kernel may return to delayed acknowledgements. */
export const TCP_QUICKACK: SocketOption<boolean, boolean> = booleanOption("TCP_QUICKACK", L, k.TCP_QUICKACK);
/** Name of the congestion control, as in net.ipv4.tcp_available_congestion_control. `ENOENT` for an unknown one. */
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
/** Repair mode, to save or restore a connection: `TCP_REPAIR_ON`, `_OFF`, `_OFF_NO_WP`. */
export const TCP_REPAIR: SocketOption<number, number> = intOption("TCP_REPAIR", L, k.TCP_REPAIR, -1, 1);
/** The queue that other calls use during repair: `TCP_NO_QUEUE`, `TCP_RECV_QUEUE`, `TCP_SEND_QUEUE`. */
export const TCP_REPAIR_QUEUE: SocketOption<number, number> = intOption(
  "TCP_REPAIR_QUEUE",
  L,
  k.TCP_REPAIR_QUEUE,
  0,
  2,
);
/** Sequence number of the queue during repair. */
export const TCP_QUEUE_SEQ: SocketOption<number, number> = uintOption("TCP_QUEUE_SEQ", L, k.TCP_QUEUE_SEQ);
/** Options of the handshake to put back during repair. */
export const TCP_REPAIR_OPTIONS: SocketOption<never, readonly TcpRepairOption[]> = writeOnlyOption(
  "TCP_REPAIR_OPTIONS",
  L,
  k.TCP_REPAIR_OPTIONS,
  (value) => encodeRepairOptions("TCP_REPAIR_OPTIONS", value),
);
/** Connections with data in their SYN that may wait on a listener (RFC 7413); needs net.ipv4.tcp_fastopen with 2. */
export const TCP_FASTOPEN: SocketOption<number, number> = intOption("TCP_FASTOPEN", L, k.TCP_FASTOPEN, 0);
/** The clock of the timestamp option; set during repair. */
export const TCP_TIMESTAMP: SocketOption<number, number> = uintOption("TCP_TIMESTAMP", L, k.TCP_TIMESTAMP);
/** Unsent bytes above which the socket counts as not writable. */
export const TCP_NOTSENT_LOWAT: SocketOption<number, number> = uintOption("TCP_NOTSENT_LOWAT", L, k.TCP_NOTSENT_LOWAT);
/** The state of the congestion control. */
export const TCP_CC_INFO: SocketOption<TcpCcInfo, never> = readOnlyOption(
  "TCP_CC_INFO",
  L,
  k.TCP_CC_INFO,
  TCP_CC_INFO_SIZE,
  decodeTcpCcInfo,
);
/** On a listener: keeps the headers of each SYN; 1 from the IP header on, 2 with the link layer's. */
export const TCP_SAVE_SYN: SocketOption<number, number> = intOption("TCP_SAVE_SYN", L, k.TCP_SAVE_SYN, 0, 2);
/** The headers of this connection's SYN. They can be read once. Later, or without TCP_SAVE_SYN, it is empty. */
export const TCP_SAVED_SYN: SocketOption<Uint8Array, never> = withoutSet(
  bytesOption("TCP_SAVED_SYN", L, k.TCP_SAVED_SYN, 0, SYN_SIZE),
);
/** The windows, during repair. */
export const TCP_REPAIR_WINDOW: SocketOption<TcpRepairWindow, TcpRepairWindow> = shapedOption<
  TcpRepairWindow,
  TcpRepairWindow
>("TCP_REPAIR_WINDOW", L, k.TCP_REPAIR_WINDOW, REPAIR_WINDOW_SIZE, decodeRepairWindow, (value) =>
  encodeRepairWindow("TCP_REPAIR_WINDOW", value),
);
/** `connect` waits for the first data and sends it with the SYN, if a Fast Open cookie of the peer is known. */
export const TCP_FASTOPEN_CONNECT: SocketOption<boolean, boolean> = booleanOption(
  "TCP_FASTOPEN_CONNECT",
  L,
  k.TCP_FASTOPEN_CONNECT,
);
/** Name of the upper layer protocol in the kernel, such as `"tls"`; empty for none. `ENOENT` for an unknown one. */
export const TCP_ULP: SocketOption<string, string> = textOption("TCP_ULP", L, k.TCP_ULP, NAME_SIZE);
/** The key of Fast Open cookies: 16 bytes, or 32 for a new key and the old one. */
export const TCP_FASTOPEN_KEY: SocketOption<Uint8Array, Uint8Array> = bytesOption(
  "TCP_FASTOPEN_KEY",
  L,
  k.TCP_FASTOPEN_KEY,
  16,
  32,
);
/** Takes and sends data in a SYN without a cookie: only where no peer can forge addresses. */
export const TCP_FASTOPEN_NO_COOKIE: SocketOption<boolean, boolean> = booleanOption(
  "TCP_FASTOPEN_NO_COOKIE",
  L,
  k.TCP_FASTOPEN_NO_COOKIE,
);
/** Delivers with each `recvmsg` how many bytes are left to read. */
export const TCP_INQ: SocketOption<boolean, boolean> = booleanOption("TCP_INQ", L, k.TCP_INQ);
/** Microseconds of delay before each send, for tests; needs the fq queueing discipline. */
export const TCP_TX_DELAY: SocketOption<number, number> = intOption("TCP_TX_DELAY", L, k.TCP_TX_DELAY, 0);
/** Whether the connection is one of Multipath TCP that did not fall back. */
export const TCP_IS_MPTCP: SocketOption<boolean, never> = withoutSet(booleanOption("TCP_IS_MPTCP", L, k.TCP_IS_MPTCP));
/** Longest retransmission timeout (ms), 1000 to 120000. */
export const TCP_RTO_MAX_MS: SocketOption<number, number> = intOption("TCP_RTO_MAX_MS", L, k.TCP_RTO_MAX_MS, 0);
/** Shortest retransmission timeout (us). */
export const TCP_RTO_MIN_US: SocketOption<number, number> = intOption("TCP_RTO_MIN_US", L, k.TCP_RTO_MIN_US, 0);
/** Longest delay of an acknowledgement (us). */
export const TCP_DELACK_MAX_US: SocketOption<number, number> = intOption(
  "TCP_DELACK_MAX_US",
  L,
  k.TCP_DELACK_MAX_US,
  0,
);
