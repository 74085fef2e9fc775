// The check of the buffer that a read fills.

import { byteView } from "../check/index.js";

/** The error with which a read into `buffer` rejects; undefined if `buffer` is a Uint8Array of at least one byte. */
export function targetError(buffer: unknown): Error | undefined {
  try {
    if (byteView(buffer, "read").length > 0) return undefined;
  } catch (error) {
    return error as Error;
  }
  return new RangeError("Cannot read: buffer has 0 bytes, required at least 1, because 0 stands for the end");
}
