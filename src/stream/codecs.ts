// The codecs that most protocols need: a length before the payload, a delimiter behind it, or one size for all.

import { isUint8Array } from "node:util/types";
import { LimitError } from "../errors/index.js";
import type { Codec } from "./frames.js";
import { checkOptions, kindOf } from "../check/index.js";
import { toBytes } from "./data.js";
import { readVarint, varintOf, varintSize } from "./varint.js";

/** How long a payload is, before it. */
export interface LengthPrefixOptions {
  /** Size of the length in bytes, or `"varint"`: LEB128, seven bits a byte, low bits first. Default 4. */
  readonly bytes?: 1 | 2 | 4 | 8 | "varint" | undefined;
  /** Order of the length's bytes. Default `"big"`, which is network order. */
  readonly endian?: "big" | "little" | undefined;
  /** Most bytes of a payload. Default 1 MiB, or what the length can say when that is less. */
  readonly max?: number | undefined;
}

const MIB = 1_048_576;

/**
 * Frames of a length and as many bytes. The value is the payload, a view that is the caller's; text is sent as UTF-8.
 * A length over `max` is a `LimitError` as soon as it is read: the payload is not waited for.
 *
 * @example
 * ```ts
 * import { lengthPrefixed } from "berkeley";
 *
 * const codec = lengthPrefixed({ bytes: 2 });
 * console.log(codec.encode("hi")); // prints: [ <Buffer 00 02>, <Buffer 68 69> ]
 * ```
 */
export function lengthPrefixed(opts: LengthPrefixOptions = {}): Codec<Buffer, string | Uint8Array> {
  checkOptions(opts, "make a lengthPrefixed codec");
  const { bytes = 4, endian = "big" } = opts;
  if (bytes !== 1 && bytes !== 2 && bytes !== 4 && bytes !== 8 && bytes !== "varint") {
    throw new RangeError(`bytes must be 1, 2, 4, 8 or "varint", found ${JSON.stringify(bytes)}`);
  }
  if (endian !== "big" && endian !== "little") {
    throw new RangeError(`endian must be "big" or "little", found ${JSON.stringify(endian)}`);
  }
  const sayable = bytes === "varint" || bytes === 8 ? Number.MAX_SAFE_INTEGER : 2 ** (8 * bytes) - 1;
  const max = limit("max", opts.max ?? Math.min(MIB, sayable), 0, sayable);
  const little = endian === "little";

  const check = (length: number): number => {
    if (length > max) throw new LimitError("max", max, length);
    return length;
  };
  return {
    max: max + (bytes === "varint" ? varintSize(max) : bytes),
    decoder: () => (input) => {
      let head: number;
      let length: number;
      if (bytes === "varint") {
        const varint = readVarint(input);
        if (varint === undefined) return input.length + 1;
        ({ size: head, value: length } = varint);
      } else {
        if (input.length < bytes) return bytes;
        head = bytes;
        length = readLength(input, bytes, little);
      }
      const size = head + check(length);
      return input.length < size ? size : { value: input.subarray(head, size), size };
    },
    encode: (value) => {
      const payload = toBytes(value);
      check(payload.length);
      return [bytes === "varint" ? varintOf(payload.length) : writeLength(payload.length, bytes, little), payload];
    },
  };
}

/** How a delimiter ends a frame. */
export interface DelimitedOptions {
  /** Most bytes of a frame without its delimiter. Default 1 MiB. */
  readonly max?: number | undefined;
}

/**
 * Frames that a delimiter ends. The value is what is before it. `encode` refuses a value in which, or across whose end, the
 * delimiter would be found too early, because that would be read as another frame.
 *
 * @example
 * ```ts
 * import { delimited } from "berkeley";
 *
 * const codec = delimited("\0");
 * console.log(codec.encode("hi")); // prints: [ <Buffer 68 69>, <Buffer 00> ]
 * ```
 */
export function delimited(
  delimiter: string | Uint8Array,
  opts: DelimitedOptions = {},
): Codec<Buffer, string | Uint8Array> {
  if (typeof delimiter !== "string" && !isUint8Array(delimiter)) {
    throw new TypeError(`delimiter must be a string or a Uint8Array, found ${kindOf(delimiter)}`);
  }
  checkOptions(opts, "make a delimited codec");
  const end = Buffer.from(toBytes(delimiter));
  if (end.length === 0) throw new RangeError("delimiter must have at least 1 byte, found 0");
  const max = limit("max", opts.max ?? MIB, 0, Number.MAX_SAFE_INTEGER - end.length);
  return {
    max: max + end.length,
    decoder: () => {
      let searched = 0;
      return (input) => {
        const found = input.indexOf(end, searched);
        const length = found < 0 ? Math.max(0, input.length - end.length + 1) : found;
        if (length > max) throw new LimitError("max", max, length);
        searched = found < 0 ? length : 0;
        return found < 0 ? input.length + 1 : { value: input.subarray(0, found), size: found + end.length };
      };
    },
    encode: (value) => {
      const payload = toBytes(value);
      if (payload.length > max) throw new LimitError("max", max, payload.length);
      const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
      // The end of the payload and the beginning of the delimiter may look like a delimiter too.
      const seam = Buffer.concat([bytes.subarray(Math.max(0, bytes.length - end.length + 1)), end]);
      if (bytes.includes(end) || seam.indexOf(end) !== seam.length - end.length) {
        const text = JSON.stringify(end.toString());
        throw new RangeError(
          `Cannot frame ${payload.length} bytes: the delimiter ${text} would be found before their end`,
        );
      }
      return [payload, end];
    },
  };
}

/**
 * Frames that all have `size` bytes. `encode` refuses a value of another size.
 *
 * @example
 * ```ts
 * import { fixed } from "berkeley";
 *
 * console.log(fixed(4).encode("ping")); // prints: <Buffer 70 69 6e 67>
 * ```
 */
export function fixed(size: number): Codec<Buffer, string | Uint8Array> {
  limit("size", size, 1, Number.MAX_SAFE_INTEGER);
  return {
    max: size,
    decoder: () => (input) => (input.length < size ? size : { value: input.subarray(0, size), size }),
    encode: (value) => {
      const payload = toBytes(value);
      if (payload.length !== size) throw new RangeError(`A frame must have ${size} bytes, found ${payload.length}`);
      return payload;
    },
  };
}

function limit(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  const text = `${name} must be an integer from ${least} to ${most}, found `;
  throw typeof value === "number" ? new RangeError(text + String(value)) : new TypeError(text + kindOf(value));
}

function readLength(input: Buffer, bytes: 1 | 2 | 4 | 8, little: boolean): number {
  if (bytes === 1) return input.readUInt8(0);
  if (bytes === 2) return little ? input.readUInt16LE(0) : input.readUInt16BE(0);
  if (bytes === 4) return little ? input.readUInt32LE(0) : input.readUInt32BE(0);
  // Past 2^53 it is no longer exact, but then it is over every limit.
  const low = little ? input.readUInt32LE(0) : input.readUInt32BE(4);
  const high = little ? input.readUInt32LE(4) : input.readUInt32BE(0);
  return high * 2 ** 32 + low;
}

function writeLength(length: number, bytes: 1 | 2 | 4 | 8, little: boolean): Buffer {
  const head = Buffer.allocUnsafe(bytes);
  if (bytes === 8) {
    const low = length % 2 ** 32;
    const high = Math.floor(length / 2 ** 32);
    if (little) head.writeUInt32LE(high, head.writeUInt32LE(low, 0));
    else head.writeUInt32BE(low, head.writeUInt32BE(high, 0));
  } else if (little) head.writeUIntLE(length, 0, bytes);
  else head.writeUIntBE(length, 0, bytes);
  return head;
}
