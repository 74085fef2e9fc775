// The table of the sockets of this thread. It is refreshed once a second. A refresh compares the counters of all rows,
// which are in memory, and reads the state of some rows from the kernel. Reading ten thousand sockets each second would
// take a noticeable part of a core.
//
// A refresh reads the rows that were read longest ago: at most 1000 of active sockets and 250 of idle ones. So each of
// 3000 active sockets is read every 3 seconds.

import { AF_INET, AF_INET6, AF_UNIX } from "../addr/index.js";
import { clock } from "../builtins.js";
import { describe, listWaiting, registry } from "../registry/index.js";
import { familyName, probe, typeName } from "./kernelState.js";
import { findingsOf, type FindingLimits, isQuiet, updateCallFindings, updateQueueFindings } from "./findings.js";
import type { Finding, SocketReport } from "./protocol.js";
import type { TlsCounters, Recording } from "./recording.js";
import { Removals } from "./removals.js";
import { areEnds, type SocketRow, type WaitingNow } from "./socketRow.js";

/** Maximum number of active rows that one refresh reads from the kernel. refresh() defines "active". */
const MAX_ACTIVE = 1000;
/** Maximum number of idle rows that one refresh reads from the kernel. */
const MAX_IDLE = 250;
/** How long, in ms, a closed socket stays in the table. */
const KEEP_TIME = 60_000;
/** Maximum number of closed sockets in the table. */
const MAX_KEPT = 1000;
/** The shortest period, in ms, over which calls are counted for a finding. */
const MIN_PERIOD = 100;

const NO_CALLS: readonly WaitingNow[] = [];
/** The families of TLS connections, by name. */
const FAMILY_NUMBERS: Readonly<Record<string, number>> = { AF_INET, AF_INET6, AF_UNIX };

/** The changes of a table since a version. */
export interface TableChanges {
  /** Whether `changed` has all rows. */
  readonly whole: boolean;
  readonly changed: SocketReport[];
  /** The ids of removed rows. */
  readonly removed: string[];
}

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

  /** As `refresh()`, but reads all rows from the kernel. */
  refreshAll(): void {
    this.refresh(Infinity, Infinity);
  }

  /** Updates the rows. Reads at most this many active and idle rows from the kernel. */
  refresh(maxActive: number = MAX_ACTIVE, maxIdle: number = MAX_IDLE): void {
    const now = clock();
    this.version++;
    const { rows, tlsRows, keptRows, removedNumbers } = this.#recording;
    const periodStart = this.#periodStart;
    // A refresh soon after another one does not end the period.
    const isNewPeriod = now - periodStart >= MIN_PERIOD;
    if (isNewPeriod) this.#periodStart = now;
    const waiting = this.#waitingCalls();
    const active: SocketRow[] = [];
    const idle: SocketRow[] = [];
    const visit = (row: SocketRow): void => {
      const hadCalls = this.#updateCounters(row, waiting.get(row) ?? NO_CALLS);
      if (isNewPeriod) updateCallFindings(row, now, periodStart);
      const isActive = hadCalls || !row.addressesKnown || row.watchers > 0 || canChangeWithoutCall(row);
      (isActive ? active : idle).push(row);
    };
    for (const row of rows) if (row !== undefined) visit(row);
    for (const row of tlsRows.values()) visit(row);
    for (const row of leastRecentlyRead(active, maxActive)) this.#read(row, now);
    for (const row of leastRecentlyRead(idle, maxIdle)) this.#read(row, now);
    const quietByLine = this.#countQuiet(now);
    // The set has the oldest closed sockets first.
    for (const row of keptRows) {
      if (now - row.closedAt < KEEP_TIME && keptRows.size <= MAX_KEPT) continue;
      keptRows.delete(row);
      removedNumbers.push(row.number);
    }
    // The findings come last, because they use all counters and states above.
    for (const row of this.all()) this.#updateFindings(row, now, quietByLine);
    for (const number of removedNumbers.splice(0)) this.#removed.add(`${this.thread}:${number}`, this.version);
  }

  /** The number of open sockets that are quiet (see `isQuiet()`), by the line that made them. */
  #countQuiet(now: number): Map<string, number> {
    const counts = new Map<string, number>();
    for (const row of this.all()) {
      if (row.line === undefined || row.closedAt !== Infinity || !isQuiet(row, now, this.#limits)) continue;
      counts.set(row.line, (counts.get(row.line) ?? 0) + 1);
    }
    return counts;
  }

  /**
   * The changes since a version. They have all rows (`whole`) if the version is 0, or if some of the removals are not
   * known any more.
   */
  changesSince(version: number): TableChanges {
    const removed = version === 0 ? undefined : this.#removed.idsSince(version);
    const whole = removed === undefined;
    const changed: SocketReport[] = [];
    for (const row of this.all()) if (whole || row.version > version) changed.push(this.reportOf(row));
    return { whole, changed, removed: removed ?? [] };
  }

  reports(): SocketReport[] {
    return this.changesSince(0).changed;
  }

  reportOf(row: SocketRow): SocketReport {
    return row.report(this.thread, clock(), { family: familyName(row.family), type: typeName(row.type) });
  }

  find(number: number): SocketRow | undefined {
    for (const row of this.all()) if (row.number === number) return row;
    return undefined;
  }

  /** The socket of this thread that is the other end of a connection. `foreignEnd` is the end in another thread. */
  otherEnd(foreignEnd: SocketReport): SocketReport | undefined {
    for (const row of this.all()) {
      const { local, peer } = row;
      if (areEnds(foreignEnd, { local, peer, type: typeName(row.type) })) return this.reportOf(row);
    }
    return undefined;
  }

  /** Counts the pages that show a socket: `change` is 1 when a page begins to show it, and -1 when a page stops. */
  changeWatchers(number: number, change: 1 | -1): void {
    this.#recording.watchers = Math.max(0, this.#recording.watchers + change);
    const row = this.find(number);
    if (row !== undefined) row.watchers = Math.max(0, row.watchers + change);
  }

  /** Clears the removals. The rows belong to the recording, which clears them when it stops. */
  clear(): void {
    this.#removed.clear();
  }

  /** Reads one row from the kernel. */
  read(row: SocketRow): void {
    if (row.closedAt === Infinity) this.#read(row, clock());
  }

  /** The rows of open sockets, and of closed ones that stay in the table for a while. */
  *all(): Iterable<SocketRow> {
    for (const row of this.#recording.rows) if (row !== undefined) yield row;
    yield* this.#recording.tlsRows.values();
    yield* this.#recording.keptRows;
  }

  /** Updates the counters and waiting calls of a row. Returns whether it had calls since the last refresh. */
  #updateCounters(row: SocketRow, pending: readonly WaitingNow[]): boolean {
    if (row.isTls) readTlsConnection(row, this.#recording);
    const { received, sent, emptyCalls } = row;
    const sum = received.bytes + received.calls + sent.bytes + sent.calls;
    const hadCalls = sum !== row.counterSum || emptyCalls > 0;
    row.counterSum = sum;
    const pendingChanged = !sameCalls(pending, row.pending);
    if (pendingChanged) row.pending = pending;
    if (hadCalls || pendingChanged) row.touch();
    return hadCalls;
  }

  #read(row: SocketRow, now: number): void {
    // The descriptor of this TLS connection is not known yet.
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
  #updateFindings(row: SocketRow, now: number, quietByLine: ReadonlyMap<string, number>): void {
    const findings = findingsOf(row, now, this.#limits, quietByLine);
    if (!sameFindings(findings, row.findings)) {
      row.findings = findings;
      row.touch();
    }
    if (row.touched) row.version = this.version;
  }

  /** The calls that wait, by row. */
  #waitingCalls(): Map<SocketRow, WaitingNow[]> {
    const found = new Map<SocketRow, WaitingNow[]>();
    const rowOfTls = new Map<object, SocketRow>();
    for (const row of this.#recording.tlsRows.values()) {
      const object = row.object?.deref();
      if (object !== undefined) rowOfTls.set(object, row);
    }
    for (const { call, object, since, key } of listWaiting()) {
      // The object of the call is a socket, which has a `descriptor`, or a description with its `fd`.
      const { descriptor, fd: describedFd } = object as {
        readonly descriptor?: { readonly fd?: unknown };
        readonly fd?: unknown;
      };
      const fd = descriptor?.fd ?? describedFd;
      const row = typeof fd === "number" ? this.#recording.rowOf(fd) : rowOfTls.get(object);
      if (row === undefined) continue;
      const waitingCall = { call, since, line: registry?.callOf(key)?.line };
      const list = found.get(row);
      if (list === undefined) found.set(row, [waitingCall]);
      else list.push(waitingCall);
    }
    return found;
  }
}

/** Updates the row of a TLS connection: its counters, and its descriptor until that is known. */
function readTlsConnection(row: SocketRow, { linesOfReleased }: Recording): void {
  const object = row.object?.deref() as TlsCounters | undefined;
  if (object === undefined) return;
  const { bytesReceived, bytesSent, reads, writes } = object.stats();
  if (bytesReceived + bytesSent !== row.received.bytes + row.sent.bytes) row.movedAt = clock();
  Object.assign(row.received, { bytes: bytesReceived, calls: reads });
  Object.assign(row.sent, { bytes: bytesSent, calls: writes });
  if (row.fd >= 0) return;
  const { fd, family } = describe(object) as { readonly fd?: number; readonly family?: string };
  row.fd = fd ?? -1;
  row.touch();
  // A TLS server makes its connections in an event of the network, when no line of the program runs. So the row gets
  // the line that made the socket below the connection.
  row.line ??= linesOfReleased.get(row.fd);
  row.family = FAMILY_NUMBERS[family ?? ""] ?? row.family;
}

/** The `count` rows that were read from the kernel longest ago; may sort `rows`. */
function leastRecentlyRead(rows: SocketRow[], count: number): SocketRow[] {
  return rows.length <= count ? rows : rows.sort((one, other) => one.probedAt - other.probedAt).slice(0, count);
}

/** Whether the kernel can change the state of the socket without a call of the program. */
function canChangeWithoutCall(row: SocketRow): boolean {
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
