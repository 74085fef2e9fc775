// The table of the sockets of this thread. It is refreshed once a second: the counters of all rows, which are in
// memory, are compared, and the state of some rows is read from the kernel. To read ten thousand sockets each second
// would take a noticeable part of a core.
//
// A refresh reads the rows that were read longest ago. So of N active sockets each is read every N/1000 seconds, and of
// N idle sockets each is read every N/250 seconds.

import { AF_INET, AF_INET6, AF_UNIX } from "../addr/index.js";
import { clock } from "../builtins.js";
import { describe, listWaiting, registry } from "../registry/index.js";
import { familyName, probe, typeName } from "./kernelState.js";
import { findingsOf, type FindingLimits, isQuiet, updateCallFindings, updateQueueFindings } from "./findings.js";
import type { Finding, SocketReport } from "./protocol.js";
import type { ForeignSocket, Recording } from "./recording.js";
import { Removals } from "./removals.js";
import { areEnds, type SocketRow, type WaitingNow } from "./socketRow.js";

/**
 * Maximum number of rows that one refresh reads from the kernel: of the active ones, for example those with calls since
 * the last refresh or with bytes in a queue, and of the idle ones.
 */
const MAX_ACTIVE = 1000;
const MAX_IDLE = 250;
/** How long, in ms, a closed socket stays in the table, and the maximum number of them. */
const KEEP_TIME = 60_000;
const MAX_KEPT = 1000;
/** The shortest time, in ms, over which calls are counted for a finding. */
const MIN_PERIOD = 100;

const NOTHING_WAITS: readonly WaitingNow[] = [];

export class SocketTable {
  /** Increases with each refresh. */
  version = 0;
  readonly thread: number;
  readonly #recording: Recording;
  readonly #limits: FindingLimits;
  readonly #removed = new Removals();
  /** The start of the period in which calls are counted. */
  #periodStart = clock();

  constructor(thread: number, recording: Recording, limits: FindingLimits) {
    this.thread = thread;
    this.#recording = recording;
    this.#limits = limits;
  }

  /** Updates the rows. `whole` reads all of them from the kernel. */
  refresh(whole: boolean = false): void {
    const now = clock();
    this.version++;
    const { rows, foreign, keptRows, removedNumbers } = this.#recording;
    const periodStart = this.#periodStart;
    // A refresh soon after another one does not end the period.
    const isNewPeriod = now - periodStart >= MIN_PERIOD;
    if (isNewPeriod) this.#periodStart = now;
    const waiting = this.#waitingCalls();
    const active: SocketRow[] = [];
    const idle: SocketRow[] = [];
    const visit = (row: SocketRow): void => {
      const changed = this.#updateCounters(row, waiting.get(row) ?? NOTHING_WAITS);
      if (isNewPeriod) updateCallFindings(row, now, periodStart);
      (changed || !row.addressesKnown || row.watchers > 0 || canChangeAlone(row) ? active : idle).push(row);
    };
    for (const row of rows) if (row !== undefined) visit(row);
    for (const row of foreign.values()) visit(row);
    for (const row of whole ? active : readLongestAgo(active, MAX_ACTIVE)) this.#read(row, now);
    for (const row of whole ? idle : readLongestAgo(idle, MAX_IDLE)) this.#read(row, now);
    const forgotten = this.#countForgotten(now);
    for (const row of keptRows) {
      if (now - row.closedAt < KEEP_TIME && keptRows.size <= MAX_KEPT) continue;
      keptRows.delete(row);
      removedNumbers.push(row.number);
    }
    for (const row of this.all()) this.#updateFindings(row, now, forgotten);
    for (const number of removedNumbers.splice(0)) this.#removed.add(`${this.thread}:${number}`, this.version);
  }

  /** The number of open sockets that no call uses, by the line that made them. */
  #countForgotten(now: number): Map<string, number> {
    const found = new Map<string, number>();
    for (const row of this.all()) {
      if (row.line === undefined || row.closedAt !== Infinity || !isQuiet(row, now, this.#limits)) continue;
      found.set(row.line, (found.get(row.line) ?? 0) + 1);
    }
    return found;
  }

  /**
   * The rows that have changed since a version, and the ids of removed rows. If `whole`, `changed` has all rows: for
   * version 0, or if some of the removals are not known any more.
   */
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

  /** The socket of this thread that is the other end of a connection. `one` is the end in another thread. */
  otherEnd(one: SocketReport): SocketReport | undefined {
    for (const row of this.all()) {
      const { local, peer } = row;
      if (areEnds(one, { local, peer, type: typeName(row.type) })) return this.reportOf(row);
    }
    return undefined;
  }

  /** Counts the pages that show a socket. `on` is true when a page begins to show it, and false when a page stops. */
  watch(number: number, on: boolean): void {
    this.#recording.watchers = Math.max(0, this.#recording.watchers + (on ? 1 : -1));
    const row = this.find(number);
    if (row !== undefined) row.watchers = Math.max(0, row.watchers + (on ? 1 : -1));
  }

  clear(): void {
    this.#removed.clear();
  }

  /** Reads one row from the kernel. */
  read(row: SocketRow): void {
    if (row.closedAt === Infinity) this.#read(row, clock());
  }

  /** The rows of open sockets, and of closed ones that stay for a while. */
  *all(): Iterable<SocketRow> {
    for (const row of this.#recording.rows) if (row !== undefined) yield row;
    yield* this.#recording.foreign.values();
    yield* this.#recording.keptRows;
  }

  /** Updates the counters and waiting calls of a row. Returns whether it had calls since the last refresh. */
  #updateCounters(row: SocketRow, pending: readonly WaitingNow[]): boolean {
    if (row.foreign) readForeign(row, this.#recording);
    const { received, sent, emptyCalls } = row;
    const counted = received.bytes + received.calls + sent.bytes + sent.calls;
    const changed = counted !== row.counterSum || emptyCalls > 0;
    row.counterSum = counted;
    if (!sameCalls(pending, row.pending)) row.pending = pending;
    else if (!changed) return false;
    row.touch();
    return changed;
  }

  #read(row: SocketRow, now: number): void {
    if (row.fd < 0) return;
    const { state, local, peer, receiveQueue, sendQueue, acceptLength, acceptLimit, acknowledged, drops } = row;
    probe(this.#recording.kernel, row, now);
    updateQueueFindings(row, now, { sendQueue, acknowledged, drops });
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

  /** Updates the findings of a row. Gives a changed row the version of this refresh. */
  #updateFindings(row: SocketRow, now: number, forgotten: ReadonlyMap<string, number>): void {
    const findings = findingsOf(row, now, this.#limits, { forgotten });
    if (!sameFindings(findings, row.findings)) {
      row.findings = findings;
      row.touch();
    }
    if (row.touched) row.version = this.version;
  }

  /** The calls that wait, by row. */
  #waitingCalls(): Map<SocketRow, WaitingNow[]> {
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

/** Reads the descriptor and the counters of a socket that Node reads and writes. */
function readForeign(row: SocketRow, { givenAway }: Recording): void {
  const object = row.object?.deref() as ForeignSocket | undefined;
  if (object === undefined) return;
  const { bytesReceived, bytesSent, reads, writes } = object.stats();
  if (bytesReceived + bytesSent !== row.received.bytes + row.sent.bytes) row.movedAt = clock();
  Object.assign(row.received, { bytes: bytesReceived, calls: reads });
  Object.assign(row.sent, { bytes: bytesSent, calls: writes });
  if (row.fd >= 0) return;
  const { fd, family } = describe(object) as { readonly fd?: number; readonly family?: string };
  row.fd = fd ?? -1;
  row.touch();
  // A TLS server makes its connections in an event of the network, where no line of the program runs. So the line is
  // the one that made the socket below the connection.
  row.line ??= givenAway.get(row.fd);
  row.family =
    family === "AF_INET" ? AF_INET : family === "AF_INET6" ? AF_INET6 : family === "AF_UNIX" ? AF_UNIX : row.family;
}

/** The `count` rows that were read longest ago. Sorts `rows`. */
function readLongestAgo(rows: SocketRow[], count: number): SocketRow[] {
  return rows.length <= count ? rows : rows.sort((one, other) => one.probedAt - other.probedAt).slice(0, count);
}

/** Whether the kernel can change the state of the socket without a call of the program. Such a row counts as active. */
function canChangeAlone(row: SocketRow): boolean {
  return (
    row.isTcpListener ||
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
