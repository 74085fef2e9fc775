// The read rule for lines. A line ends at a line feed, with or without a carriage return before it.

import { LimitError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import type { ReadBuffer } from "./readBuffer.js";
import type { FindItem, ReadRule } from "./readRules.js";
import { checkEncoding, checkSize } from "./readArguments.js";

const LF = 10;
const CR = 13;

/** How to read lines. */
export interface LineOptions extends IoOptions {
  /** Maximum number of bytes of a line without its LF or CR LF. Default: the stream's `maxLine`. */
  readonly max?: number | undefined;
  /** The encoding of the text. Default `"utf8"`, which replaces bytes that are not UTF-8 by U+FFFD. */
  readonly encoding?: BufferEncoding | undefined;
}

/** Takes the next line as text; null at the end. One instance reads one line, or all lines of an iterator. */
class LineRule implements ReadRule<string | null> {
  readonly #max: number;
  /** The name of the option that sets `#max`, for the `LimitError`. */
  readonly #limit: string;
  readonly #encoding: BufferEncoding;
  /** No unread byte before this position of the stream is a line feed. */
  #searched = 0;

  constructor(max: number, limit: string, encoding: BufferEncoding) {
    this.#max = max;
    this.#limit = limit;
    this.#encoding = encoding;
  }

  apply(buffer: ReadBuffer, ended: boolean): string | null | undefined {
    const found = buffer.find(LF, Math.max(0, this.#searched - buffer.position));
    if (found >= 0) {
      const size = found > 0 && buffer.byteAt(found - 1) === CR ? found - 1 : found;
      this.#checkSize(size);
      const line = buffer.takeText(size, this.#encoding);
      // Skips the LF or CR LF.
      buffer.skip(found + 1 - size);
      return line;
    }
    const size = buffer.length;
    if (ended) {
      this.#checkSize(size);
      return size === 0 ? null : buffer.takeText(size, this.#encoding);
    }
    // A carriage return as the last byte does not count yet, because a line feed may follow.
    this.#checkSize(size > 0 && buffer.byteAt(size - 1) === CR ? size - 1 : size);
    this.#searched = buffer.position + size;
    return undefined;
  }

  #checkSize(size: number): void {
    if (size > this.#max) throw new LimitError(this.#limit, this.#max, size);
  }
}

/** Checks the options and returns the rule. `defaultMax` is the stream's `maxLine`. */
export function lineRule(opts: LineOptions | undefined, defaultMax: number, action: string): LineRule {
  if (opts === undefined) return new LineRule(defaultMax, "maxLine", "utf8");
  // `?.`: `opts` may be null here; the check of all options refuses null later.
  const encoding = checkEncoding(opts?.encoding ?? "utf8", action);
  const max = opts?.max;
  if (max === undefined) return new LineRule(defaultMax, "maxLine", encoding);
  return new LineRule(checkSize(max, action, "max", 0), "max", encoding);
}

/** Returns the function with which an iterator takes lines. */
export function lineFinder(rule: LineRule): FindItem<string> {
  return (buffer, ended) => {
    const line = rule.apply(buffer, ended);
    return typeof line === "string" ? { value: line } : line;
  };
}
