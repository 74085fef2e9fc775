// The data of a write as a list of byte arrays, and the position in that list while it is written piece by piece.

import { isUint8Array } from "node:util/types";
import { bytesToSend, totalLength } from "../check/index.js";
import type { Data } from "../io.js";

/** Converts `data` to a list of byte arrays, text as UTF-8. Throws a `TypeError` for any other value. */
export function toParts(data: Data, action: string): readonly Uint8Array[] {
  const bytes = bytesToSend(data, action);
  return isUint8Array(bytes) ? [bytes] : bytes;
}

/** Returns text as UTF-8, and bytes unchanged. */
export function toBytes(part: string | Uint8Array): Uint8Array {
  return typeof part === "string" ? Buffer.from(part) : part;
}

/** The data of a write that was not written yet. `shift()` removes bytes from its front. */
export class WriteParts {
  readonly #parts: readonly Uint8Array[];
  /** The next byte is the one at `#partOffset` of the part at `#partIndex`. */
  #partIndex = 0;
  #partOffset = 0;
  #remaining: number;

  constructor(parts: readonly Uint8Array[]) {
    this.#parts = parts;
    this.#remaining = totalLength(parts);
  }

  /** The number of bytes that are left. */
  get remaining(): number {
    return this.#remaining;
  }

  /** Removes the next bytes, at most `max`, and returns a copy of them. */
  shift(max: number): Buffer {
    const out = Buffer.allocUnsafe(Math.min(max, this.#remaining));
    let filled = 0;
    while (filled < out.length) {
      const part = this.#parts[this.#partIndex] as Uint8Array;
      const size = Math.min(part.length - this.#partOffset, out.length - filled);
      out.set(part.subarray(this.#partOffset, this.#partOffset + size), filled);
      filled += size;
      this.#partOffset += size;
      if (this.#partOffset === part.length) {
        this.#partIndex++;
        this.#partOffset = 0;
      }
    }
    this.#remaining -= out.length;
    return out;
  }
}
