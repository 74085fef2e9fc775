// Frames: messages cut out of a stream of bytes by a codec.

import { warnOnRejection } from "../callbacks.js";
import { IncompleteReadError, LimitError } from "../errors/index.js";
import type { Data, IoOptions } from "../io.js";
import type { ReadBuffer } from "./buffer.js";
import type { Found } from "./items.js";

/** A frame that a decoder found at the head of the bytes. */
export interface Frame<T> extends Found<T> {
  /** Bytes that it took, header and delimiter included; at least 1. */
  readonly size: number;
}

/**
 * Looks at the unread bytes for one frame at their head. It returns the frame, or, when that has not all come, the number
 * of bytes that it needs before it is worth to ask again: more than `bytes.length`.
 *
 * `ended` says that no more bytes will come; a number returned then becomes an `IncompleteReadError`. `bytes` is never
 * empty. What is returned inside a frame may be a view of `bytes`; other parts of `bytes` must not be kept. Until it
 * returns a frame, a decoder is called again with bytes that begin at the same place, so it may remember how far it
 * searched. It throws when the bytes can't be a frame (a {@link FrameError} where it has no error of its own): the
 * stream stays closed for reading.
 */
export type Decoder<T> = (bytes: Buffer, ended: boolean) => Frame<T> | number;

/**
 * How values become frames and frames become values. A codec is a plain object and serves any number of streams.
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
  /** Most bytes of a frame, header and delimiter included. Absent: the stream's `maxFrame`. */
  readonly max?: number | undefined;
  /** A decoder for one stream. Called for each `frames()`, and again when the stream was read in another way. */
  decoder(): Decoder<T>;
  /** The bytes of one frame. */
  encode(value: In): Data;
}

/** How to read frames. */
export interface FrameOptions extends IoOptions {
  /** Most bytes of a frame, header and delimiter included. Default: the codec's `max`, else the stream's `maxFrame`. */
  readonly max?: number | undefined;
}

/** The rule that `Items` wants, for a codec and its limit. */
export function frameFinder<T>(
  codec: Codec<T, never>,
  max: number,
  limit: string,
): (buffer: ReadBuffer, ended: boolean) => Found<T> | null | undefined {
  let decode: Decoder<T> = codec.decoder();
  let need = 1;
  let position = -1;
  return (buffer, ended) => {
    if (buffer.length === 0) return ended ? null : undefined;
    if (need > 1 && position !== buffer.position) {
      decode = codec.decoder();
      need = 1;
    }
    if (buffer.length < need && !ended) return undefined;
    const bytes = buffer.look();
    const found = decode(bytes, ended);
    if (typeof found === "number") {
      if (!(found > bytes.length)) {
        throw new RangeError(`A decoder must ask for more than the ${bytes.length} bytes it was given, found ${found}`);
      }
      if (found > max) throw new LimitError(limit, max, found);
      if (ended) throw new IncompleteReadError(buffer.take(bytes.length), found);
      need = found;
      position = buffer.position;
      return undefined;
    }
    const { size } = found;
    if (!Number.isInteger(size) || size < 1 || size > bytes.length) {
      warnOnRejection("a decoder", found);
      throw new RangeError(`A decoder must take 1 to ${bytes.length} bytes for a frame, found ${size}`);
    }
    if (size > max) throw new LimitError(limit, max, size);
    need = 1;
    buffer.take(size);
    return found;
  };
}
