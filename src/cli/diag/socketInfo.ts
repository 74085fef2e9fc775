// A socket of this machine as sock_diag(7) describes it.

import type { TcpInfo } from "berkeley";

export const KINDS = ["tcp", "udp", "raw", "unix"] as const;
export type Kind = (typeof KINDS)[number];

/** States by their numbers in the kernel (`include/net/tcp_states.h`), under the names of ss(8). */
export const STATES = [
  "",
  "ESTAB",
  "SYN-SENT",
  "SYN-RECV",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "TIME-WAIT",
  "UNCONN",
  "CLOSE-WAIT",
  "LAST-ACK",
  "LISTEN",
  "CLOSING",
  // TCP_NEW_SYN_RECV. ss(8) prints the same name for this state and for TCP_SYN_RECV (3).
  "SYN-RECV",
] as const;

export type State = Exclude<(typeof STATES)[number], ""> | `state ${number}`;

export interface Timer {
  readonly kind: "retransmit" | "keepalive" | "time-wait" | "probe" | `timer ${number}`;
  /** ms until the timer fires. */
  readonly expires: number;
  /** The number of times that the timer has fired without an answer of the peer. */
  readonly retransmits: number;
}

/** Numbers of bytes, and in `drops` a number of packets: `SK_MEMINFO_*` of `linux/sock_diag.h`. */
export interface Memory {
  readonly receive: number;
  readonly receiveLimit: number;
  readonly send: number;
  readonly sendLimit: number;
  /** Memory that is reserved for the socket and not used yet. */
  readonly forward: number;
  readonly queued: number;
  readonly options: number;
  readonly backlog: number;
  readonly drops: number;
}

/** A process that has the socket open. */
export interface SocketUser {
  readonly name: string;
  readonly pid: number;
  readonly fd: number;
}

/** The local or the remote end of a socket: its address as ss(8) prints it, and the parts of the address. */
export interface SocketEnd {
  readonly text: string;
  readonly host?: string;
  readonly port?: number;
  readonly interface?: string;
  /** The path and the inode of a UNIX socket. */
  readonly path?: string;
  readonly inode?: number;
}

export interface SocketInfo {
  readonly kind: Kind;
  /** The kind as it is printed, such as `tcp` or `unix stream`. */
  readonly type: string;
  readonly state: State;
  /** For a listener, the connections in its accept queue; for other sockets, received bytes that were not read. */
  readonly receiveQueue: number;
  /**
   * For a listener, the limit of its accept queue; for other sockets, bytes in the send buffer. TCP keeps bytes there
   * until the peer has acknowledged them.
   */
  readonly sendQueue: number;
  readonly local: SocketEnd;
  readonly peer: SocketEnd;
  readonly uid?: number;
  readonly inode: number;
  readonly timer?: Timer;
  /** The name of the congestion control. */
  readonly congestion?: string;
  readonly memory?: Memory;
  readonly tcp?: TcpInfo;
  readonly users: readonly SocketUser[];
}

/** The name of the kernel's state. */
export function stateOf(number: number): State {
  const name = STATES[number];
  return name === undefined || name === "" ? `state ${number}` : name;
}
