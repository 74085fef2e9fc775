// The types of codecs, and the search for frames.

import { warnOnRejection } from "../callbacks.js";
import { quote } from "../check/index.js";
import { IncompleteReadError, LimitError } from "../errors/index.js";
import type { Data, IoOptions } from "../io.js";
import type { FindItem, Found } from "../reading/readRules.js";

/** A frame that a decoder found at the beginning of the bytes. */
export interface Frame<T> extends Found<T> {
  /** The number of bytes of the frame, including header and delimiter; at least 1. */
  readonly size: number;
}

/**
 * Searches for one frame at the beginning of the unread bytes, and returns it. If bytes are missing, the decoder
 * returns a number greater than `bytes.length`. The stream calls the decoder again when the buffer has that many bytes,
 * or when no more bytes will come.
 *
 * `bytes` is never empty. If `ended` is true, no more bytes will come; if the decoder then returns a number, the read
 * rejects with an `IncompleteReadError`. The value may contain views of the bytes of its frame. The decoder must not
 * keep views of other bytes.
 *
 * Until the decoder returns a frame, all its calls get the same bytes, with more at the end. So the decoder may store
 * how far it has searched. If the bytes can't be a frame, the decoder throws a {@link FrameError} or an error of its
 * own. Then all later reads of the stream reject with that error.
 */
export type Decoder<T> = (bytes: Buffer, ended: boolean) => Frame<T> | number;

/**
 * Converts values into frames, and frames into values. Any number of streams can use a codec.
 *
 * @example
 * ```ts
 * import { type Codec, Stream } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const json: Codec<unknown> = {
 *   decoder: () => (bytes) => {
 *     const end = bytes.indexOf("\n");
 *     return end < 0 ? bytes.length + 1 : { value: JSON.parse(bytes.toString("utf8", 0, end)), size: end + 1 };
 *   },
 *   encode: (value) => `${JSON.stringify(value)}\n`,
 * };
 *
 * const [a, b] = memoryPair();
 * await a.write(json.encode({ hello: 1 }));
 * console.log(await new Stream(b).frames(json).read()); // prints: { hello: 1 }
 * ```
 */
export interface Codec<T, In = T> {
  /** Maximum number of bytes of a frame, including header and delimiter. Default: the stream's `maxFrame`. */
  readonly max?: number | undefined;
  /**
   * Makes a decoder for one stream. `frames()` calls it, and calls it again after another method has read bytes of an
   * incomplete frame.
   */
  decoder(): Decoder<T>;
  /** The bytes of one frame. */
  encode(value: In): Data;
}

/** The options of `frames()`. */
export interface FrameOptions extends IoOptions {
  /**
   * Maximum number of bytes of a frame, including header and delimiter. Default: the codec's `max`, else the stream's
   * `maxFrame`.
   */
  readonly max?: number | undefined;
}

/**
 * Makes the function with which `Items` searches the buffer for frames of a codec.
 *
 * @param limit the name of the option that `max` comes from, for the `LimitError`
 */
export function frameFinder<T>(codec: Codec<T, never>, max: number, limit: string): FindItem<T> {
  let decode: Decoder<T> = codec.decoder();
  /** The number that the decoder has returned for the incomplete frame at `position`; 1 after a whole frame. */
  let needed = 1;
  let position = -1;
  return (buffer, ended) => {
    if (buffer.length === 0) return ended ? null : undefined;
    // If another method has read bytes of the incomplete frame, the state of the decoder is wrong.
    if (needed > 1 && position !== buffer.position) {
      decode = codec.decoder();
      needed = 1;
    }
    if (buffer.length < needed && !ended) return undefined;
    const bytes = buffer.unreadBytes();
    const result = decode(bytes, ended);
    if (typeof result === "number") {
      // Not `<=`, so that NaN is refused too.
      if (!(result > bytes.length)) {
        const required = `more than the ${bytes.length} bytes that it was given`;
        throw new RangeError(`Cannot read a frame: the decoder's number of bytes is ${result}, required ${required}`);
      }
      if (result > max) throw new LimitError(limit, max, result);
      if (ended) throw new IncompleteReadError(buffer.take(bytes.length), result);
      needed = result;
      position = buffer.position;
      return undefined;
    }
    const { size } = result;
    if (!Number.isInteger(size) || size < 1 || size > bytes.length) {
      // An async decoder returns a promise, which has no `size`. Its rejection must not be unhandled.
      warnOnRejection("a decoder", result);
      const required = `a whole number from 1 to ${bytes.length}`;
      throw new RangeError(`Cannot read a frame: the decoder's size is ${quote(size)}, required ${required}`);
    }
    if (size > max) throw new LimitError(limit, max, size);
    needed = 1;
    buffer.take(size);
    return result;
  };
}
