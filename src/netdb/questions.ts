// Checking what the functions of this folder are given, before anything is looked up.

import { quote } from "../check/index.js";
import { abortSignal, milliseconds } from "../wait/waitOptions.js";
import { within } from "../wait/within.js";
import { timeoutError } from "../wait/localError.js";
import { aboutHost, HOST_BYTES, inquire, type Inquiry } from "./lookup.js";

/** Most bytes of the names in the databases of this machine. */
const NAME_BYTES = 255;

/** Options of what waits for the resolver. */
export interface LookupOptions {
  /** Deadline in ms; null (the default) for none. A lookup that has begun goes on in its thread until the C library gives up. */
  readonly timeout?: number | null | undefined;
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Text that C takes whole: a string without NUL and of at most `most` bytes. */
export function plainText(value: unknown, action: string, name: string, most: number = NAME_BYTES): string {
  if (typeof value !== "string") throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a string`);
  const nul = value.indexOf("\0");
  if (nul >= 0) throw new TypeError(`Cannot ${action}: ${name} ${quote(value)} has a NUL character at ${nul}`);
  if (/\p{Cs}/u.test(value)) {
    throw new TypeError(
      `Cannot ${action}: ${name} ${quote(value)} has a lone surrogate, required text that UTF-8 can hold`,
    );
  }
  const bytes = Buffer.byteLength(value);
  if (bytes > most) throw new RangeError(`Cannot ${action}: ${name} has ${bytes} bytes, required at most ${most}`);
  return value;
}

export function hostText(value: unknown, action: string): string {
  return plainText(value, action, "host", HOST_BYTES);
}

/** Text, or undefined and null for none. */
export function optionalText(value: unknown, action: string, name: string): string | null {
  return value === undefined || value === null ? null : plainText(value, action, name);
}

/** Runs an inquiry on threads of the resolver, within the deadline and until the signal. */
export async function look<T>(
  inquiry: Inquiry<T>,
  opts: LookupOptions | undefined,
  syscall: string,
  host?: string | null,
): Promise<T> {
  if (opts !== undefined && (typeof opts !== "object" || opts === null)) {
    throw new TypeError(
      `Cannot ${syscall}: options are ${quote(opts)}, required an object such as { timeout, signal }`,
    );
  }
  const timeout = milliseconds(opts?.timeout, syscall);
  const signal = abortSignal(opts?.signal, syscall);
  signal?.throwIfAborted();
  const pending = inquire(inquiry);
  if (timeout === null && signal === undefined) return pending.result;
  const late = (): Error => timeoutError(syscall, aboutHost(host));
  return within(pending.result, timeout, signal === undefined ? [] : [signal], late, pending.cancel);
}
