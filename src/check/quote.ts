// The texts of values in error messages. A text has a bounded length, is on one line, and has no characters that
// control a terminal.

import { isArrayBuffer, isDataView, isMap, isProxy, isSet, isSharedArrayBuffer, isTypedArray } from "node:util/types";

/** Maximum number of characters of a text. */
const MAX_TEXT = 80;
/** Maximum number of members of an array or an object in a text. */
const MAX_MEMBERS = 6;

// Characters that JSON does not escape although they are invisible: DEL and C1 controls, marks that change the
// direction of writing, line separators, the byte order mark.
const INVISIBLE = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * The text of a value in an error message. A string is written as in JSON and truncated after 80 characters. The text
 * of an array or a plain object has its first 6 members, one level deep. The text of an instance of a class has the
 * name of the class and the size of the instance: `an ArrayBuffer(4)`. This function never throws and calls no getter
 * of users. It hides the values of members with names such as `passphrase`; see {@link quoteSecret}.
 *
 * @example
 * quote("a\nb"); // "\"a\\nb\""
 * quote(["localhost", "80"]); // "[\"localhost\", \"80\"]"
 */
export function quote(value: unknown): string {
  return textOf(value, 1);
}

/** @param depth the number of levels of members to write; 0 for none */
function textOf(value: unknown, depth: number): string {
  switch (typeof value) {
    case "string":
      return quoteText(value);
    case "bigint": {
      const text = `${value}n`;
      return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`;
    }
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "symbol":
      return `a symbol ${quoteText(value.description ?? "")}`;
    case "function":
      return quoteFunction(value);
    case "object":
      if (value === null) return "null";
      try {
        return textOfObject(value, depth);
      } catch {
        // A Proxy may throw.
        return "an object that cannot be read";
      }
    default:
      return String(value);
  }
}

function quoteText(text: string): string {
  const shown = text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) : text;
  const json = JSON.stringify(shown).replace(INVISIBLE, escapeUnit);
  return text.length > MAX_TEXT ? `${json}… (${text.length} characters)` : json;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** The value of an own data property; undefined unless it is a text that is not empty. Calls no getter. */
function ownText(object: object, name: string): string | undefined {
  const value: unknown = Object.getOwnPropertyDescriptor(object, name)?.value;
  return typeof value === "string" && value !== "" ? value : undefined;
}

function quoteFunction(value: object): string {
  try {
    const name = ownText(value, "name");
    // Only the `prototype` of a class is read-only.
    const isClass = Object.getOwnPropertyDescriptor(value, "prototype")?.writable === false;
    return name === undefined ? "a function" : `a ${isClass ? "class" : "function"} ${quoteName(name)}`;
  } catch {
    return "a function";
  }
}

function quoteName(name: string): string {
  return /^[\w$]+$/.test(name) && name.length <= MAX_TEXT ? name : quoteText(name);
}

/** The name of the class of an object. Undefined for a plain object, and if there is no prototype or no such name. */
function classOf(value: object): string | undefined {
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype === null || Object.getPrototypeOf(prototype) === null) return undefined;
  const constructor: unknown = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value;
  return typeof constructor === "function" ? ownText(constructor, "name") : undefined;
}

/** The article before the name of a class: "an ArrayBuffer", but "a Uint8Array" and "a URL". */
const articleOf = (name: string): string => (/^[AEIOU]/i.test(name) && !/^U[iR]/.test(name) ? "an" : "a");

/** The prototype that all typed arrays share. */
const TYPED_ARRAY = Object.getPrototypeOf(Uint8Array.prototype) as object;

/** Reads a number, as text, by the getter of a prototype of this realm: an object can have a getter of its own. */
function intrinsicNumber(value: object, prototype: object, name: string): string {
  return String(Object.getOwnPropertyDescriptor(prototype, name)?.get?.call(value));
}

/** The number of bytes of a view. */
function viewBytes(value: ArrayBufferView): string {
  try {
    return intrinsicNumber(value, isDataView(value) ? DataView.prototype : TYPED_ARRAY, "byteLength");
  } catch {
    // The getter of a DataView throws if the memory is detached.
    return "0";
  }
}

/** The number of items of a typed array, of bytes of other memory, or of entries of a Map or Set; else undefined. */
function sizeOf(value: object): string | undefined {
  if (isTypedArray(value)) return intrinsicNumber(value, TYPED_ARRAY, "length");
  if (isDataView(value)) return viewBytes(value);
  if (isArrayBuffer(value)) return intrinsicNumber(value, ArrayBuffer.prototype, "byteLength");
  if (isSharedArrayBuffer(value)) return intrinsicNumber(value, SharedArrayBuffer.prototype, "byteLength");
  if (isMap(value)) return intrinsicNumber(value, Map.prototype, "size");
  return isSet(value) ? intrinsicNumber(value, Set.prototype, "size") : undefined;
}

/**
 * The text of an instance of a class: the name of the class and the size of the instance, without members. Members may
 * be secrets, or mean nothing to users.
 */
function quoteInstance(value: object, name: string): string {
  if (isProxy(value)) return "a Proxy";
  const size = sizeOf(value);
  return `${articleOf(name)} ${quoteName(name)}${size === undefined ? "" : `(${size})`}`;
}

/** The text of a property: its value, or `(getter)` without a call of the getter. A gap of an array is `undefined`. */
function textOfProperty(property: PropertyDescriptor | undefined, depth: number): string {
  if (property === undefined) return "undefined";
  return "value" in property ? textOf(property.value, depth) : "(getter)";
}

/** The text of an array, a plain object or an instance of a class. */
function textOfObject(value: object, depth: number): string {
  const isArray = Array.isArray(value);
  const className = isArray ? undefined : classOf(value);
  if (className !== undefined) return quoteInstance(value, className);
  if (depth === 0) return isArray ? "[…]" : "{…}";
  const names = isArray ? undefined : Object.keys(value);
  const count = names === undefined ? (value as unknown[]).length : names.length;
  const parts: string[] = [];
  for (let i = 0; i < Math.min(count, MAX_MEMBERS); i++) {
    const name = names === undefined ? String(i) : names[i]!;
    const property = Object.getOwnPropertyDescriptor(value, name);
    const text = textOfProperty(property, depth - 1);
    if (isArray) parts.push(text);
    else parts.push(`${quoteName(name)}: ${SECRET_NAME.test(name) ? quoteSecret(property?.value) : text}`);
  }
  if (count > MAX_MEMBERS) parts.push("…");
  if (isArray) return `[${parts.join(", ")}]`;
  return parts.length === 0 ? "{}" : `{ ${parts.join(", ")} }`;
}

/** Members whose values are not written into messages. */
const SECRET_NAME = /^(?:key|pfx|passphrase|pass|password|passwd|secret|token|authorization|psk|ticketKeys)$/i;

/** The text of a value that may be a secret, such as a key or a passphrase: its kind and size, and no part of it. */
export function quoteSecret(value: unknown): string {
  if (typeof value === "string") return `a string of ${value.length} characters`;
  if (ArrayBuffer.isView(value)) return `a view of ${viewBytes(value)} bytes`;
  if (Array.isArray(value)) return `an array of ${value.length} items`;
  if (value === null || value === undefined) return String(value);
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
