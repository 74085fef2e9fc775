// Parsers of option values: numbers, times, sizes, choices, files.

import { UsageError } from "./failure.js";
import { nearest } from "./suggest.js";

/** Parses a value. Throws a {@link ValueError} for a wrong value. */
export interface ValueParser<T> {
  (text: string): T;
  /** Words that a shell may offer, or `file`. */
  readonly complete?: readonly string[] | "file" | undefined;
}

/** An error whose message is "required …". parse.ts writes the name of the option and its value before the message. */
export class ValueError extends UsageError {}

function withCompletion<T>(
  parse: (text: string) => T,
  complete: readonly string[] | "file" | undefined,
): ValueParser<T> {
  return Object.assign(parse, { complete });
}

/** A text that is not empty. */
export const text: ValueParser<string> = (value) => {
  if (value === "") throw new ValueError("required a text that is not empty");
  return value;
};

/** The name of a file. */
export const file: ValueParser<string> = withCompletion((value: string) => text(value), "file");

/** A whole number in decimal digits. */
export function wholeNumber(min: number, max: number): ValueParser<number> {
  return (value) => {
    const number = /^[0-9]{1,15}$/.test(value) ? Number(value) : NaN;
    if (number >= min && number <= max) return number;
    throw new ValueError(`required a whole number from ${min} to ${max}`);
  };
}

/** The words as `a, b or c`. */
const listOf = (words: readonly string[]): string => `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;

/** One of `words`. */
export function choice<T extends string>(words: readonly T[]): ValueParser<T> {
  return withCompletion((value: string) => {
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    const near = nearest(value, words);
    const suggestion = near === undefined ? "" : `; did you mean ${near}?`;
    throw new ValueError(`required ${listOf(words)}${suggestion}`);
  }, words);
}

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A time as `500ms`, `2s`, `1.5m` or `1h`, in milliseconds; a bare number is seconds, as with ncat. */
export const duration: ValueParser<number> = (value) => {
  const [, number = "", unit = "s"] = /^(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h)?$/.exec(value) ?? [];
  const result = number === "" ? NaN : Math.round(Number(number) * MILLISECONDS[unit]!);
  // 0x7fff_ffff ms is the maximum of Node's setTimeout().
  if (result >= 0 && result <= 0x7fff_ffff) return result;
  throw new ValueError("required a time of at most 24 days such as 500ms, 2s, 1.5m or 1h");
};

const BYTES: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 1 << 10,
  mi: 1 << 20,
  gi: 1 << 30,
};

/** A number of bytes as `1500`, `64KiB` or `10MB`: the units with `i` are powers of 1024. */
export const size: ValueParser<number> = (value) => {
  const [, number = "", unit = ""] = /^(\d{1,12}(?:\.\d{1,3})?)((?:[kmg]i?)?)b?$/i.exec(value) ?? [];
  const result = number === "" ? NaN : Math.round(Number(number) * BYTES[unit.toLowerCase()]!);
  if (result >= 1 && result <= 1e15) return result;
  throw new ValueError("required a number of bytes such as 1500, 64KiB or 10MB");
};

/** A fraction, such as `0.05` or `5%`. */
export const fraction: ValueParser<number> = (value) => {
  const [, number = "", percent = ""] = /^(\d{1,3}(?:\.\d{1,6})?)(%?)$/.exec(value) ?? [];
  const result = number === "" ? NaN : Number(number) / (percent === "" ? 1 : 100);
  if (result >= 0 && result <= 1) return result;
  throw new ValueError("required a part from 0 to 1 such as 0.05 or 5%");
};
