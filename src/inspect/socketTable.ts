// The table of the sockets of this thread. A timer looks once a second: it compares the counters of all rows, which are
// in memory, and reads the kernel only for the rows that need it. A full read of ten thousand sockets each second would
// take a noticeable part of a core.
//
// The rows of a look are those that were read longest ago. So of N sockets each is read at least every N/1000 seconds
// while it is active, and every N/250 seconds while it is idle.

import { AF_INET, AF_INET6, AF_UNIX } from "../addr/index.js";
import { clock } from "../builtins.js";
import { describe, listWaiting, registry } from "../registry/index.js";
import { familyName, probe, typeName } from "./kernelState.js";
import { findingsOf, type FindingLimits, isQuiet, notice, noticeQueues } from "./findings.js";
import type { Finding, SocketReport } from "./protocol.js";
import type { ForeignSocket, Recording } from "./recording.js";
import { Removals } from "./removals.js";
import { areEnds, type SocketRow, type WaitingNow } from "./socketRow.js";

/** Rows that are read from the kernel in one look: of those that had calls or have bytes in a queue, and of the others. */
const MOST_ACTIVE = 1000;
const MOST_IDLE = 250;
/** How long, in ms, and how many sockets that were collected while open stay in the table. */
const KEPT = 60_000;
const MOST_KEPT = 1000;

const NOTHING_WAITS: readonly WaitingNow[] = [];

export class SocketTable {
  /** Increases with each look. */
  version = 0;
  readonly thread: number;
  readonly #recording: Recording;
  readonly #limits: FindingLimits;
  readonly #removed = new Removals();
  #lookedAt = clock();

  constructor(thread: number, recording: Recording, limits: FindingLimits) {
    this.thread = thread;
    this.#recording = recording;
    this.#limits = limits;
  }

  /** Brings the table up to date. `whole` reads the kernel for all rows. */
  look(whole: boolean = false): void {
    const now = clock();
    this.version++;
    const { rows, foreign, kept, gone } = this.#recording;
    const before = this.#lookedAt;
    // Two looks that follow each other at once count calls of one period.
    const period = now - before >= 100;
    if (period) this.#lookedAt = now;
    const waiting = this.#waiting();
    const active: SocketRow[] = [];
    const idle: SocketRow[] = [];
    const visit = (row: SocketRow): void => {
      const changed = this.#count(row, waiting.get(row) ?? NOTHING_WAITS);
      if (period) notice(row, now, before);
      (changed || !row.addressesKnown || row.watchers > 0 || isInteresting(row) ? active : idle).push(row);
    };
    for (const row of rows) if (row !== undefined) visit(row);
    for (const row of foreign.values()) visit(row);
    for (const row of whole ? active : readLongestAgo(active, MOST_ACTIVE)) this.#read(row, now);
    for (const row of whole ? idle : readLongestAgo(idle, MOST_IDLE)) this.#read(row, now);
    const forgotten = this.#forgotten(now);
    for (const row of kept) {
      if (now - row.closed < KEPT && kept.size <= MOST_KEPT) continue;
      kept.delete(row);
      gone.push(row.number);
    }
    for (const row of this.all()) this.#judge(row, now, forgotten);
    for (const number of gone.splice(0)) this.#removed.add(`${this.thread}:${number}`, this.version);
  }

  /** The open sockets that no call uses, by the line that made them. */
  #forgotten(now: number): Map<string, number> {
    const found = new Map<string, number>();
    for (const row of this.all()) {
      if (row.line === undefined || row.closed !== Infinity || !isQuiet(row, now, this.#limits)) continue;
      found.set(row.line, (found.get(row.line) ?? 0) + 1);
    }
    return found;
  }

  /** The rows that have changed since a version, and the ids of those that are gone; all rows for 0. */
  since(version: number): { readonly whole: boolean; readonly changed: SocketReport[]; readonly removed: string[] } {
    const removed = version === 0 ? undefined : this.#removed.since(version);
    const whole = removed === undefined;
    const changed: SocketReport[] = [];
    for (const row of this.all()) if (whole || row.version > version) changed.push(this.reportOf(row));
    return { whole, changed, removed: removed ?? [] };
  }

  reports(): SocketReport[] {
    return this.since(0).changed;
  }

  reportOf(row: SocketRow): SocketReport {
    return row.report(this.thread, clock(), ({ family, type }) => ({
      family: familyName(family),
      type: typeName(type),
    }));
  }

  find(number: number): SocketRow | undefined {
    for (const row of this.all()) if (row.number === number) return row;
    return undefined;
  }

  /** The other end of a connection whose first end another thread has. */
  otherEnd(one: SocketReport): SocketReport | undefined {
    for (const row of this.all()) {
      const { local, peer } = row;
      if (areEnds(one, { local, peer, type: typeName(row.type) })) return this.reportOf(row);
    }
    return undefined;
  }

  /** A page shows a socket, or does so no more. */
  watch(number: number, on: boolean): void {
    this.#recording.watchers = Math.max(0, this.#recording.watchers + (on ? 1 : -1));
    const row = this.find(number);
    if (row !== undefined) row.watchers = Math.max(0, row.watchers + (on ? 1 : -1));
  }

  /** Forgets everything. */
  clear(): void {
    this.#removed.clear();
  }

  /** Reads one row from the kernel. */
  read(row: SocketRow): void {
    if (row.closed === Infinity) this.#read(row, clock());
  }

  /** The rows: of open sockets, and of those that stay for a while. */
  *all(): Iterable<SocketRow> {
    for (const row of this.#recording.rows) if (row !== undefined) yield row;
    yield* this.#recording.foreign.values();
    yield* this.#recording.kept;
  }

  /** Compares the counters and the waiting calls of a row with those of the last look. */
  #count(row: SocketRow, pending: readonly WaitingNow[]): boolean {
    if (row.foreign) readForeign(row, this.#recording);
    const { received, sent, fruitless } = row;
    const counted = received.bytes + received.calls + sent.bytes + sent.calls;
    const changed = counted !== row.counted || fruitless > 0;
    row.counted = counted;
    if (!sameCalls(pending, row.pending)) row.pending = pending;
    else if (!changed) return false;
    row.touch();
    return changed;
  }

  #read(row: SocketRow, now: number): void {
    if (row.fd < 0) return;
    const { state, local, peer, receiveQueue, sendQueue, acceptLength, acceptLimit, acknowledged, drops } = row;
    probe(this.#recording.kernel, row, now);
    noticeQueues(row, now, { sendQueue, acknowledged, drops });
    if (
      state !== row.state ||
      local !== row.local ||
      peer !== row.peer ||
      receiveQueue !== row.receiveQueue ||
      sendQueue !== row.sendQueue ||
      acceptLength !== row.acceptLength ||
      acceptLimit !== row.acceptLimit
    ) {
      row.touch();
    }
  }

  #judge(row: SocketRow, now: number, forgotten: ReadonlyMap<string, number>): void {
    const findings = findingsOf(row, now, this.#limits, { forgotten });
    if (!sameFindings(findings, row.findings)) {
      row.findings = findings;
      row.touch();
    }
    if (row.touched) row.version = this.version;
  }

  /** The calls that wait, by row. */
  #waiting(): Map<SocketRow, WaitingNow[]> {
    const found = new Map<SocketRow, WaitingNow[]>();
    const foreign = new Map<object, SocketRow>();
    for (const row of this.#recording.foreign.values()) {
      const object = row.object?.deref();
      if (object !== undefined) foreign.set(object, row);
    }
    for (const { call, object, since, key } of listWaiting()) {
      const { descriptor, fd: own } = object as {
        readonly descriptor?: { readonly fd?: unknown };
        readonly fd?: unknown;
      };
      const fd = descriptor?.fd ?? own;
      const row = typeof fd === "number" ? this.#recording.rowOf(fd) : foreign.get(object);
      if (row === undefined) continue;
      const one = { call, since, line: registry?.callOf(key)?.line };
      const list = found.get(row);
      if (list === undefined) found.set(row, [one]);
      else list.push(one);
    }
    return found;
  }
}

/** Descriptor and counters of a socket whose calls are Node's. */
function readForeign(row: SocketRow, { givenAway }: Recording): void {
  const object = row.object?.deref() as ForeignSocket | undefined;
  if (object === undefined) return;
  const { bytesReceived, bytesSent, reads, writes } = object.stats();
  if (bytesReceived + bytesSent !== row.received.bytes + row.sent.bytes) row.moved = clock();
  Object.assign(row.received, { bytes: bytesReceived, calls: reads });
  Object.assign(row.sent, { bytes: bytesSent, calls: writes });
  if (row.fd >= 0) return;
  const { fd, family } = describe(object) as { readonly fd?: number; readonly family?: string };
  row.fd = fd ?? -1;
  row.touch();
  // The network begins most handshakes, and no line of the program.
  row.line ??= givenAway.get(row.fd);
  row.family =
    family === "AF_INET" ? AF_INET : family === "AF_INET6" ? AF_INET6 : family === "AF_UNIX" ? AF_UNIX : row.family;
}

/** The rows that wait longest for a read. All of a look have the same time, so the list is nearly in order. */
function readLongestAgo(rows: SocketRow[], most: number): SocketRow[] {
  return rows.length <= most ? rows : rows.sort((one, other) => one.probed - other.probed).slice(0, most);
}

/** Rows whose state can change without a call of the program, so that they are read in every look. */
function isInteresting(row: SocketRow): boolean {
  return (
    row.acceptLimit >= 0 ||
    row.state === "listening" ||
    row.state === "SYN_SENT" ||
    (row.sendQueue ?? 0) > 0 ||
    (row.receiveQueue ?? 0) > 0
  );
}

function sameCalls(one: readonly WaitingNow[], other: readonly WaitingNow[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ since, call }, at) => since === other[at]!.since && call === other[at]!.call)
  );
}

function sameFindings(one: readonly Finding[], other: readonly Finding[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ kind, text }, at) => kind === other[at]!.kind && text === other[at]!.text)
  );
}
