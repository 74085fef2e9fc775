// Recording of system calls: the entries of the table of calls (sys/calls.ts) are replaced by wrappers, which make the
// call and then write a record. Without a recording the table has the original entries, so calls cost nothing extra.
//
// The wrappers run inside calls of the program. So each wrapper catches the errors of the recording.

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
import { CALL_NAMES, type CallExtras, type CallName, CallRing, CODES, PEEKS, RECEIVES } from "./callRing.js";
import { addressDetail, batchDetail, peekDetail, subarrayOrUndefined } from "./callDetails.js";
import type { DataObserver } from "./dataObserver.js";
import { kindOfDescriptor } from "./kernelState.js";
import { wrapLifeCalls } from "./lifeCalls.js";
import { SocketRow } from "./socketRow.js";
import { wrapTransfers } from "./transferCalls.js";

export interface RecordingOptions {
  /** Maximum number of records of calls that move data; see {@link CallRing}. */
  readonly maxRecords: number;
  /** Maximum number of payload bytes in a record. With 0, records have no payload. */
  readonly maxPayload: number;
}

/**
 * At most MAX_TIMED calls that move data are timed in each TIMING_PERIOD (ms), because reading the clock twice takes as
 * long as the rest of a record. While a page shows a socket, all calls are timed.
 */
const MAX_TIMED = 1000;
const TIMING_PERIOD = 100;
/** Of the calls that are not timed, one in this many reads the clock. */
const CALLS_PER_CLOCK_READ = 16;
/** The calls of a socket record their lines in the program until this many lines are recorded. */
const FIRST_LINES = 4;
/** After this many empty calls (see {@link SocketRow.emptyCalls}), a socket records lines for the finding "busy". */
const MANY_EMPTY = 100;

/** Calls whose result is a number of datagrams. */
const BATCHES: ReadonlySet<number> = new Set([CODES.recvmmsg, CODES.sendmmsg]);

/** The common field of all socket classes of the package. */
interface HasDescriptor {
  readonly descriptor?: { readonly fd?: unknown };
}

/** A TLS connection. Node.js makes its calls, so the inspector records none of them and reads these counters. */
export interface TlsCounters {
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
  /** The rows of TLS connections, whose descriptors belong to Node.js, by the `id` of their ObjectRecord. */
  readonly tlsRows: Map<number, SocketRow> = new Map();
  /** The lines that made sockets whose descriptors were released, for example to TLS; by descriptor. */
  readonly linesOfReleased: Map<number, string> = new Map();
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
  #untimedCalls = 0;
  /** The time at the latest reading of the clock by `#endTime()`. */
  #latestTime = clock();
  /** Begins a timing period. */
  readonly #timer: NodeJS.Timeout;
  /** The time at which the latest call through a wrapper of `wrap()` returned. */
  #returnTime = 0;
  /** See {@link RecordingOptions.maxPayload}. */
  readonly maxPayload: number;
  readonly #wrappers = new Map<keyof Calls, AnyCall>();
  readonly #listener = {
    replacesCalls: true,
    onObjectMade: (record: ObjectRecord): void => this.#guard(() => this.#noteMade(record)),
    onObjectClosed: ({ id }: ObjectRecord): void => this.#guard(() => this.#noteClosed(id)),
  };

  constructor({ maxRecords, maxPayload }: RecordingOptions) {
    this.ring = new CallRing(maxRecords);
    this.maxPayload = maxPayload;
    this.#timer = setInterval(() => (this.#timingsLeft = MAX_TIMED), TIMING_PERIOD);
    this.#timer.unref();
    attachListener(this.#listener);
    wrapTransfers(this);
    wrapLifeCalls(this);
  }

  /**
   * Restores the original entries, and clears all records. If other code has replaced an entry since the start, the
   * function of that code stays. It calls our wrapper, which records nothing any more.
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
    this.tlsRows.clear();
    this.linesOfReleased.clear();
    this.removedNumbers.length = 0;
    this.ring.clear();
    this.#wrappers.clear();
    this.observer = undefined;
  }

  /** The row of a descriptor; undefined if it is not a socket. A socket whose making was not recorded gets a row. */
  rowOf(fd: number): SocketRow | undefined {
    return this.rows[fd] ?? this.#addUnrecorded(fd);
  }

  #addUnrecorded(fd: number): SocketRow | undefined {
    if (!Number.isInteger(fd) || fd < 0) return undefined;
    const kind = kindOfDescriptor(this.kernel, fd);
    return kind === undefined ? undefined : this.add(fd, kind.family, kind.type, kind.protocol);
  }

  /** Adds the row of a socket that was opened. */
  add(fd: number, family: number, type: number, protocol: number): SocketRow {
    const earlier = this.rows[fd];
    // The kernel has used the descriptor again, so other code has closed the earlier socket.
    if (earlier !== undefined) this.remove(earlier);
    this.linesOfReleased.delete(fd);
    const row = new SocketRow(++this.#rowCount, fd, family, type, protocol, clock());
    this.rows[fd] = row;
    return row;
  }

  /** Removes the row of a descriptor that this thread does not own any more. */
  remove(row: SocketRow): void {
    this.rows[row.fd] = undefined;
    this.observer?.onRemoved(row);
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

  #noteMade({ id, object, line, since }: ObjectRecord): void {
    const socket: HasDescriptor | undefined = object.deref();
    const fd = socket?.descriptor?.fd;
    let row: SocketRow | undefined;
    if (typeof fd === "number") {
      row = this.rowOf(fd);
    } else if (socket !== undefined && "stats" in socket) {
      // A TLS connection. A refresh of the table reads its descriptor, which is -1 until then.
      row = new SocketRow(++this.#rowCount, -1, AF_UNSPEC, SOCK_STREAM, 0, since);
      row.isTls = true;
      this.tlsRows.set(id, row);
    }
    if (row === undefined) return;
    row.object = object;
    row.line = line;
    row.madeAt = since;
    row.touch();
  }

  /** Removes the row of a TLS connection. The wrappers of close and release remove the rows of other sockets. */
  #noteClosed(id: number): void {
    const row = this.tlsRows.get(id);
    if (row === undefined) return;
    this.tlsRows.delete(id);
    this.#markClosed(row);
  }

  /** Returns the line of the program that makes the current call; undefined if too many lines were read recently. */
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

  replaceCall<Name extends keyof Calls>(name: Name, wrapper: Calls[Name]): void {
    this.#wrappers.set(name, wrapper);
    calls[name] = wrapper;
  }

  // ---- calls that move data

  /** Returns the time at which a call begins, and counts the call as timed. Returns 0 if the call is not timed. */
  startTiming(): number {
    if (this.#timingsLeft <= 0 && this.watchers === 0) return 0;
    this.#timingsLeft--;
    return clock();
  }

  /** The time at which a call ends. For a call that is not timed, it may be the time of an earlier call. */
  #endTime(start: number): number {
    if (start > 0 || this.#untimedCalls++ % CALLS_PER_CLOCK_READ === 0) this.#latestTime = clock();
    return this.#latestTime;
  }

  /**
   * Records a call that receives. May throw: the wrappers catch the error.
   *
   * @param code the code of the call (`CODES`)
   * @param start the result of `startTiming()` before the call
   * @param requested the number of bytes that the call has requested. If it is 0, a result of 0 does not mean an end
   * @param length the number of bytes that were moved. Default: the result
   * @param datagramSize see {@link MovedBytes.datagramSize}
   */
  recordReceive(
    fd: number,
    code: number,
    start: number,
    result: number,
    bytes: Uint8Array | undefined,
    flags: number,
    address: Uint8Array | undefined,
    requested: number,
    length: number = result,
    datagramSize: number = 0,
  ): void {
    this.#recordTransfer("received", fd, code, start, result, bytes, flags, address, requested, length, datagramSize);
  }

  /** Records a call that sends. The parameters are those of `recordReceive()`. */
  recordSend(
    fd: number,
    code: number,
    start: number,
    result: number,
    bytes: Uint8Array | undefined,
    address?: Uint8Array,
    length: number = result,
    datagramSize: number = 0,
  ): void {
    this.#recordTransfer("sent", fd, code, start, result, bytes, 0, address, 0, length, datagramSize);
  }

  /** Counts a call that moves data, writes its record, and passes the data to the observer. */
  #recordTransfer(
    direction: "received" | "sent",
    fd: number,
    code: number,
    start: number,
    result: number,
    bytes: Uint8Array | undefined,
    flags: number,
    address: Uint8Array | undefined,
    requested: number,
    length: number,
    datagramSize: number,
  ): void {
    if (!this.#active) return;
    const sent = direction === "sent";
    const end = this.#endTime(start);
    const row = this.rowOf(fd);
    if (row === undefined) return;
    const { observer } = this;
    const needsLine = row.watchers > 0 || row.recordedLines < FIRST_LINES || row.emptyCalls >= MANY_EMPTY;
    const line = needsLine || observer !== undefined ? this.takeLine() : undefined;
    if (line !== undefined) row.recordedLines++;
    // With MSG_PEEK, the bytes stay in the queue. With MSG_ERRQUEUE, the bytes are those of an earlier send.
    const peeks = !sent && (flags & (MSG_PEEK | MSG_ERRQUEUE)) !== 0;
    // A datagram may be empty.
    const moves = !peeks && (result > 0 || (result === 0 && row.type === SOCK_DGRAM));
    const mayBeEnd = result === 0 && !sent && requested > 0 && (flags & MSG_ERRQUEUE) === 0;
    const isEnd = mayBeEnd && this.#peerEnded(row);
    if (isEnd) row.peerFinished = true;
    if (moves) {
      row[direction].bytes += length;
      row[direction].calls++;
      row.movingCalls++;
      row.movedAt = end;
    } else if (result <= 0) {
      row.countEmpty(CALL_NAMES[code]!, line);
    }
    // With MSG_TRUNC, TCP discards the data and does not write to the buffer.
    const isDiscarded = row.type === SOCK_STREAM && (flags & MSG_TRUNC) !== 0;
    // A view of the data is made only if it is used, because making one takes longer than the rest of the record.
    let data: Uint8Array | undefined;
    if (bytes !== undefined && length > 0 && this.usesBytes && !isDiscarded) {
      // With MSG_TRUNC, the result of a datagram is its whole length, which may exceed the buffer.
      data = subarrayOrUndefined(bytes, 0, sent ? length : Math.min(length, requested));
    }
    let extras: CallExtras | undefined;
    if (line !== undefined || data !== undefined || peeks) {
      let detail: string | undefined;
      if (peeks) detail = peekDetail(flags);
      else if (BATCHES.has(code)) detail = batchDetail(result);
      else if (address !== undefined) detail = addressDetail(address);
      extras = { line, detail, payload: this.maxPayload > 0 ? data?.slice(0, this.maxPayload) : undefined };
    }
    const flaggedCode = code | (sent ? 0 : RECEIVES) | (peeks ? PEEKS : 0);
    const duration = start > 0 ? end - start : 0;
    this.ring.push(row, flaggedCode, start > 0 ? start : end, duration, result, Math.max(0, length), extras);
    if (observer === undefined) return;
    this.lastLine = line;
    const call = CALL_NAMES[code]!;
    if (isEnd) observer.onEnd(row, call, line);
    else if (result < 0) {
      if (result !== EAGAIN && !peeks) observer.onCall(row, call, result, "", line);
    } else if (moves && !BATCHES.has(code)) {
      observer.onMoved(row, { call, sent, bytes: data, length, address, datagramSize, line });
    }
  }

  /** The line of the latest call that moves data, if there is an observer. The datagrams of a batch have this line. */
  lastLine: string | undefined;

  /** Whether a read that returned 0 was the end of the stream. An empty record of SOCK_SEQPACKET returns 0, too. */
  #peerEnded({ fd, type }: SocketRow): boolean {
    if (type !== SOCK_SEQPACKET) return type === SOCK_STREAM;
    const events = this.kernel.poll(fd, POLLRDHUP, 0);
    return events > 0 && (events & POLLRDHUP) !== 0 && this.kernel.inq(fd) <= 0;
  }

  /** Whether the data of calls is used: records have payloads, or there is an observer. */
  get usesBytes(): boolean {
    return this.maxPayload > 0 || this.observer !== undefined;
  }

  /** How many of `length` moved bytes the record or the observer uses. */
  usedLength(length: number): number {
    return this.observer === undefined ? Math.min(length, this.maxPayload) : length;
  }

  // ---- calls that open, connect and close

  /**
   * Writes the record of a call that opens, connects or closes a socket. A call that opens a socket needs no `line`,
   * because the row has the line that made the socket.
   */
  recordCall(
    row: SocketRow | undefined,
    call: CallName,
    start: number,
    result: number,
    detail: string = "",
    line?: string,
  ): void {
    if (row === undefined) return;
    this.ring.push(row, CODES[call], start, this.#returnTime - start, result, 0, { detail, line });
    this.observer?.onCall(row, call, result, detail, line);
  }

  /**
   * Replaces an entry by a wrapper that makes the call, and then calls `after` with the result, the start time and the
   * arguments.
   *
   * @param before called before the call, but only if there is an observer
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
      this.#returnTime = clock();
      this.#guard(() => after(result, start, args));
      return result;
    };
    this.replaceCall(name, wrapper as Calls[Name]);
  }
}
