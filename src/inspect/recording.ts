// Recording of system calls: the entries of the table of calls (sys/calls.ts) are replaced by functions that make the
// call and then write a record. Without a recording the table has the original entries, so calls cost nothing extra.
//
// The wrappers run inside calls of the program. So each one catches the errors of the recording.

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
import { CALL_NAMES, type CallExtras, type CallName, CallRing, PEEKS, RECEIVES } from "./callRing.js";
import { addressDetail, batchDetail, peekDetail, subarrayOrUndefined } from "./callDetails.js";
import { kindOfDescriptor } from "./kernelState.js";
import { wrapLifeCalls } from "./lifeCalls.js";
import { SocketRow } from "./socketRow.js";
import { wrapTransfers } from "./transferCalls.js";

/** The data that a call has sent or received. */
export interface MovedBytes {
  readonly call: CallName;
  readonly sent: boolean;
  /** The data, or the part that fitted the buffer. Undefined if it never is in memory of the program (sendfile). */
  readonly bytes: Uint8Array | undefined;
  readonly length: number;
  /** The peer of a datagram, as a sockaddr. */
  readonly address: Uint8Array | undefined;
  /** With UDP_SEGMENT or UDP_GRO the data is several datagrams of this size. 0 for a single datagram. */
  readonly segment: number;
  readonly line: string | undefined;
}

/** Gets the data that calls move. A capture implements it. */
export interface DataObserver {
  /** A call has moved data. For a batch, this is called for each datagram. */
  onMoved(row: SocketRow, moved: MovedBytes): void;
  /** A read of this socket has returned the end of the stream. */
  onEnd(row: SocketRow, call: CallName, line: string | undefined): void;
  /** A call that moves no data has returned, or a send or receive has failed with another error than EAGAIN. */
  onCall(row: SocketRow, call: CallName, result: number, detail: string, line: string | undefined): void;
  /** The descriptor is about to be closed. */
  onClosing(row: SocketRow): void;
  /** A message has carried the descriptor to another process or thread. */
  onPassed(row: SocketRow): void;
  /** This thread does not own the descriptor any more: it was closed or given away, or other code has closed it. */
  onRemoved(row: SocketRow): void;
}

export interface RecordingOptions {
  /** Maximum number of records in the ring. */
  readonly records: number;
  /** The number of payload bytes that a record keeps; 0 keeps none. */
  readonly payload: number;
}

const CODE = Object.fromEntries(CALL_NAMES.map((name, code) => [name, code])) as Readonly<Record<CallName, number>>;
/**
 * At most MAX_TIMED calls that move data are timed in each TIMING_PERIOD (ms), because reading the clock twice takes as
 * long as the rest of a record. While a page shows a socket, all calls are timed.
 */
const MAX_TIMED = 1000;
const TIMING_PERIOD = 100;
/** One in this many of the calls that are not timed reads the clock. */
const CALLS_PER_CLOCK_READ = 16;
/** The first calls of each socket record their line in the program, until the socket has this many lines. */
const FIRST_LINES = 4;
/** After this many calls that moved no data in a period, calls record their lines: the finding "busy" shows one. */
const MANY_EMPTY = 100;

/** Calls whose result is a number of datagrams. */
const BATCHES: ReadonlySet<number> = new Set([CODE.recvmmsg, CODE.sendmmsg]);

const addressText = (address: Uint8Array | undefined): string | undefined =>
  address === undefined ? undefined : addressDetail(address);

/** The common field of all socket classes of the package. */
interface HasDescriptor {
  readonly descriptor?: { readonly fd?: unknown };
}

/** A TLS connection. Node makes its calls, so the inspector records none of them, and reads these counters. */
export interface ForeignSocket {
  stats(): TransferStats;
}

type AnyCall = (...args: never[]) => unknown;

export class Recording {
  /** The table of calls without the wrappers. */
  readonly kernel: Calls = { ...calls };
  /** The open sockets, by descriptor. */
  readonly rows: (SocketRow | undefined)[] = [];
  /** Closed sockets that stay in the table for a while. */
  readonly keptRows: Set<SocketRow> = new Set();
  /** Objects whose descriptor belongs to Node, by the number of their record. */
  readonly foreign: Map<number, SocketRow> = new Map();
  /** By a descriptor that was given away, for example to TLS: the line that made its socket. */
  readonly givenAway: Map<number, string> = new Map();
  /** The number of pages that show a socket. While there are any, closed sockets stay in the table for a while. */
  watchers = 0;
  readonly ring: CallRing;
  /** Numbers of the rows that were removed since the table was last refreshed. */
  readonly removedNumbers: number[] = [];
  observer: DataObserver | undefined;
  #active = true;
  #rowCount = 0;
  /** The number of calls that can still be timed in this period. */
  #timingsLeft = MAX_TIMED;
  /** The number of calls that were not timed. */
  #untimed = 0;
  /** The latest time that was read. */
  #now = clock();
  readonly #timer: NodeJS.Timeout;
  /** The time at which the most recent call of a wrapper of `wrap()` returned. */
  #returned = 0;
  readonly payload: number;
  readonly #wrappers = new Map<keyof Calls, AnyCall>();
  readonly #listener = {
    replacesCalls: true,
    onObjectMade: (record: ObjectRecord): void => this.#guard(() => this.#made(record)),
    onObjectClosed: ({ id }: ObjectRecord): void => this.#guard(() => this.#closed(id)),
  };

  constructor({ records, payload }: RecordingOptions) {
    this.ring = new CallRing(records);
    this.payload = payload;
    this.#timer = setInterval(() => (this.#timingsLeft = MAX_TIMED), TIMING_PERIOD);
    this.#timer.unref();
    attachListener(this.#listener);
    wrapTransfers(this);
    wrapLifeCalls(this);
  }

  /**
   * Restores the original entries, and clears all records. If other code has replaced an entry since the start, its
   * function stays, and calls our wrapper, which records nothing any more.
   */
  stop(): void {
    this.#active = false;
    clearInterval(this.#timer);
    detachListener(this.#listener);
    for (const [name, wrapper] of this.#wrappers) {
      if ((calls[name] as unknown) === wrapper) (calls as unknown as Record<string, unknown>)[name] = this.kernel[name];
    }
    this.rows.length = 0;
    this.keptRows.clear();
    this.foreign.clear();
    this.givenAway.clear();
    this.removedNumbers.length = 0;
    this.ring.clear();
    this.#wrappers.clear();
    this.observer = undefined;
  }

  /** The row of a descriptor. Adds one for a socket that was made before the recording began. */
  rowOf(fd: number): SocketRow | undefined {
    return this.rows[fd] ?? this.#adopt(fd);
  }

  #adopt(fd: number): SocketRow | undefined {
    if (!Number.isInteger(fd) || fd < 0) return undefined;
    const kind = kindOfDescriptor(this.kernel, fd);
    return kind === undefined ? undefined : this.add(fd, kind.family, kind.type, kind.protocol);
  }

  add(fd: number, family: number, type: number, protocol: number): SocketRow {
    const earlier = this.rows[fd];
    // Other code has closed the earlier socket with this descriptor.
    if (earlier !== undefined) this.remove(earlier, false);
    this.givenAway.delete(fd);
    const row = new SocketRow(++this.#rowCount, fd, family, type, protocol, clock());
    this.rows[fd] = row;
    return row;
  }

  /** @param collected whether the garbage collector has closed the socket */
  remove(row: SocketRow, collected: boolean): void {
    this.rows[row.fd] = undefined;
    this.observer?.onRemoved(row);
    row.collected = collected;
    this.#markClosed(row);
  }

  #markClosed(row: SocketRow): void {
    row.closedAt = clock();
    row.state = "closed";
    row.pending = [];
    row.touch();
    if (row.collected || this.watchers > 0) this.keptRows.add(row);
    else this.removedNumbers.push(row.number);
  }

  #made({ id, object, line, since }: ObjectRecord): void {
    const made: HasDescriptor | undefined = object.deref();
    const fd = made?.descriptor?.fd;
    let row: SocketRow | undefined;
    if (typeof fd === "number") {
      row = this.rowOf(fd);
    } else if (made !== undefined && "stats" in made) {
      row = new SocketRow(++this.#rowCount, -1, AF_UNSPEC, SOCK_STREAM, 0, since);
      row.foreign = true;
      this.foreign.set(id, row);
    }
    if (row === undefined) return;
    row.object = object;
    row.line = line;
    row.madeAt = since;
    row.touch();
  }

  #closed(id: number): void {
    const row = this.foreign.get(id);
    if (row === undefined) return;
    this.foreign.delete(id);
    this.#markClosed(row);
  }

  /** The line of the program that makes the current call; undefined if the budget of lines, which it uses, is spent. */
  takeLine(): string | undefined {
    return takeLineBudget() ? callerLine() : undefined;
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch {
      // The program must get the result of its call. Only the record is missing.
    }
  }

  /** Replaces an entry of the table of calls. */
  replaceCall<Name extends keyof Calls>(name: Name, wrapper: Calls[Name]): void {
    this.#wrappers.set(name, wrapper);
    calls[name] = wrapper;
  }

  // ---- calls that move data

  /** Returns the time at which a call begins, and counts the call as timed; 0 if the call is not timed. */
  startTime(): number {
    if (this.#timingsLeft <= 0 && this.watchers === 0) return 0;
    this.#timingsLeft--;
    return clock();
  }

  /** The time at which a call ends. For a call that is not timed, it may be the time of an earlier call. */
  #endTime(start: number): number {
    if (start > 0 || this.#untimed++ % CALLS_PER_CLOCK_READ === 0) this.#now = clock();
    return this.#now;
  }

  /**
   * Counts a call that moves data, and writes its record. May throw: the wrappers of the calls catch it.
   *
   * @param asked the number of bytes that a read has requested: with 0, a result of 0 is not the end of the stream
   * @param length the number of bytes that were moved. Default: the result
   * @param segment see {@link MovedBytes.segment}
   */
  recordTransfer(
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
    const end = this.#endTime(start);
    const row = this.rows[fd] ?? this.#adopt(fd);
    if (row === undefined) return;
    const { observer } = this;
    const isNotable = row.watchers > 0 || row.recordedLines < FIRST_LINES || row.emptyCalls >= MANY_EMPTY;
    const mayRecordLine = isNotable || observer !== undefined;
    const line = mayRecordLine && takeLineBudget() ? callerLine() : undefined;
    if (line !== undefined) row.recordedLines++;
    // With MSG_PEEK the bytes stay in the queue. With MSG_ERRQUEUE the bytes are those of an earlier send.
    const peeks = !sent && (flags & (MSG_PEEK | MSG_ERRQUEUE)) !== 0;
    // A datagram may be empty.
    const moves = !peeks && (result > 0 || (result === 0 && row.type === SOCK_DGRAM));
    const isEnd = result === 0 && !sent && asked > 0 && (flags & MSG_ERRQUEUE) === 0 && this.#peerEnded(row);
    if (isEnd) row.peerFinished = true;
    if (moves) {
      const direction = sent ? row.sent : row.received;
      direction.bytes += length;
      direction.calls++;
      row.movingCalls++;
      row.movedAt = end;
    } else if (result <= 0) {
      row.emptyCalls++;
      row.emptyCall = CALL_NAMES[code]!;
      if (line !== undefined) row.emptyLine = line;
    }
    // A view of the data is made only if it is used, because making one takes longer than the rest of the record. With
    // MSG_TRUNC, TCP discards the data and does not write to the buffer.
    const used =
      bytes !== undefined && length > 0 && this.wantsBytes && !(row.type === SOCK_STREAM && (flags & MSG_TRUNC) !== 0)
        ? // With MSG_TRUNC the result of a datagram is its whole length, which may exceed the buffer.
          subarrayOrUndefined(bytes, 0, sent ? length : Math.min(length, asked))
        : undefined;
    let extras: CallExtras | undefined;
    if (line !== undefined || used !== undefined || peeks) {
      extras = {
        line,
        detail: peeks ? peekDetail(flags) : BATCHES.has(code) ? batchDetail(result) : addressText(address),
        payload: this.payload > 0 && used !== undefined ? used.slice(0, this.payload) : undefined,
      };
    }
    const kind = code | (sent ? 0 : RECEIVES) | (peeks ? PEEKS : 0);
    const took = start > 0 ? end - start : 0;
    this.ring.push(row, kind, start > 0 ? start : end, took, result, length > 0 ? length : 0, extras);
    if (observer === undefined) return;
    this.lastLine = line;
    const call = CALL_NAMES[code]!;
    if (isEnd) observer.onEnd(row, call, line);
    else if (result < 0) {
      if (result !== EAGAIN && !peeks) observer.onCall(row, call, result, "", line);
    } else if (moves && !BATCHES.has(code)) {
      observer.onMoved(row, { call, sent, bytes: used, length, address, segment, line });
    }
  }

  /** The line of the latest call of `recordTransfer()`, if there is an observer. The datagrams of a batch use it. */
  lastLine: string | undefined;

  /** Whether a read that returned 0 was the end of the stream. An empty record of SOCK_SEQPACKET returns 0, too. */
  #peerEnded({ fd, type }: SocketRow): boolean {
    if (type !== SOCK_SEQPACKET) return type === SOCK_STREAM;
    const events = this.kernel.poll(fd, POLLRDHUP, 0);
    return events > 0 && (events & POLLRDHUP) !== 0 && this.kernel.inq(fd) <= 0;
  }

  /** Whether records or the observer use the data of calls. */
  get wantsBytes(): boolean {
    return this.payload > 0 || this.observer !== undefined;
  }

  /** How many of `length` bytes the records and the observer use. */
  usedLength(length: number): number {
    return this.observer === undefined ? Math.min(length, this.payload) : length;
  }

  // ---- calls that open, connect and close

  /**
   * Writes the record of a call that opens, connects or closes a socket. If the record of a call that opens a socket
   * has no `line`, its readers use the line that made the socket.
   */
  recordCall(
    row: SocketRow | undefined,
    call: CallName,
    start: number,
    result: number,
    detail: string,
    line: string | undefined,
  ): void {
    if (row === undefined) return;
    this.ring.push(row, CODE[call], start, this.#returned - start, result, 0, { detail, line });
    this.observer?.onCall(row, call, result, detail, line);
  }

  /**
   * Replaces an entry by a wrapper that calls `after` with the result, the start time and the arguments.
   *
   * @param before called before the call, if there is an observer
   */
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
      } catch {}
      return result;
    };
    this.replaceCall(name, wrapper as Calls[Name]);
  }
}
