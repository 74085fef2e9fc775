// Checks the byte arguments of public calls, before any system call.

import { isUint8Array } from "node:util/types";
import { integer } from "./numbers.js";
import { quote } from "./quote.js";

/** Data to send. It has the shape of `Data` in src/io.ts, which this layer must not import. */
export type Sendable = string | Uint8Array | readonly (string | Uint8Array)[];

/** Maximum number of bytes that Linux transfers in one call; see read(2). */
const MAX_SIZE = 0x7fff_f000;

/** Returns `value` if it is a number of bytes that one call can receive. Throws for other values. */
export function byteCount(value: unknown, action: string): number {
  return integer(value, action, "size", 0, MAX_SIZE);
}

/** Returns `value` if it is a Uint8Array, and EMPTY for a Uint8Array without bytes. Throws for other values. */
export function byteView(value: unknown, action: string): Uint8Array {
  if (isUint8Array(value)) return value.length === 0 ? EMPTY : value;
  throw new TypeError(`Cannot ${action}: buffer is ${quote(value)}, required a Uint8Array`);
}

/**
 * Replaces an empty view that is the buffer or the data of a call. So if the call later finds an empty view that is not
 * EMPTY, the memory of that view was detached. A read into a detached view would return 0, like the end of the stream.
 */
export const EMPTY: Uint8Array = new Uint8Array(0);

/**
 * Checks `data`. Returns text as UTF-8, a view unchanged (EMPTY if it has no bytes), and an array as an array of views.
 */
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
