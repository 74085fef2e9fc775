// Relays: the poller moves the bytes of a source to a destination without JavaScript, while nothing but bytes arrives.
// native/relay.c does the work; it has the layout of the shared words, and the reasons.
//
// A relay is open while a flow waits for its source. C closes it after any other event. close() closes it when
// JavaScript needs the progress of the flow. This file makes no system call.

import { calls } from "../sys/calls.js";

/** The most slots with a relay: MAX_RELAYS in native/poller.h. Each forwarded connection takes two. */
const MAX_RELAYS = 1 << 16;
/** This many relays are in the table before the pipes. */
const FIRST_RELAYS = 1024;
const RELAY_WORDS = 10;
const PIPES = 16;
const PIPE_WORDS = 3;
const PIPES_AT = FIRST_RELAYS * RELAY_WORDS;
const PIPES_END = PIPES_AT + PIPES * PIPE_WORDS;
const TABLE_WORDS = MAX_RELAYS * RELAY_WORDS + PIPES * PIPE_WORDS;

const FLAGS = 0;
const GENERATION = 1;
const FROM = 2;
const TO = 3;
const PIPE = 4;
const PASSED = 5;
const PASSED_HIGH = 6;
const HELD = 7;
const RESULT = 8;
const ACTIVE = 9;

const OPEN = 1;
const WANTS_EPOLLOUT = 2;
const BLOCKED = 4;
const MISSED_EPOLLOUT = 8;
const PENDING = 16;
const SMALL = 32;
const SHORT_MEANS_EMPTY = 64;

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
  /** The most bytes that the pipe can hold. */
  readonly capacity: number;
}

/** The words of all relays, and of the pipes that they share. */
export class RelayTable {
  readonly #words: Int32Array;

  private constructor(words: Int32Array) {
    this.#words = words;
  }

  /** The table that begins at a word of the poller's array; undefined where the array ends before its pipes do. */
  static at(shared: Int32Array, start: number): RelayTable | undefined {
    if (shared.length < start + PIPES_END) return undefined;
    return new RelayTable(shared.subarray(start, start + TABLE_WORDS));
  }

  /** The relay of a slot of the reactor; undefined if the table has no room for it. */
  relay(slot: number, generation: number): Relay | undefined {
    const at = slot < FIRST_RELAYS ? slot * RELAY_WORDS : slot * RELAY_WORDS + PIPES * PIPE_WORDS;
    return at + RELAY_WORDS <= this.#words.length ? new Relay(this, this.#words, at, generation) : undefined;
  }

  /** Stores an empty pipe at an index. Relays refer to a pipe by its index. */
  putPipe(index: number, pipe: Pipe): void {
    const at = PIPES_AT + index * PIPE_WORDS;
    this.#words[at] = pipe.readEnd;
    this.#words[at + 1] = pipe.writeEnd;
    this.#words[at + 2] = pipe.capacity;
  }

  /** Removes the pipe at an index. */
  removePipe(index: number): void {
    this.#words[PIPES_AT + index * PIPE_WORDS] = -1;
  }
}

/** The relay of one source. */
export class Relay {
  readonly table: RelayTable;
  readonly #words: Int32Array;
  readonly #at: number;
  readonly #generation: number;
  #opened = false;
  /** After close(): the number of bytes that the relay moved to the destination. */
  passed: number = 0;
  /** After close(): the bytes left in the pipe, which belongs to the flow from then on. */
  held: number = 0;
  /** After close(): the -errno that ended it, or 0. */
  result: number = 0;
  /** After close(): whether the relay got EPOLLOUT of the source and did not report it to the reactor. */
  missedEpollout: boolean = false;
  /** Whether the last read got few bytes. */
  small: boolean = true;
  /** After close(): whether the source may have bytes that an event has reported. */
  pending: boolean = false;

  constructor(table: RelayTable, words: Int32Array, at: number, generation: number) {
    this.table = table;
    this.#words = words;
    this.#at = at;
    this.#generation = generation;
  }

  /** Whether open() was called and close() was not. C may have closed it. */
  get opened(): boolean {
    return this.#opened;
  }

  /**
   * @param small whether the last read got few bytes
   * @param wantsOut whether a write waits on the source
   * @param shortMeansEmpty whether a short read means that the source is empty
   */
  open(from: number, to: number, pipe: number, small: boolean, wantsOut: boolean, shortMeansEmpty: boolean): void {
    const words = this.#words;
    const at = this.#at;
    this.#opened = true;
    words[at + GENERATION] = this.#generation;
    words[at + FROM] = from;
    words[at + TO] = to;
    words[at + PIPE] = pipe;
    words[at + PASSED] = 0;
    words[at + PASSED_HIGH] = 0;
    words[at + HELD] = 0;
    words[at + RESULT] = 0;
    words[at + FLAGS] =
      OPEN | (small ? SMALL : 0) | (wantsOut ? WANTS_EPOLLOUT : 0) | (shortMeansEmpty ? SHORT_MEANS_EMPTY : 0);
  }

  /** Ends the relay and sets the fields. False if it was not open. */
  close(): boolean {
    if (!this.#opened) return false;
    const words = this.#words;
    const at = this.#at;
    this.passed = this.#passed();
    this.held = words[at + HELD]!;
    this.result = words[at + RESULT]!;
    this.missedEpollout = (words[at + FLAGS]! & MISSED_EPOLLOUT) !== 0;
    this.pending = (words[at + FLAGS]! & PENDING) !== 0;
    this.small = (words[at + FLAGS]! & SMALL) !== 0;
    words[at + FLAGS] = 0;
    this.#opened = false;
    return true;
  }

  /** Stops the relay at the next event, because a write waits on the destination and goes first. */
  block(): void {
    if (this.#opened) this.#words[this.#at]! |= BLOCKED;
  }

  /**
   * @param wanted whether a write waits on the source; the relay then reports EPOLLOUT to the reactor
   * @returns whether EPOLLOUT has come that the relay did not report
   */
  reportEpollout(wanted: boolean): boolean {
    if (!this.#opened) return false;
    const flags = this.#words[this.#at]!;
    this.#words[this.#at] = (flags & ~(WANTS_EPOLLOUT | MISSED_EPOLLOUT)) | (wanted ? WANTS_EPOLLOUT : 0);
    return (flags & MISSED_EPOLLOUT) !== 0;
  }

  /** The time of the last bytes, by `performance.now()`; undefined if there were none. */
  lastActive(): number | undefined {
    if (!this.#opened || this.#passed() + this.#words[this.#at + HELD]! === 0) return undefined;
    // Not process.hrtime(), which starts at 0 in some runtimes. Both numbers are the low 32 bits of a clock in ms.
    const age = (calls.relayClock() - this.#words[this.#at + ACTIVE]!) | 0;
    return performance.now() - age;
  }

  #passed(): number {
    const low = this.#words[this.#at + PASSED]! >>> 0;
    return (this.#words[this.#at + PASSED_HIGH]! >>> 0) * 2 ** 32 + low;
  }
}
