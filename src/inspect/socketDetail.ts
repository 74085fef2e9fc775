// All data about one socket: its samples, the calls of both ends, and the options that differ from those of a new
// socket.

import { clock } from "../builtins.js";
import { runCallback } from "../callbacks.js";
import { declaredOptions, type SocketOption } from "../options/option.js";
import type { Calls } from "../sys/calls.js";
import { EAGAIN, EINPROGRESS, EALREADY, errnoName } from "../sys/errno.js";
import { valueText } from "./callDetails.js";
import { movesData, type RingRecord } from "./callRing.js";
import { familyName, isTcp, readTcpInfo, typeName } from "./kernelState.js";
import type { CallReport, OptionReport, SocketDetail } from "./protocol.js";
import type { Recording } from "./recording.js";
import { areEnds, dateOf, type SocketRow } from "./socketRow.js";
import type { SocketTable } from "./socketTable.js";

/** The call whose payload `redact` gets. */
export interface PayloadContext {
  readonly call: string;
  readonly local: string | null;
  readonly peer: string | null;
}

/** Returns the bytes to show, or null to show none. */
export type Redact = (bytes: Buffer, context: PayloadContext) => Uint8Array | null;

/** Maximum number of samples: ten minutes with two samples a second. */
const MAX_SAMPLES = 1200;
/**
 * The shortest time between two samples, in ms. A page takes a sample every 500 ms. With this limit, several pages take
 * no more samples than one. The limit is below 500, because timers are not exact.
 */
const MIN_SAMPLE_INTERVAL = 400;
/** A detail has at most this many records of calls that move data, and at most this many of other calls. */
const MAX_CALLS = 500;
/** Bytes that `redact` returns are cut to this length, or to that of the payload if the payload is longer. */
const MAX_REPLACEMENT = 1024;

/** Options that the detail leaves out: they differ without a setsockopt(), or they are of no use on the page. */
const NOT_COMPARED: ReadonlySet<string> = new Set([
  ..."SO_ACCEPTCONN SO_COOKIE SO_DOMAIN SO_ERROR SO_INCOMING_CPU SO_INCOMING_NAPI_ID SO_MEMINFO SO_NETNS_COOKIE".split(
    " ",
  ),
  ..."SO_PEERCRED SO_PEERGROUPS SO_PEERPIDFD SO_PEERSEC SO_PROTOCOL SO_TYPE SO_BPF_EXTENSIONS SO_PEERNAME".split(" "),
  ..."TCP_INFO TCP_CC_INFO TCP_SAVED_SYN TCP_TIMESTAMP TCP_FASTOPEN_KEY TCP_ZEROCOPY_RECEIVE TCP_IS_MPTCP".split(" "),
  ..."IP_MTU IPV6_MTU IPV6_PATHMTU IP_PROTOCOL TCP_MAXSEG TCP_WINDOW_CLAMP".split(" "),
]);

/** The values of the options of a socket as text, by name. */
function readOptions(kernel: Calls, fd: number): Map<string, string> {
  const values = new Map<string, string>();
  for (const [name, option] of declaredOptions) {
    if (NOT_COMPARED.has(name)) continue;
    const { level, optname, size, query, decode } = option as SocketOption<unknown, unknown>;
    const buffer = new Uint8Array(Math.max(size, query?.length ?? 0));
    if (query !== undefined) buffer.set(query);
    try {
      const length = kernel.getsockopt(fd, level, optname, buffer);
      if (length >= 0) values.set(name, valueText(decode(buffer.subarray(0, length))));
    } catch {
      // decode() throws for an option that can only be set.
    }
  }
  return values;
}

/** Adds a sample to the row, unless the socket is closed or the last sample is too recent. */
function takeSample(kernel: Calls, row: SocketRow): void {
  const samples = (row.samples ??= []);
  const last = samples.at(-1);
  const time = dateOf(clock());
  if (row.closedAt !== Infinity || (last !== undefined && time - last.time < MIN_SAMPLE_INTERVAL)) return;
  const info = isTcp(row) && !row.isTcpListener ? readTcpInfo(kernel, row) : undefined;
  samples.push({
    time,
    rtt: info?.tcpi_rtt ?? null,
    congestionWindow: info?.tcpi_snd_cwnd ?? null,
    deliveryRate: info?.tcpi_delivery_rate ?? null,
    retransmits: info?.tcpi_total_retrans ?? null,
    receiveQueue: row.receiveQueue,
    sendQueue: row.sendQueue,
    bytesReceived: row.received.bytes,
    bytesSent: row.sent.bytes,
  });
  if (samples.length > MAX_SAMPLES) samples.splice(0, samples.length - MAX_SAMPLES);
}

/** The other end of a connection, if this thread has it. */
function otherEnd(table: SocketTable, row: SocketRow): SocketRow | undefined {
  if (row.pair !== undefined) return row.pair;
  for (const candidate of table.all()) if (candidate !== row && areEnds(row, candidate)) return candidate;
  return undefined;
}

const WOULD_BLOCK: ReadonlySet<number> = new Set([EAGAIN, EINPROGRESS, EALREADY]);
/** Calls whose records have no line: the line that made the socket is in its row. */
const OPENING_CALLS: ReadonlySet<string> = new Set(["socket", "socketpair", "accept"]);

export class DetailReader {
  readonly #table: SocketTable;
  readonly #recording: Recording;
  readonly #redact: Redact | undefined;
  /** From each payload to its report. So `redact` gets each payload only once. */
  readonly #payloadReports = new WeakMap<Uint8Array, CallReport["payload"]>();
  /** The options of new sockets, by family, type and protocol. */
  readonly #defaults = new Map<string, ReadonlyMap<string, string>>();

  constructor(table: SocketTable, recording: Recording, redact: Redact | undefined) {
    this.#table = table;
    this.#recording = recording;
    this.#redact = redact;
  }

  /** Takes a sample of both ends, and returns all data about the socket. */
  read(row: SocketRow): SocketDetail {
    const { kernel, ring } = this.#recording;
    const other = otherEnd(this.#table, row);
    const ends = new Set(other === undefined ? [row] : [row, other]);
    for (const end of ends) takeSample(kernel, end);
    return {
      socket: this.#table.reportOf(row),
      other: other === undefined ? null : this.#table.reportOf(other),
      samples: row.samples ?? [],
      calls: ring.latest(ends, MAX_CALLS, row.listener ?? other?.listener).map((record) => this.#reportOf(record)),
      options: this.#changedOptions(row),
    };
  }

  #changedOptions(row: SocketRow): OptionReport[] {
    if (row.closedAt !== Infinity) return [];
    const initial = this.#defaultsOf(row);
    return [...readOptions(this.#recording.kernel, row.fd)]
      .filter(([name, value]) => initial.has(name) && initial.get(name) !== value)
      .map(([name, value]) => ({ name, value, initial: initial.get(name)! }));
  }

  /** The options of a new socket of this kind; none if socket() fails now. */
  #defaultsOf({ family, type, protocol }: SocketRow): ReadonlyMap<string, string> {
    const kind = `${family} ${type} ${protocol}`;
    const known = this.#defaults.get(kind);
    if (known !== undefined) return known;
    const { kernel } = this.#recording;
    const fd = kernel.socket(family, type, protocol);
    if (fd < 0) return new Map();
    const values = readOptions(kernel, fd);
    kernel.close(fd);
    this.#defaults.set(kind, values);
    return values;
  }

  #reportOf(record: RingRecord): CallReport {
    const hasMoved = record.result >= 0 && !record.peeks && movesData(record.call);
    const { sequence, row, call, detail = "", start, duration, result, line, payload } = record;
    return {
      sequence,
      socket: `${this.#table.thread}:${row.number}`,
      call,
      detail: call === "socket" ? `${familyName(row.family)}, ${typeName(row.type)}` : detail,
      start: dateOf(start),
      // Milliseconds become microseconds, rounded to a nanosecond.
      duration: Math.round(duration * 1e6) / 1000,
      result: result < 0 ? null : result,
      moved: hasMoved ? { bytes: record.byteCount, sent: !record.receives } : null,
      errno: result < 0 ? errnoName(result) : null,
      wouldBlock: WOULD_BLOCK.has(result),
      line: line ?? (OPENING_CALLS.has(call) ? (row.line ?? null) : null),
      payload: payload === undefined ? null : this.#payloadReport(payload, record),
    };
  }

  #payloadReport(bytes: Uint8Array, { call, row, byteCount }: RingRecord): CallReport["payload"] {
    const known = this.#payloadReports.get(bytes);
    if (known !== undefined) return known;
    let shown: Uint8Array | null = bytes;
    if (this.#redact !== undefined) {
      const redact = this.#redact;
      shown = null;
      runCallback("redact", () => {
        const replacement: unknown = redact(Buffer.from(bytes), { call, local: row.local, peer: row.peer });
        if (replacement instanceof Uint8Array) {
          shown = replacement.subarray(0, Math.max(bytes.length, MAX_REPLACEMENT));
        } else if (replacement !== null) {
          throw new TypeError(`it returned ${typeof replacement}, required a Uint8Array or null`);
        }
      });
    }
    const report = shown === null ? null : { base64: Buffer.from(shown).toString("base64"), bytes: byteCount };
    this.#payloadReports.set(bytes, report);
    return report;
  }
}
