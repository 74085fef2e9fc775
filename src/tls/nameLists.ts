// Lists of cipher suites, signature algorithms and groups: OpenSSL passes over the names in them that it does not know, here
// each has to mean something.

import { tls } from "../builtins.js";
import { quote } from "../check/index.js";
import { TlsError } from "../errors/index.js";
import { describeNodeError } from "./credentials.js";
import type { TlsContextOptions } from "./tlsOptions.js";

type ListName = "ciphers" | "sigalgs" | "ecdhCurve";

const SEPARATORS: Readonly<Record<ListName, RegExp>> = { ciphers: /[:, ;]+/, sigalgs: /:/, ecdhCurve: /:/ };

/** Names alone, without the commands and exceptions that OpenSSL's lists may have as well. */
const NAME = /^[A-Za-z0-9_.+-]+$/;

/** Names that were asked about, so that contexts for single connections cost no more. As many as there can be. */
const known = new Set<string>();
const MOST_KNOWN = 1024;

function checkName(list: ListName, name: string, action: string): void {
  const key = `${list} ${name}`;
  if (known.has(key)) return;
  try {
    tls().createSecureContext({ ca: [], [list]: name });
  } catch (error) {
    const { code, reason } = describeNodeError(error);
    const text = `${list} has ${quote(name)}, which OpenSSL does not know or has nothing for: ${reason}`;
    throw new TlsError(code, `Cannot ${action}`, text, { cause: error });
  }
  if (known.size < MOST_KNOWN) known.add(key);
}

/** Refuses a list that is no text, is empty, or has a name in it that stands for nothing. */
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
      // `!NAME`, `-NAME` and `+NAME` take away what may not be there in the first place; `@COMMAND` means nothing alone.
      if (NAME.test(name) && !/^[+-]/.test(name)) checkName(list, name, action);
    }
  }
}
