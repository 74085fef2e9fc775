// What a write was given, as bytes; and where a long list of them stands when it is taken piece by piece.

import { isUint8Array } from "node:util/types";
import { kindOf } from "../check/index.js";
import type { Data } from "../io.js";

/** The parts of `data` as bytes, text in UTF-8. Throws a `TypeError` that quotes what is neither. */
export function toParts(data: Data): Uint8Array[] {
  if (typeof data === "string" || isUint8Array(data)) return [toBytes(data)];
  if (!Array.isArray(data)) throw wrong(data, "data");
  return data.map((part: unknown, index) => {
    if (typeof part === "string" || isUint8Array(part)) return toBytes(part);
    throw wrong(part, `data[${index}]`);
  });
}

/** Text as UTF-8, bytes as they are. */
export function toBytes(part: string | Uint8Array): Uint8Array {
  return typeof part === "string" ? Buffer.from(part) : part;
}

/** Below this a loop is cheaper than a call. */
const LOOP_COPY = 24;

/** A copy of `size` bytes from `start` on. */
export function copyBytes(from: Buffer, start: number, size: number): Buffer {
  const out = Buffer.allocUnsafe(size);
  if (size > LOOP_COPY) out.set(new Uint8Array(from.buffer, from.byteOffset + start, size));
  else for (let index = 0; index < size; index++) out[index] = from[start + index]!;
  return out;
}

/** What is wrong with the buffer of a read. */
export function wrongTarget(buffer: unknown): Error | undefined {
  if (!isUint8Array(buffer)) return new TypeError(`buffer must be a Uint8Array, found ${kindOf(buffer)}`);
  return buffer.length === 0 ? new RangeError("buffer must have room for at least 1 byte, found 0") : undefined;
}

function wrong(value: unknown, name: string): TypeError {
  return new TypeError(`${name} must be a string, a Uint8Array or an array of these, found ${kindOf(value)}`);
}

/** The parts of a write, consumed from the front. */
export class Parts {
  readonly #parts: readonly Uint8Array[];
  #index = 0;
  #offset = 0;
  #left: number;

  constructor(parts: readonly Uint8Array[]) {
    this.#parts = parts;
    this.#left = parts.reduce((sum, part) => sum + part.length, 0);
  }

  /** Bytes not taken yet. */
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
