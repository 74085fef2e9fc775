// Checks lists of cipher suites, signature algorithms and groups. OpenSSL ignores names that it does not know; here
// each name must be known.

import { tls } from "../builtins.js";
import { quote } from "../check/index.js";
import { TlsError } from "../errors/index.js";
import { describeNodeError } from "./credentials.js";
import type { TlsContextOptions } from "./tlsOptions.js";

type ListName = "ciphers" | "sigalgs" | "ecdhCurve";

const SEPARATORS: Readonly<Record<ListName, RegExp>> = { ciphers: /[:, ;]+/, sigalgs: /:/, ecdhCurve: /:/ };

/** A name without an operator. Lists of OpenSSL may also have commands and exclusions. */
const NAME = /^[A-Za-z0-9_.+-]+$/;

/** Names that OpenSSL has accepted. The cache makes contexts for single connections cheap. */
const known = new Set<string>();
const MAX_KNOWN = 1024;

function checkListedName(list: ListName, name: string, action: string): void {
  const key = `${list} ${name}`;
  if (known.has(key)) return;
  try {
    tls().createSecureContext({ ca: [], [list]: name });
  } catch (error) {
    const { code, reason } = describeNodeError(error);
    const text = `${list} has ${quote(name)}, which OpenSSL does not support: ${reason}`;
    throw new TlsError(code, `Cannot ${action}`, text, { cause: error });
  }
  if (known.size < MAX_KNOWN) known.add(key);
}

/** Refuses a list that is no string, is empty, or has a name that OpenSSL does not support. */
export function checkLists(options: Readonly<Record<string, unknown>> | TlsContextOptions, action: string): void {
  for (const list of ["ciphers", "sigalgs", "ecdhCurve"] as const) {
    const value: unknown = options[list];
    if (value === undefined) continue;
    if (typeof value !== "string") {
      throw new TypeError(`Cannot ${action}: ${list} is ${quote(value)}, required a string`);
    }
    const names = value.split(SEPARATORS[list]).filter((name) => name !== "");
    if (names.length === 0)
      throw new RangeError(`Cannot ${action}: ${list} is ${quote(value)}, required at least one name`);
    for (const name of names) {
      // `!NAME`, `-NAME` and `+NAME` only exclude or reorder suites, and `@COMMAND` is no list alone, so they are
      // not checked.
      if (NAME.test(name) && !/^[+-]/.test(name)) checkListedName(list, name, action);
    }
  }
}
