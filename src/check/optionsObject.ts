// The options object of a call.

import { quote } from "./quote.js";

/** Refuses what is not an object where options are taken: `recv(10, MSG_PEEK)` would otherwise pass unnoticed. */
export function checkOptions(opts: object | undefined, action: string): void {
  if (opts === undefined || (typeof opts === "object" && opts !== null)) return;
  throw new TypeError(
    `Cannot ${action}: options are ${quote(opts)}, required an object such as { timeout, signal, flags }`,
  );
}
