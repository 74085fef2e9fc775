// Checks the byte arguments of public calls, before any system call.

import { isUint8Array } from "node:util/types";
import { integer } from "./numbers.js";
import { quote } from "./quote.js";

/** Data to send. It has the shape of `Data` in src/io.ts, which this layer must not import. */
export type Sendable = string | Uint8Array | readonly (string | Uint8Array)[];

/** Maximum number of bytes that one call may ask for: the kernel transfers at most 0x7ffff000 bytes in one call. */
const MAX_SIZE = 0x7fff_f000;

/** `value` if it is a number of bytes that a call can receive. */
export function byteCount(value: unknown, action: string): number {
  return integer(value, action, "size", 0, MAX_SIZE);
}

/** `value` if it is a view that a call can fill. */
export function byteView(value: unknown, action: string): Uint8Array {
  if (isUint8Array(value)) return value.length === 0 ? EMPTY : value;
  throw new TypeError(`Cannot ${action}: buffer is ${quote(value)}, required a Uint8Array`);
}

/**
 * If a view is empty when the caller makes the call, EMPTY replaces it. So a view that is empty at an attempt, and is
 * not EMPTY, was detached. A read into a detached view would return 0, like the end of the stream.
 */
export const EMPTY: Uint8Array = new Uint8Array(0);

/** The bytes of `data`: text as UTF-8, a view unchanged, an array of those as an array of views. */
export function bytesToSend(data: Sendable, action: string): Uint8Array | Uint8Array[] {
  if (isUint8Array(data)) return data.length === 0 ? EMPTY : data;
  if (typeof data === "string") return data === "" ? EMPTY : Buffer.from(data);
  if (!Array.isArray(data)) {
    throw new TypeError(
      `Cannot ${action}: data is ${quote(data)}, required a string, a Uint8Array or an array of those`,
    );
  }
  return data.map((part: unknown, index) => {
    if (isUint8Array(part)) return part;
    if (typeof part === "string") return Buffer.from(part);
    throw new TypeError(`Cannot ${action}: data[${index}] is ${quote(part)}, required a string or a Uint8Array`);
  });
}

/** The number of bytes in one view or in all views of an array. */
export function totalLength(data: Uint8Array | readonly Uint8Array[]): number {
  if (isUint8Array(data)) return data.length;
  let total = 0;
  for (const part of data) total += part.length;
  return total;
}
