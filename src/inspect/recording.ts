// Recording of system calls: the entries of the table of calls (sys/calls.ts) are replaced by functions that make the
// call and then write a record. Off, the table has the original entries, so recording costs nothing then.
//
// The wrappers run in the program's calls, so no failure of the inspector may come out of them.

import { clock } from "../builtins.js";
import type { TransferStats } from "../io.js";
import { attachListener, callerLine, detachListener, type ObjectRecord, takeLine } from "../registry/index.js";
import { type Calls, calls } from "../sys/calls.js";
import { EAGAIN } from "../sys/errno.js";
import { AF_UNSPEC, MSG_PEEK, SOCK_DGRAM, SOCK_STREAM } from "../sys/constants.js";
import { CALL_NAMES, type CallExtras, type CallName, CallRing } from "./callRing.js";
import { addressDetail } from "./callDetails.js";
import { kindOfDescriptor } from "./kernelState.js";
import { wrapLifeCalls } from "./lifeCalls.js";
import { SocketRow } from "./socketRow.js";
import { wrapTransfers } from "./transferCalls.js";

/** What a call has moved. */
export interface MovedBytes {
  readonly call: CallName;
  readonly sent: boolean;
  readonly bytes: Uint8Array;
  /** The peer of a datagram, as a sockaddr. */
  readonly address: Uint8Array | undefined;
  readonly line: string | undefined;
}

/** What gets the bytes that calls move, for a capture. */
export interface DataObserver {
  /** A call has moved bytes. `address` is the peer of a datagram, as a sockaddr. */
  moved(row: SocketRow, moved: MovedBytes): void;
  /** Another call has returned, or one that moves data has returned 0 or an error. */
  called(row: SocketRow, call: CallName, result: number, detail: string, line: string | undefined): void;
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
  readonly #payload: number;
  readonly #wrappers = new Map<keyof Calls, AnyCall>();
  readonly #listener = {
    made: (record: ObjectRecord): void => this.#guard(() => this.#made(record)),
    closed: ({ id }: ObjectRecord): void => this.#guard(() => this.#closed(id)),
  };

  constructor({ records, payload }: RecordingOptions) {
    this.ring = new CallRing(records);
    this.#payload = payload;
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
    return takeLine() ? callerLine() : undefined;
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

  moved(
    fd: number,
    code: number,
    start: number,
    result: number,
    bytes: Uint8Array | undefined,
    sent: boolean,
    flags: number,
    address: Uint8Array | undefined,
    count: number = result,
  ): void {
    if (!this.#active) return;
    try {
      const end = this.#end(start);
      const row = this.rows[fd] ?? this.#adopt(fd);
      if (row === undefined) return;
      const traced = row.watchers > 0 || row.lines < FIRST_LINES || row.fruitless >= 100 || this.observer !== undefined;
      const line = traced && takeLine() ? callerLine() : undefined;
      if (line !== undefined) row.lines++;
      if (result > 0 || (result === 0 && row.type === SOCK_DGRAM)) {
        const direction = sent ? row.sent : row.received;
        direction.bytes += count;
        direction.calls++;
        row.fruitful++;
        row.moved = end;
      } else {
        if (result === 0 && !sent) row.ended = true;
        row.fruitless++;
        row.fruitlessCall = CALL_NAMES[code]!;
        if (line !== undefined) row.fruitlessLine = line;
      }
      // A view takes longer than the rest of the record.
      const moved = this.wantsBytes && bytes !== undefined && result > 0 ? bytes.subarray(0, result) : undefined;
      let extras: CallExtras | undefined;
      if (line !== undefined || moved !== undefined) {
        extras = {
          line,
          detail: address === undefined ? undefined : addressDetail(address),
          payload: this.#payload > 0 && moved !== undefined ? moved.slice(0, this.#payload) : undefined,
        };
      }
      this.ring.push(row, code, start > 0 ? start : end, start > 0 ? end - start : 0, result, extras);
      if (this.observer !== undefined && (flags & MSG_PEEK) === 0) {
        const call = CALL_NAMES[code]!;
        if (result <= 0 && result !== EAGAIN) this.observer.called(row, call, result, "", line);
        else if (moved !== undefined) this.observer.moved(row, { call, sent, bytes: moved, address, line });
      }
    } catch {
      // See #guard.
    }
  }

  /** Whether any reader of the bytes exists. */
  get wantsBytes(): boolean {
    return this.#payload > 0 || this.observer !== undefined;
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
    this.ring.push(row, CODE[call], start, this.#returned - start, result, { detail, line });
    this.observer?.called(row, call, result, detail, line);
  }

  wrap<Name extends keyof Calls>(
    name: Name,
    after: (result: number, start: number, args: Parameters<Calls[Name]>) => void,
  ): void {
    const original = this.kernel[name] as (...args: Parameters<Calls[Name]>) => number;
    const wrapper = (...args: Parameters<Calls[Name]>): number => {
      if (!this.#active) return original(...args);
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
