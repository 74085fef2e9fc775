// struct tcp_info of linux/tcp.h: the state and the counters of a connection.

import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";

/** States of a TCP connection (RFC 9293, section 3.3.2), as the kernel names them. */
export type TcpState =
  | "ESTABLISHED"
  | "SYN_SENT"
  | "SYN_RECV"
  | "FIN_WAIT1"
  | "FIN_WAIT2"
  | "TIME_WAIT"
  | "CLOSE"
  | "CLOSE_WAIT"
  | "LAST_ACK"
  | "LISTEN"
  | "CLOSING"
  | "NEW_SYN_RECV";

const STATES: readonly (TcpState | undefined)[] = [
  undefined,
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "NEW_SYN_RECV",
];

/**
 * The result of `getsockopt(TCP_INFO)`, with the names of linux/tcp.h. A field that the running kernel does not have is
 * absent: Linux 4.18 to 6.7 added the optional fields. 64-bit values are numbers, and Infinity stands for the kernel's
 * value for "unlimited".
 */
export interface TcpInfo {
  /** State of the connection. */
  readonly tcpi_state: TcpState;
  /** State of congestion control: 0 open, 1 disorder, 2 CWR, 3 recovery, 4 loss. */
  readonly tcpi_ca_state: number;
  /** Consecutive retransmission timeouts. */
  readonly tcpi_retransmits: number;
  /** Unanswered window or keep-alive probes. */
  readonly tcpi_probes: number;
  /** Exponent of the back-off of the timers. */
  readonly tcpi_backoff: number;
  /** Bits for negotiated options: 1 timestamps, 2 SACK, 4 window scale, 8 ECN, 16 ECN seen, 32 data in SYN. */
  readonly tcpi_options: number;
  /** Window scale that the peer announced. */
  readonly tcpi_snd_wscale: number;
  /** Window scale that this side announced. */
  readonly tcpi_rcv_wscale: number;
  /** Whether the delivery rate was limited by the application. */
  readonly tcpi_delivery_rate_app_limited: boolean;
  /** Why Fast Open failed. 0: it did not fail, or the reason is unknown. */
  readonly tcpi_fastopen_client_fail: number;
  /** Retransmission timeout (us). */
  readonly tcpi_rto: number;
  /** Delayed-ack timeout (us). */
  readonly tcpi_ato: number;
  /** Segment size for sending (bytes). */
  readonly tcpi_snd_mss: number;
  /** Segment size of received data (bytes). */
  readonly tcpi_rcv_mss: number;
  /** Sent and not acknowledged (segments). On a listener: the connections in the accept queue. */
  readonly tcpi_unacked: number;
  /** Acknowledged selectively (segments). On a listener: the backlog. */
  readonly tcpi_sacked: number;
  /** Assumed lost (segments). */
  readonly tcpi_lost: number;
  /** Retransmitted and not acknowledged (segments). */
  readonly tcpi_retrans: number;
  /** Always 0 since Linux 4.15 (segments). */
  readonly tcpi_fackets: number;
  /** Time since data was last sent (ms). */
  readonly tcpi_last_data_sent: number;
  /** Always 0: the kernel does not record the time since an acknowledgement was last sent (ms). */
  readonly tcpi_last_ack_sent: number;
  /** Time since data was last received (ms). */
  readonly tcpi_last_data_recv: number;
  /** Time since an acknowledgement was last received (ms). */
  readonly tcpi_last_ack_recv: number;
  /** Path MTU (bytes). */
  readonly tcpi_pmtu: number;
  /** Current receive window clamp (bytes). */
  readonly tcpi_rcv_ssthresh: number;
  /** Smoothed round-trip time (us). */
  readonly tcpi_rtt: number;
  /** Mean deviation of the round-trip time (us). */
  readonly tcpi_rttvar: number;
  /** Slow-start threshold (segments). */
  readonly tcpi_snd_ssthresh: number;
  /** Congestion window (segments). */
  readonly tcpi_snd_cwnd: number;
  /** Advertised segment size (bytes). */
  readonly tcpi_advmss: number;
  /** Reordering tolerated before loss is assumed (segments). */
  readonly tcpi_reordering: number;
  /** Round-trip time as estimated by the receiver (us). */
  readonly tcpi_rcv_rtt: number;
  /** Receive queue space, from the rate at which the application reads (bytes). */
  readonly tcpi_rcv_space: number;
  /** Retransmitted over the lifetime (segments). */
  readonly tcpi_total_retrans: number;
  /** Current pacing rate; Infinity for none (bytes/s). */
  readonly tcpi_pacing_rate: number;
  /** SO_MAX_PACING_RATE; Infinity for none (bytes/s). */
  readonly tcpi_max_pacing_rate: number;
  /** Acknowledged by the peer (RFC 4898) (bytes). */
  readonly tcpi_bytes_acked: number;
  /** Received in order (RFC 4898) (bytes). */
  readonly tcpi_bytes_received: number;
  /** Sent, of any kind (segments). */
  readonly tcpi_segs_out: number;
  /** Received, of any kind (segments). */
  readonly tcpi_segs_in: number;
  /** In the send queue, not sent yet (bytes). */
  readonly tcpi_notsent_bytes: number;
  /** Shortest measured round-trip time (us). */
  readonly tcpi_min_rtt: number;
  /** Received with data (segments). */
  readonly tcpi_data_segs_in: number;
  /** Sent with data (segments). */
  readonly tcpi_data_segs_out: number;
  /** Most recent delivery rate (bytes/s). */
  readonly tcpi_delivery_rate: number;
  /** Time during which there was data to send (us). */
  readonly tcpi_busy_time: number;
  /** Time during which the peer's receive window limited sending (us). */
  readonly tcpi_rwnd_limited: number;
  /** Time during which the send buffer limited sending (us). */
  readonly tcpi_sndbuf_limited: number;
  /** Delivered to the peer (segments). */
  readonly tcpi_delivered?: number;
  /** Delivered with a congestion mark (segments). */
  readonly tcpi_delivered_ce?: number;
  /** Sent, retransmissions included (bytes). */
  readonly tcpi_bytes_sent?: number;
  /** Retransmitted (bytes). */
  readonly tcpi_bytes_retrans?: number;
  /** Duplicates that the peer reported (segments). */
  readonly tcpi_dsack_dups?: number;
  /** Detected reorderings. */
  readonly tcpi_reord_seen?: number;
  /** Received out of order (segments). */
  readonly tcpi_rcv_ooopack?: number;
  /** The peer's receive window (bytes). */
  readonly tcpi_snd_wnd?: number;
  /** The receive window that this side has announced (bytes). */
  readonly tcpi_rcv_wnd?: number;
  /** Changes of path after signs of congestion or loss. */
  readonly tcpi_rehash?: number;
  /** Retransmission timeouts. */
  readonly tcpi_total_rto?: number;
  /** Recoveries that began with a retransmission timeout. */
  readonly tcpi_total_rto_recoveries?: number;
  /** Total time of the recoveries in `tcpi_total_rto_recoveries` (ms). */
  readonly tcpi_total_rto_time?: number;
}

/** Bytes of the struct as of Linux 6.7. */
export const TCP_INFO_SIZE: number = 248;

/** The fields of 16, 32 or 64 bits in the order of the struct, without gaps: the name and the size in bytes. */
const FIELDS: readonly (readonly [keyof TcpInfo, 2 | 4 | 8])[] = [
  ["tcpi_rto", 4],
  ["tcpi_ato", 4],
  ["tcpi_snd_mss", 4],
  ["tcpi_rcv_mss", 4],
  ["tcpi_unacked", 4],
  ["tcpi_sacked", 4],
  ["tcpi_lost", 4],
  ["tcpi_retrans", 4],
  ["tcpi_fackets", 4],
  ["tcpi_last_data_sent", 4],
  ["tcpi_last_ack_sent", 4],
  ["tcpi_last_data_recv", 4],
  ["tcpi_last_ack_recv", 4],
  ["tcpi_pmtu", 4],
  ["tcpi_rcv_ssthresh", 4],
  ["tcpi_rtt", 4],
  ["tcpi_rttvar", 4],
  ["tcpi_snd_ssthresh", 4],
  ["tcpi_snd_cwnd", 4],
  ["tcpi_advmss", 4],
  ["tcpi_reordering", 4],
  ["tcpi_rcv_rtt", 4],
  ["tcpi_rcv_space", 4],
  ["tcpi_total_retrans", 4],
  ["tcpi_pacing_rate", 8],
  ["tcpi_max_pacing_rate", 8],
  ["tcpi_bytes_acked", 8],
  ["tcpi_bytes_received", 8],
  ["tcpi_segs_out", 4],
  ["tcpi_segs_in", 4],
  ["tcpi_notsent_bytes", 4],
  ["tcpi_min_rtt", 4],
  ["tcpi_data_segs_in", 4],
  ["tcpi_data_segs_out", 4],
  ["tcpi_delivery_rate", 8],
  ["tcpi_busy_time", 8],
  ["tcpi_rwnd_limited", 8],
  ["tcpi_sndbuf_limited", 8],
  ["tcpi_delivered", 4],
  ["tcpi_delivered_ce", 4],
  ["tcpi_bytes_sent", 8],
  ["tcpi_bytes_retrans", 8],
  ["tcpi_dsack_dups", 4],
  ["tcpi_reord_seen", 4],
  ["tcpi_rcv_ooopack", 4],
  ["tcpi_snd_wnd", 4],
  ["tcpi_rcv_wnd", 4],
  ["tcpi_rehash", 4],
  ["tcpi_total_rto", 2],
  ["tcpi_total_rto_recoveries", 2],
  ["tcpi_total_rto_time", 4],
];
/** Where the first of these fields begins, in bytes. */
const FIELDS_OFFSET = 8;

/** The state with this number in `tcpi_state`; undefined for an unknown number. */
export function tcpStateOf(number: number): TcpState | undefined {
  return STATES[number];
}

/** Decodes the fields that the kernel returned. */
export function decodeTcpInfo(bytes: Uint8Array): TcpInfo {
  const data = view(bytes);
  const scales = data.getUint8(6);
  const flags = data.getUint8(7);
  // Both bytes have two bit-fields. On little-endian machines the first one begins at the lowest bit, on others at the
  // highest.
  const info: Record<string, unknown> = {
    tcpi_state: STATES[data.getUint8(0)] ?? "CLOSE",
    tcpi_ca_state: data.getUint8(1),
    tcpi_retransmits: data.getUint8(2),
    tcpi_probes: data.getUint8(3),
    tcpi_backoff: data.getUint8(4),
    tcpi_options: data.getUint8(5),
    tcpi_snd_wscale: LITTLE_ENDIAN ? scales & 15 : scales >> 4,
    tcpi_rcv_wscale: LITTLE_ENDIAN ? scales >> 4 : scales & 15,
    tcpi_delivery_rate_app_limited: (LITTLE_ENDIAN ? flags & 1 : flags >> 7) === 1,
    tcpi_fastopen_client_fail: LITTLE_ENDIAN ? (flags >> 1) & 3 : (flags >> 5) & 3,
  };
  let at = FIELDS_OFFSET;
  for (const [name, size] of FIELDS) {
    // An older kernel returned fewer fields.
    if (at + size > bytes.length) break;
    if (size === 2) info[name] = data.getUint16(at, LITTLE_ENDIAN);
    else info[name] = size === 4 ? data.getUint32(at, LITTLE_ENDIAN) : toNumber(data.getBigUint64(at, LITTLE_ENDIAN));
    at += size;
  }
  return info as unknown as TcpInfo;
}

const UNLIMITED = 0xffff_ffff_ffff_ffffn;

/** Converts 64 bits. All bits set is the kernel's value for "unlimited". */
function toNumber(value: bigint): number {
  return value === UNLIMITED ? Infinity : Number(value);
}
