// The words of the system behind the code of an error.

import { getSystemErrorMap } from "node:util";

let wordsByCode: ReadonlyMap<string, string> | undefined;

/**
 * The words of the system for a code of errno(3): `"connection refused"` for `ECONNREFUSED`. They are those of Node,
 * because they are the same with each C library. Undefined if Node has none. By the code and not by the number, because
 * getaddrinfo(3) uses the same numbers for other errors.
 */
export function systemWords(code: string): string | undefined {
  if (wordsByCode === undefined) {
    // Some other runtimes lack the function.
    const known = typeof getSystemErrorMap === "function" ? [...getSystemErrorMap().values()] : [];
    wordsByCode = new Map(known as [string, string][]);
  }
  return wordsByCode.get(code);
}
