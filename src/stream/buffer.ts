// The bytes that a stream has read and nobody has taken: one contiguous run in a slab.
//
// Contiguous, so that a line or a frame is found with one native search and handed out as a view, without a copy. Bytes
// that were handed out are never written to again: reads go behind them, and a slab that is used up is left to those who
// hold views of it. A slab of which nothing was handed out (lines become strings, a pipe gives back what it wrote) is used
// again from its beginning, so such a stream makes no garbage.
//
// Small reads go into a block that all streams of the thread share, one behind the other, when the connection reads for us
// (io.ts, `DirectReader`): the room is asked for, filled and committed in one step, so no two streams have it at the same time, and
// a stream that waits holds no memory at all. No view of the shared block leaves this file, or who has it could take the block from
// all streams (a byte stream of the web transfers what it is given): what is taken from there is a copy, and it is room again.
//
// Otherwise, or when reads are large, the slab is the stream's own: it grows when reads fill it and shrinks when they hardly
// do. A run that outgrows its slab moves to one twice as long as the run: the moves together cost a few times the run's length,
// so that a long frame in small pieces costs linear time.

import { copyBytes } from "./data.js";

/** Size of the first slab, and the smallest. */
const SMALLEST = 4096;
/** Size of the block that small reads share. */
const BLOCK = 16_384;
/** Reads that use less than an eighth of the slab before it is halved. */
const PATIENCE = 16;
/** A search looks beyond the bytes that were read when this is all that is there: cheaper than to make a view. */
const OVERSHOOT = 4096;

/** Below this a loop finds a byte sooner than a call. */
const LOOP_SEARCH = 48;

const EMPTY: Buffer = Buffer.alloc(0);

/** The shared block, and where it is free from. */
let block: Buffer = EMPTY;
let blockAt = 0;

function freshBlock(): void {
  block = Buffer.allocUnsafeSlow(BLOCK);
  blockAt = 0;
}

/** A run of unread bytes, filled at one end and taken from the other. */
export class ReadBuffer {
  readonly #most: number;
  readonly #least: number;
  #slab: Buffer = EMPTY;
  #start = 0;
  #end = 0;
  /** Bytes of the stream before the slab's first. */
  #before = 0;
  /** Where the last view that was handed out ends. */
  #lent = 0;
  /** How long the next slab shall be. */
  #size: number;
  #small = 0;
  /** The room of the next read: where in the slab it begins, and its length. */
  #roomAt = 0;
  #room = 0;
  /** The slab is the shared block, in which the run began at `#from`. */
  #shared = false;
  #from = 0;

  /** `most` is the number of bytes that one read may bring. */
  constructor(most: number) {
    this.#most = most;
    this.#least = Math.min(SMALLEST, most);
    this.#size = this.#least;
  }

  /** Unread bytes. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Bytes of the stream before the unread ones, which tells whether a search may go on where it stood. */
  get position(): number {
    return this.#before + this.#start;
  }

  /**
   * Where the next read puts its bytes, `roomSize` of them at most, from `roomAt` on; for a read that is made and committed
   * before any other stream of the thread reads.
   */
  roomNow(): Buffer {
    if (this.#start !== this.#end || this.#size > SMALLEST || this.#reusable()) return this.#own();
    if (block.length - blockAt < this.#size) freshBlock();
    this.#before += this.#start - blockAt;
    this.#start = this.#end = this.#from = this.#roomAt = blockAt;
    this.#slab = block;
    this.#shared = true;
    this.#lent = 0;
    this.#room = this.#size;
    return block;
  }

  get roomAt(): number {
    return this.#roomAt;
  }

  get roomSize(): number {
    return this.#room;
  }

  /** As `roomNow`, in memory of the stream's own. */
  ownRoom(): Buffer {
    return this.#own();
  }

  /** Where a read puts its bytes that may take its time: at least one. Tell `commit` how many came. */
  room(): Buffer {
    const slab = this.#own();
    return this.#room === slab.length ? slab : slab.subarray(this.#roomAt, this.#roomAt + this.#room);
  }

  /** Makes room in a slab of the stream's own. */
  #own(): Buffer {
    if (this.#start === this.#end && !this.#shared && this.#lent === 0) {
      this.#before += this.#start;
      this.#start = this.#end = 0;
      if (this.#slab.length !== this.#size) this.#slab = EMPTY;
    }
    if (this.#shared || this.#slab.length - this.#end <= this.#slab.length >> 2) this.#renew();
    const stop = Math.min(this.#slab.length, this.#end + this.#most);
    this.#roomAt = this.#end;
    this.#room = stop - this.#end;
    return this.#slab;
  }

  /** Whether the slab is the stream's own and nobody has a view of it. */
  #reusable(): boolean {
    return !this.#shared && this.#lent === 0 && this.#slab.length > 0;
  }

  /** Adds the `count` bytes that a read put into `room()`. */
  commit(count: number): void {
    if (!Number.isInteger(count) || count < 0 || count > this.#room) {
      throw new RangeError(`read() must give a count from 0 to ${this.#room}, the size of its buffer, found ${count}`);
    }
    this.#end += count;
    if (this.#shared) blockAt = this.#end;
    if (count === this.#room) {
      this.#size = Math.min(this.#size * 4, this.#most);
      this.#small = 0;
    } else if (count * 8 >= this.#size) {
      this.#small = 0;
    } else if (++this.#small === PATIENCE) {
      this.#small = 0;
      this.#size = Math.max(this.#size >> 1, this.#least);
    }
  }

  /** Hands out the next `count` bytes. They are the caller's. */
  take(count: number): Buffer {
    const bytes = this.#bytes(count);
    this.#start += bytes.length;
    if (this.#shared) this.#consumed();
    else this.#lent = this.#start;
    return bytes;
  }

  /** Hands out the next `count` bytes and keeps them as unread. */
  peek(count: number): Buffer {
    const bytes = this.#bytes(count);
    if (!this.#shared) this.#lent = Math.max(this.#lent, this.#start + bytes.length);
    return bytes;
  }

  #bytes(count: number): Buffer {
    const size = Math.min(count, this.#end - this.#start);
    if (this.#shared) return copyBytes(this.#slab, this.#start, size);
    // Costs less than `subarray`, which looks up what kind of array to make.
    return Buffer.from(this.#slab.buffer as ArrayBuffer, this.#slab.byteOffset + this.#start, size);
  }

  /** Shows all unread bytes, until the next call of any other method. */
  look(): Buffer {
    if (this.#shared) this.#renew();
    return this.#slab.subarray(this.#start, this.#end);
  }

  /** Takes the next `count` bytes as text. */
  text(count: number, encoding: BufferEncoding): string {
    const start = this.#start;
    this.#start += count;
    const text = this.#slab.toString(encoding, start, this.#start);
    this.#consumed();
    return text;
  }

  /** Takes the next bytes into `target`, as many as it holds or there are; returns how many. */
  copyInto(target: Uint8Array): number {
    const count = Math.min(target.length, this.length);
    this.#slab.copy(target, 0, this.#start, this.#start + count);
    this.#start += count;
    this.#consumed();
    return count;
  }

  /** Takes the next `count` bytes, or all when there are fewer, and drops them. */
  skip(count: number): void {
    this.#start = Math.min(this.#start + count, this.#end);
    this.#consumed();
  }

  /** What has been taken from the shared block is room again, if nobody has read behind it. */
  #consumed(): void {
    if (!this.#shared || this.#start !== this.#end) return;
    if (block !== this.#slab || blockAt !== this.#end) return;
    this.#before += this.#start - this.#from;
    blockAt = this.#start = this.#end = this.#from;
  }

  /** The unread byte at `index`. */
  at(index: number): number | undefined {
    return this.#slab[this.#start + index];
  }

  /** Where `pattern` begins in the unread bytes, from `from` on; -1 when it is not all there. */
  find(pattern: number | Uint8Array, from: number): number {
    const size = typeof pattern === "number" ? 1 : pattern.length;
    const start = this.#start + from;
    if (start + size > this.#end) return -1;
    if (typeof pattern === "number" && this.#end - start <= LOOP_SEARCH) {
      for (let at = start; at < this.#end; at++) if (this.#slab[at] === pattern) return at - this.#start;
      return -1;
    }
    if (this.#slab.length - this.#end > OVERSHOOT) {
      const found = this.#slab.subarray(start, this.#end).indexOf(pattern);
      return found < 0 ? -1 : found + from;
    }
    // A match that reaches past the end is made of bytes that were not read; a true one could only end behind it.
    const found = this.#slab.indexOf(pattern, start);
    return found < 0 || found + size > this.#end ? -1 : found - this.#start;
  }

  /** Forgets everything. */
  clear(): void {
    this.#slab = EMPTY;
    this.#shared = false;
    this.#start = this.#end = this.#lent = this.#room = 0;
  }

  #renew(): void {
    const unread = this.length;
    const roomy = unread <= this.#slab.length >> 1 && this.#slab.length >= this.#size;
    if (!this.#shared && this.#lent === 0 && this.#start > 0 && roomy) {
      this.#slab.copyWithin(0, this.#start, this.#end);
    } else {
      const slab = Buffer.allocUnsafeSlow(Math.max(this.#size, unread * 2));
      this.#slab.copy(slab, 0, this.#start, this.#end);
      this.#slab = slab;
      this.#shared = false;
      this.#lent = 0;
    }
    this.#before += this.#start;
    this.#start = 0;
    this.#end = unread;
  }
}
