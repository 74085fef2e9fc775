// A typed socket option: its level, its number, and the conversion of its value between bytes and TypeScript.

import { isUint8Array } from "node:util/types";

import { intBytes, LITTLE_ENDIAN, readInt, readText, readUint, uintBytes, view } from "../sys/nativeInts.js";
import { integer, quote } from "../check/index.js";

/**
 * A socket option with typed values: `setsockopt(TCP_NODELAY, true)`, `getsockopt(TCP_INFO)`.
 *
 * `Get` is the type that `getsockopt` returns, and `Set` is the type that `setsockopt` takes. A type is `never` if the
 * kernel does not support that call. An option can be passed in place of its number:
 * `setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)` uses its `optname`.
 */
export interface SocketOption<Get, Set> {
  /** Such as `"TCP_NODELAY"`. */
  readonly name: string;
  /** Such as `IPPROTO_TCP`. */
  readonly level: number;
  /** The number of the option in its level. */
  readonly optname: number;
  /** Bytes of the buffer that `getsockopt` passes to the kernel. */
  readonly size: number;
  /** Converts the bytes that the kernel returned. */
  readonly decode: (bytes: Uint8Array) => Get;
  /** Converts a value to bytes. Throws a TypeError or RangeError for a wrong value. */
  readonly encode: (value: Set) => Uint8Array;
  /** Initial bytes of the buffer of `getsockopt`. Absent unless the kernel reads a request from the buffer. */
  readonly query?: Uint8Array;
  /**
   * Returns the level for an encoded value. `setsockopt` uses it instead of `level`. Absent unless the option has the
   * same number in the levels of IPv4 and IPv6.
   */
  readonly levelOf?: (bytes: Uint8Array) => number;
}

/**
 * The beginning of an error message: `Cannot set TCP_NODELAY: value is 1`. `member` is the name of a member of the
 * value.
 */
export function cannotSet(option: string, value: unknown, member: string = "value"): string {
  return `Cannot set ${option}: ${member} is ${quote(value)}`;
}

/** Returns a function that throws: `decode` of an option that can only be set, or `encode` of a read-only option. */
export function unsupportedConversion(name: string, direction: "get" | "set"): () => never {
  return () => {
    throw new TypeError(
      `Cannot ${direction} ${name}: the kernel only lets it be ${direction === "get" ? "set" : "read"}`,
    );
  };
}

/**
 * Returns `value` if it is an integer from `min` to `max`, and throws otherwise. `member` is its name in the message:
 * "value" for the value of the option, or the name of a member of that value.
 */
export function numberMember(option: string, member: string, value: unknown, min: number, max: number): number {
  return integer(value, `set ${option}`, member, min, max);
}

/**
 * All options by name, for the inspector. withoutSet() and withoutGet() declare an option again, which replaces the
 * first declaration.
 */
export const declaredOptions: Map<string, SocketOption<unknown, never>> = new Map();

/** Adds an option to {@link declaredOptions} and returns it. */
function declare<Get, Set>(option: SocketOption<Get, Set>): SocketOption<Get, Set> {
  declaredOptions.set(option.name, option);
  return option;
}

// The functions below make an option, and add it to `declaredOptions`.

/** An int that is 0 or 1. */
export function booleanOption(name: string, level: number, optname: number): SocketOption<boolean, boolean> {
  return declare({
    name,
    level,
    optname,
    size: 4,
    decode: (bytes) => readInt(bytes) !== 0,
    encode: (value) => {
      if (typeof value !== "boolean") throw new TypeError(`${cannotSet(name, value)}, required true or false`);
      return intBytes(value ? 1 : 0);
    },
  });
}

/** An int. Without `min` and `max` only the kernel checks its range. */
export function intOption(
  name: string,
  level: number,
  optname: number,
  min: number = -0x8000_0000,
  max: number = 0x7fff_ffff,
): SocketOption<number, number> {
  return declare({
    name,
    level,
    optname,
    size: 4,
    decode: readInt,
    encode: (value) => intBytes(numberMember(name, "value", value, min, max)),
  });
}

/** An unsigned int. */
export function uintOption(
  name: string,
  level: number,
  optname: number,
  min: number = 0,
  max: number = 0xffff_ffff,
): SocketOption<number, number> {
  return declare({
    name,
    level,
    optname,
    size: 4,
    decode: readUint,
    encode: (value) => uintBytes(numberMember(name, "value", value, min, max)),
  });
}

/** An unsigned 64-bit number of bytes. Infinity stands for the kernel's value for "no limit", all bits set. */
export function byteCountOption(name: string, level: number, optname: number): SocketOption<number, number> {
  return declare({
    name,
    level,
    optname,
    size: 8,
    decode: (bytes) => {
      // Older kernels return 32 bits for some of these options.
      if (bytes.length < 8) return readUint(bytes) === 0xffff_ffff ? Infinity : readUint(bytes);
      const value = view(bytes).getBigUint64(0, LITTLE_ENDIAN);
      return value === UNLIMITED ? Infinity : Number(value);
    },
    encode: (value) => {
      const bytes = new Uint8Array(8);
      if (value === Infinity) return bytes.fill(0xff);
      view(bytes).setBigUint64(
        0,
        BigInt(numberMember(name, "value", value, 0, Number.MAX_SAFE_INTEGER)),
        LITTLE_ENDIAN,
      );
      return bytes;
    },
  });
}

const UNLIMITED = 0xffff_ffff_ffff_ffffn;

/** An unsigned 64-bit id, as a bigint. It can only be read. */
export function idOption(name: string, level: number, optname: number): SocketOption<bigint, never> {
  return declare({
    name,
    level,
    optname,
    size: 8,
    decode: (bytes) => view(bytes).getBigUint64(0, LITTLE_ENDIAN),
    encode: unsupportedConversion(name, "set"),
  });
}

/** A value that is not converted. It has `min` to `size` bytes. */
export function bytesOption(
  name: string,
  level: number,
  optname: number,
  min: number,
  size: number,
): SocketOption<Uint8Array, Uint8Array> {
  return declare({
    name,
    level,
    optname,
    size,
    decode: (bytes) => bytes,
    encode: (value) => {
      if (!isUint8Array(value)) {
        throw new TypeError(`${cannotSet(name, value)}, required a Uint8Array of ${min} to ${size} bytes`);
      }
      if (value.length < min || value.length > size) {
        throw new RangeError(`${cannotSet(name, value)}, required ${min} to ${size} bytes`);
      }
      return value;
    },
  });
}

const utf8 = new TextEncoder();

/** A string of at most `size` bytes, including a NUL at the end. */
export function textOption(name: string, level: number, optname: number, size: number): SocketOption<string, string> {
  return declare({
    name,
    level,
    optname,
    size,
    decode: readText,
    encode: (value) => {
      if (typeof value !== "string" || value.includes("\0")) {
        throw new TypeError(`${cannotSet(name, value)}, required a string without NUL`);
      }
      const bytes = utf8.encode(`${value}\0`);
      if (bytes.length > size) {
        throw new RangeError(`Cannot set ${name}: value has ${bytes.length - 1} bytes, required at most ${size - 1}`);
      }
      return bytes;
    },
  });
}

/** An option that is an action without a value: `setsockopt(SO_DETACH_FILTER, true)`. */
export function actionOption(name: string, level: number, optname: number): SocketOption<never, true> {
  return writeOnlyOption(name, level, optname, (option, value: true) => {
    if ((value as unknown) !== true) throw new TypeError(`${cannotSet(option, value)}, required true`);
    return intBytes(1);
  });
}

/** The same option, but it can only be read. */
export function withoutSet<Get>(option: SocketOption<Get, never>): SocketOption<Get, never> {
  return declare({ ...option, encode: unsupportedConversion(option.name, "set") });
}

/** The same option, but it can only be set. */
export function withoutGet<Set>(option: SocketOption<unknown, Set>): SocketOption<never, Set> {
  return declare({ ...option, decode: unsupportedConversion(option.name, "get") });
}

/** An option with conversions of its own. */
export function customOption<Get, Set>(
  name: string,
  level: number,
  optname: number,
  size: number,
  decode: (bytes: Uint8Array) => Get,
  encode: (value: Set) => Uint8Array,
): SocketOption<Get, Set> {
  return declare({ name, level, optname, size, decode, encode });
}

/** An option that can only be read, with a conversion of its own. */
export function readOnlyOption<Get>(
  name: string,
  level: number,
  optname: number,
  size: number,
  decode: (bytes: Uint8Array) => Get,
): SocketOption<Get, never> {
  return declare({ name, level, optname, size, decode, encode: unsupportedConversion(name, "set") });
}

/**
 * An option that can only be set, with a conversion of its own.
 *
 * @param encode gets the name of the option too, for messages
 * @param levelOf the level of a value; default: always `level`
 */
export function writeOnlyOption<Set>(
  name: string,
  level: number,
  optname: number,
  encode: (option: string, value: Set) => Uint8Array,
  levelOf?: (bytes: Uint8Array) => number,
): SocketOption<never, Set> {
  return declare({
    name,
    level,
    ...(levelOf === undefined ? {} : { levelOf }),
    optname,
    // Any size will do, because `decode` always throws.
    size: 4,
    decode: unsupportedConversion(name, "get"),
    encode: (value) => encode(name, value),
  });
}
