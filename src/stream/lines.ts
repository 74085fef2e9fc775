// Lines: text up to a line feed, with or without a carriage return before it.

import { LimitError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import type { ReadBuffer } from "./buffer.js";
import type { Take } from "./pull.js";
import type { Found } from "./items.js";

const LF = 10;
const CR = 13;

/** How to read lines. */
export interface LineOptions extends IoOptions {
  /** Most bytes of a line without its end. Default: the stream's `maxLine`. */
  readonly max?: number | undefined;
  /** How bytes become text. Default `"utf8"`, which replaces what is not UTF-8 by U+FFFD. */
  readonly encoding?: BufferEncoding | undefined;
}

/** Finds lines in a buffer. Where the search stands is kept between calls that found none. */
export class LineTake implements Take<string | null> {
  readonly #max: number;
  readonly #limit: string;
  readonly #encoding: BufferEncoding;
  /** There is no line feed before this position of the stream, or before where reading stands. */
  #searched = 0;

  constructor(max: number, limit: string, encoding: BufferEncoding) {
    this.#max = max;
    this.#limit = limit;
    this.#encoding = encoding;
  }

  take(buffer: ReadBuffer, ended: boolean): string | null | undefined {
    const found = buffer.find(LF, Math.max(0, this.#searched - buffer.position));
    if (found >= 0) {
      const size = found > 0 && buffer.at(found - 1) === CR ? found - 1 : found;
      this.#check(size);
      const line = buffer.text(size, this.#encoding);
      buffer.skip(found + 1 - size);
      return line;
    }
    const size = buffer.length;
    if (ended) {
      this.#check(size);
      return size === 0 ? null : buffer.text(size, this.#encoding);
    }
    // A carriage return at the end may be half of the line's end and is not counted yet.
    this.#check(size > 0 && buffer.at(size - 1) === CR ? size - 1 : size);
    this.#searched = buffer.position + size;
    return undefined;
  }

  #check(size: number): void {
    if (size > this.#max) throw new LimitError(this.#limit, this.#max, size);
  }
}

/** The rule as `Items` wants it. */
export function lineFinder(take: LineTake): (buffer: ReadBuffer, ended: boolean) => Found<string> | null | undefined {
  return (buffer, ended) => {
    const line = take.take(buffer, ended);
    return typeof line === "string" ? { value: line } : line;
  };
}
