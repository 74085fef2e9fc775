// Socket options by name, as in `--option TCP_NODELAY=1`.

import type { SocketOption } from "berkeley";

import { UsageError } from "./failure.js";
import { didYouMean } from "./suggest.js";

type AnyOption = SocketOption<unknown, unknown>;

/** An option and its value, which has been checked. */
export interface GivenOption {
  readonly option: AnyOption;
  readonly value: unknown;
}

/** A socket, or the settings of a connection. */
export interface Settable {
  setsockopt<T>(option: SocketOption<never, T>, value: T): void;
}

/** All socket options of the library, by name. */
export async function socketOptions(): Promise<ReadonlyMap<string, AnyOption>> {
  // The user may name any option, so the whole library is imported.
  const library = await import("berkeley");
  const found = new Map<string, AnyOption>();
  for (const [name, value] of Object.entries(library)) {
    const isOption = typeof value === "object" && value !== null && "optname" in value && "encode" in value;
    if (isOption) {
      found.set(name, value as unknown as AnyOption);
    }
  }
  return found;
}

/** Parses `NAME=VALUE`, or `NAME` alone, which means true. */
export async function readSocketOption(text: string): Promise<GivenOption> {
  const equalsAt = text.indexOf("=");
  const name = equalsAt < 0 ? text : text.slice(0, equalsAt);
  const known = await socketOptions();
  const option = known.get(name);
  if (option === undefined) {
    const suggestion = didYouMean(name, known.keys());
    throw new UsageError(
      `--option is ${JSON.stringify(text)}, required NAME=VALUE with the name of a socket option${suggestion}`,
    );
  }
  let firstError: unknown;
  for (const value of possibleValues(equalsAt < 0 ? "true" : text.slice(equalsAt + 1))) {
    try {
      // Throws if the option does not accept the value.
      option.encode(value);
      return { option, value };
    } catch (error) {
      // The first value is the most likely one, so its error is reported.
      firstError ??= error;
    }
  }
  throw new UsageError(`--option is ${JSON.stringify(text)}: ${(firstError as Error).message}`);
}

/** The values that a text can mean, the most likely first. */
function possibleValues(text: string): unknown[] {
  if (/^(?:true|on|yes)$/i.test(text)) return [true, 1, text];
  if (/^(?:false|off|no)$/i.test(text)) return [false, null, 0, text];
  if (/^(?:null|none)$/i.test(text)) return [null, text];
  if (/^(?:-?\d+|0x[\da-f]+)$/i.test(text)) {
    const number = Number(text);
    return [number, ...(number === 0 || number === 1 ? [number === 1] : []), BigInt(text), text];
  }
  if (/^[[{]/.test(text)) {
    try {
      return [JSON.parse(text)];
    } catch {
      return [text];
    }
  }
  return [text];
}

export function applyOptions(socket: Settable, given: readonly GivenOption[]): void {
  for (const { option, value } of given) socket.setsockopt(option as SocketOption<never, unknown>, value);
}
