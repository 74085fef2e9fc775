// A row of the table: what the inspector knows of one socket of this thread. The wrapped calls write the counters; the
// table reads the rest from the kernel (kernelState.ts).

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
  since: number;
  line: string | undefined;
  /** The object of the program; undefined if it was made before the inspector. */
  object: WeakRef<object> | undefined;
  /** The listener that accepted the connection. */
  listener: SocketRow | undefined;
  /** The other socket of a pair. */
  pair: SocketRow | undefined;
  readonly received: Transfer = { bytes: 0, calls: 0 };
  readonly sent: Transfer = { bytes: 0, calls: 0 };

  // Counters of the current period, for the findings.
  /** Calls that found nothing to do, or moved no byte. */
  fruitless: number = 0;
  /** Calls that moved bytes. */
  fruitful: number = 0;
  /** The last call that was fruitless, and its line. */
  fruitlessCall: CallName | undefined;
  fruitlessLine: string | undefined;
  /** Lines of calls that move data, that were recorded. */
  lines: number = 0;
  /** When a call last moved bytes, as of `clock()`. */
  moved: number;
  /** The peer has finished sending, and a call has returned that. */
  ended: boolean = false;

  // What the kernel reported last.
  state: string = "open";
  local: string | null = null;
  peer: string | null = null;
  addressesKnown: boolean = false;
  receiveQueue: number | null = null;
  sendQueue: number | null = null;
  acceptLength: number = -1;
  acceptLimit: number = -1;
  /** Bytes that the peer has acknowledged, and segments that were sent again without an answer. */
  acknowledged: number = 0;
  retransmits: number = 0;
  /** Connections that the kernel dropped because the accept queue was full. */
  drops: number = 0;
  /** When the kernel was last asked, or the row was made: a new row is behind all others in the order of reads. */
  probed: number;
  /** The send queue has not moved since then; Infinity if it is empty. */
  stuckSince: number = Infinity;
  overflowSeen: number = -Infinity;
  /** The peer has closed since then. */
  peerClosedSince: number = Infinity;
  busySeen: number = -Infinity;
  busyText: string = "";

  pending: readonly WaitingNow[] = NONE;
  findings: readonly Finding[] = NONE;
  /** When the socket was closed; Infinity while it is open. */
  closed: number = Infinity;
  /** The collector has closed it. */
  collected: boolean = false;
  /** The descriptor belongs to Node. */
  foreign: boolean = false;
  /** The version of the table in which the row last changed; see {@link touch}. */
  version: number = 0;
  /** The sum of all counters when the table last looked. */
  counted: number = -1;
  /** Pages that show this socket. */
  watchers: number = 0;
  samples: Sample[] | undefined;

  constructor(number: number, fd: number, family: number, type: number, protocol: number, now: number) {
    this.number = number;
    this.fd = fd;
    this.family = family;
    this.type = type;
    this.protocol = protocol;
    this.since = now;
    this.moved = this.probed = now;
  }

  /**
   * Something of the report has changed. Until the next look gives it a version, the row is newer than any version that a
   * receiver can have.
   */
  touch(): void {
    this.version = Infinity;
  }

  get touched(): boolean {
    return this.version === Infinity;
  }

  report(thread: number, now: number, names: (row: SocketRow) => { family: string; type: string }): SocketReport {
    const { family, type } = names(this);
    return {
      id: `${thread}:${this.number}`,
      thread,
      fd: this.closed === Infinity ? this.fd : -1,
      family,
      type,
      state: this.state,
      local: this.local,
      peer: this.peer,
      line: this.line ?? null,
      since: dateOf(this.since),
      received: { ...this.received },
      sent: { ...this.sent },
      receiveQueue: this.receiveQueue,
      sendQueue: this.sendQueue,
      acceptQueue: this.acceptLimit < 0 ? null : { length: this.acceptLength, limit: this.acceptLimit },
      pending: this.pending.map(({ call, since, line = null }): PendingReport => ({
        call,
        waited: Math.max(0, now - since),
        line,
      })),
      findings: this.findings,
    };
  }
}

/** A time of `clock()` as a date. The clock of the system may jump; this one does not. */
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
