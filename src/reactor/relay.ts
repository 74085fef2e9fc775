// A relay makes the poller forward bytes from one descriptor (the source) to another (the destination) in C, without a
// call of JavaScript. native/relay.c does the work and has the reasons for relays.
//
// A flow is the transfer in one direction (ops/spliceOperation.ts). While a flow waits for its source, JavaScript opens
// its relay. When an event is more than the arrival of bytes, C disables the relay and passes the event to JavaScript.
// JavaScript closes the relay when it needs the progress of the flow. This file moves no bytes: it reads and writes the
// words of relays in the array that JavaScript and the poller share.

import { calls } from "../sys/calls.js";

/** The maximum number of slots with a relay: MAX_RELAYS in native/poller.h. Each forwarded connection uses two. */
const MAX_RELAYS = 1 << 16;
// The table has this many relays, then the pipes, then the other relays; native/relay.c has the reason.
const RELAYS_BEFORE_PIPES = 1024;
const RELAY_WORDS = 10;
const PIPE_COUNT = 16;
const PIPE_WORDS = 3;
const PIPES_START = RELAYS_BEFORE_PIPES * RELAY_WORDS;
const PIPES_END = PIPES_START + PIPE_COUNT * PIPE_WORDS;
const TABLE_WORDS = MAX_RELAYS * RELAY_WORDS + PIPE_COUNT * PIPE_WORDS;

// The words of a relay.
/** The flags below; 0 if the slot has no open relay. */
const FLAGS = 0;
/** The generation of the slot; see reactor.ts. */
const GENERATION = 1;
/** The numbers of the two descriptors. */
const SOURCE = 2;
const DESTINATION = 3;
/** The index of the pipe. */
const PIPE = 4;
/** The number of bytes sent: the low and the high 32 bits. */
const BYTES_LOW = 5;
const BYTES_HIGH = 6;
const BYTES_IN_PIPE = 7;
/** The -errno that stopped the relay, or 0. */
const ERROR = 8;
/** The time of the latest transfer in ms: the low 32 bits of `calls.relayClock()`. */
const LAST_ACTIVE = 9;

// The flags of a relay, with their names in native/relay.c.
/** The poller forwards bytes. */
const ENABLED = 1;
/** A write waits on the source, so C must report EPOLLOUT of the source. */
const REPORT_WRITABLE = 2;
/** C must forward no more bytes, and must stop the relay at the next event. */
const MUST_STOP = 4;
/** Set by C: an EPOLLOUT of the source has come, and C did not report it. */
const WRITABLE_UNREPORTED = 8;
/** Set by C: the source may have more bytes, and the relay is in the queue of C. */
const QUEUED = 16;
/** The latest read got fewer bytes than SPLICE_THRESHOLD (native/addon.h). */
const SMALL_READ = 32;
/** A short read (waitQueue.ts) means that the source is empty. */
const SHORT_READ_IS_EMPTY = 64;

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
  /** The maximum number of bytes in the pipe. */
  readonly capacity: number;
}

/** The words of all relays and of their pipes. Several relays use the same pipe, because it is empty between events. */
export class RelayTable {
  readonly #words: Int32Array;

  private constructor(words: Int32Array) {
    this.#words = words;
  }

  /**
   * The table that begins at index `start` of the poller's array. Undefined if the array is too short for the pipes.
   */
  static at(shared: Int32Array, start: number): RelayTable | undefined {
    if (shared.length < start + PIPES_END) return undefined;
    return new RelayTable(shared.subarray(start, start + TABLE_WORDS));
  }

  /** Makes the relay of a slot of the reactor. Undefined if the table has no entry for the slot. */
  makeRelay(slot: number, generation: number): Relay | undefined {
    const at = slot * RELAY_WORDS + (slot < RELAYS_BEFORE_PIPES ? 0 : PIPE_COUNT * PIPE_WORDS);
    return at + RELAY_WORDS <= this.#words.length ? new Relay(this, this.#words, at, generation) : undefined;
  }

  /** Stores an empty pipe at an index. Relays refer to a pipe by its index. */
  putPipe(index: number, pipe: Pipe): void {
    const at = PIPES_START + index * PIPE_WORDS;
    this.#words[at] = pipe.readEnd;
    this.#words[at + 1] = pipe.writeEnd;
    this.#words[at + 2] = pipe.capacity;
  }

  /** Removes the pipe at an index: C uses no pipe whose read end is -1. */
  removePipe(index: number): void {
    this.#words[PIPES_START + index * PIPE_WORDS] = -1;
  }
}

/** The relay of one source. After close() the public fields have its progress. */
export class Relay {
  readonly table: RelayTable;
  /** The words of the table. */
  readonly #words: Int32Array;
  /** The index of the first word of this relay. */
  readonly #at: number;
  readonly #generation: number;
  #isOpen = false;
  /** The number of bytes that were sent to the destination. */
  sent: number = 0;
  /** The number of bytes that are left in the pipe. If it is not 0, no other relay may use the pipe any more. */
  inPipe: number = 0;
  /** The -errno that stopped the relay, or 0. */
  errno: number = 0;
  /** Whether C got EPOLLOUT for the source and did not report it to the reactor. */
  unreportedEpollout: boolean = false;
  /** Whether the latest read got fewer bytes than SPLICE_THRESHOLD (native/addon.h). */
  smallReads: boolean = true;
  /** Whether the source may have more bytes for which no further event comes. */
  sourceMayHaveData: boolean = false;

  constructor(table: RelayTable, words: Int32Array, at: number, generation: number) {
    this.table = table;
    this.#words = words;
    this.#at = at;
    this.#generation = generation;
  }

  /** Whether open() was called and close() was not. Also true while C has disabled the relay. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Makes the poller forward the bytes of the source from now on.
   *
   * @param source the number of a descriptor
   * @param destination the number of a descriptor
   * @param pipeIndex the index that `RelayTable.putPipe` got
   * @param smallReads see the field `smallReads`
   * @param writerWaits whether a write waits on the source, which needs EPOLLOUT
   * @param shortMeansEmpty whether a short read means that the source is empty
   */
  open(
    source: number,
    destination: number,
    pipeIndex: number,
    smallReads: boolean,
    writerWaits: boolean,
    shortMeansEmpty: boolean,
  ): void {
    const words = this.#words;
    const at = this.#at;
    this.#isOpen = true;
    words[at + GENERATION] = this.#generation;
    words[at + SOURCE] = source;
    words[at + DESTINATION] = destination;
    words[at + PIPE] = pipeIndex;
    words[at + BYTES_LOW] = 0;
    words[at + BYTES_HIGH] = 0;
    words[at + BYTES_IN_PIPE] = 0;
    words[at + ERROR] = 0;
    words[at + FLAGS] =
      ENABLED |
      (smallReads ? SMALL_READ : 0) |
      (writerWaits ? REPORT_WRITABLE : 0) |
      (shortMeansEmpty ? SHORT_READ_IS_EMPTY : 0);
  }

  /** Closes the relay and stores its progress in the fields. Returns false, and does nothing, if it was not open. */
  close(): boolean {
    if (!this.#isOpen) return false;
    const words = this.#words;
    const at = this.#at;
    this.sent = this.#bytesSent();
    this.inPipe = words[at + BYTES_IN_PIPE]!;
    this.errno = words[at + ERROR]!;
    this.unreportedEpollout = (words[at + FLAGS]! & WRITABLE_UNREPORTED) !== 0;
    this.sourceMayHaveData = (words[at + FLAGS]! & QUEUED) !== 0;
    this.smallReads = (words[at + FLAGS]! & SMALL_READ) !== 0;
    words[at + FLAGS] = 0;
    this.#isOpen = false;
    return true;
  }

  /** Stops the relay at the next event, for example because a write waits on the destination and goes first. */
  stopAtNextEvent(): void {
    if (this.#isOpen) this.#words[this.#at + FLAGS]! |= MUST_STOP;
  }

  /**
   * Sets whether C reports EPOLLOUT of the source to the reactor.
   *
   * @param reports true while a write waits on the source
   * @returns whether an EPOLLOUT has come that C did not report; the next call no longer returns true for it
   */
  setReportsEpollout(reports: boolean): boolean {
    if (!this.#isOpen) return false;
    const at = this.#at + FLAGS;
    const flags = this.#words[at]!;
    this.#words[at] = (flags & ~(REPORT_WRITABLE | WRITABLE_UNREPORTED)) | (reports ? REPORT_WRITABLE : 0);
    return (flags & WRITABLE_UNREPORTED) !== 0;
  }

  /** The time of the latest transfer, as of `performance.now()`. Undefined if the relay is closed or moved no bytes. */
  lastActive(): number | undefined {
    if (!this.#isOpen || this.#bytesSent() + this.#words[this.#at + BYTES_IN_PIPE]! === 0) return undefined;
    // relayClock() and not process.hrtime(), which starts at 0 in some runtimes. LAST_ACTIVE has only the low 32 bits
    // of the clock. `| 0` makes the difference right even if these bits have wrapped around in the meantime.
    const age = (calls.relayClock() - this.#words[this.#at + LAST_ACTIVE]!) | 0;
    return performance.now() - age;
  }

  #bytesSent(): number {
    const low = this.#words[this.#at + BYTES_LOW]! >>> 0;
    return (this.#words[this.#at + BYTES_HIGH]! >>> 0) * 2 ** 32 + low;
  }
}
