// Read rules: when a reading method has enough bytes, and what it takes of them. A rule for each method of a stream.

import { IncompleteReadError, LimitError } from "../errors/index.js";
import type { ReadBuffer } from "./readBuffer.js";

/** What one reading method takes from the buffer. */
export interface ReadRule<T> {
  /**
   * Takes the result from the buffer, or returns `undefined` if it needs more bytes. `ended` says that no more bytes
   * will come. After an error that it throws no read is possible, except after an `IncompleteReadError`.
   */
  apply(buffer: ReadBuffer, ended: boolean): T | undefined;
  /** Whether `apply` runs code of the user. */
  readonly runsUserCode?: boolean;
}

/** An item that was found. The wrapper distinguishes an item that is null from the end. */
export interface Found<T> {
  readonly value: T;
}

/** Takes the next item from the buffer. Returns null at the end, and `undefined` when it needs more bytes. */
export type FindItem<T> = (buffer: ReadBuffer, ended: boolean) => Found<T> | null | undefined;

/** True when there are bytes, false at the end. It takes none. */
export const HAS_BYTES: ReadRule<boolean> = {
  apply: (buffer, ended) => (buffer.length > 0 ? true : ended ? false : undefined),
};

/** The bytes that there are, at most `max`; null at the end. */
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

/** All bytes that there are. The rule has no state, so all streams share one. */
export const ANY_CHUNK: ChunkRule = new ChunkRule(Infinity);

/** The search of an iterator for chunks: all bytes that there are. */
export const findChunk: FindItem<Buffer> = (buffer, ended) => {
  const value = ANY_CHUNK.apply(buffer, ended);
  return value ? { value } : value;
};

/** Exactly `size` bytes. */
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

/** The next `size` bytes, which stay unread. Fewer if the end comes before, null if there are none. */
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

/** The bytes up to and including a delimiter, at most `max` in all; null if the end comes before any byte. */
export class UntilRule implements ReadRule<Buffer | null> {
  readonly #delimiter: number | Uint8Array;
  readonly #size: number;
  readonly #max: number;
  readonly #limit: string;
  /** The delimiter begins in none of the first `#searched` unread bytes. */
  #searched = 0;

  /** @param limit the name of the option that `max` comes from, for the `LimitError` */
  constructor(delimiter: Uint8Array, max: number, limit: string) {
    this.#delimiter = delimiter.length === 1 ? (delimiter[0] as number) : delimiter;
    this.#size = delimiter.length;
    this.#max = max;
    this.#limit = limit;
  }

  apply(buffer: ReadBuffer, ended: boolean): Buffer | null | undefined {
    const found = buffer.find(this.#delimiter, this.#searched);
    const size = found < 0 ? buffer.length : found + this.#size;
    if (size > this.#max) throw new LimitError(this.#limit, this.#max, size);
    if (found >= 0) return buffer.take(size);
    if (ended) {
      if (buffer.length === 0) return null;
      throw new IncompleteReadError(buffer.take(buffer.length));
    }
    this.#searched = Math.max(0, buffer.length - this.#size + 1);
    return undefined;
  }
}
