// A run of items read from a stream one by one: chunks, lines, frames. By read(), or by `for await`.

import type { IoOptions } from "../io.js";
import type { ReadBuffer } from "./buffer.js";
import type { Pull, Take } from "./pull.js";

/** An item that was found; the wrapper tells an item that is null from the end. */
export interface Found<T> {
  readonly value: T;
}

const END: IteratorResult<never, undefined> = { done: true, value: undefined };

/**
 * The items of a stream. It holds no bytes of its own: what it did not hand out is in the stream, so one may leave the
 * loop, read in another way and come back.
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
  readonly #pull: Pull;
  readonly #opts: IoOptions | undefined;
  readonly #read: Take<T | null>;
  readonly #poll: Take<Found<T>>;
  readonly #next: Take<IteratorResult<T, undefined>>;

  /**
   * @internal `find` gives the next item, null at the end, `undefined` when more bytes are needed; `foreign` says that it runs
   * code of users.
   */
  constructor(
    pull: Pull,
    find: (buffer: ReadBuffer, ended: boolean) => Found<T> | null | undefined,
    opts: IoOptions | undefined,
    foreign: boolean = false,
  ) {
    this.#pull = pull;
    this.#opts = opts;
    this.#read = {
      foreign,
      take(buffer, ended) {
        const found = find(buffer, ended);
        return found ? found.value : found;
      },
    };
    this.#poll = { take: (buffer, ended) => find(buffer, ended) ?? undefined };
    this.#next = {
      foreign,
      take(buffer, ended) {
        const found = find(buffer, ended);
        if (found === undefined) return undefined;
        return found === null ? END : { done: false, value: found.value };
      },
    };
  }

  /**
   * The next item, or null at the end. `opts` replaces, for this call, the timeout and signal that the items were asked
   * for with. Rejects as {@link Stream.read} does, and with what the items' format calls for.
   */
  read(opts: IoOptions | undefined = this.#opts): Promise<T | null> {
    return this.#pull.run(this.#read, opts);
  }

  /**
   * The next item if all of it has been read from the connection already, else `undefined`; never waits. It serves to
   * answer many requests with one write. Throws what `read` would reject with.
   */
  tryRead(): T | undefined {
    return this.#pull.poll(this.#poll)?.value;
  }

  /** The next item as `for await` wants it. */
  next(): Promise<IteratorResult<T, undefined>> {
    return this.#pull.run(this.#next, this.#opts);
  }

  /** Leaves the loop; the stream stays open and keeps what was not handed out. */
  return(): Promise<IteratorResult<T, undefined>> {
    return Promise.resolve(END);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
