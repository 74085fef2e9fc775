// Options of the level IPPROTO_TCP, tcp(7). In the order of their numbers.

import * as k from "../constants.js";
import { booleanOption, intOption, readOnly, shapedOption, type SocketOption } from "./option.js";
import { decodeTcpInfo, TCP_INFO_SIZE, type TcpInfo } from "./tcpInfo.js";

/** Sends small segments at once (no Nagle algorithm). */
export const TCP_NODELAY: SocketOption<boolean, boolean> = booleanOption("TCP_NODELAY", k.IPPROTO_TCP, k.TCP_NODELAY);
/** Seconds of silence before keep-alive probes begin. */
export const TCP_KEEPIDLE: SocketOption<number, number> = intOption("TCP_KEEPIDLE", k.IPPROTO_TCP, k.TCP_KEEPIDLE);
/** Seconds between two probes. */
export const TCP_KEEPINTVL: SocketOption<number, number> = intOption("TCP_KEEPINTVL", k.IPPROTO_TCP, k.TCP_KEEPINTVL);
/** Unanswered probes after which the connection is given up. */
export const TCP_KEEPCNT: SocketOption<number, number> = intOption("TCP_KEEPCNT", k.IPPROTO_TCP, k.TCP_KEEPCNT);
/** What the kernel knows of the connection. */
export const TCP_INFO: SocketOption<TcpInfo, never> = readOnly(
  shapedOption<TcpInfo, never>("TCP_INFO", k.IPPROTO_TCP, k.TCP_INFO, TCP_INFO_SIZE, decodeTcpInfo, () => new Uint8Array(0)),
);
/** Milliseconds for which sent data may stay unacknowledged; 0 is the system's default. */
export const TCP_USER_TIMEOUT: SocketOption<number, number> = intOption("TCP_USER_TIMEOUT", k.IPPROTO_TCP, k.TCP_USER_TIMEOUT, 0);
