// The bytes that a stream has read and nobody has taken: one contiguous run in a slab.
//
// Contiguous, so that a line or a frame is found with one native search and handed out as a view, without a copy. Bytes
// that were handed out are never written to again: reads go behind them, and a slab that is used up is left to those who
// hold views of it. A slab of which nothing was handed out (lines become strings, a pipe gives back what it wrote) is used
// again from its beginning, so such a stream makes no garbage.
//
// The slab starts small, because it is held for as long as a read waits, by every idle connection; it grows when reads
// fill it and shrinks when they hardly do. A run that outgrows it moves to one twice as long as the run: the moves
// together cost a few times the run's length, so that a long frame in small pieces costs linear time.

/** Size of the first slab, and the smallest. */
const SMALLEST = 4096;
/** Reads that use less than an eighth of the slab before it is halved. */
const PATIENCE = 16;
/** A search looks beyond the bytes that were read when this is all that is there: cheaper than to make a view. */
const OVERSHOOT = 4096;

const EMPTY: Buffer = Buffer.alloc(0);

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
  #room = 0;

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

  /** Where the next read puts its bytes: at least one. Tell `commit` how many came. */
  room(): Buffer {
    if (this.#start === this.#end && this.#lent === 0) {
      this.#before += this.#start;
      this.#start = this.#end = 0;
      if (this.#slab.length !== this.#size) this.#slab = EMPTY;
    }
    if (this.#slab.length - this.#end <= this.#slab.length >> 2) this.#renew();
    const stop = Math.min(this.#slab.length, this.#end + this.#most);
    this.#room = stop - this.#end;
    return this.#room === this.#slab.length ? this.#slab : this.#slab.subarray(this.#end, stop);
  }

  /** Adds the `count` bytes that a read put into `room()`. */
  commit(count: number): void {
    if (!Number.isInteger(count) || count < 0 || count > this.#room) {
      throw new RangeError(`read() must give a count from 0 to ${this.#room}, the size of its buffer, found ${count}`);
    }
    this.#end += count;
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
    const bytes = this.#slab.subarray(this.#start, this.#start + count);
    this.#start += bytes.length;
    this.#lent = this.#start;
    return bytes;
  }

  /** Hands out the next `count` bytes and keeps them as unread. */
  peek(count: number): Buffer {
    const bytes = this.#slab.subarray(this.#start, this.#start + count);
    this.#lent = Math.max(this.#lent, this.#start + bytes.length);
    return bytes;
  }

  /** Shows all unread bytes, until the next call of any other method. */
  look(): Buffer {
    return this.#slab.subarray(this.#start, this.#end);
  }

  /** Takes the next `count` bytes as text. */
  text(count: number, encoding: BufferEncoding): string {
    const start = this.#start;
    this.#start += count;
    return this.#slab.toString(encoding, start, this.#start);
  }

  /** Takes the next bytes into `target`, as many as it holds or there are; returns how many. */
  copyInto(target: Uint8Array): number {
    const count = Math.min(target.length, this.length);
    this.#slab.copy(target, 0, this.#start, this.#start + count);
    this.#start += count;
    return count;
  }

  /** Takes the next `count` bytes, or all when there are fewer, and drops them. */
  skip(count: number): void {
    this.#start = Math.min(this.#start + count, this.#end);
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
    this.#start = this.#end = this.#lent = this.#room = 0;
  }

  #renew(): void {
    const unread = this.length;
    if (this.#lent === 0 && this.#start > 0 && unread <= this.#slab.length >> 1 && this.#slab.length >= this.#size) {
      this.#slab.copyWithin(0, this.#start, this.#end);
    } else {
      const slab = Buffer.allocUnsafeSlow(Math.max(this.#size, unread * 2));
      this.#slab.copy(slab, 0, this.#start, this.#end);
      this.#slab = slab;
      this.#lent = 0;
    }
    this.#before += this.#start;
    this.#start = 0;
    this.#end = unread;
  }
}
