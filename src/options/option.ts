// A typed socket option: a level, a name, and how its value looks in bytes and in TypeScript.

import { isUint8Array } from "node:util/types";

import { intBytes, LITTLE, readInt, readText, readUint, uintBytes, view } from "../sys/nativeInts.js";
import { quote } from "../check/index.js";

/**
 * A socket option that knows its shape: `setsockopt(TCP_NODELAY, true)`, `getsockopt(TCP_INFO)`.
 *
 * `Get` is what `getsockopt` returns, `Set` what `setsockopt` takes; `never` where the kernel has no such direction. It
 * also stands where a number is wanted: `setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)` passes `optname` on as it is.
 */
export interface SocketOption<Get, Set> {
  /** `"TCP_NODELAY"`. */
  readonly name: string;
  /** `IPPROTO_TCP` */
  readonly level: number;
  /** The number of the option in its level. */
  readonly optname: number;
  /** Bytes of room that `getsockopt` offers. */
  readonly size: number;
  /** Makes the value of the bytes that the kernel gave. */
  readonly decode: (bytes: Uint8Array) => Get;
  /** Makes the bytes; throws a TypeError or RangeError that quotes a value that does not fit. */
  readonly encode: (value: Set) => Uint8Array;
  /** What `getsockopt` puts into the room beforehand, for the few options where the kernel reads a question from it. */
  readonly query?: Uint8Array;
  /** The level for these bytes, for the few options that have the same number in the levels of IPv4 and of IPv6. */
  readonly levelOf?: (bytes: Uint8Array) => number;
}

/** The beginning of an error message: `Cannot set TCP_NODELAY to 1`. */
export function refusal(name: string, value: unknown): string {
  return `Cannot set ${name} to ${quote(value)}`;
}

/** What a set-only option answers to `getsockopt`, and a get-only one to `setsockopt`. */
export function unsupported(name: string, direction: "get" | "set"): () => never {
  return () => {
    throw new TypeError(
      `Cannot ${direction} ${name}: the kernel only lets it be ${direction === "get" ? "set" : "read"}`,
    );
  };
}

/** Whether a value is a number within its option's range; throws otherwise. */
export function checkNumber(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number")
    throw new TypeError(`${refusal(name, value)}: required a number from ${min} to ${max}`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${refusal(name, value)}: required a whole number from ${min} to ${max}`);
  }
  return value;
}

/** An int that is 0 or 1. */
export function booleanOption(name: string, level: number, optname: number): SocketOption<boolean, boolean> {
  return {
    name,
    level,
    optname,
    size: 4,
    decode: (bytes) => readInt(bytes) !== 0,
    encode: (value) => {
      if (typeof value !== "boolean") throw new TypeError(`${refusal(name, value)}: required true or false`);
      return intBytes(value ? 1 : 0);
    },
  };
}

/** An int. The kernel checks what range makes sense; here it only has to be one. */
export function intOption(
  name: string,
  level: number,
  optname: number,
  min: number = -0x8000_0000,
  max: number = 0x7fff_ffff,
): SocketOption<number, number> {
  return {
    name,
    level,
    optname,
    size: 4,
    decode: readInt,
    encode: (value) => intBytes(checkNumber(name, value, min, max)),
  };
}

/** An unsigned int. */
export function uintOption(
  name: string,
  level: number,
  optname: number,
  min: number = 0,
  max: number = 0xffff_ffff,
): SocketOption<number, number> {
  return {
    name,
    level,
    optname,
    size: 4,
    decode: readUint,
    encode: (value) => uintBytes(checkNumber(name, value, min, max)),
  };
}

/** An unsigned 64-bit number that counts bytes: a number, Infinity for the kernel's "no limit" (all bits set). */
export function byteCountOption(name: string, level: number, optname: number): SocketOption<number, number> {
  return {
    name,
    level,
    optname,
    size: 8,
    decode: (bytes) => {
      // Kernels that know the option as 32 bits give four.
      if (bytes.length < 8) return readUint(bytes) === 0xffff_ffff ? Infinity : readUint(bytes);
      const value = view(bytes).getBigUint64(0, LITTLE);
      return value === UNLIMITED ? Infinity : Number(value);
    },
    encode: (value) => {
      const bytes = new Uint8Array(8);
      if (value === Infinity) return bytes.fill(0xff);
      view(bytes).setBigUint64(0, BigInt(checkNumber(name, value, 0, Number.MAX_SAFE_INTEGER)), LITTLE);
      return bytes;
    },
  };
}

const UNLIMITED = 0xffff_ffff_ffff_ffffn;

/** An unsigned 64-bit number that names something: a bigint, for reading. */
export function idOption(name: string, level: number, optname: number): SocketOption<bigint, never> {
  return {
    name,
    level,
    optname,
    size: 8,
    decode: (bytes) => view(bytes).getBigUint64(0, LITTLE),
    encode: unsupported(name, "set"),
  };
}

/** Bytes as they are, at least `min` and at most `size`. */
export function bytesOption(
  name: string,
  level: number,
  optname: number,
  min: number,
  size: number,
): SocketOption<Uint8Array, Uint8Array> {
  return {
    name,
    level,
    optname,
    size,
    decode: (bytes) => bytes,
    encode: (value) => {
      if (!isUint8Array(value)) {
        throw new TypeError(`${refusal(name, value)}: required a Uint8Array of ${min} to ${size} bytes`);
      }
      if (value.length < min || value.length > size) {
        throw new RangeError(`${refusal(name, value)}: required ${min} to ${size} bytes`);
      }
      return value;
    },
  };
}

const utf8 = new TextEncoder();
/** A name, which the kernel keeps in `size` bytes with a NUL at the end. */
export function textOption(name: string, level: number, optname: number, size: number): SocketOption<string, string> {
  return {
    name,
    level,
    optname,
    size,
    decode: readText,
    encode: (value) => {
      if (typeof value !== "string" || value.includes("\0")) {
        throw new TypeError(`${refusal(name, value)}: required a string without NUL`);
      }
      const bytes = utf8.encode(`${value}\0`);
      if (bytes.length > size) {
        throw new RangeError(`${refusal(name, value)}: it has ${bytes.length - 1} bytes, required at most ${size - 1}`);
      }
      return bytes;
    },
  };
}

/** An option that does something when it is set and has no value of its own: `setsockopt(SO_DETACH_FILTER, true)`. */
export function actionOption(name: string, level: number, optname: number): SocketOption<never, true> {
  return {
    name,
    level,
    optname,
    size: 4,
    decode: unsupported(name, "get"),
    encode: (value: unknown) => {
      if (value !== true) throw new TypeError(`${refusal(name, value)}: required true, which stands for doing it`);
      return intBytes(1);
    },
  };
}

/** The same option, for reading only. */
export function readOnly<Get>(option: SocketOption<Get, never>): SocketOption<Get, never> {
  return { ...option, encode: unsupported(option.name, "set") };
}

/** The same option, for setting only. */
export function setOnly<Set>(option: SocketOption<unknown, Set>): SocketOption<never, Set> {
  return { ...option, decode: unsupported(option.name, "get") };
}

/** An option of another shape. */
export function shapedOption<Get, Set>(
  name: string,
  level: number,
  optname: number,
  size: number,
  decode: (bytes: Uint8Array) => Get,
  encode: (value: Set) => Uint8Array,
): SocketOption<Get, Set> {
  return { name, level, optname, size, decode, encode };
}

/** An option of another shape that the kernel only lets be read. */
export function readOption<Get>(
  name: string,
  level: number,
  optname: number,
  size: number,
  decode: (bytes: Uint8Array) => Get,
): SocketOption<Get, never> {
  return { name, level, optname, size, decode, encode: unsupported(name, "set") };
}

/** An option of another shape that the kernel only lets be set. */
export function setOption<Set>(
  name: string,
  level: number,
  optname: number,
  encode: (value: Set) => Uint8Array,
): SocketOption<never, Set> {
  return { name, level, optname, size: 4, decode: unsupported(name, "get"), encode };
}
