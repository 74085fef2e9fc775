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
  // A connection that waits for its last ACK; the kernel tells it apart from SYN-RECV, ss(8) does not.
  "SYN-RECV",
] as const;

export type State = Exclude<(typeof STATES)[number], ""> | `state ${number}`;

export interface Timer {
  readonly kind: "retransmit" | "keepalive" | "time-wait" | "probe" | `timer ${number}`;
  /** ms until it fires. */
  readonly expires: number;
  /** How often it has fired without an answer. */
  readonly retransmits: number;
}

/** Bytes of memory, and datagrams that were dropped: `SK_MEMINFO_*` of `linux/sock_diag.h`. */
export interface Memory {
  readonly receive: number;
  readonly receiveLimit: number;
  readonly send: number;
  readonly sendLimit: number;
  readonly forward: number;
  readonly queued: number;
  readonly options: number;
  readonly backlog: number;
  readonly drops: number;
}

/** A process that has the socket open. */
export interface User {
  readonly name: string;
  readonly pid: number;
  readonly fd: number;
}

/** One end: its text as ss(8) prints it, and a number where there is a port. */
export interface End {
  readonly text: string;
  readonly host?: string;
  readonly port?: number;
  readonly interface?: string;
  /** Of a UNIX socket. */
  readonly path?: string;
  readonly inode?: number;
}

export interface SocketInfo {
  readonly kind: Kind;
  readonly type: string;
  readonly state: State;
  /** Of a listener: connections in the accept queue, and its limit. Of others: bytes. */
  readonly receiveQueue: number;
  readonly sendQueue: number;
  readonly local: End;
  readonly peer: End;
  readonly uid?: number;
  readonly inode: number;
  readonly timer?: Timer;
  readonly congestion?: string;
  readonly memory?: Memory;
  readonly tcp?: TcpInfo;
  readonly users: readonly User[];
}

export function stateOf(number: number): State {
  const name = STATES[number];
  return name === undefined || name === "" ? `state ${number}` : name;
}
