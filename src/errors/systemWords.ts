// The words of the system behind the code of an error.

import { util } from "../builtins.js";

/** Two names of one number; Node has the words under the other one. */
const SAME: Readonly<Record<string, string>> = { EOPNOTSUPP: "ENOTSUP" };

let wordsByCode: ReadonlyMap<string, string> | undefined;

/**
 * The words of the system for a code of errno(3): `"connection refused"` for `ECONNREFUSED`. They are those of Node,
 * because they are the same with each C library. Undefined if Node has none. By the code and not by the number, because
 * getaddrinfo(3) uses the same numbers for other errors.
 */
export function systemWords(code: string): string | undefined {
  if (wordsByCode === undefined) {
    // Some other runtimes lack the function.
    const { getSystemErrorMap } = util();
    const known = typeof getSystemErrorMap === "function" ? [...getSystemErrorMap().values()] : [];
    wordsByCode = new Map(known);
  }
  return wordsByCode.get(SAME[code] ?? code);
}
