// Brands the instances of a class, so that every copy of the package in a process recognises them. `instanceof` is
// false for an object of another copy. A process has several copies if the package was loaded twice, or if a test
// runner has evaluated its modules again.

import { quote } from "./quote.js";

/** The key of the brand, the same symbol in every copy. The value of the brand is the name of the class. */
const BRAND = Symbol.for("berkeley.class");

/** Brands the instances of the class with this prototype, and of its subclasses. */
export function brand(prototype: object, name: string): void {
  Object.defineProperty(prototype, BRAND, { value: name });
}

/** Whether a value is an instance of the class with this name, of any copy of the package. */
export function isBranded(value: unknown, name: string): boolean {
  return typeof value === "object" && value !== null && (value as { readonly [BRAND]?: unknown })[BRAND] === name;
}

/** The text of a value in the error message of a call that requires an instance of the class `name` of this copy. */
export function quoteNonInstance(value: unknown, name: string): string {
  try {
    const foundName: unknown = (value as { readonly [BRAND]?: unknown } | null | undefined)?.[BRAND];
    if (typeof foundName !== "string") return quote(value);
    // The names of classes of "berkeley/sync" are longer, such as "Socket of berkeley/sync".
    const hasSameName = foundName === name || foundName.startsWith(`${name} of `);
    return hasSameName ? `a ${name} of another copy or entry of berkeley` : `a ${foundName}`;
  } catch {
    // Reading a property of a Proxy can throw. Such a Proxy counts as an object without a brand.
  }
  return quote(value);
}
