// The checks of the arguments of reads: sizes, delimiters, encodings.

import { isUint8Array } from "node:util/types";
import { checkOptions, integer, quote } from "../check/index.js";
import type { IoOptions } from "../io.js";

/** How to read up to a delimiter. */
export interface UntilOptions extends IoOptions {
  /** Maximum number of bytes, including the delimiter. Default: the stream's `maxLine`. */
  readonly max?: number | undefined;
}

const WAIT_NAMES: readonly string[] = ["timeout", "signal"];
/** The names of the options in {@link UntilOptions}. */
export const UNTIL_NAMES: readonly string[] = [...WAIT_NAMES, "max"];
/** The names of the options in `LineOptions`. */
export const LINE_NAMES: readonly string[] = [...WAIT_NAMES, "max", "encoding"];

/**
 * Returns only `timeout` and `signal`, because the connection of the stream refuses other options.
 *
 * @param known the names of all options of the call; others are refused
 */
export function pickWaitOptions(
  opts: IoOptions | undefined,
  action: string,
  known: readonly string[],
): IoOptions | undefined {
  if (opts === undefined) return undefined;
  checkOptions(opts, action, known);
  for (const name in opts) if (!WAIT_NAMES.includes(name)) return { timeout: opts.timeout, signal: opts.signal };
  return opts;
}

/** Returns `value` if it is a whole number of at least `min`. Otherwise throws an error that names the action. */
export function checkSize(value: unknown, action: string, name: string, min: number): number {
  return integer(value, action, name, min, Number.MAX_SAFE_INTEGER);
}

/** Returns the bytes of a delimiter. Throws if the delimiter is empty. */
export function delimiterBytes(delimiter: unknown, action: string): Uint8Array {
  if (typeof delimiter !== "string" && !isUint8Array(delimiter)) {
    const required = "a string or a Uint8Array";
    throw new TypeError(`Cannot ${action}: delimiter is ${quote(delimiter)}, required ${required}`);
  }
  const bytes = typeof delimiter === "string" ? Buffer.from(delimiter) : delimiter;
  if (bytes.length > 0) return bytes;
  throw new RangeError(`Cannot ${action}: delimiter has 0 bytes, required at least 1`);
}

/**
 * Returns `value` if it is a string with the name of an encoding. An object with a `toString` is refused, because its
 * code would run while the reactor dispatches events.
 */
export function checkEncoding(value: unknown, action: string): BufferEncoding {
  if (typeof value === "string" && Buffer.isEncoding(value)) return value;
  throw new TypeError(`Cannot ${action}: encoding is ${quote(value)}, required the name of an encoding of Buffer`);
}
