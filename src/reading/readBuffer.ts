// The read buffer of a stream: bytes that were read from the connection and that no method has returned yet. They are
// in one contiguous block of memory, the slab.
//
// Because the bytes are contiguous, one native search finds a line or a frame.
//
// A slab belongs to one stream, or it is the shared block. From a slab of its own, a stream returns views: `take()` and
// `peek()` copy nothing. The bytes of a view are never overwritten, because later reads store their bytes behind the
// view. If the slab has views and no space is left, the stream allocates another slab. If the slab has no views (lines
// are returned as strings), the stream uses the slab again from the beginning.
//
// The streams of a thread share one block of memory for their small reads, if their connections can read without
// waiting (`atOnce` of `DirectReader` in io.ts). Each read uses the space behind the previous read. A stream requests
// the space, fills the space and commits the bytes in one step of JavaScript, so two streams never use the space at the
// same time. A waiting stream needs no memory.
//
// From the shared block, `take()` and `peek()` return a copy. A user can transfer the memory of a view to other code (a
// byte stream of the web does that with its chunks), and the other streams would then lose the block. When a stream has
// taken all its bytes in the shared block, and no later read has used the space behind them, their space is free again.
//
// A slab of one stream grows when reads fill it, and shrinks after many small reads. If the unread bytes do not fit,
// they move to a slab of at least twice their length. So all moves together copy only a few times as many bytes as
// arrive: reading a long frame that arrives in small pieces takes linear time.

/** The size of the first slab, and the minimum of `#nextSlabSize`; both are less if the maximum of one read is less. */
const MIN_SLAB = 4096;
/** The size of the block that small reads share. */
const SHARED_BLOCK = 16_384;
/** After this many reads in a row with less than an eighth of `#nextSlabSize` each, the next slab has half the size. */
const SMALL_READS_TO_SHRINK = 16;
/**
 * If the slab has at most this many bytes behind the unread ones, a search covers these bytes too. Making a view of the
 * unread bytes would cost more.
 */
const MAX_EXTRA_SEARCH_BYTES = 4096;
/** Up to this many bytes, a search in a loop takes less time than a native call. */
const MAX_LOOP_SEARCH_BYTES = 48;
/** Up to this many bytes, copying in a loop takes less time than a native call. */
const MAX_LOOP_COPY_BYTES = 24;

const NO_SLAB: Buffer = Buffer.alloc(0);

let sharedBlock: Buffer = NO_SLAB;
/** The next read into `sharedBlock` stores its bytes from this index on. */
let sharedEnd = 0;

function renewSharedBlock(): void {
  sharedBlock = Buffer.allocUnsafeSlow(SHARED_BLOCK);
  sharedEnd = 0;
}

/** Returns a copy of `size` bytes of `slab` from `start` on. */
function copyBytes(slab: Buffer, start: number, size: number): Buffer {
  const copy = Buffer.allocUnsafe(size);
  if (size > MAX_LOOP_COPY_BYTES) copy.set(new Uint8Array(slab.buffer, slab.byteOffset + start, size));
  else for (let index = 0; index < size; index++) copy[index] = slab[start + index]!;
  return copy;
}

/** The unread bytes of a stream. Reads add bytes at the end, and methods take them from the front. */
export class ReadBuffer {
  readonly #maxRead: number;
  #slab: Buffer = NO_SLAB;
  /** The unread bytes are those of the slab from `#start` to `#end`. */
  #start = 0;
  #end = 0;
  /**
   * The position in the stream of index 0 of the slab. In the shared block it can be negative, because the bytes before
   * those of this stream belong to other streams.
   */
  #slabPosition = 0;
  /** Whether `take()` or `peek()` has returned a view of the slab. Never true for the shared block. */
  #hasViews = false;
  /** The size of the next slab that is allocated. */
  #nextSlabSize: number;
  /** The number of small reads in a row. */
  #smallReads = 0;
  /** The space of the next read begins at `#freeStart` of the slab and has `#freeSize` bytes. */
  #freeStart = 0;
  #freeSize = 0;
  /** Whether the slab is the shared block. */
  #shared = false;
  /** The index in the shared block from which on the latest read of this stream has stored its bytes. */
  #sharedStart = 0;

  get #minSlab(): number {
    return Math.min(MIN_SLAB, this.#maxRead);
  }

  /** @param maxRead the maximum number of bytes of one read */
  constructor(maxRead: number) {
    this.#maxRead = maxRead;
    this.#nextSlabSize = this.#minSlab;
  }

  /** The number of unread bytes. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** The number of bytes of the stream before the first unread one. A rule uses it to find where its search stopped. */
  get position(): number {
    return this.#slabPosition + this.#start;
  }

  /**
   * Returns memory for a read that does not wait: the shared block, or `prepareOwnSlab()`. The read may fill `freeSize`
   * bytes from `freeStart` on. The caller must commit them in the same step of JavaScript, before another stream reads.
   */
  prepareSharedSlab(): Buffer {
    // The stream's own slab is used in three cases: if there are unread bytes, because the next bytes must follow them;
    // for large reads, which would use up the shared block too soon; and if the stream has a slab without views.
    const hasUnread = this.length > 0;
    if (hasUnread || this.#nextSlabSize > MIN_SLAB || this.#isReusable()) return this.prepareOwnSlab();
    if (sharedBlock.length - sharedEnd < this.#nextSlabSize) renewSharedBlock();
    // `position` stays the same.
    this.#slabPosition += this.#start - sharedEnd;
    this.#start = this.#end = this.#sharedStart = this.#freeStart = sharedEnd;
    this.#slab = sharedBlock;
    this.#shared = true;
    this.#hasViews = false;
    this.#freeSize = this.#nextSlabSize;
    return sharedBlock;
  }

  /** Like `prepareSharedSlab()`, but returns memory of this stream alone, for a read that may wait. */
  prepareOwnSlab(): Buffer {
    const isUnused = this.length === 0 && !this.#shared && !this.#hasViews;
    if (isUnused) {
      this.#slabPosition += this.#start;
      this.#start = this.#end = 0;
      if (this.#slab.length !== this.#nextSlabSize) this.#slab = NO_SLAB;
    }
    // A read into less than a quarter of the slab would transfer too few bytes.
    const hasLittleSpace = this.#slab.length - this.#end <= this.#slab.length >> 2;
    if (this.#shared || hasLittleSpace) this.#moveUnread();
    const freeEnd = Math.min(this.#slab.length, this.#end + this.#maxRead);
    this.#freeStart = this.#end;
    this.#freeSize = freeEnd - this.#end;
    return this.#slab;
  }

  get freeStart(): number {
    return this.#freeStart;
  }

  get freeSize(): number {
    return this.#freeSize;
  }

  /** Returns free memory of at least one byte for a read that may wait. Call `commit()` after the read. */
  prepareSpace(): Buffer {
    const slab = this.prepareOwnSlab();
    return this.#freeSize === slab.length ? slab : slab.subarray(this.#freeStart, this.#freeStart + this.#freeSize);
  }

  /** Whether the slab belongs to this stream and has no views. */
  #isReusable(): boolean {
    return !this.#shared && !this.#hasViews && this.#slab.length > 0;
  }

  /** Adds the `count` bytes that a read has stored in the free space. Sets the size of the next slab. */
  commit(count: number): void {
    if (!Number.isInteger(count) || count < 0 || count > this.#freeSize) {
      const required = `a whole number from 0 to ${this.#freeSize}, the size of its buffer`;
      throw new RangeError(`Cannot read: the result of read() is ${count}, required ${required}`);
    }
    this.#end += count;
    if (this.#shared) sharedEnd = this.#end;
    // Grows fast, because a full read means that many bytes have arrived. Shrinks slowly.
    if (count === this.#freeSize) {
      this.#nextSlabSize = Math.min(this.#nextSlabSize * 4, this.#maxRead);
      this.#smallReads = 0;
    } else if (count * 8 >= this.#nextSlabSize) {
      this.#smallReads = 0;
    } else if (++this.#smallReads === SMALL_READS_TO_SHRINK) {
      this.#smallReads = 0;
      this.#nextSlabSize = Math.max(this.#nextSlabSize >> 1, this.#minSlab);
    }
  }

  /** Takes the next `count` bytes, or all if there are fewer. The result is never overwritten. */
  take(count: number): Buffer {
    const bytes = this.#copyOrView(count);
    this.#start += bytes.length;
    if (this.#shared) this.#releaseShared();
    else this.#hasViews = true;
    return bytes;
  }

  /** Returns the next `count` bytes, or all if there are fewer. They stay unread. */
  peek(count: number): Buffer {
    const bytes = this.#copyOrView(count);
    if (!this.#shared) this.#hasViews = true;
    return bytes;
  }

  /** Returns the next `count` bytes, or all if there are fewer: a copy of shared bytes, otherwise a view. */
  #copyOrView(count: number): Buffer {
    const size = Math.min(count, this.length);
    if (this.#shared) return copyBytes(this.#slab, this.#start, size);
    // Cheaper than `subarray()`, which first determines the class of the new array.
    return Buffer.from(this.#slab.buffer as ArrayBuffer, this.#slab.byteOffset + this.#start, size);
  }

  /**
   * A view of all unread bytes. Bytes in the shared block are first moved to a slab of this stream. The view is valid
   * only until the next call of any other method.
   */
  unreadBytes(): Buffer {
    if (this.#shared) this.#moveUnread();
    return this.#slab.subarray(this.#start, this.#end);
  }

  /** Takes the next `count` bytes as text. There must be at least `count` unread bytes. */
  takeText(count: number, encoding: BufferEncoding): string {
    const start = this.#start;
    this.#start += count;
    const text = this.#slab.toString(encoding, start, this.#start);
    this.#releaseShared();
    return text;
  }

  /** Takes the next bytes, at most `target.length`, and copies them into `target`. Returns their number. */
  copyInto(target: Uint8Array): number {
    const count = Math.min(target.length, this.length);
    this.#slab.copy(target, 0, this.#start, this.#start + count);
    this.#start += count;
    this.#releaseShared();
    return count;
  }

  /** Drops the next `count` bytes, or all if there are fewer. */
  skip(count: number): void {
    this.#start = Math.min(this.#start + count, this.#end);
    this.#releaseShared();
  }

  /** Frees the space in the shared block if all bytes were taken, and no other stream has read behind them. */
  #releaseShared(): void {
    if (!this.#shared || this.length > 0) return;
    // The block is another one, or another stream has used the space behind these bytes.
    if (sharedBlock !== this.#slab || sharedEnd !== this.#end) return;
    this.#slabPosition += this.#start - this.#sharedStart;
    sharedEnd = this.#start = this.#end = this.#sharedStart;
  }

  /** The unread byte at this index; only for an index below `length`. */
  byteAt(index: number): number | undefined {
    return this.#slab[this.#start + index];
  }

  /** The index of `pattern` in the unread bytes, from `from` on; -1 if there is no whole pattern. */
  find(pattern: number | Uint8Array, from: number): number {
    const size = typeof pattern === "number" ? 1 : pattern.length;
    const start = this.#start + from;
    if (start + size > this.#end) return -1;
    if (typeof pattern === "number" && this.#end - start <= MAX_LOOP_SEARCH_BYTES) {
      for (let index = start; index < this.#end; index++) {
        if (this.#slab[index] === pattern) return index - this.#start;
      }
      return -1;
    }
    if (this.#slab.length - this.#end > MAX_EXTRA_SEARCH_BYTES) {
      const found = this.#slab.subarray(start, this.#end).indexOf(pattern);
      return found < 0 ? -1 : found + from;
    }
    // indexOf() returns the first match. If this match ends behind the unread bytes, no match is within them.
    const found = this.#slab.indexOf(pattern, start);
    return found < 0 || found + size > this.#end ? -1 : found - this.#start;
  }

  /** Drops all bytes and the slab. */
  clear(): void {
    this.#slab = NO_SLAB;
    this.#shared = false;
    this.#start = this.#end = this.#freeSize = 0;
    this.#hasViews = false;
  }

  /**
   * Moves the unread bytes to the beginning of the slab. If the slab is shared, is too small or has views, they move to
   * a new slab.
   */
  #moveUnread(): void {
    const unread = this.length;
    const largeEnough = unread <= this.#slab.length >> 1 && this.#slab.length >= this.#nextSlabSize;
    const mayOverwrite = !this.#shared && !this.#hasViews;
    if (mayOverwrite && largeEnough && this.#start > 0) {
      this.#slab.copyWithin(0, this.#start, this.#end);
    } else {
      const slab = Buffer.allocUnsafeSlow(Math.max(this.#nextSlabSize, unread * 2));
      this.#slab.copy(slab, 0, this.#start, this.#end);
      this.#slab = slab;
      this.#shared = false;
      this.#hasViews = false;
    }
    this.#slabPosition += this.#start;
    this.#start = 0;
    this.#end = unread;
  }
}
