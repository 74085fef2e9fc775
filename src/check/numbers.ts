// Checks the number arguments of public calls, before any system call.

import { quote } from "./quote.js";

/** Returns `value` if it is a whole number from `min` to `max`. Throws for other values. */
export function integer(value: unknown, action: string, name: string, min: number, max: number): number {
  if (typeof value !== "number") {
    throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a whole number from ${min} to ${max}`);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`Cannot ${action}: ${name} is ${value}, required a whole number from ${min} to ${max}`);
  }
  return value;
}

/** Returns `value` if it fits into a C `int`, the type of families, protocols, levels and names of options. */
export function int32(value: unknown, action: string, name: string): number {
  return integer(value, action, name, -0x8000_0000, 0x7fff_ffff);
}
