// Checks the options object of a call.

import { nearest } from "./nearest.js";
import { quote } from "./quote.js";

/**
 * Throws if the options are neither an object nor undefined. Without this check `recv(10, MSG_PEEK)` would ignore the
 * flags, because a number has no property `flags`.
 *
 * @param known the names of the options that the call has; others are refused
 * @param form for a call with an address, its correct form, such as `connect([host, port])`. The message contains it if
 *   the caller passed host and port as two arguments
 */
export function checkOptions(opts: unknown, action: string, known?: readonly string[], form?: string): void {
  if (opts === undefined) return;
  if (typeof opts === "object" && opts !== null && !Array.isArray(opts)) {
    if (known !== undefined) checkNames(opts, known, action);
    return;
  }
  const isAddressPart = form !== undefined && (typeof opts === "string" || typeof opts === "number");
  const hint = isAddressPart ? `; an address is one argument: ${form}` : "";
  const callback = typeof opts === "function" ? "; the call takes no callback" : "";
  throw new TypeError(`Cannot ${action}: options are ${quote(opts)}, required an object${hint}${callback}`);
}

/**
 * Throws if an option is not in `known`. The message has the most similar known name. An option whose value is
 * undefined counts as absent. The function allocates nothing unless it throws, so calls on the hot path can use it.
 *
 * @param owner the name of the object that has no such option, for the message
 */
export function checkNames(opts: object, known: readonly string[], action: string, owner?: string): void {
  for (const name in opts) {
    if (known.includes(name) || !Object.hasOwn(opts, name)) continue;
    if ((opts as Record<string, unknown>)[name] !== undefined) throw unknownName(name, known, action, owner);
  }
}

function unknownName(name: string, known: readonly string[], action: string, owner: string | undefined): TypeError {
  const place = owner === undefined ? "" : ` for ${owner}`;
  const similar = nearest(name, known);
  const hint = similar === undefined ? "" : `; did you mean ${quote(similar)}?`;
  const error = new TypeError(
    `Cannot ${action}: option ${quote(name)} is unknown${place}, required one of ${known.join(", ")}${hint}`,
  );
  // The stack starts at the caller of checkNames().
  Error.captureStackTrace(error, checkNames);
  return error;
}

/** Returns `value` if it is true or false, and `byDefault` if it is undefined. Throws for other values. */
export function flag(value: unknown, byDefault: boolean, action: string, name: string): boolean {
  if (value === undefined) return byDefault;
  if (typeof value === "boolean") return value;
  throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required true or false`);
}
