// Checks lists of cipher suites, signature algorithms and groups. OpenSSL ignores names that it does not support. These
// checks refuse such names.

import { tls } from "../builtins.js";
import { quote } from "../check/index.js";
import { TlsError } from "../errors/index.js";
import { codeAndReason } from "./credentials.js";
import type { TlsContextOptions } from "./tlsOptions.js";

type ListName = "ciphers" | "sigalgs" | "ecdhCurve";

const SEPARATORS: Readonly<Record<ListName, RegExp>> = { ciphers: /[:, ;]+/, sigalgs: /:/, ecdhCurve: /:/ };

/** The characters of names. `!` begins an operator and `@` begins a command; see openssl-ciphers(1). */
const PLAIN_NAME = /^[A-Za-z0-9_.+-]+$/;

/**
 * Names that OpenSSL has accepted, each after its list: `"ciphers NAME"`. A program may make a context for each
 * connection. With this cache, OpenSSL checks each name only once.
 */
const acceptedNames = new Set<string>();
/** Limits the memory of the cache, because the names come from the caller. */
const MAX_ACCEPTED_NAMES = 1024;

/** Refuses a name that OpenSSL does not support, by making a context with it. */
function checkListedName(list: ListName, name: string, action: string): void {
  const listAndName = `${list} ${name}`;
  if (acceptedNames.has(listAndName)) return;
  try {
    tls().createSecureContext({ ca: [], [list]: name });
  } catch (error) {
    const { code, reason } = codeAndReason(error);
    const fault = `${list} has ${quote(name)}, which OpenSSL does not support: ${reason}`;
    throw new TlsError(code, `Cannot ${action}`, fault, { cause: error });
  }
  if (acceptedNames.size < MAX_ACCEPTED_NAMES) acceptedNames.add(listAndName);
}

/** Refuses a list that is no string, is empty, or has a name that OpenSSL does not support. */
export function checkNameLists(options: Readonly<Record<string, unknown>> | TlsContextOptions, action: string): void {
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
      // Not checked: `!NAME`, `-NAME` and `+NAME`, which only exclude or reorder suites, and `@COMMAND`.
      if (PLAIN_NAME.test(name) && !/^[+-]/.test(name)) checkListedName(list, name, action);
    }
  }
}
