// The columns of the table: the text of each cell, and the value by which rows are sorted. Also the filter of the rows.

import type { SocketReport } from "../src/inspect/protocol.js";
import { ageText, byteCountText, countText, shortLine, shortName, visible } from "./format.js";

export interface Column {
  readonly key: string;
  readonly title: string;
  /** A longer form of the title, for the tooltip. */
  readonly hint: string;
  /** Whether the cells have numbers, which are aligned to the right. */
  readonly isNumeric?: boolean;
  /** The text of a cell. */
  readonly text: (row: SocketReport, now: number) => string;
  /** The value by which rows are sorted. */
  readonly order: (row: SocketReport) => number | string;
}

/** Pads the numbers in an address or a line, so that port 80 comes before 443. A missing text comes last (U+FFFF). */
const paddedText = (text: string | null): string =>
  (text ?? "\uffff").replace(/\d+/g, (digits) => digits.padStart(10, "0"));

const queueText = (byteCount: number | null): string => {
  if (byteCount === null) return "";
  return byteCount === 0 ? "0" : byteCountText(byteCount);
};

const pendingText = (row: SocketReport): string => {
  const calls = new Map<string, number>();
  for (const { call } of row.pending) calls.set(call, (calls.get(call) ?? 0) + 1);
  return [...calls].map(([call, count]) => (count === 1 ? call : `${call} ×${count}`)).join(", ");
};

const transferText = ({ bytes: size, calls }: SocketReport["received"]): string =>
  calls === 0 ? "0" : `${byteCountText(size)} · ${countText(calls)}`;

/** A number that is greater than every descriptor. */
const MORE_THAN_DESCRIPTORS = 2 ** 32;

export const COLUMNS: readonly Column[] = [
  {
    key: "fd",
    title: "fd",
    hint: "descriptor",
    isNumeric: true,
    text: (row) => (row.fd < 0 ? "–" : String(row.fd)),
    // The sockets of each thread come together. Sockets without a descriptor, such as closed ones, come last.
    order: (row) => (row.fd < 0 ? Infinity : row.thread * MORE_THAN_DESCRIPTORS + row.fd),
  },
  {
    key: "thread",
    title: "thread",
    hint: "thread",
    text: (row) => (row.thread === 0 ? "main" : `worker ${row.thread}`),
    order: (row) => row.thread,
  },
  {
    key: "family",
    title: "family",
    hint: "address family",
    text: (row) => shortName(row.family),
    order: (row) => row.family,
  },
  { key: "type", title: "type", hint: "type of socket", text: (row) => shortName(row.type), order: (row) => row.type },
  { key: "state", title: "state", hint: "state", text: (row) => row.state, order: (row) => row.state },
  {
    key: "local",
    title: "local",
    hint: "local address",
    text: (row) => visible(row.local ?? "–"),
    order: (row) => paddedText(row.local),
  },
  {
    key: "peer",
    title: "peer",
    hint: "address of the peer",
    text: (row) => visible(row.peer ?? "–"),
    order: (row) => paddedText(row.peer),
  },
  {
    key: "age",
    title: "age",
    hint: "age",
    isNumeric: true,
    text: (row, now) => ageText(now - row.since),
    order: (row) => -row.since,
  },
  {
    key: "received",
    title: "received",
    hint: "bytes and calls that received",
    isNumeric: true,
    text: (row) => transferText(row.received),
    order: (row) => row.received.bytes,
  },
  {
    key: "sent",
    title: "sent",
    hint: "bytes and calls that sent",
    isNumeric: true,
    text: (row) => transferText(row.sent),
    order: (row) => row.sent.bytes,
  },
  {
    key: "receiveQueue",
    title: "recv-q",
    hint: "receive queue: bytes that the program has not read",
    isNumeric: true,
    text: (row) => queueText(row.receiveQueue),
    order: (row) => row.receiveQueue ?? -1,
  },
  {
    key: "sendQueue",
    title: "send-q",
    hint: "send queue: bytes that the peer has not acknowledged",
    isNumeric: true,
    text: (row) => queueText(row.sendQueue),
    order: (row) => row.sendQueue ?? -1,
  },
  {
    key: "acceptQueue",
    title: "accept-q",
    hint: "accept queue: connections that wait for accept(), and the limit",
    isNumeric: true,
    text: (row) => (row.acceptQueue === null ? "" : `${row.acceptQueue.length} / ${row.acceptQueue.limit}`),
    order: (row) => row.acceptQueue?.length ?? -1,
  },
  {
    key: "pending",
    title: "waits in",
    hint: "calls that wait",
    text: pendingText,
    order: (row) => -row.pending.length,
  },
  {
    key: "line",
    title: "made at",
    hint: "line of code that made the socket",
    text: (row) => (row.line === null ? "" : shortLine(row.line)),
    order: (row) => paddedText(row.line),
  },
];

export interface Sorting {
  /** The `key` of a column. */
  readonly key: string;
  readonly descending: boolean;
}

/** The rows to show. An empty text matches every row. */
export interface Filter {
  /** Words that must all be in the text of a row. */
  readonly words: string;
  readonly state: string;
  readonly kind: string;
  readonly thread: string;
  /** Whether only rows with findings are shown. */
  readonly flagged: boolean;
}

export const NO_FILTER: Filter = { words: "", state: "", kind: "", thread: "", flagged: false };

/** The value of `Filter.kind` for a row: family and type. */
export const kindOf = (row: SocketReport): string => `${shortName(row.family)} ${shortName(row.type)}`;

/** The text in which the words of the filter are searched. */
const searchText = (row: SocketReport): string =>
  [
    row.id,
    `fd ${row.fd}`,
    row.family,
    row.type,
    row.state,
    row.local ?? "",
    row.peer ?? "",
    row.line ?? "",
    ...row.pending.map((pending) => `${pending.call} ${pending.line ?? ""}`),
    ...row.findings.map((finding) => `${finding.kind} ${finding.text}`),
  ]
    .join("\n")
    .toLowerCase();

/** The rows that match the filter, sorted. */
export function selectRows(rows: Iterable<SocketReport>, filter: Filter, sorting: Sorting): SocketReport[] {
  const words = filter.words.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen: SocketReport[] = [];
  for (const row of rows) {
    if (filter.flagged && row.findings.length === 0) continue;
    if (filter.state !== "" && row.state !== filter.state) continue;
    if (filter.kind !== "" && kindOf(row) !== filter.kind) continue;
    if (filter.thread !== "" && String(row.thread) !== filter.thread) continue;
    if (words.length > 0) {
      const text = searchText(row);
      if (!words.every((word) => text.includes(word))) continue;
    }
    chosen.push(row);
  }
  const column = COLUMNS.find(({ key }) => key === sorting.key) ?? COLUMNS[0]!;
  const sign = sorting.descending ? -1 : 1;
  // The value of each row is computed once, and not in each comparison.
  const withOrder = chosen.map((row) => ({ row, order: column.order(row) }));
  withOrder.sort((one, other) => {
    if (one.order !== other.order) return one.order < other.order ? -sign : sign;
    return one.row.thread - other.row.thread || one.row.fd - other.row.fd;
  });
  return withOrder.map(({ row }) => row);
}
