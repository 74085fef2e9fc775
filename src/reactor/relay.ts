// Notes for the poller: "when this source has bytes, they go there". native/relay.c, which carries them out, has the layout of
// the words and says what they are good for.
//
// A note is open while a flow waits for its source. It is closed by C when anything but the plain case has happened, and by
// close() whenever somebody wants to know how far the flow is. Nothing here makes a call.

import { calls } from "../sys/calls.js";

/** Slots that have a note, at most: MAX_RELAYS in native/poller.h. Each forwarded connection takes two. */
const NOTES = 1 << 16;
/** So many of them stand before the pipes. */
const FIRST_NOTES = 1024;
const NOTE_WORDS = 10;
const PIPES = 16;
const PIPE_WORDS = 3;
const PIPES_AT = FIRST_NOTES * NOTE_WORDS;
const PIPES_END = PIPES_AT + PIPES * PIPE_WORDS;
const TABLE_WORDS = NOTES * NOTE_WORDS + PIPES * PIPE_WORDS;

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
const WANTS_OUT = 2;
const BLOCKED = 4;
const MISSED_OUT = 8;
const PENDING = 16;
const SMALL = 32;
const SHORT_MEANS_EMPTY = 64;

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
  /** Bytes that it holds at most. */
  readonly capacity: number;
}

/** The words of all notes, and of the pipes that they share. */
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

  /** The note of a slot of the reactor; undefined for slots that have none. */
  note(slot: number, generation: number): Note | undefined {
    const at = slot < FIRST_NOTES ? slot * NOTE_WORDS : slot * NOTE_WORDS + PIPES * PIPE_WORDS;
    return at + NOTE_WORDS <= this.#words.length ? new Note(this, this.#words, at, generation) : undefined;
  }

  /** Puts an empty pipe in the place that notes name by its number. */
  lend(place: number, pipe: Pipe): void {
    const at = PIPES_AT + place * PIPE_WORDS;
    this.#words[at] = pipe.readEnd;
    this.#words[at + 1] = pipe.writeEnd;
    this.#words[at + 2] = pipe.capacity;
  }

  /** Takes the pipe out of its place. */
  take(place: number): void {
    this.#words[PIPES_AT + place * PIPE_WORDS] = -1;
  }
}

/** The note of one source. */
export class Note {
  readonly table: RelayTable;
  readonly #words: Int32Array;
  readonly #at: number;
  readonly #generation: number;
  #written = false;
  /** Of the last closing: bytes passed on since the note was opened. */
  passed: number = 0;
  /** Bytes that are in the pipe, which is the flow's from then on. */
  held: number = 0;
  /** What stopped it: -errno, or 0. */
  result: number = 0;
  /** There was room for writing on the source, and nobody heard of it. */
  missedOut: boolean = false;
  /** Whether few bytes came the last time. */
  small: boolean = true;
  /** There may be bytes that the source has had an event for. */
  pending: boolean = false;

  constructor(table: RelayTable, words: Int32Array, at: number, generation: number) {
    this.table = table;
    this.#words = words;
    this.#at = at;
    this.#generation = generation;
  }

  /** Whether it has been opened and not closed by close(), whatever C has done meanwhile. */
  get written(): boolean {
    return this.#written;
  }

  /**
   * @param small whether few bytes came the last time
   * @param wantsOut whether a write waits on the source
   * @param shortMeansEmpty whether a read that gets less than it asked for has emptied the source
   */
  open(from: number, to: number, pipe: number, small: boolean, wantsOut: boolean, shortMeansEmpty: boolean): void {
    const words = this.#words;
    const at = this.#at;
    this.#written = true;
    words[at + GENERATION] = this.#generation;
    words[at + FROM] = from;
    words[at + TO] = to;
    words[at + PIPE] = pipe;
    words[at + PASSED] = 0;
    words[at + PASSED_HIGH] = 0;
    words[at + HELD] = 0;
    words[at + RESULT] = 0;
    words[at + FLAGS] =
      OPEN | (small ? SMALL : 0) | (wantsOut ? WANTS_OUT : 0) | (shortMeansEmpty ? SHORT_MEANS_EMPTY : 0);
  }

  /** Ends the relaying; the fields say what it has come to. False when there was none since the last time. */
  close(): boolean {
    if (!this.#written) return false;
    const words = this.#words;
    const at = this.#at;
    this.passed = this.#passed();
    this.held = words[at + HELD]!;
    this.result = words[at + RESULT]!;
    this.missedOut = (words[at + FLAGS]! & MISSED_OUT) !== 0;
    this.pending = (words[at + FLAGS]! & PENDING) !== 0;
    this.small = (words[at + FLAGS]! & SMALL) !== 0;
    words[at + FLAGS] = 0;
    this.#written = false;
    return true;
  }

  /** A write waits on the destination, and goes first. */
  block(): void {
    if (this.#written) this.#words[this.#at]! |= BLOCKED;
  }

  /**
   * Whether a write waits on the source, and is to hear that there is room.
   *
   * @returns whether there was an event that nobody has heard of
   */
  wantOut(wanted: boolean): boolean {
    if (!this.#written) return false;
    const flags = this.#words[this.#at]!;
    this.#words[this.#at] = (flags & ~(WANTS_OUT | MISSED_OUT)) | (wanted ? WANTS_OUT : 0);
    return (flags & MISSED_OUT) !== 0;
  }

  /** When bytes were last relayed since the note was opened, by `performance.now()`; undefined if none were. */
  lastActive(): number | undefined {
    if (!this.#written || this.#passed() + this.#words[this.#at + HELD]! === 0) return undefined;
    // Not process.hrtime(), which begins with the process in some runtimes. Both are the low 32 bits of a clock in ms.
    const age = (calls.relayClock() - this.#words[this.#at + ACTIVE]!) | 0;
    return performance.now() - age;
  }

  #passed(): number {
    const low = this.#words[this.#at + PASSED]! >>> 0;
    return (this.#words[this.#at + PASSED_HIGH]! >>> 0) * 2 ** 32 + low;
  }
}
