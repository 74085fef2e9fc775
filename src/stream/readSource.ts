// The two kinds of sources of a buffered reader: those with `readFor()`, and those with `read()` only.

import type { DirectReader, Reader } from "../io.js";

/** The handlers of a buffered reader for the promises of `read()` of its source. */
export interface ReadHandlers {
  /** Handles the first read of a call into the buffer. Returns the result of the call, or a promise of it. */
  readonly onFirstRead: (count: number) => unknown;
  /** Handles a read into the caller's memory. Returns the number of bytes. */
  readonly onTargetRead: (count: number) => number;
  readonly onError: (error: unknown) => never;
}

/** Whether a source has `readFor()`. */
export function isDirect(source: Reader): source is DirectReader {
  return typeof (source as Partial<DirectReader>).readFor === "function";
}
