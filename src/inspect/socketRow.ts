// A row of the table: the data about one socket of this thread. The wrapped calls update the counters. The table reads
// the rest from the kernel (kernelState.ts).

import type { CallName } from "./callRing.js";
import type { Finding, PendingReport, Sample, SocketReport } from "./protocol.js";

/** Bytes and calls in one direction. */
export interface Transfer {
  bytes: number;
  calls: number;
}

/** A call that waits. */
export interface WaitingNow {
  readonly call: string;
  /** As of `clock()`. */
  readonly since: number;
  readonly line: string | undefined;
}

const NONE: readonly never[] = [];

export class SocketRow {
  /** Counts up from 1 in the thread. */
  readonly number: number;
  fd: number;
  family: number;
  readonly type: number;
  readonly protocol: number;
  /** As of `clock()`. */
  madeAt: number;
  line: string | undefined;
  /** The object of the program; undefined if it was made before the inspector started. */
  object: WeakRef<object> | undefined;
  /** The listener that accepted the connection. */
  listener: SocketRow | undefined;
  /** The other socket of a pair. */
  pair: SocketRow | undefined;
  readonly received: Transfer = { bytes: 0, calls: 0 };
  readonly sent: Transfer = { bytes: 0, calls: 0 };

  /** For the findings: the calls in the current period that neither moved bytes nor accepted a connection. */
  emptyCalls: number = 0;
  /** The calls in the current period that moved bytes, or accepted a connection. */
  movingCalls: number = 0;
  /** The name of the most recent empty call, and the line of the most recent one that recorded its line. */
  emptyCall: CallName | undefined;
  emptyLine: string | undefined;
  /** The number of records of calls that move data, and that have a line. */
  recordedLines: number = 0;
  /** When a call last moved bytes or accepted, as of `clock()`. */
  movedAt: number;
  /** Whether a read has returned the end of the stream. */
  peerFinished: boolean = false;

  // The most recent report of the kernel.
  state: string = "open";
  local: string | null = null;
  peer: string | null = null;
  addressesKnown: boolean = false;
  receiveQueue: number | null = null;
  sendQueue: number | null = null;
  /** The number of connections in the accept queue, and its limit; -1 unless the kernel reports a TCP listener. */
  acceptLength: number = -1;
  acceptLimit: number = -1;
  /** Bytes that the peer has acknowledged, and retransmissions without an answer (tcpi_retransmits). */
  acknowledged: number = 0;
  retransmits: number = 0;
  /** Connections that the kernel dropped because the accept queue was full. */
  drops: number = 0;
  /** When the row was last read from the kernel, or made. Rows are read in the order of this time. */
  probedAt: number;
  /** The time since which the send queue has not changed; Infinity if it is empty. */
  stuckSince: number = Infinity;
  /** When the accept queue was last seen full. */
  overflowAt: number = -Infinity;
  /** When a refresh of the table first found that the peer has finished. */
  peerClosedSince: number = Infinity;
  /** When a busy loop was last seen, and the text of that finding. */
  busyAt: number = -Infinity;
  busyText: string = "";

  pending: readonly WaitingNow[] = NONE;
  findings: readonly Finding[] = NONE;
  /** When the socket was closed; Infinity while it is open. */
  closedAt: number = Infinity;
  /** Whether the garbage collector has closed the socket. */
  collected: boolean = false;
  /** Whether Node reads and writes the socket. */
  foreign: boolean = false;
  /** The version of the table in which the row last changed; see {@link touch}. */
  version: number = 0;
  /** The sum of all counters at the last refresh of the table. */
  counterSum: number = -1;
  /** The number of pages that show this socket. */
  watchers: number = 0;
  samples: Sample[] | undefined;

  constructor(number: number, fd: number, family: number, type: number, protocol: number, now: number) {
    this.number = number;
    this.fd = fd;
    this.family = family;
    this.type = type;
    this.protocol = protocol;
    this.madeAt = now;
    this.movedAt = this.probedAt = now;
  }

  /**
   * Marks the row as changed. Until the next refresh gives it a version, it is newer than the version of any receiver.
   */
  touch(): void {
    this.version = Infinity;
  }

  get isTcpListener(): boolean {
    return this.acceptLimit >= 0;
  }

  get touched(): boolean {
    return this.version === Infinity;
  }

  report(thread: number, now: number, names: (row: SocketRow) => { family: string; type: string }): SocketReport {
    const { family, type } = names(this);
    return {
      id: `${thread}:${this.number}`,
      thread,
      fd: this.closedAt === Infinity ? this.fd : -1,
      family,
      type,
      state: this.state,
      local: this.local,
      peer: this.peer,
      line: this.line ?? null,
      since: dateOf(this.madeAt),
      received: { ...this.received },
      sent: { ...this.sent },
      receiveQueue: this.receiveQueue,
      sendQueue: this.sendQueue,
      acceptQueue: !this.isTcpListener ? null : { length: this.acceptLength, limit: this.acceptLimit },
      pending: this.pending.map(({ call, since, line = null }): PendingReport => ({
        call,
        waited: Math.max(0, now - since),
        line,
      })),
      findings: this.findings,
    };
  }
}

/** Converts a time of `clock()` to that of Date.now(). Unlike the clock of the system, the result never goes back. */
export function dateOf(time: number): number {
  return Math.round((performance.timeOrigin + time) * 1000) / 1000;
}

type End = Readonly<Record<"type", number | string> & Record<"local" | "peer", string | null>>;

/** Whether two sockets are the ends of one connection, by their addresses. */
export function areEnds(one: End, other: End): boolean {
  const { local, peer, type } = one;
  if (local === null || peer === null || local === peer) return false;
  return other.local === peer && other.peer === local && other.type === type;
}
