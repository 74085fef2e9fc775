// Marks by which the instances of a class are known to every copy of the package in a process. `instanceof` is false for an object of
// another copy: the package was loaded twice, or its modules were evaluated again (test runners do that).

import { quote } from "./quote.js";

/** The mark's key; its value is the name of the class. It is the same symbol in every copy. */
const BRAND = Symbol.for("berkeley.class");

/** Marks the instances of a class, and of its subclasses. */
export function brand(prototype: object, name: string): void {
  Object.defineProperty(prototype, BRAND, { value: name });
}

/** Whether a value is an instance of the class of this name, of this copy or of another one. */
export function isBranded(value: unknown, name: string): boolean {
  return typeof value === "object" && value !== null && (value as { readonly [BRAND]?: unknown })[BRAND] === name;
}

/** What was found in the place of an instance of this copy's class, for the message that refuses it. */
export function quoteOther(value: unknown, name: string): string {
  try {
    const found: unknown = (value as { readonly [BRAND]?: unknown } | null | undefined)?.[BRAND];
    if (typeof found !== "string") return quote(value);
    // The entry "berkeley/sync" says in its marks that they are its own.
    const same = found === name || found.startsWith(`${name} of `);
    return same ? `a ${name} of another copy or entry of berkeley` : `a ${found}`;
  } catch {
    // A proxy that throws has no brand.
  }
  return quote(value);
}
