// Checking the arguments of the public calls, before any system call: one place for both sockets.

import { isUint8Array } from "node:util/types";
import { quote } from "../addr/index.js";
import { MSG_ZEROCOPY } from "./constants.js";

/** What can be sent; the same shape as `Data` of the contracts, which this layer does not import. */
export type Sendable = string | Uint8Array | readonly (string | Uint8Array)[];

/** The largest number of bytes that one call is asked for. The kernel moves at most 0x7ffff000 bytes in one. */
const MAX_SIZE = 0x7fff_f000;

/** `value` if it is a whole number from `min` to `max`; otherwise throws an error that names the action. */
export function integer(value: unknown, action: string, name: string, min: number, max: number): number {
  if (typeof value !== "number") {
    throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a whole number from ${min} to ${max}`);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`Cannot ${action}: ${name} is ${value}, required a whole number from ${min} to ${max}`);
  }
  return value;
}

/** A C `int`: families, types, protocols, levels, names of options. */
export function int32(value: unknown, action: string, name: string): number {
  return integer(value, action, name, -0x8000_0000, 0x7fff_ffff);
}

/** A number of bytes to receive. */
export function byteCount(value: unknown, action: string): number {
  return integer(value, action, "size", 0, MAX_SIZE);
}

/** MSG_ flags: 32 bits. */
export function messageFlags(value: unknown, action: string): number {
  if (value === undefined) return 0;
  return integer(value, action, "flags", -0x8000_0000, 0xffff_ffff) | 0;
}

/**
 * MSG_ flags of a call that sends. MSG_ZEROCOPY is refused: with it the kernel reads the memory after the call has settled,
 * until a message in the error queue says that it has finished. Here the memory may be collected by then and hold something
 * else, which would go out in its place. Over loopback
 * the kernel copies in the end, so that it only costs more there.
 */
export function sendFlags(value: unknown, action: string): number {
  const flags = messageFlags(value, action);
  if ((flags & MSG_ZEROCOPY) === 0) return flags;
  throw new TypeError(
    `Cannot ${action}: flags have MSG_ZEROCOPY, required none of it: the memory could be collected before the kernel has sent it`,
  );
}

/** A deadline in ms from now, or null for none. */
export function milliseconds(value: unknown, action: string): number | null {
  if (value === null || value === undefined || value === Infinity) return null;
  if (typeof value !== "number") {
    throw new TypeError(`Cannot ${action}: timeout is ${quote(value)}, required a number of milliseconds or null`);
  }
  if (!(value >= 0)) throw new RangeError(`Cannot ${action}: timeout is ${value}, required at least 0 ms`);
  return value;
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
