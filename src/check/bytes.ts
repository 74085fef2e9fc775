// Bytes and texts of public calls, checked before any system call.

import { isUint8Array } from "node:util/types";
import { integer } from "./numbers.js";
import { quote } from "./quote.js";

/** What can be sent; the same shape as `Data` of the contracts, which this layer does not import. */
export type Sendable = string | Uint8Array | readonly (string | Uint8Array)[];

/** The largest number of bytes that one call is asked for. The kernel moves at most 0x7ffff000 bytes in one. */
const MAX_SIZE = 0x7fff_f000;

/** A number of bytes to receive. */
export function byteCount(value: unknown, action: string): number {
  return integer(value, action, "size", 0, MAX_SIZE);
}

/** The view that a call fills. */
export function byteView(value: unknown, action: string): Uint8Array {
  if (isUint8Array(value)) return value.length === 0 ? EMPTY : value;
  throw new TypeError(`Cannot ${action}: buffer is ${quote(value)}, required a Uint8Array`);
}

/**
 * Stands for every view that is empty at the time of a call. A view that was not and is empty when the call is tried has
 * been detached meanwhile; a read into it would look like the end of the stream.
 */
export const EMPTY: Uint8Array = new Uint8Array(0);

/** Bytes to send: text as UTF-8, a view as it is, several of those as a list. */
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

/** How many bytes there are in all. */
export function totalLength(data: Uint8Array | readonly Uint8Array[]): number {
  if (isUint8Array(data)) return data.length;
  let total = 0;
  for (const part of data) total += part.length;
  return total;
}
