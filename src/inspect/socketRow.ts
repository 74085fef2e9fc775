// A row of the table: the data about one socket of this thread. The wrappers of the calls update the counters. The
// table reads the state, the addresses and the queues from the kernel (kernelState.ts).

import type { CallName } from "./callRing.js";
import type { Finding, PendingReport, Sample, SocketReport } from "./protocol.js";

/** Bytes and calls in one direction. */
export interface Transfer {
  bytes: number;
  calls: number;
}

/** A call that waits. */
export interface WaitingNow {
  /** The name of the call. */
  readonly call: string;
  /** When the call began, as of `clock()`. */
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
  /** When the socket was made, as of `clock()`. */
  madeAt: number;
  /** The line of the program that made the socket. */
  line: string | undefined;
  /** The object of the package that has this socket; undefined if it was made before the inspector started. */
  object: WeakRef<object> | undefined;
  /** The listener that accepted the connection. */
  listener: SocketRow | undefined;
  /** The other socket of a pair. */
  pair: SocketRow | undefined;
  readonly received: Transfer = { bytes: 0, calls: 0 };
  readonly sent: Transfer = { bytes: 0, calls: 0 };

  // For the findings. updateCallFindings() begins a new period of counting.
  /** The number of calls in this period that neither moved bytes nor accepted a connection ("empty calls"). */
  emptyCalls: number = 0;
  /** The number of calls in this period that moved bytes, or accepted a connection. */
  movingCalls: number = 0;
  /** The name of the latest empty call, and the line of that call, or of an earlier one with the same name. */
  emptyCall: CallName | undefined;
  emptyLine: string | undefined;
  /** The number of calls that move data, and whose lines were recorded. */
  recordedLines: number = 0;
  /** When a call last moved bytes or accepted a connection, as of `clock()`. */
  movedAt: number;
  /** Whether a read has returned the end of the stream. */
  peerFinished: boolean = false;

  // The state when the row was last read from the kernel.
  state: string = "open";
  local: string | null = null;
  peer: string | null = null;
  /** False when `local` and `peer` must be read again. */
  addressesKnown: boolean = false;
  receiveQueue: number | null = null;
  sendQueue: number | null = null;
  /** The number of connections in the accept queue; -1 unless the socket is a TCP listener. */
  acceptLength: number = -1;
  /** The limit of the accept queue; -1 unless the socket is a TCP listener. */
  acceptLimit: number = -1;
  /** The number of bytes that the peer has acknowledged. */
  acknowledged: number = 0;
  /** The number of retransmissions without an answer (tcpi_retransmits). */
  retransmits: number = 0;
  /** Connections that the kernel dropped because the accept queue was full. */
  drops: number = 0;
  /** When the row was last read from the kernel, or made. Rows are read in the order of this time. */
  probedAt: number;
  // The following times are as of `clock()`.
  /** The time since which the bytes in the send queue have not moved; Infinity if the queue is empty. */
  stuckSince: number = Infinity;
  /** When the accept queue was last seen full. */
  overflowAt: number = -Infinity;
  /** When a refresh of the table first found that the peer has finished; Infinity before. */
  peerFinishedSince: number = Infinity;
  /** When a busy loop was last seen. */
  busyAt: number = -Infinity;
  /** The text of the finding about that loop. */
  busyText: string = "";

  pending: readonly WaitingNow[] = NONE;
  findings: readonly Finding[] = NONE;
  /** When the socket was closed; Infinity while it is open. */
  closedAt: number = Infinity;
  /** Whether the socket was closed because its object was garbage-collected. */
  collected: boolean = false;
  /** Whether the socket is a TLS connection, whose calls Node.js makes. */
  isTls: boolean = false;
  /** The version of the table in which the row last changed; see {@link touch}. */
  version: number = 0;
  /** The sum of the counters of bytes and calls at the last refresh of the table. */
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

  /** Counts a call that neither moved bytes nor accepted a connection. `line` is undefined if it was not recorded. */
  countEmpty(call: CallName, line: string | undefined): void {
    this.emptyCalls++;
    if (line !== undefined || this.emptyCall !== call) this.emptyLine = line;
    this.emptyCall = call;
  }

  /**
   * Marks the row as changed. Until the next refresh gives the row a version, the row counts as newer than the version
   * of every receiver.
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

  /** The report of this row. `names` has the names of its family and type. */
  report(thread: number, now: number, names: Pick<SocketReport, "family" | "type">): SocketReport {
    return {
      id: `${thread}:${this.number}`,
      thread,
      fd: this.closedAt === Infinity ? this.fd : -1,
      family: names.family,
      type: names.type,
      state: this.state,
      local: this.local,
      peer: this.peer,
      line: this.line ?? null,
      since: dateOf(this.madeAt),
      received: { ...this.received },
      sent: { ...this.sent },
      receiveQueue: this.receiveQueue,
      sendQueue: this.sendQueue,
      acceptQueue: this.isTcpListener ? { length: this.acceptLength, limit: this.acceptLimit } : null,
      pending: this.pending.map(({ call, since, line = null }): PendingReport => ({
        call,
        waited: Math.max(0, now - since),
        line,
      })),
      findings: this.findings,
    };
  }
}

/** The thread and the number of the row, from the id of a report. NaN or undefined if the id has another form. */
export const parseId = (id: string): [thread: number, number: number] => id.split(":").map(Number) as [number, number];

/**
 * Converts a time of `clock()` to milliseconds as of Date.now(), rounded to a microsecond. Unlike Date.now(), this
 * time does not go back when the system clock is set back.
 */
export function dateOf(time: number): number {
  return Math.round((performance.timeOrigin + time) * 1000) / 1000;
}

type End = Readonly<Record<"type", number | string> & Record<"local" | "peer", string | null>>;

/** Whether two sockets are the two ends of one connection, by their addresses. */
export function areEnds(one: End, other: End): boolean {
  const { local, peer, type } = one;
  if (local === null || peer === null || local === peer) return false;
  return other.local === peer && other.peer === local && other.type === type;
}
