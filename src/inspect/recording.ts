// Recording of system calls: the entries of the table of calls (sys/calls.ts) are replaced by functions that make the
// call and then write a record. Off, the table has the original entries, so recording costs nothing then.
//
// The wrappers run in the program's calls, so no failure of the inspector may come out of them.

import { clock } from "../builtins.js";
import type { TransferStats } from "../io.js";
import { attachListener, callerLine, detachListener, type ObjectRecord, takeLineBudget } from "../registry/index.js";
import { type Calls, calls } from "../sys/calls.js";
import { EAGAIN } from "../sys/errno.js";
import {
  AF_UNSPEC,
  MSG_ERRQUEUE,
  MSG_PEEK,
  MSG_TRUNC,
  POLLRDHUP,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from "../sys/constants.js";
import { CALL_NAMES, type CallExtras, type CallName, CallRing, LOOKS, RECEIVES } from "./callRing.js";
import { addressDetail, batchDetail, lookDetail, partOf } from "./callDetails.js";
import { kindOfDescriptor } from "./kernelState.js";
import { wrapLifeCalls } from "./lifeCalls.js";
import { SocketRow } from "./socketRow.js";
import { wrapTransfers } from "./transferCalls.js";

/** What a call has moved. */
export interface MovedBytes {
  readonly call: CallName;
  readonly sent: boolean;
  /** The bytes, or as many of their first ones as the program has; undefined if the kernel alone has them. */
  readonly bytes: Uint8Array | undefined;
  readonly length: number;
  /** The peer of a datagram, as a sockaddr. */
  readonly address: Uint8Array | undefined;
  /** The size of the datagrams that the bytes are (UDP_SEGMENT, UDP_GRO); 0 for a single one. */
  readonly segment: number;
  readonly line: string | undefined;
}

/** What gets the bytes that calls move, for a capture. */
export interface DataObserver {
  moved(row: SocketRow, moved: MovedBytes): void;
  /** A call has returned that the peer has finished. */
  ended(row: SocketRow, call: CallName, line: string | undefined): void;
  /** A call that moves no data has returned, or one that does has failed. */
  called(row: SocketRow, call: CallName, result: number, detail: string, line: string | undefined): void;
  /** The descriptor is about to be closed. */
  closing(row: SocketRow): void;
  /** A message has carried the descriptor to another process or thread. */
  passed(row: SocketRow): void;
  /** The descriptor is not this thread's any more: closed, given away, or closed by other code and used again. */
  removed(row: SocketRow): void;
}

export interface RecordingOptions {
  /** Records of the ring. */
  readonly records: number;
  /** Bytes of payload that are kept of a call; 0 keeps none. */
  readonly payload: number;
}

const CODE = Object.fromEntries(CALL_NAMES.map((name, code) => [name, code])) as Readonly<Record<CallName, number>>;
/**
 * Calls that move data and are timed, in a period (ms). Reading the clock twice takes as long as the rest of a record. So the
 * traffic of a busy program is timed in part. While a page shows a socket, all calls are timed.
 */
const TIMINGS = 1000;
const TIMING_PERIOD = 100;
/** The calls that are not timed read the clock once in so many calls. */
const UNTIMED = 16;
/** Calls that move data, of each socket, whose line is recorded whatever the traffic is. */
const FIRST_LINES = 4;

/** Calls whose result is a number of datagrams. */
const BATCHES: ReadonlySet<number> = new Set([CODE.recvmmsg, CODE.sendmmsg]);

const addressText = (address: Uint8Array | undefined): string | undefined =>
  address === undefined ? undefined : addressDetail(address);

/** The sockets of the package have a descriptor, whatever class they have. */
interface HasDescriptor {
  readonly descriptor?: { readonly fd?: unknown };
}

/** A connection of TLS: Node reads and writes its socket, so its calls are not recorded. */
export interface ForeignSocket {
  stats(): TransferStats;
}

type AnyCall = (...args: never[]) => unknown;

export class Recording {
  /** The table without the wrappers. */
  readonly kernel: Calls = { ...calls };
  /** The open sockets, by descriptor. */
  readonly rows: (SocketRow | undefined)[] = [];
  /** The ends that are closed and must stay in the table for a while. */
  readonly kept: Set<SocketRow> = new Set();
  /** Objects whose descriptor belongs to Node, by the number of their record. */
  readonly foreign: Map<number, SocketRow> = new Map();
  /** The lines that made sockets whose descriptors were given away, as to TLS. A descriptor that is used again leaves. */
  readonly givenAway: Map<number, string> = new Map();
  /** Pages that show a socket. While there are any, closed sockets stay in the table for a while. */
  watchers = 0;
  readonly ring: CallRing;
  /** Numbers of rows that are gone since the table last looked. */
  readonly gone: number[] = [];
  observer: DataObserver | undefined;
  #active = true;
  #count = 0;
  /** Calls that may still be timed in this period. */
  #timings = TIMINGS;
  #untimed = 0;
  /** The latest time that was read. */
  #now = clock();
  readonly #timer: NodeJS.Timeout;
  /** When the last call returned. */
  #returned = 0;
  /** Bytes of payload that are kept of a call. */
  readonly payload: number;
  readonly #wrappers = new Map<keyof Calls, AnyCall>();
  readonly #listener = {
    replacesCalls: true,
    objectMade: (record: ObjectRecord): void => this.#guard(() => this.#made(record)),
    objectClosed: ({ id }: ObjectRecord): void => this.#guard(() => this.#closed(id)),
  };

  constructor({ records, payload }: RecordingOptions) {
    this.ring = new CallRing(records);
    this.payload = payload;
    this.#timer = setInterval(() => (this.#timings = TIMINGS), TIMING_PERIOD);
    this.#timer.unref();
    attachListener(this.#listener);
    wrapTransfers(this);
    wrapLifeCalls(this);
  }

  /**
   * Puts the original entries back, and forgets all records. An entry that other code has replaced meanwhile stays, and calls
   * ours without a record.
   */
  stop(): void {
    this.#active = false;
    clearInterval(this.#timer);
    detachListener(this.#listener);
    for (const [name, wrapper] of this.#wrappers) {
      if ((calls[name] as unknown) === wrapper) (calls as unknown as Record<string, unknown>)[name] = this.kernel[name];
    }
    this.rows.length = 0;
    this.kept.clear();
    this.foreign.clear();
    this.givenAway.clear();
    this.gone.length = 0;
    this.ring.clear();
    this.#wrappers.clear();
    this.observer = undefined;
  }

  /** The row of a descriptor. A socket from before the inspector gets one now. */
  rowOf(fd: number): SocketRow | undefined {
    return this.rows[fd] ?? this.#adopt(fd);
  }

  #adopt(fd: number): SocketRow | undefined {
    if (!Number.isInteger(fd) || fd < 0) return undefined;
    const kind = kindOfDescriptor(this.kernel, fd);
    return kind === undefined ? undefined : this.add(fd, kind.family, kind.type, kind.protocol);
  }

  add(fd: number, family: number, type: number, protocol: number): SocketRow {
    const before = this.rows[fd];
    // Closed by other code.
    if (before !== undefined) this.remove(before, false);
    this.givenAway.delete(fd);
    const row = new SocketRow(++this.#count, fd, family, type, protocol, clock());
    this.rows[fd] = row;
    return row;
  }

  remove(row: SocketRow, collected: boolean): void {
    this.rows[row.fd] = undefined;
    this.observer?.removed(row);
    row.collected = collected;
    this.#ended(row);
  }

  #ended(row: SocketRow): void {
    row.closed = clock();
    row.state = "closed";
    row.pending = [];
    row.touch();
    if (row.collected || this.watchers > 0) this.kept.add(row);
    else this.gone.push(row.number);
  }

  #made({ id, object, line, since }: ObjectRecord): void {
    const made: HasDescriptor | undefined = object.deref();
    const fd = made?.descriptor?.fd;
    let row: SocketRow | undefined;
    if (typeof fd === "number") {
      row = this.rowOf(fd);
    } else if (made !== undefined && "stats" in made) {
      row = new SocketRow(++this.#count, -1, AF_UNSPEC, SOCK_STREAM, 0, since);
      row.foreign = true;
      this.foreign.set(id, row);
    }
    if (row === undefined) return;
    row.object = object;
    row.line = line;
    row.since = since;
    row.touch();
  }

  #closed(id: number): void {
    const row = this.foreign.get(id);
    if (row === undefined) return;
    this.foreign.delete(id);
    this.#ended(row);
  }

  /** The line of the call that runs now, if one may be recorded. */
  line(): string | undefined {
    return takeLineBudget() ? callerLine() : undefined;
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch {
      // The program's call has succeeded or failed already; a record is missing.
    }
  }

  set<Name extends keyof Calls>(name: Name, wrapper: Calls[Name]): void {
    this.#wrappers.set(name, wrapper);
    calls[name] = wrapper;
  }

  // ---- calls that move data

  /** The time at which a call begins; 0 if the call is not timed. */
  begin(): number {
    if (this.#timings <= 0 && this.watchers === 0) return 0;
    this.#timings--;
    return clock();
  }

  /** The time now, or a moment ago if the call is not timed. */
  #end(start: number): number {
    if (start > 0 || this.#untimed++ % UNTIMED === 0) this.#now = clock();
    return this.#now;
  }

  /**
   * Counts a call that moves data, and writes its record. May throw: the wrappers of the calls catch it.
   *
   * @param asked bytes that a call asked for which receives: with 0 it returns 0, and the peer has not ended
   * @param length bytes that were moved, where the result is something else
   * @param segment see {@link MovedBytes.segment}
   */
  moved(
    fd: number,
    code: number,
    start: number,
    result: number,
    bytes: Uint8Array | undefined,
    sent: boolean,
    flags: number,
    address: Uint8Array | undefined,
    asked: number,
    length: number = result,
    segment: number = 0,
  ): void {
    if (!this.#active) return;
    const end = this.#end(start);
    const row = this.rows[fd] ?? this.#adopt(fd);
    if (row === undefined) return;
    const { observer } = this;
    const traced = row.watchers > 0 || row.lines < FIRST_LINES || row.fruitless >= 100 || observer !== undefined;
    const line = traced && takeLineBudget() ? callerLine() : undefined;
    if (line !== undefined) row.lines++;
    // MSG_PEEK leaves what it returns in the queue, and MSG_ERRQUEUE returns what the socket had sent.
    const looks = !sent && (flags & (MSG_PEEK | MSG_ERRQUEUE)) !== 0;
    const moves = !looks && (result > 0 || (result === 0 && row.type === SOCK_DGRAM));
    const ends = result === 0 && !sent && asked > 0 && (flags & MSG_ERRQUEUE) === 0 && this.#peerEnded(row);
    if (ends) row.ended = true;
    if (moves) {
      const direction = sent ? row.sent : row.received;
      direction.bytes += length;
      direction.calls++;
      row.fruitful++;
      row.moved = end;
    } else if (result <= 0) {
      row.fruitless++;
      row.fruitlessCall = CALL_NAMES[code]!;
      if (line !== undefined) row.fruitlessLine = line;
    }
    // A view takes longer than the rest of the record. With MSG_TRUNC, TCP discards the bytes: the buffer has others.
    const seen =
      bytes !== undefined && length > 0 && this.wantsBytes && !(row.type === SOCK_STREAM && (flags & MSG_TRUNC) !== 0)
        ? // With MSG_TRUNC a datagram has its whole length, and the buffer only the bytes that fit.
          partOf(bytes, 0, sent ? length : Math.min(length, asked))
        : undefined;
    let extras: CallExtras | undefined;
    if (line !== undefined || seen !== undefined || looks) {
      extras = {
        line,
        detail: looks ? lookDetail(flags) : BATCHES.has(code) ? batchDetail(result) : addressText(address),
        payload: this.payload > 0 && seen !== undefined ? seen.slice(0, this.payload) : undefined,
      };
    }
    const kind = code | (sent ? 0 : RECEIVES) | (looks ? LOOKS : 0);
    const took = start > 0 ? end - start : 0;
    this.ring.push(row, kind, start > 0 ? start : end, took, result, length > 0 ? length : 0, extras);
    if (observer === undefined) return;
    this.lastLine = line;
    const call = CALL_NAMES[code]!;
    if (ends) observer.ended(row, call, line);
    else if (result < 0) {
      if (result !== EAGAIN && !looks) observer.called(row, call, result, "", line);
    } else if (moves && !BATCHES.has(code)) {
      observer.moved(row, { call, sent, bytes: seen, length, address, segment, line });
    }
  }

  /** The line of the last call that moves data, for the datagrams of a batch. */
  lastLine: string | undefined;

  /** Whether a read that returned 0 was the end. An empty record of SOCK_SEQPACKET gives 0, too. */
  #peerEnded({ fd, type }: SocketRow): boolean {
    if (type !== SOCK_SEQPACKET) return type === SOCK_STREAM;
    const events = this.kernel.poll(fd, POLLRDHUP, 0);
    return events > 0 && (events & POLLRDHUP) !== 0 && this.kernel.inq(fd) <= 0;
  }

  /** Whether any reader of the bytes exists. */
  get wantsBytes(): boolean {
    return this.payload > 0 || this.observer !== undefined;
  }

  /** Of so many bytes, those that the readers take. */
  wanted(length: number): number {
    return this.observer === undefined ? Math.min(length, this.payload) : length;
  }

  // ---- calls that open, connect and close

  /** Writes the record of a call; the line of the program is that of the socket's making, or of this call. */
  called(
    row: SocketRow | undefined,
    call: CallName,
    start: number,
    result: number,
    detail: string,
    line: string | undefined,
  ): void {
    if (row === undefined) return;
    this.ring.push(row, CODE[call], start, this.#returned - start, result, 0, { detail, line });
    this.observer?.called(row, call, result, detail, line);
  }

  /** @param before called for an observer, before the call */
  wrap<Name extends keyof Calls>(
    name: Name,
    after: (result: number, start: number, args: Parameters<Calls[Name]>) => void,
    before?: (args: Parameters<Calls[Name]>) => void,
  ): void {
    const original = this.kernel[name] as (...args: Parameters<Calls[Name]>) => number;
    const wrapper = (...args: Parameters<Calls[Name]>): number => {
      if (!this.#active) return original(...args);
      if (before !== undefined && this.observer !== undefined) this.#guard(() => before(args));
      const start = clock();
      const result = original(...args);
      this.#returned = clock();
      try {
        after(result, start, args);
      } catch {
        // See #guard.
      }
      return result;
    };
    this.set(name, wrapper as Calls[Name]);
  }
}
