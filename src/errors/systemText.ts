// The text of the system for the code of an error.

import { util } from "../builtins.js";

/** For a number of Linux with two names: the code of this package, and the name that Node uses. */
const NODE_NAMES: Readonly<Record<string, string>> = { EOPNOTSUPP: "ENOTSUP" };

let textByCode: ReadonlyMap<string, string> | undefined;

/**
 * The text for a code of errno(3): `"connection refused"` for `ECONNREFUSED`. Undefined if Node has none. The texts of
 * Node are used, because they are the same with each C library. The key is the code and not the number, because
 * getaddrinfo(3) uses the same numbers for other errors.
 */
export function systemText(code: string): string | undefined {
  if (textByCode === undefined) {
    // Some other runtimes lack the function.
    const { getSystemErrorMap } = util();
    const codesAndTexts = typeof getSystemErrorMap === "function" ? [...getSystemErrorMap().values()] : [];
    textByCode = new Map(codesAndTexts);
  }
  return textByCode.get(NODE_NAMES[code] ?? code);
}
