// The state of a congestion control: union tcp_cc_info of linux/inet_diag.h.
//
// The kernel does not return which member of the union is valid. TCP_CONGESTION returns the name of the algorithm,
// which determines the member.

import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";

/** TCP Vegas. */
export interface TcpVegasInfo {
  readonly tcpv_enabled: number;
  /** Round trips measured. */
  readonly tcpv_rttcnt: number;
  /** The last round trip (us). */
  readonly tcpv_rtt: number;
  /** The shortest round trip (us). */
  readonly tcpv_minrtt: number;
}

/** Data Center TCP (RFC 8257). `dctcp_ce_state` is 1 if the last received segment had a congestion mark. */
export interface TcpDctcpInfo {
  readonly dctcp_enabled: number;
  readonly dctcp_ce_state: number;
  /** Estimate of the share of marked bytes, in 1/1024. */
  readonly dctcp_alpha: number;
  /** Bytes acknowledged with a congestion mark. */
  readonly dctcp_ab_ecn: number;
  /** All acknowledged bytes. */
  readonly dctcp_ab_tot: number;
}

/** BBR. */
export interface TcpBbrInfo {
  /** Estimate of the bandwidth (bytes/s). */
  readonly bbr_bw: number;
  /** Estimate of the shortest round trip (us). */
  readonly bbr_min_rtt: number;
  /** Gain of the pacing, in 1/256. */
  readonly bbr_pacing_gain: number;
  /** Gain of the congestion window, in 1/256. */
  readonly bbr_cwnd_gain: number;
}

/**
 * The result of `getsockopt(TCP_CC_INFO)`: a union. Only the member of the algorithm in `TCP_CONGESTION` is valid. For
 * an algorithm that returns no state (cubic, reno), `bytes` is empty and all members are null.
 */
export interface TcpCcInfo {
  /** The bytes from the kernel. */
  readonly bytes: Uint8Array;
  readonly vegas: TcpVegasInfo | null;
  readonly dctcp: TcpDctcpInfo | null;
  readonly bbr: TcpBbrInfo | null;
}

/** Size of the buffer. It is larger than the union, for members that later kernels add. */
export const TCP_CC_INFO_SIZE: number = 64;

export function decodeTcpCcInfo(bytes: Uint8Array): TcpCcInfo {
  const data = view(bytes);
  const u32 = (at: number): number => data.getUint32(at, LITTLE_ENDIAN);
  // The structs have 16, 16 and 20 bytes.
  return {
    bytes,
    vegas:
      bytes.length < 16 ? null : { tcpv_enabled: u32(0), tcpv_rttcnt: u32(4), tcpv_rtt: u32(8), tcpv_minrtt: u32(12) },
    dctcp:
      bytes.length < 16
        ? null
        : {
            dctcp_enabled: data.getUint16(0, LITTLE_ENDIAN),
            dctcp_ce_state: data.getUint16(2, LITTLE_ENDIAN),
            dctcp_alpha: u32(4),
            dctcp_ab_ecn: u32(8),
            dctcp_ab_tot: u32(12),
          },
    bbr:
      bytes.length < 20
        ? null
        : {
            bbr_bw: u32(4) * 0x1_0000_0000 + u32(0),
            bbr_min_rtt: u32(8),
            bbr_pacing_gain: u32(12),
            bbr_cwnd_gain: u32(16),
          },
  };
}
