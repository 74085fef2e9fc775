// Findings: the rules that detect a problem of a socket, and their sentences. The figures in a sentence are rounded, so
// that they change seldom: each change is sent to every page.

import { SOCK_DGRAM } from "../sys/constants.js";
import type { Finding } from "./protocol.js";
import type { SocketRow } from "./socketRow.js";

/** Times in milliseconds. */
export interface FindingLimits {
  /** A send queue that has not changed for this time is stalled. */
  readonly stalledAfter: number;
  /** A socket that has moved no byte for this time is idle. */
  readonly idleAfter: number;
  /** A socket should be closed this time after its peer has closed. {@link isQuiet} uses the same time. */
  readonly closeAfter: number;
}

/**
 * This many empty calls (see {@link SocketRow.emptyCalls}) in a second are a busy loop, unless a tenth as many calls or
 * more moved bytes.
 */
const BUSY_CALLS = 500;
/** How long, in ms, the findings "overflow" and "busy" are shown after they were last detected. */
const SHOWN_FOR = 30_000;
/** If one line of the program has made this many sockets that are open and quiet, they are reported as a leak. */
const MANY_QUIET = 16;

const isListener = (row: SocketRow): boolean => row.isTcpListener || row.state === "listening";

/** Whether a socket does not listen, has no waiting call, and has moved nothing for `closeAfter`. */
export const isQuiet = (row: SocketRow, now: number, { closeAfter }: FindingLimits): boolean =>
  row.pending.length === 0 && !isListener(row) && now - row.movedAt >= closeAfter;

/** Detects busy loops and the end of the peer. Ends the period of the counters of calls: sets them to 0. */
export function updateCallFindings(row: SocketRow, now: number, periodStart: number): void {
  const seconds = Math.max(0.001, (now - periodStart) / 1000);
  const { emptyCalls, movingCalls } = row;
  if (emptyCalls / seconds >= BUSY_CALLS && emptyCalls > movingCalls * 10) {
    row.busyAt = now;
    const line = row.emptyLine === undefined ? "" : ` at ${row.emptyLine}`;
    const example = row.emptyCall === undefined ? "" : ` (such as ${row.emptyCall}${line})`;
    row.busyText =
      `${rounded(emptyCalls / seconds)} calls in a second moved no bytes${example}, and ` +
      `${rounded(movingCalls / seconds)} moved bytes: the program loops instead of waiting`;
  }
  row.emptyCalls = row.movingCalls = 0;
  row.emptyCall = row.emptyLine = undefined;
  if (row.peerFinishedSince === Infinity) {
    if (row.state === "CLOSE_WAIT" || row.peerFinished) row.peerFinishedSince = now;
  }
}

/** The fields of a row that {@link updateQueueFindings} compares. */
export type QueueState = Pick<SocketRow, "acknowledged" | "sendQueue" | "drops">;

/**
 * Detects send queues that do not move, and accept queues that overflow.
 *
 * @param before the fields of the row before they were read from the kernel again
 */
export function updateQueueFindings(row: SocketRow, now: number, before: QueueState): void {
  const sendQueue = row.sendQueue ?? 0;
  const hasMoved = row.acknowledged !== before.acknowledged || sendQueue < (before.sendQueue ?? 0);
  if (sendQueue === 0) row.stuckSince = Infinity;
  else if (hasMoved || row.stuckSince === Infinity) row.stuckSince = now;
  if (row.isTcpListener && (row.acceptLength > row.acceptLimit || row.drops > before.drops)) row.overflowAt = now;
}

/**
 * All findings of a row.
 *
 * @param quietByLine the number of quiet sockets (see {@link isQuiet}), by the line that made them
 */
export function findingsOf(
  row: SocketRow,
  now: number,
  limits: FindingLimits,
  quietByLine: ReadonlyMap<string, number>,
): Finding[] {
  const found: Finding[] = [];
  const madeAt = row.line === undefined ? "" : `; made at ${row.line}`;
  if (row.closedAt !== Infinity) {
    if (!row.collected) return [];
    const text =
      "The program lost its last reference to this socket and had not closed it; the collector closed it" + madeAt;
    return [{ kind: "leak", text }];
  }
  if (row.object !== undefined && row.object.deref() === undefined) {
    found.push({ kind: "leak", text: `The socket is open, and no code of the program can reach it any more${madeAt}` });
  } else {
    const text = leakText(row, now, limits, quietByLine);
    if (text !== undefined) found.push({ kind: "leak", text: `${text}${madeAt}` });
  }
  if (now - row.stuckSince >= limits.stalledAfter) {
    const cause = row.retransmits > 0 ? "the peer does not acknowledge what was sent again" : "the peer does not read";
    const text =
      `${byteCountText(row.sendQueue ?? 0)} in the send queue have not moved for more than ` +
      `${ageText(now - row.stuckSince)}: ${cause}`;
    found.push({ kind: "stalled", text: `${text}${madeAt}` });
  }
  if (now - row.overflowAt < SHOWN_FOR) {
    const isFull = row.acceptLength > row.acceptLimit;
    const queue = `${row.acceptLength} connections wait in the accept queue, whose limit is ${row.acceptLimit}`;
    const dropped = row.drops === 0 ? "" : `; the kernel has dropped ${row.drops} attempts to connect`;
    const text =
      `${isFull ? "The queue is full: " : "The queue was full: "}${queue}${dropped}. Accept faster, or ` +
      `listen with a larger backlog${madeAt}`;
    found.push({ kind: "overflow", text });
  }
  if (now - row.busyAt < SHOWN_FOR) found.push({ kind: "busy", text: row.busyText });
  if (found.length === 0 && isIdle(row, now, limits)) {
    const text = `No call has moved a byte for more than ${ageText(now - row.movedAt)}${madeAt}`;
    found.push({ kind: "idle", text });
  }
  return found;
}

function isIdle(row: SocketRow, now: number, { idleAfter }: FindingLimits): boolean {
  return now - row.movedAt >= idleAfter && !isListener(row);
}

/** The text about an open socket that the program should probably close; undefined if the socket seems to be in use. */
function leakText(
  row: SocketRow,
  now: number,
  limits: FindingLimits,
  quietByLine: ReadonlyMap<string, number>,
): string | undefined {
  const closedFor = now - row.peerFinishedSince;
  if (closedFor >= limits.closeAfter && row.type !== SOCK_DGRAM && isQuiet(row, now, limits)) {
    return (
      `The peer closed the connection more than ${ageText(closedFor)} ago, and the program has not closed ` +
      "this socket"
    );
  }
  if (row.line === undefined || !isQuiet(row, now, limits)) return undefined;
  const count = quietByLine.get(row.line) ?? 0;
  if (count >= MANY_QUIET) {
    // The exact number would change with each socket, and then all rows of the line would be sent again.
    return `At least ${powerOfTwo(count)} sockets of one line are open and idle, and no call waits on them`;
  }
  if (!isIdle(row, now, limits)) return undefined;
  return (
    "The socket is open, no call waits on it, and none has moved a byte for more than " + ageText(now - row.movedAt)
  );
}

/** Rounds down to a power of two. */
const powerOfTwo = (count: number): number => 2 ** Math.floor(Math.log2(count));

/** Rounds to two significant digits; a number below 10 to a whole number. */
const rounded = (count: number): number => (count < 10 ? Math.round(count) : Number(count.toPrecision(2)));

/** A duration as a text with one unit. The number is rounded down to a power of two. */
export function ageText(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 1) return `${powerOfTwo(Math.max(1, ms))} ms`;
  if (seconds < 60) return `${powerOfTwo(seconds)} s`;
  if (seconds < 3600) return `${powerOfTwo(seconds / 60)} min`;
  return `${powerOfTwo(seconds / 3600)} h`;
}

export function byteCountText(count: number): string {
  if (count < 1000) return `${count} bytes`;
  const units = ["kB", "MB", "GB", "TB"];
  const power = Math.min(units.length, Math.floor(Math.log10(count) / 3));
  return `${(count / 1000 ** power).toPrecision(3)} ${units[power - 1]}`;
}
