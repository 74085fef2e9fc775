// The read buffer of a stream: bytes that were read from the connection and that no method has returned yet. They are
// in one contiguous block of memory, the slab.
//
// Because the bytes are contiguous, one native search finds a line or a frame, and the frame is returned as a view,
// without a copy. Bytes that were returned as a view are never overwritten: reads put their bytes behind them. A slab
// that is used up is kept alive by its views alone. A slab without views (lines become strings, a pipe returns what it
// wrote) is used again from its beginning, so such a stream makes no garbage.
//
// Small reads share one block of memory per thread, each behind the one before. That needs a connection which reads at
// once (`DirectReader.atOnce` in io.ts): the space is requested, filled and committed in one step, so two streams never
// have it at the same time, and a stream that waits needs no memory. No view of the shared block leaves this file,
// because a user could transfer its memory away (a byte stream of the web does that with its chunks). Bytes are copied
// out of the block, and their space is free again.
//
// In all other cases the slab belongs to the stream. It grows when reads fill it, and shrinks after many small reads.
// If the unread bytes do not fit, they move to a slab of twice their length. All moves together copy a few times the
// number of bytes, so a long frame that arrives in small pieces takes linear time.

/** Size of the first slab, and of the smallest one. */
const MIN_SLAB = 4096;
/** Size of the block that small reads share. */
const SHARED_BLOCK = 16_384;
/** After this many reads in a row that each fill less than an eighth of the slab, the next slab has half the size. */
const SMALL_READS_TO_SHRINK = 16;
/**
 * If at most so many bytes of the slab lie behind the unread ones, a search covers them as well: that costs less than a
 * view of the unread bytes alone.
 */
const MAX_OVERSEARCH = 4096;
/** Up to this many bytes, a search in a loop takes less time than a native call. */
const MAX_LOOP_SEARCH_BYTES = 48;
/** Up to this many bytes, copying in a loop takes less time than a native call. */
const MAX_LOOP_COPY_BYTES = 24;

const NO_SLAB: Buffer = Buffer.alloc(0);

/** The shared block, and how many of its bytes are used. */
let sharedBlock: Buffer = NO_SLAB;
let sharedUsed = 0;

function renewSharedBlock(): void {
  sharedBlock = Buffer.allocUnsafeSlow(SHARED_BLOCK);
  sharedUsed = 0;
}

/** A copy of `size` bytes from `start` on. */
function copyBytes(from: Buffer, start: number, size: number): Buffer {
  const out = Buffer.allocUnsafe(size);
  if (size > MAX_LOOP_COPY_BYTES) out.set(new Uint8Array(from.buffer, from.byteOffset + start, size));
  else for (let index = 0; index < size; index++) out[index] = from[start + index]!;
  return out;
}

/** Unread bytes: reads add them at the end, and methods take them from the front. */
export class ReadBuffer {
  readonly #maxRead: number;
  #slab: Buffer = NO_SLAB;
  /** The unread bytes are those of the slab from `#start` to `#end`. */
  #start = 0;
  #end = 0;
  /** The position in the stream of the slab's first byte. */
  #slabPosition = 0;
  /** The end of the last view of the slab that was returned; 0 if there is none. */
  #viewsEnd = 0;
  #nextSlabSize: number;
  /** Small reads in a row. */
  #smallReads = 0;
  /** The space of the next read begins at `#freeStart` of the slab and has `#freeSize` bytes. */
  #freeStart = 0;
  #freeSize = 0;
  /** The slab is the shared block. The bytes of this stream in it began at `#sharedStart`. */
  #shared = false;
  #sharedStart = 0;

  get #minSlab(): number {
    return Math.min(MIN_SLAB, this.#maxRead);
  }

  /** @param maxRead most bytes of one read */
  constructor(maxRead: number) {
    this.#maxRead = maxRead;
    this.#nextSlabSize = this.#minSlab;
  }

  /** The number of unread bytes. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** The position in the stream of the first unread byte. Searches compare it to notice taken bytes. */
  get position(): number {
    return this.#slabPosition + this.#start;
  }

  /**
   * Memory for a read that is made and committed before any other stream of the thread reads. The read may fill
   * `freeSize` bytes from `freeStart` on.
   */
  sharedSlab(): Buffer {
    const hasUnread = this.#start !== this.#end;
    if (hasUnread || this.#nextSlabSize > MIN_SLAB || this.#reusable()) return this.ownSlab();
    if (sharedBlock.length - sharedUsed < this.#nextSlabSize) renewSharedBlock();
    this.#slabPosition += this.#start - sharedUsed;
    this.#start = this.#end = this.#sharedStart = this.#freeStart = sharedUsed;
    this.#slab = sharedBlock;
    this.#shared = true;
    this.#viewsEnd = 0;
    this.#freeSize = this.#nextSlabSize;
    return sharedBlock;
  }

  /** As `sharedSlab()`, in memory of this stream alone, for a read that may wait. */
  ownSlab(): Buffer {
    if (this.#start === this.#end && !this.#shared && this.#viewsEnd === 0) {
      this.#slabPosition += this.#start;
      this.#start = this.#end = 0;
      if (this.#slab.length !== this.#nextSlabSize) this.#slab = NO_SLAB;
    }
    if (this.#shared || this.#slab.length - this.#end <= this.#slab.length >> 2) this.#moveUnread();
    const stop = Math.min(this.#slab.length, this.#end + this.#maxRead);
    this.#freeStart = this.#end;
    this.#freeSize = stop - this.#end;
    return this.#slab;
  }

  get freeStart(): number {
    return this.#freeStart;
  }

  get freeSize(): number {
    return this.#freeSize;
  }

  /** A view for a read that may wait: at least one byte. `commit()` gets the number of bytes that were read. */
  freeSpace(): Buffer {
    const slab = this.ownSlab();
    return this.#freeSize === slab.length ? slab : slab.subarray(this.#freeStart, this.#freeStart + this.#freeSize);
  }

  /** Whether the slab belongs to this stream and has no views. */
  #reusable(): boolean {
    return !this.#shared && this.#viewsEnd === 0 && this.#slab.length > 0;
  }

  /** Adds the `count` bytes that a read has put into the free space. */
  commit(count: number): void {
    if (!Number.isInteger(count) || count < 0 || count > this.#freeSize) {
      const required = `a whole number from 0 to ${this.#freeSize}, the size of its buffer`;
      throw new RangeError(`Cannot read: the result of read() is ${count}, required ${required}`);
    }
    this.#end += count;
    if (this.#shared) sharedUsed = this.#end;
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

  /** Takes the next `count` bytes, or all if there are fewer. They belong to the caller. */
  take(count: number): Buffer {
    const bytes = this.#bytes(count);
    this.#start += bytes.length;
    if (this.#shared) this.#releaseShared();
    else this.#viewsEnd = this.#start;
    return bytes;
  }

  /** Returns the next `count` bytes, or all if there are fewer. They stay unread. */
  peek(count: number): Buffer {
    const bytes = this.#bytes(count);
    if (!this.#shared) this.#viewsEnd = Math.max(this.#viewsEnd, this.#start + bytes.length);
    return bytes;
  }

  #bytes(count: number): Buffer {
    const size = Math.min(count, this.#end - this.#start);
    if (this.#shared) return copyBytes(this.#slab, this.#start, size);
    // Costs less than `subarray`, which first determines the class of the new array.
    return Buffer.from(this.#slab.buffer as ArrayBuffer, this.#slab.byteOffset + this.#start, size);
  }

  /** A view of all unread bytes. It is valid until the next call of any other method. */
  view(): Buffer {
    if (this.#shared) this.#moveUnread();
    return this.#slab.subarray(this.#start, this.#end);
  }

  /** Takes the next `count` bytes as text. */
  takeText(count: number, encoding: BufferEncoding): string {
    const start = this.#start;
    this.#start += count;
    const text = this.#slab.toString(encoding, start, this.#start);
    this.#releaseShared();
    return text;
  }

  /** Takes as many bytes as there are and `target` can hold. Copies them into `target` and returns their number. */
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

  /** Frees the space of the taken bytes in the shared block, if no stream has read behind them. */
  #releaseShared(): void {
    if (!this.#shared || this.#start !== this.#end) return;
    if (sharedBlock !== this.#slab || sharedUsed !== this.#end) return;
    this.#slabPosition += this.#start - this.#sharedStart;
    sharedUsed = this.#start = this.#end = this.#sharedStart;
  }

  /** The unread byte at `index`. */
  byteAt(index: number): number | undefined {
    return this.#slab[this.#start + index];
  }

  /** The index of `pattern` in the unread bytes, from `from` on; -1 if it is not there as a whole. */
  find(pattern: number | Uint8Array, from: number): number {
    const size = typeof pattern === "number" ? 1 : pattern.length;
    const start = this.#start + from;
    if (start + size > this.#end) return -1;
    if (typeof pattern === "number" && this.#end - start <= MAX_LOOP_SEARCH_BYTES) {
      for (let at = start; at < this.#end; at++) if (this.#slab[at] === pattern) return at - this.#start;
      return -1;
    }
    if (this.#slab.length - this.#end > MAX_OVERSEARCH) {
      const found = this.#slab.subarray(start, this.#end).indexOf(pattern);
      return found < 0 ? -1 : found + from;
    }
    // indexOf() returns the first match. If it ends behind the unread bytes, no match lies within them.
    const found = this.#slab.indexOf(pattern, start);
    return found < 0 || found + size > this.#end ? -1 : found - this.#start;
  }

  /** Drops all bytes and the slab. */
  clear(): void {
    this.#slab = NO_SLAB;
    this.#shared = false;
    this.#start = this.#end = this.#viewsEnd = this.#freeSize = 0;
  }

  /**
   * Moves the unread bytes to the beginning of the slab, or of a new slab if this one is shared, too small or has
   * views.
   */
  #moveUnread(): void {
    const unread = this.length;
    const largeEnough = unread <= this.#slab.length >> 1 && this.#slab.length >= this.#nextSlabSize;
    if (!this.#shared && this.#viewsEnd === 0 && this.#start > 0 && largeEnough) {
      this.#slab.copyWithin(0, this.#start, this.#end);
    } else {
      const slab = Buffer.allocUnsafeSlow(Math.max(this.#nextSlabSize, unread * 2));
      this.#slab.copy(slab, 0, this.#start, this.#end);
      this.#slab = slab;
      this.#shared = false;
      this.#viewsEnd = 0;
    }
    this.#slabPosition += this.#start;
    this.#start = 0;
    this.#end = unread;
  }
}
