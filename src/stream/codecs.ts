// Three codecs: a length before the payload, a delimiter after the payload, and frames of one size.

import { checkOptions, integer, quote } from "../check/index.js";
import { LimitError } from "../errors/index.js";
import type { Codec } from "./frames.js";
import { delimiterBytes } from "../reading/readArguments.js";
import { encodeVarint, readVarint, varintSize } from "./varint.js";
import { toBytes } from "./writeParts.js";

/** The options of `lengthPrefixed()`. */
export interface LengthPrefixOptions {
  /** Size of the length in bytes, or `"varint"`: LEB128, seven bits per byte, low bits first. Default 4. */
  readonly bytes?: 1 | 2 | 4 | 8 | "varint" | undefined;
  /** Order of the length's bytes. Default `"big"`, which is network order. */
  readonly endian?: "big" | "little" | undefined;
  /**
   * Maximum number of bytes of a payload. Default 1 MiB, or the largest length that `bytes` can hold if that is less.
   */
  readonly max?: number | undefined;
}

const MIB = 1_048_576;

/**
 * A codec whose frames are a length and a payload of that length. The value is the payload. Text is sent as UTF-8. If
 * the length exceeds `max`, the read rejects with a `LimitError` before the payload arrives.
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
  checkOptions(opts, "make a lengthPrefixed codec", ["bytes", "endian", "max"]);
  const { bytes = 4, endian = "big" } = opts;
  if (bytes !== 1 && bytes !== 2 && bytes !== 4 && bytes !== 8 && bytes !== "varint") {
    throw new RangeError(
      `Cannot make a lengthPrefixed codec: bytes is ${quote(bytes)}, required 1, 2, 4, 8 or "varint"`,
    );
  }
  if (endian !== "big" && endian !== "little") {
    throw new RangeError(`Cannot make a lengthPrefixed codec: endian is ${quote(endian)}, required "big" or "little"`);
  }
  const maxLength = bytes === "varint" || bytes === 8 ? Number.MAX_SAFE_INTEGER : 2 ** (8 * bytes) - 1;
  const max = integer(opts.max ?? Math.min(MIB, maxLength), "make a lengthPrefixed codec", "max", 0, maxLength);
  const littleEndian = endian === "little";

  const checkLength = (length: number): void => {
    if (length > max) throw new LimitError("max", max, length);
  };
  return {
    max: max + (bytes === "varint" ? varintSize(max) : bytes),
    // As in each codec here, a decoder that needs more bytes returns the total number that it needs.
    decoder: () => (input) => {
      let headerSize: number;
      let length: number;
      if (bytes === "varint") {
        const varint = readVarint(input);
        if (varint === undefined) return input.length + 1;
        ({ size: headerSize, value: length } = varint);
      } else {
        if (input.length < bytes) return bytes;
        headerSize = bytes;
        length = readLength(input, bytes, littleEndian);
      }
      checkLength(length);
      const frameSize = headerSize + length;
      if (input.length < frameSize) return frameSize;
      return { value: input.subarray(headerSize, frameSize), size: frameSize };
    },
    encode: (value) => {
      const payload = toBytes(value);
      const { length } = payload;
      checkLength(length);
      return [bytes === "varint" ? encodeVarint(length) : encodeLength(length, bytes, littleEndian), payload];
    },
  };
}

/** The options of `delimited()`. */
export interface DelimitedOptions {
  /** Maximum number of bytes of a frame without its delimiter. Default 1 MiB. */
  readonly max?: number | undefined;
}

/**
 * A codec whose frames end with a delimiter. The value is the bytes before the delimiter. `encode` throws a
 * `RangeError` if value and delimiter together contain the delimiter before their end, because a reader would find a
 * shorter frame.
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
  /** The bytes of the delimiter, which end each frame. */
  const suffix = Buffer.from(delimiterBytes(delimiter, "make a delimited codec"));
  checkOptions(opts, "make a delimited codec", ["max"]);
  const max = integer(opts.max ?? MIB, "make a delimited codec", "max", 0, Number.MAX_SAFE_INTEGER - suffix.length);
  return {
    max: max + suffix.length,
    decoder: () => {
      /** No delimiter begins in the first `searched` bytes of the frame. */
      let searched = 0;
      return (input) => {
        const found = input.indexOf(suffix, searched);
        // Without a delimiter: the bytes before the first place where a delimiter may still begin.
        const length = found < 0 ? Math.max(0, input.length - suffix.length + 1) : found;
        if (length > max) throw new LimitError("max", max, length);
        searched = found < 0 ? length : 0;
        if (found < 0) return input.length + 1;
        return { value: input.subarray(0, found), size: found + suffix.length };
      };
    },
    encode: (value) => {
      const payload = toBytes(value);
      if (payload.length > max) throw new LimitError("max", max, payload.length);
      const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
      // The delimiter may begin in the payload: with the delimiter "aba", the payload "ab" gives "ababa".
      const boundary = Buffer.concat([bytes.subarray(Math.max(0, bytes.length - suffix.length + 1)), suffix]);
      if (bytes.includes(suffix) || boundary.indexOf(suffix) !== boundary.length - suffix.length) {
        const reason = `the delimiter ${quote(suffix.toString())} is found in them`;
        throw new RangeError(`Cannot encode a frame of ${payload.length} bytes: ${reason}, required only at their end`);
      }
      return [payload, suffix];
    },
  };
}

/**
 * A codec whose frames all have `size` bytes. `encode` throws a `RangeError` for a value of another size.
 *
 * @example
 * ```ts
 * import { fixed } from "berkeley";
 *
 * console.log(fixed(4).encode("ping")); // prints: <Buffer 70 69 6e 67>
 * ```
 */
export function fixed(size: number): Codec<Buffer, string | Uint8Array> {
  integer(size, "make a fixed codec", "size", 1, Number.MAX_SAFE_INTEGER);
  return {
    max: size,
    decoder: () => (input) => (input.length < size ? size : { value: input.subarray(0, size), size }),
    encode: (value) => {
      const payload = toBytes(value);
      if (payload.length !== size) {
        throw new RangeError(`Cannot encode a frame: value has ${payload.length} bytes, required ${size}`);
      }
      return payload;
    },
  };
}

function readLength(input: Buffer, bytes: 1 | 2 | 4 | 8, littleEndian: boolean): number {
  if (bytes === 1) return input.readUInt8(0);
  if (bytes === 2) return littleEndian ? input.readUInt16LE(0) : input.readUInt16BE(0);
  if (bytes === 4) return littleEndian ? input.readUInt32LE(0) : input.readUInt32BE(0);
  // From 2^53 on the result is not exact, but such a length exceeds every limit.
  const low = littleEndian ? input.readUInt32LE(0) : input.readUInt32BE(4);
  const high = littleEndian ? input.readUInt32LE(4) : input.readUInt32BE(0);
  return high * 2 ** 32 + low;
}

function encodeLength(length: number, bytes: 1 | 2 | 4 | 8, littleEndian: boolean): Buffer {
  const header = Buffer.allocUnsafe(bytes);
  // writeUIntLE() and writeUIntBE() encode at most 6 bytes.
  if (bytes === 8) {
    const low = length % 2 ** 32;
    const high = Math.floor(length / 2 ** 32);
    if (littleEndian) {
      header.writeUInt32LE(low, 0);
      header.writeUInt32LE(high, 4);
    } else {
      header.writeUInt32BE(high, 0);
      header.writeUInt32BE(low, 4);
    }
  } else if (littleEndian) header.writeUIntLE(length, 0, bytes);
  else header.writeUIntBE(length, 0, bytes);
  return header;
}
