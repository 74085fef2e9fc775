// The data of a write as a list of byte arrays, and the position in that list while it is written piece by piece.

import { isUint8Array } from "node:util/types";
import { bytesToSend, totalLength } from "../check/index.js";
import type { Data } from "../io.js";

/** `data` as a list of byte arrays, text as UTF-8. Throws a `TypeError` for a value that is no data. */
export function toParts(data: Data, action: string): readonly Uint8Array[] {
  const bytes = bytesToSend(data, action);
  return isUint8Array(bytes) ? [bytes] : bytes;
}

/** Text as UTF-8, bytes as they are. */
export function toBytes(part: string | Uint8Array): Uint8Array {
  return typeof part === "string" ? Buffer.from(part) : part;
}

/** The parts of a write. `take()` removes bytes from the front. */
export class WriteParts {
  readonly #parts: readonly Uint8Array[];
  #index = 0;
  #offset = 0;
  #left: number;

  constructor(parts: readonly Uint8Array[]) {
    this.#parts = parts;
    this.#left = totalLength(parts);
  }

  /** Bytes that were not taken yet. */
  get left(): number {
    return this.#left;
  }

  /** Takes a copy of the next bytes, at most `max`. */
  take(max: number): Buffer {
    const out = Buffer.allocUnsafe(Math.min(max, this.#left));
    let filled = 0;
    while (filled < out.length) {
      const part = this.#parts[this.#index] as Uint8Array;
      const size = Math.min(part.length - this.#offset, out.length - filled);
      out.set(part.subarray(this.#offset, this.#offset + size), filled);
      filled += size;
      this.#offset += size;
      if (this.#offset === part.length) {
        this.#index++;
        this.#offset = 0;
      }
    }
    this.#left -= out.length;
    return out;
  }
}
