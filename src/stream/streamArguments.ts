// The options of a stream, and the checks of the arguments of its methods.

import { isUint8Array } from "node:util/types";
import { integer, quote } from "../check/index.js";
import type { IoOptions } from "../io.js";
import { toBytes } from "./writeParts.js";

/** The limits of a stream. */
export interface StreamOptions {
  /**
   * Maximum number of bytes of one read from the connection. So it is the most that the stream reads beyond what a call
   * needs. Default 64 KiB.
   */
  readonly readSize?: number | undefined;
  /** Maximum number of bytes of a line or of a result of `readUntil`, if the call has no `max`. Default 64 KiB. */
  readonly maxLine?: number | undefined;
  /** Maximum number of bytes of a frame, if neither the call nor the codec has a `max`. Default 1 MiB. */
  readonly maxFrame?: number | undefined;
  /**
   * Maximum number of bytes of the writes that wait ({@link Stream.outbox}). A write that would exceed the limit
   * rejects with an {@link OutboxFullError}. A single write may have any size: the limit applies only while other
   * writes wait. Default 4 MiB.
   */
  readonly maxOutbox?: number | undefined;
  /** Maximum number of writes that wait, each of which needs some memory besides its bytes. Default 65,536. */
  readonly maxOutboxWrites?: number | undefined;
  /** Returns the time in milliseconds. A call with a timeout divides it among its reads. Default `performance.now`. */
  readonly now?: (() => number) | undefined;
}

/** The names of {@link StreamOptions}. */
export const STREAM_NAMES: readonly string[] = [
  "readSize",
  "maxLine",
  "maxFrame",
  "maxOutbox",
  "maxOutboxWrites",
  "now",
];

/** The limits of a stream, with the defaults of those that its options lack. */
export interface StreamLimits {
  readonly readSize: number;
  readonly maxLine: number;
  readonly maxFrame: number;
  readonly maxOutbox: number;
  readonly maxOutboxWrites: number;
}

/** Shared by all streams without limits of their own. */
const DEFAULT_LIMITS: StreamLimits = {
  readSize: 65_536,
  maxLine: 65_536,
  maxFrame: 1_048_576,
  maxOutbox: 4_194_304,
  maxOutboxWrites: 65_536,
};

/** The checked limits of a stream. */
export function limitsOf(opts: StreamOptions, action: string): StreamLimits {
  const { readSize, maxLine, maxFrame, maxOutbox, maxOutboxWrites } = opts;
  const given = readSize ?? maxLine ?? maxFrame ?? maxOutbox ?? maxOutboxWrites;
  if (given === undefined || given === null) return DEFAULT_LIMITS;
  const size = (name: keyof StreamLimits, min: number): number =>
    sizeOf(opts[name] ?? DEFAULT_LIMITS[name], action, name, min);
  return {
    readSize: size("readSize", 1),
    maxLine: size("maxLine", 1),
    maxFrame: size("maxFrame", 1),
    maxOutbox: size("maxOutbox", 0),
    maxOutboxWrites: size("maxOutboxWrites", 1),
  };
}

/** How to read up to a delimiter. */
export interface UntilOptions extends IoOptions {
  /** Maximum number of bytes, including the delimiter. Default: the stream's `maxLine`. */
  readonly max?: number | undefined;
}

/** `value` if it is a whole number from `min` on; otherwise throws an error that names the action. */
export function sizeOf(value: unknown, action: string, name: string, min: number): number {
  return integer(value, action, name, min, Number.MAX_SAFE_INTEGER);
}

/** The bytes of a delimiter; at least one. */
export function delimiterBytes(delimiter: unknown, action: string): Uint8Array {
  if (typeof delimiter !== "string" && !isUint8Array(delimiter)) {
    const required = "a string or a Uint8Array";
    throw new TypeError(`Cannot ${action}: delimiter is ${quote(delimiter)}, required ${required}`);
  }
  const bytes = toBytes(delimiter);
  if (bytes.length > 0) return bytes;
  throw new RangeError(`Cannot ${action}: delimiter has 0 bytes, required at least 1`);
}

/**
 * `value` if it is the name of an encoding. An object with a `toString` is refused: it would run code of the user while
 * the reactor dispatches events.
 */
export function encodingOf(value: unknown, action: string): BufferEncoding {
  if (typeof value === "string" && Buffer.isEncoding(value)) return value;
  throw new TypeError(`Cannot ${action}: encoding is ${quote(value)}, required the name of an encoding of Buffer`);
}

/** The clock of a stream that was given no other. */
export const systemNow = (): number => performance.now();
