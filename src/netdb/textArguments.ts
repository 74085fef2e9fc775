// Checks the text arguments of the functions in this folder.

import { MAX_HOST_BYTES } from "../addr/index.js";
import { quote } from "../check/index.js";

/** Maximum number of bytes of a name in the databases of this machine. */
const MAX_NAME_BYTES = 255;

/** Returns `value` if it is a string of at most `maxBytes` bytes in UTF-8 without NUL. In C a string ends at a NUL. */
export function checkPlainText(
  value: unknown,
  action: string,
  name: string,
  maxBytes: number = MAX_NAME_BYTES,
): string {
  if (typeof value !== "string") throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a string`);
  if (value.includes("\0")) {
    throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a string without NUL`);
  }
  if (/\p{Cs}/u.test(value)) {
    throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a string without lone surrogates`);
  }
  const bytes = Buffer.byteLength(value);
  if (bytes > maxBytes)
    throw new RangeError(`Cannot ${action}: ${name} has ${bytes} bytes, required at most ${maxBytes}`);
  return value;
}

/** Returns `value` if it can be the name or the address of a host. */
export function checkHostText(value: unknown, action: string): string {
  return checkPlainText(value, action, "host", MAX_HOST_BYTES);
}

/** Like `checkPlainText()`, but returns null if `value` is undefined or null. */
export function checkOptionalText(value: unknown, action: string, name: string): string | null {
  return value === undefined || value === null ? null : checkPlainText(value, action, name);
}
