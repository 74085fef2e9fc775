// What the reading methods of a stream want, a rule each: a chunk, an exact number, up to a delimiter, a look ahead.

import { IncompleteReadError, LimitError } from "../errors/index.js";
import type { ReadBuffer } from "./buffer.js";
import type { Take } from "./pull.js";

/** What there is, at most `max` bytes; null at the end. */
export class ChunkTake implements Take<Buffer | null> {
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  take(buffer: ReadBuffer, ended: boolean): Buffer | null | undefined {
    if (buffer.length > 0) return buffer.take(Math.min(this.#max, buffer.length));
    return ended ? null : undefined;
  }
}

/** All that there is; it holds no state, so one serves every stream. */
export const ANY_CHUNK: ChunkTake = new ChunkTake(Infinity);

/** Exactly `size` bytes. */
export class ExactTake implements Take<Buffer> {
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  take(buffer: ReadBuffer, ended: boolean): Buffer | undefined {
    if (buffer.length >= this.#size) return buffer.take(this.#size);
    if (ended) throw new IncompleteReadError(buffer.take(buffer.length), this.#size);
    return undefined;
  }
}

/** The next `size` bytes, left unread; fewer where the end comes before, null when there are none. */
export class PeekTake implements Take<Buffer | null> {
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  take(buffer: ReadBuffer, ended: boolean): Buffer | null | undefined {
    if (buffer.length >= this.#size) return buffer.peek(this.#size);
    if (!ended) return undefined;
    return buffer.length === 0 ? null : buffer.peek(buffer.length);
  }
}

/** Up to and with a delimiter, at most `max` bytes in all; null at the end when there is nothing before it. */
export class UntilTake implements Take<Buffer | null> {
  readonly #delimiter: number | Uint8Array;
  readonly #size: number;
  readonly #max: number;
  readonly #limit: string;
  /** So many bytes can't be where the delimiter begins. */
  #searched = 0;

  constructor(delimiter: Uint8Array, max: number, limit: string) {
    this.#delimiter = delimiter.length === 1 ? (delimiter[0] as number) : delimiter;
    this.#size = delimiter.length;
    this.#max = max;
    this.#limit = limit;
  }

  take(buffer: ReadBuffer, ended: boolean): Buffer | null | undefined {
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
