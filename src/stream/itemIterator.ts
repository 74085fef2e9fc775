// The async iterator over the items of a stream: chunks, lines or frames. `Items` is its public type.

import { isEndedByClose } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import type { BufferedReader } from "./bufferedReader.js";
import { type FindItem, type Found, type ReadRule } from "../reading/readRules.js";

const ITERATOR_END: IteratorResult<never, undefined> = { done: true, value: undefined };

/**
 * The items of a stream: an async iterator that also has `read()` and `tryRead()`. Unread bytes stay in the stream. So
 * a program can leave a loop, call other methods of the stream, and start a loop again.
 *
 * @example
 * ```ts
 * import { memoryPair } from "berkeley/testing";
 * import { Stream } from "berkeley";
 *
 * const [a, b] = memoryPair();
 * const stream = new Stream(b);
 * await a.write("one\ntwo\n");
 * await a.closeWrite();
 * for await (const line of stream.lines()) console.log(line);
 * // prints: one
 * // prints: two
 * ```
 */
export class Items<T> implements AsyncIterableIterator<T> {
  readonly #reader: BufferedReader;
  readonly #opts: IoOptions | undefined;
  readonly #readRule: ReadRule<T | null>;
  readonly #tryReadRule: ReadRule<Found<T>>;
  readonly #nextRule: ReadRule<IteratorResult<T, undefined>>;
  /**
   * Ends the loop without an error if this side has closed the connection. Throws any other error. The reason of the
   * caller's signal is always thrown, even if its code is that of a close.
   */
  readonly #endOrThrow = (error: unknown): IteratorResult<never, undefined> => {
    if (isEndedByClose(error) && error !== this.#opts?.signal?.reason) return ITERATOR_END;
    throw error;
  };

  /** @internal @param runsUserCode whether `find` runs code of the user */
  constructor(reader: BufferedReader, find: FindItem<T>, opts: IoOptions | undefined, runsUserCode: boolean = false) {
    this.#reader = reader;
    this.#opts = opts;
    this.#readRule = {
      runsUserCode,
      apply(buffer, ended) {
        // null: the end. undefined: more bytes are needed.
        const found = find(buffer, ended);
        return found ? found.value : found;
      },
    };
    // tryRead() returns undefined at the end too.
    this.#tryReadRule = { apply: (buffer, ended) => find(buffer, ended) ?? undefined };
    this.#nextRule = {
      runsUserCode,
      apply(buffer, ended) {
        const found = find(buffer, ended);
        if (found === undefined) return undefined;
        return found === null ? ITERATOR_END : { done: false, value: found.value };
      },
    };
  }

  /**
   * Reads the next item. Resolves with null at the end. `opts` replaces the timeout and the signal of `lines()` or
   * `frames()` for this call. Rejects as {@link Stream.read} does, and with a {@link LimitError} or the codec's error.
   */
  read(opts: IoOptions | undefined = this.#opts): Promise<T | null> {
    return this.#reader.read(this.#readRule, opts);
  }

  /**
   * Returns the next item if all its bytes are in the stream's buffer, otherwise `undefined`. It never waits, so a
   * server can answer several requests with one write. Throws the errors with which `read` would reject.
   */
  tryRead(): T | undefined {
    return this.#reader.tryRead(this.#tryReadRule)?.value;
  }

  /** Reads the next item for `for await`. */
  next(): Promise<IteratorResult<T, undefined>> {
    const reader = this.#reader;
    const result = reader.read(this.#nextRule, this.#opts);
    // Only a read that waits, or a closed reader, can reject because of close(). Other reads need no second promise.
    return reader.reading || reader.closed ? result.then(undefined, this.#endOrThrow) : result;
  }

  /** Ends a loop. The stream stays open and keeps the bytes that were not returned. */
  return(): Promise<IteratorResult<T, undefined>> {
    return Promise.resolve(ITERATOR_END);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
