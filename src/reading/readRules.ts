// Read rules. Each reading method of a stream has a rule, which decides when there are enough bytes and takes the
// result from the buffer.

import { IncompleteReadError, LimitError } from "../errors/index.js";
import type { ReadBuffer } from "./readBuffer.js";

/** The rule of one reading method. `T` is the type of its result. */
export interface ReadRule<T> {
  /**
   * Takes the result from the buffer. Returns `undefined` if it needs more bytes. After an error that it throws, other
   * than an `IncompleteReadError`, the stream can't be read any more.
   *
   * @param ended whether no more bytes will come
   */
  apply(buffer: ReadBuffer, ended: boolean): T | undefined;
  /** Whether `apply` runs code of the user. */
  readonly runsUserCode?: boolean;
}

/** An item that was found. It is in an object, because an item may be null, and null is the end. */
export interface Found<T> {
  readonly value: T;
}

/** Takes the next item from the buffer. Returns null at the end, and `undefined` if it needs more bytes. */
export type FindItem<T> = (buffer: ReadBuffer, ended: boolean) => Found<T> | null | undefined;

/** The result is true when there are bytes, and false at the end. Takes no bytes. */
export const HAS_BYTES_RULE: ReadRule<boolean> = {
  apply(buffer, ended) {
    if (buffer.length > 0) return true;
    return ended ? false : undefined;
  },
};

/** Takes all unread bytes, at most `max`. Waits for the first byte. The result is null at the end. */
export class ChunkRule implements ReadRule<Buffer | null> {
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  apply(buffer: ReadBuffer, ended: boolean): Buffer | null | undefined {
    if (buffer.length > 0) return buffer.take(Math.min(this.#max, buffer.length));
    return ended ? null : undefined;
  }
}

/** Takes all unread bytes. The rule has no state, so all streams share it. */
export const ANY_CHUNK_RULE: ChunkRule = new ChunkRule(Infinity);

/** The function with which an iterator takes chunks: all unread bytes. */
export const findChunk: FindItem<Buffer> = (buffer, ended) => {
  const chunk = ANY_CHUNK_RULE.apply(buffer, ended);
  return chunk ? { value: chunk } : chunk;
};

/** Takes exactly `size` bytes. */
export class ExactRule implements ReadRule<Buffer> {
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  apply(buffer: ReadBuffer, ended: boolean): Buffer | undefined {
    if (buffer.length >= this.#size) return buffer.take(this.#size);
    if (ended) throw new IncompleteReadError(buffer.take(buffer.length), this.#size);
    return undefined;
  }
}

/** Returns the next `size` bytes, which stay unread. At the end there may be fewer, or null for none. */
export class PeekRule implements ReadRule<Buffer | null> {
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  apply(buffer: ReadBuffer, ended: boolean): Buffer | null | undefined {
    if (buffer.length >= this.#size) return buffer.peek(this.#size);
    if (!ended) return undefined;
    return buffer.length === 0 ? null : buffer.peek(buffer.length);
  }
}

/** Takes the bytes up to and including a delimiter, at most `max`. The result is null at the end. */
export class UntilRule implements ReadRule<Buffer | null> {
  /** A delimiter of one byte is stored as a number, because the search for a number is faster. */
  readonly #delimiter: number | Uint8Array;
  readonly #delimiterSize: number;
  readonly #max: number;
  /** The name of the option that sets `#max`, for the `LimitError`. */
  readonly #limit: string;
  /** No delimiter begins in the first `#searched` unread bytes. */
  #searched = 0;

  constructor(delimiter: Uint8Array, max: number, limit: string) {
    this.#delimiter = delimiter.length === 1 ? (delimiter[0] as number) : delimiter;
    this.#delimiterSize = delimiter.length;
    this.#max = max;
    this.#limit = limit;
  }

  apply(buffer: ReadBuffer, ended: boolean): Buffer | null | undefined {
    const found = buffer.find(this.#delimiter, this.#searched);
    const size = found < 0 ? buffer.length : found + this.#delimiterSize;
    if (size > this.#max) throw new LimitError(this.#limit, this.#max, size);
    if (found >= 0) return buffer.take(size);
    if (ended) {
      if (buffer.length === 0) return null;
      throw new IncompleteReadError(buffer.take(buffer.length));
    }
    this.#searched = Math.max(0, buffer.length - this.#delimiterSize + 1);
    return undefined;
  }
}
