// A typed socket option: a level, a name, and how its value looks in bytes and in TypeScript.

import { endianness } from "node:os";

import { quote } from "../../addr/index.js";

export const LITTLE: boolean = endianness() === "LE";

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
}

export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function action(name: string): string {
  return `Cannot set ${name}`;
}

/** What a set-only option answers to `getsockopt`, and a get-only one to `setsockopt`. */
export function unsupported(name: string, direction: "get" | "set"): () => never {
  return () => {
    throw new TypeError(`Cannot ${direction} ${name}: the kernel only lets it be ${direction === "get" ? "set" : "read"}`);
  };
}

export function intBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  view(bytes).setInt32(0, value, LITTLE);
  return bytes;
}

/** A number of the length that the kernel chose: an int for most options, a byte for IP_TTL and its like on some levels. */
export function readInt(bytes: Uint8Array): number {
  if (bytes.length === 1) return bytes[0]!;
  return view(bytes).getInt32(0, LITTLE);
}

/** Whether a value is a number within its option's range; throws otherwise. */
export function checkNumber(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number") throw new TypeError(`${action(name)} to ${quote(value)}: required a number from ${min} to ${max}`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${action(name)} to ${value}: required a whole number from ${min} to ${max}`);
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
      if (typeof value !== "boolean") throw new TypeError(`${action(name)} to ${quote(value)}: required true or false`);
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

/** The same option, for reading only. */
export function readOnly<Get>(option: SocketOption<Get, never>): SocketOption<Get, never> {
  return { ...option, encode: unsupported(option.name, "set") };
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
