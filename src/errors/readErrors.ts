// Errors of reads of a stream: the stream ended too early, or has invalid bytes.

import { BerkeleyError } from "./berkeleyError.js";
import { mark } from "./mark.js";

/**
 * The peer finished before the read had all its bytes. `received` has the bytes that arrived. The next read does not
 * return them.
 *
 * @example
 * ```ts
 * import { IncompleteReadError } from "berkeley";
 *
 * const error = new IncompleteReadError(new Uint8Array(3), 8);
 * console.log(error.code, error.received.length, error.expected); // prints: ERR_INCOMPLETE_READ 3 8
 * ```
 */
export class IncompleteReadError extends BerkeleyError {
  /** Always `"ERR_INCOMPLETE_READ"`. */
  override readonly code: "ERR_INCOMPLETE_READ";
  /** The bytes that arrived before the end. */
  readonly received: Uint8Array;
  /** The minimum number of bytes that the read needed; absent if it is unknown, as in a search for a delimiter. */
  declare readonly expected?: number;

  constructor(received: Uint8Array, expected?: number) {
    super(
      expected === undefined
        ? `The peer finished after ${received.length} bytes, before the delimiter`
        : `The peer finished after ${received.length} bytes of at least ${expected}`,
    );
    this.code = "ERR_INCOMPLETE_READ";
    this.received = received;
    if (expected !== undefined) this.expected = expected;
  }

  static {
    IncompleteReadError.prototype.name = "IncompleteReadError";
    mark(IncompleteReadError);
  }
}

/**
 * The bytes are not a valid frame of the codec, for example a length that contains a letter. The stream can't be read
 * any more.
 *
 * @example
 * ```ts
 * import { FrameError } from "berkeley";
 *
 * console.log(new FrameError("a varint has at most 10 bytes, found 11").code); // prints: ERR_FRAME
 * ```
 */
export class FrameError extends BerkeleyError {
  /** Always `"ERR_FRAME"`. */
  override readonly code: "ERR_FRAME";

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = "ERR_FRAME";
  }

  static {
    FrameError.prototype.name = "FrameError";
    mark(FrameError);
  }
}
