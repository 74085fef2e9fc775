// Prints values for error messages: bounded in length, on one line, and without characters that control a terminal.

/** Most characters of a text. */
const MAX_TEXT = 80;
/** Most members of an array or an object. */
const MAX_MEMBERS = 6;

// Characters that JSON does not escape although they are invisible: DEL and C1 controls, marks that change the
// direction of writing, line separators, the byte order mark.
const UNPRINTED = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * The text of a value in an error message. A string is written as in JSON and cut after 80 characters. An array or an
 * object is written with its first 6 members, one level deep. This function never throws and calls no getter.
 *
 * @example
 * quote("a\nb"); // "\"a\\nb\""
 * quote(["localhost", "80"]); // "[\"localhost\", \"80\"]"
 */
export function quote(value: unknown): string {
  return print(value, 1);
}

function print(value: unknown, depth: number): string {
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
      return "a function";
    case "object":
      if (value === null) return "null";
      try {
        return printObject(value, depth);
      } catch {
        return "an object that cannot be read";
      }
    default:
      return String(value);
  }
}

function quoteText(text: string): string {
  const cut = text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) : text;
  const json = JSON.stringify(cut).replace(UNPRINTED, escapeUnit);
  return text.length > MAX_TEXT ? `${json}… (${text.length} characters)` : json;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function printObject(value: object, depth: number): string {
  if (ArrayBuffer.isView(value)) return `a view of ${value.byteLength} bytes`;
  const list = Array.isArray(value);
  if (depth === 0) return list ? "[…]" : "{…}";
  const names = list ? undefined : Object.keys(value);
  const total = names === undefined ? (value as unknown[]).length : names.length;
  const parts: string[] = [];
  for (let i = 0; i < Math.min(total, MAX_MEMBERS); i++) {
    const name = names === undefined ? String(i) : names[i]!;
    const member = Object.getOwnPropertyDescriptor(value, name);
    const text = member === undefined ? "undefined" : "value" in member ? print(member.value, depth - 1) : "(getter)";
    parts.push(list ? text : `${/^[\w$]+$/.test(name) && name.length <= MAX_TEXT ? name : quoteText(name)}: ${text}`);
  }
  if (total > MAX_MEMBERS) parts.push("…");
  if (list) return `[${parts.join(", ")}]`;
  return parts.length === 0 ? "{}" : `{ ${parts.join(", ")} }`;
}

/** The kind of a value that may hold a secret, such as a key or a passphrase. It quotes no part of the value. */
export function quoteSecret(value: unknown): string {
  if (typeof value === "string") return `a string of ${value.length} characters`;
  if (ArrayBuffer.isView(value)) return `a view of ${value.byteLength} bytes`;
  if (Array.isArray(value)) return `an array of ${value.length} items`;
  if (value === null || value === undefined) return String(value);
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
