// toDuplex(): the Duplex over a connection, with or without TLS.

import { checkOptions } from "../check/index.js";
import type { Conn } from "../io.js";
import { type ConnDuplex, loadDuplex, makePlainDuplex, type ToDuplexOptions } from "./connDuplex.js";
import { SecureConnDuplex } from "./secureConnDuplex.js";

const TO_DUPLEX_OPTIONS: readonly string[] = ["readableHighWaterMark", "writableHighWaterMark", "allowHalfOpen"];

/**
 * Makes a `Duplex` over a connection, for code that requires a `node:stream`. The Duplex owns the connection. When both
 * sides have ended, it closes the connection. `end()` ends the writing side only, `destroy()` closes the connection,
 * and `destroy(error)` aborts it. An error of the connection becomes the `'error'` event. The {@link ConnDuplex} also
 * has members of a `net.Socket`.
 *
 * @throws TypeError for options that are no object, or for an unknown option
 * @example
 * ```ts
 * import { toDuplex } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, b] = memoryPair();
 * toDuplex(a).end("hello");
 * for await (const chunk of toDuplex(b).setEncoding("utf8")) console.log(chunk); // prints: hello
 * ```
 */
export function toDuplex(conn: Conn, opts: ToDuplexOptions = {}): ConnDuplex | SecureConnDuplex {
  checkOptions(opts, "toDuplex", TO_DUPLEX_OPTIONS);
  const { secured } = conn;
  if (secured === undefined) return makePlainDuplex(conn, opts);
  loadDuplex();
  return new SecureConnDuplex(conn, secured, opts);
}
