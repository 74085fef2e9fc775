// The options object of a call.

import { quote } from "./quote.js";

/**
 * Refuses a value that is not an object in the place of options: `recv(10, MSG_PEEK)` would otherwise pass, because a number
 * has no property that could be wrong. `undefined` passes.
 */
export function checkOptions(opts: unknown, action: string): void {
  if (opts === undefined || (typeof opts === "object" && opts !== null && !Array.isArray(opts))) return;
  throw new TypeError(`Cannot ${action}: options are ${quote(opts)}, required an object`);
}

/** Refuses an option that the call does not have. An option whose value is undefined counts as absent. `owner` names the object that has no such option. */
export function checkNames(opts: object, known: readonly string[], action: string, owner?: string): void {
  for (const name of Object.keys(opts)) {
    if (known.includes(name) || (opts as Record<string, unknown>)[name] === undefined) continue;
    const place = owner === undefined ? "" : ` for ${owner}`;
    throw new TypeError(
      `Cannot ${action}: option ${quote(name)} is unknown${place}, required one of ${known.join(", ")}`,
    );
  }
}

/** `value` as an option that is true or false; `otherwise` if it is undefined. */
export function flag(value: unknown, otherwise: boolean, action: string, name: string): boolean {
  if (value === undefined) return otherwise;
  if (typeof value === "boolean") return value;
  throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required true or false`);
}
