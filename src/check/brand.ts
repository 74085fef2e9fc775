// Marks the instances of a class, so that every copy of the package in a process recognises them. `instanceof` is false
// for an object of another copy. A process has several copies if the package was loaded twice, or if a test runner has
// evaluated its modules again.

import { quote } from "./quote.js";

/** The key of the mark, the same symbol in every copy. The value of the mark is the name of the class. */
const BRAND = Symbol.for("berkeley.class");

/** Marks the instances of the class with this prototype, and of its subclasses. */
export function brand(prototype: object, name: string): void {
  Object.defineProperty(prototype, BRAND, { value: name });
}

/** Whether a value is an instance of the class with this name, of any copy of the package. */
export function isBranded(value: unknown, name: string): boolean {
  return typeof value === "object" && value !== null && (value as { readonly [BRAND]?: unknown })[BRAND] === name;
}

/** The text of `value` in the error message if it is no instance of the class `name` of this copy. */
export function quoteNonInstance(value: unknown, name: string): string {
  try {
    const foundName: unknown = (value as { readonly [BRAND]?: unknown } | null | undefined)?.[BRAND];
    if (typeof foundName !== "string") return quote(value);
    // The marks of "berkeley/sync" are longer, such as "Socket of berkeley/sync".
    const isSameClass = foundName === name || foundName.startsWith(`${name} of `);
    return isSameClass ? `a ${name} of another copy or entry of berkeley` : `a ${foundName}`;
  } catch {
    // A proxy whose traps throw has no mark.
  }
  return quote(value);
}
