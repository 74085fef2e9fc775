// The table of the sockets of this thread. A timer looks once a second: it compares the counters of all rows, which are
// in memory, and reads the kernel only for the rows that need it. A full read of ten thousand sockets each second would
// take a noticeable part of a core.

import { clock } from "../builtins.js";
import { listWaiting, registry } from "../registry/index.js";
import { familyName, probe, typeName } from "./kernelState.js";
import { findingsOf, type FindingLimits, isQuiet, notice, noticeQueues } from "./findings.js";
import type { Finding, SocketReport } from "./protocol.js";
import type { Recording } from "./recording.js";
import type { SocketRow, WaitingNow } from "./socketRow.js";

/** Rows that are read from the kernel in one look: those that have changed, and others in turn. */
const MOST_ACTIVE = 1000;
const MOST_IDLE = 250;
/** How long, in ms, and how many sockets that were collected while open stay in the table. */
const KEPT = 60_000;
const MOST_KEPT = 1000;
/** Removals that are remembered for receivers of updates. */
const MOST_REMOVED = 10_000;

const NOTHING_WAITS: readonly WaitingNow[] = [];

export class SocketTable {
  /** Increases with each look. */
  version = 0;
  readonly thread: number;
  readonly #recording: Recording;
  readonly #limits: FindingLimits;
  readonly #removed: { readonly number: number; readonly version: number }[] = [];
  #forgottenBefore = 0;
  #lookedAt = clock();
  /** Where the turn of the idle rows continues. */
  #turn = 0;

  constructor(thread: number, recording: Recording, limits: FindingLimits) {
    this.thread = thread;
    this.#recording = recording;
    this.#limits = limits;
  }

  /** Brings the table up to date. `whole` reads the kernel for all rows. */
  look(whole: boolean = false): void {
    const now = clock();
    const version = ++this.version;
    const { rows, kept } = this.#recording;
    const before = this.#lookedAt;
    // Two looks that follow each other at once count calls of one period.
    const period = now - before >= 100;
    if (period) this.#lookedAt = now;
    const waiting = this.#waiting();
    const forgotten = new Map<string, number>();
    let active = whole ? Infinity : MOST_ACTIVE;
    let idle = MOST_IDLE;
    for (let step = 0; step < rows.length; step++) {
      const fd = (step + this.#turn) % rows.length;
      const row = rows[fd];
      if (row === undefined) continue;
      const counted = row.received.bytes + row.received.calls + row.sent.bytes + row.sent.calls + row.fruitless;
      const changed = counted !== row.counted;
      row.counted = counted - row.fruitless;
      if (period) notice(row, now, before);
      const pending = waiting.get(row) ?? NOTHING_WAITS;
      if (!sameCalls(pending, row.pending)) {
        row.pending = pending;
        row.version = version;
      }
      const interesting = changed || !row.addressesKnown || row.watchers > 0 || isInteresting(row);
      const read = interesting ? active-- > 0 : idle > 0;
      if (!interesting && read && --idle === 0) this.#turn = fd + 1;
      if (read) this.#read(row, now, version);
      if (changed) row.version = version;
      if (row.line !== undefined && isQuiet(row, now, this.#limits)) {
        forgotten.set(row.line, (forgotten.get(row.line) ?? 0) + 1);
      }
    }
    for (const row of rows) if (row !== undefined) this.#judge(row, now, version, forgotten);
    this.#ageKept(kept, now, version, forgotten);
    for (const number of this.#recording.gone.splice(0)) this.#removed.push({ number, version });
    if (this.#removed.length > MOST_REMOVED) {
      this.#forgottenBefore = this.#removed[this.#removed.length - MOST_REMOVED - 1]!.version;
      this.#removed.splice(0, this.#removed.length - MOST_REMOVED);
    }
  }

  /** The rows that have changed since a version, and the ids of those that are gone; all rows for 0. */
  since(version: number): { readonly whole: boolean; readonly changed: SocketReport[]; readonly removed: string[] } {
    const whole = version === 0 || version < this.#forgottenBefore;
    const changed: SocketReport[] = [];
    const removed: string[] = [];
    for (const row of this.all()) if (whole || row.version > version) changed.push(this.reportOf(row));
    if (!whole) {
      for (let index = this.#removed.length - 1; index >= 0; index--) {
        const one = this.#removed[index]!;
        if (one.version <= version) break;
        removed.push(`${this.thread}:${one.number}`);
      }
    }
    return { whole, changed, removed };
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

  /** Reads one row from the kernel. */
  read(row: SocketRow): void {
    if (row.closed === Infinity) this.#read(row, clock(), this.version);
  }

  /** The rows: of open sockets, and of those that stay for a while. */
  *all(): Iterable<SocketRow> {
    for (const row of this.#recording.rows) if (row !== undefined) yield row;
    yield* this.#recording.kept;
  }

  #read(row: SocketRow, now: number, version: number): void {
    const { state, local, peer, receiveQueue, sendQueue, acceptLength, acknowledged, drops } = row;
    probe(this.#recording.kernel, row, now);
    noticeQueues(row, now, { sendQueue, acknowledged, drops });
    if (
      state !== row.state ||
      local !== row.local ||
      peer !== row.peer ||
      receiveQueue !== row.receiveQueue ||
      sendQueue !== row.sendQueue ||
      acceptLength !== row.acceptLength
    ) {
      row.version = version;
    }
  }

  #judge(row: SocketRow, now: number, version: number, forgotten: ReadonlyMap<string, number>): void {
    const findings = findingsOf(row, now, this.#limits, { forgotten });
    if (sameFindings(findings, row.findings)) return;
    row.findings = findings;
    row.version = version;
  }

  #ageKept(kept: Set<SocketRow>, now: number, version: number, forgotten: ReadonlyMap<string, number>): void {
    for (const row of kept) {
      if (now - row.closed < KEPT && kept.size <= MOST_KEPT) {
        this.#judge(row, now, version, forgotten);
        continue;
      }
      kept.delete(row);
      this.#recording.gone.push(row.number);
    }
  }

  /** The calls that wait, by row. */
  #waiting(): Map<SocketRow, WaitingNow[]> {
    const found = new Map<SocketRow, WaitingNow[]>();
    for (const { call, object, since, key } of listWaiting()) {
      const { descriptor, fd: own } = object as {
        readonly descriptor?: { readonly fd?: unknown };
        readonly fd?: unknown;
      };
      const fd = descriptor?.fd ?? own;
      const row = typeof fd === "number" ? this.#recording.rowOf(fd) : undefined;
      if (row === undefined) continue;
      const one = { call, since, line: registry?.callOf(key)?.line };
      const list = found.get(row);
      if (list === undefined) found.set(row, [one]);
      else list.push(one);
    }
    return found;
  }
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
