// Checks the options object of a call.

import { nearest } from "./nearest.js";
import { quote } from "./quote.js";

/**
 * Throws if the options are neither an object nor undefined. Without this check `recv(10, MSG_PEEK)` would ignore the
 * flags, because a number has no property `flags`.
 *
 * @param known the names of the options that the call has; other names are refused. Default: any name is accepted
 * @param form the correct form of a call with an address, such as `connect([host, port])`. The message contains this
 *   form if the caller passed host and port as two arguments
 */
export function checkOptions(opts: unknown, action: string, known?: readonly string[], form?: string): void {
  if (opts === undefined) return;
  if (typeof opts === "object" && opts !== null && !Array.isArray(opts)) {
    if (known !== undefined) checkNames(opts, known, action);
    return;
  }
  const isAddressPart = form !== undefined && (typeof opts === "string" || typeof opts === "number");
  let hint = "";
  if (isAddressPart) hint = `; an address is one argument: ${form}`;
  else if (typeof opts === "function") hint = "; the call takes no callback";
  throw new TypeError(`Cannot ${action}: options are ${quote(opts)}, required an object${hint}`);
}

/**
 * Throws if an option is not in `known`. If a known name is similar, the message suggests it. An inherited property,
 * and an option whose value is undefined, count as absent. The function allocates nothing unless it throws, so frequent
 * calls can use it.
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
  const forOwner = owner === undefined ? "" : ` for ${owner}`;
  const similar = nearest(name, known);
  const hint = similar === undefined ? "" : `; did you mean ${quote(similar)}?`;
  const error = new TypeError(
    `Cannot ${action}: option ${quote(name)} is unknown${forOwner}, required one of ${known.join(", ")}${hint}`,
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
