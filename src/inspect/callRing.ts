// The latest calls of a thread, in rings of fixed size. A call that moves data takes about a microsecond, so its record
// must be cheap: a few numbers in typed arrays. The other calls, which open, connect or close a socket ("life calls"),
// have a ring of their own, so that the traffic of busy sockets does not overwrite them.

import type { SocketRow } from "./socketRow.js";

/** The names of the calls. The calls that move data are the first ones, before "socket". */
export const CALL_NAMES = [
  "recv",
  "send",
  "recvfrom",
  "sendto",
  "recvmsg",
  "sendmsg",
  "recvmmsg",
  "sendmmsg",
  "sendfile",
  "splice",
  "socket",
  "socketpair",
  "accept",
  "bind",
  "connect",
  "listen",
  "shutdown",
  "setsockopt",
  "close",
  "detach",
  "fromfd",
  "dup",
] as const;

export type CallName = (typeof CALL_NAMES)[number];

/** The code of each call: its index in CALL_NAMES. */
export const CODES = Object.fromEntries(CALL_NAMES.map((name, code) => [name, code])) as Readonly<
  Record<CallName, number>
>;

// A record stores the code of its call in one byte, whose two highest bits are flags.
/** The call receives. */
export const RECEIVES = 0x40;
/** The call had MSG_PEEK or MSG_ERRQUEUE, so it has moved no data. */
export const PEEKS = 0x80;
/** The bits that contain the code. */
const CODE_MASK = 0x3f;

/** The fields of a record that are not numbers. Most records have none. */
export interface CallExtras {
  /** The arguments of the call in short, or the flag of a call that moves no data. */
  readonly detail?: string | undefined;
  /** The line of the program that made the call. */
  readonly line?: string | undefined;
  /** A copy of the first bytes that the call moved. */
  readonly payload?: Uint8Array | undefined;
}

/** A record, as the rings return it. */
export interface RingRecord extends CallExtras {
  /** Increases with each record of the thread. */
  readonly sequence: number;
  readonly row: SocketRow;
  readonly call: CallName;
  /** When the call began, as of `clock()`. */
  readonly start: number;
  /** Milliseconds. */
  readonly duration: number;
  /** The result of the call: -errno after a failure. */
  readonly result: number;
  /** The number of bytes that the call has returned or sent. */
  readonly byteCount: number;
  readonly receives: boolean;
  readonly peeks: boolean;
}

/** Records in typed arrays. The newest record overwrites the oldest. */
class Ring {
  readonly #size: number;
  #sequences: Float64Array;
  #starts: Float64Array;
  #durations: Float32Array;
  #results: Int32Array;
  #byteCounts: Uint32Array;
  /** The codes of the calls, with the flags. */
  #codes: Uint8Array;
  #rows: (SocketRow | undefined)[];
  #extras: (CallExtras | undefined)[];
  /** The number of records so far, including the overwritten ones. */
  #count = 0;
  /** The index of the next record. */
  #at = 0;

  constructor(size: number) {
    this.#size = size;
    this.#sequences = new Float64Array(size);
    this.#starts = new Float64Array(size);
    this.#durations = new Float32Array(size);
    this.#results = new Int32Array(size);
    this.#byteCounts = new Uint32Array(size);
    this.#codes = new Uint8Array(size);
    this.#rows = Array.from({ length: size });
    this.#extras = Array.from({ length: size });
  }

  /** The number of records that were overwritten. */
  get dropped(): number {
    return Math.max(0, this.#count - this.#size);
  }

  push(
    sequence: number,
    row: SocketRow,
    flaggedCode: number,
    start: number,
    duration: number,
    result: number,
    byteCount: number,
    extras: CallExtras | undefined,
  ): void {
    const at = this.#at;
    this.#at = at + 1 === this.#size ? 0 : at + 1;
    this.#count++;
    this.#sequences[at] = sequence;
    this.#rows[at] = row;
    this.#codes[at] = flaggedCode;
    this.#starts[at] = start;
    this.#durations[at] = duration;
    this.#results[at] = result;
    this.#byteCounts[at] = byteCount;
    this.#extras[at] = extras;
  }

  /** Frees the memory of the records. push() must not be called afterwards. */
  clear(): void {
    this.#sequences = this.#starts = new Float64Array(0);
    this.#durations = new Float32Array(0);
    this.#results = new Int32Array(0);
    this.#byteCounts = new Uint32Array(0);
    this.#codes = new Uint8Array(0);
    this.#rows = [];
    this.#extras = [];
  }

  /** Adds to `into` the newest records for which `isChosen` returns true: at most `max`, the newest first. */
  collect(isChosen: (row: SocketRow, call: CallName) => boolean, max: number, into: RingRecord[]): void {
    const oldest = this.dropped;
    for (let index = this.#count - 1, remaining = max; index >= oldest && remaining > 0; index--) {
      const at = index % this.#size;
      const row = this.#rows[at];
      const flaggedCode = this.#codes[at]!;
      const call = CALL_NAMES[flaggedCode & CODE_MASK]!;
      if (row === undefined || !isChosen(row, call)) continue;
      remaining--;
      into.push({
        ...this.#extras[at],
        sequence: this.#sequences[at]!,
        row,
        call,
        start: this.#starts[at]!,
        duration: this.#durations[at]!,
        result: this.#results[at]!,
        byteCount: this.#byteCounts[at]!,
        receives: (flaggedCode & RECEIVES) !== 0,
        peeks: (flaggedCode & PEEKS) !== 0,
      });
    }
  }
}

/** The calls that make a listener. */
const LISTENER_CALLS: ReadonlySet<CallName> = new Set(["socket", "fromfd", "setsockopt", "bind", "listen"]);
const FIRST_LIFE_CALL = CODES.socket;

/** Whether a call sends or receives. */
export const movesData = (call: CallName): boolean => CODES[call] < FIRST_LIFE_CALL;

export class CallRing {
  readonly #data: Ring;
  readonly #life: Ring;
  #sequence = 0;

  /** @param size the number of records of calls that move data. The ring of the other calls has half as many */
  constructor(size: number) {
    this.#data = new Ring(size);
    this.#life = new Ring(Math.ceil(size / 2));
  }

  /** Clears the records. `dropped` keeps its value. push() must not be called afterwards. */
  clear(): void {
    this.#data.clear();
    this.#life.clear();
  }

  /** The number of records that were overwritten. */
  get dropped(): number {
    return this.#data.dropped + this.#life.dropped;
  }

  push(
    row: SocketRow,
    flaggedCode: number,
    start: number,
    duration: number,
    result: number,
    byteCount: number,
    extras: CallExtras | undefined,
  ): void {
    const ring = (flaggedCode & CODE_MASK) < FIRST_LIFE_CALL ? this.#data : this.#life;
    ring.push(++this.#sequence, row, flaggedCode, start, duration, result, byteCount, extras);
  }

  /**
   * The latest records of `rows`, the oldest first: at most `max` of calls that move data, and `max` of the others.
   * With `listener`, also the calls that made that listener, but not its accept() calls: the row of a connection has a
   * record of its accept() too.
   */
  latest(rows: ReadonlySet<SocketRow>, max: number, listener?: SocketRow): RingRecord[] {
    const found: RingRecord[] = [];
    const isChosen = (row: SocketRow, call: CallName): boolean =>
      rows.has(row) || (row === listener && LISTENER_CALLS.has(call));
    this.#life.collect(isChosen, max, found);
    this.#data.collect(isChosen, max, found);
    return found.sort((one, other) => one.sequence - other.sequence);
  }
}
