// toDuplex(): the Duplex over a connection, with or without TLS.

import { checkOptions } from "../check/index.js";
import type { Conn } from "../io.js";
import { type ConnDuplex, loadDuplex, plainDuplex, type ToDuplexOptions } from "./connDuplex.js";
import { SecureConnDuplex } from "./secureConnDuplex.js";

const NAMES: readonly string[] = ["readableHighWaterMark", "writableHighWaterMark", "allowHalfOpen"];

/**
 * A `Duplex` over a connection, for code that takes a `node:stream`. The Duplex owns the connection. When both sides
 * have ended, the connection is closed. `end()` ends the writing side only, `destroy()` closes the connection, and
 * `destroy(error)` aborts it. An error of the connection becomes the `'error'` event. {@link ConnDuplex} has members of
 * a `net.Socket`.
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
  checkOptions(opts, "toDuplex", NAMES);
  const { secured } = conn;
  if (secured === undefined) return plainDuplex(conn, opts);
  loadDuplex();
  return new SecureConnDuplex(conn, secured, opts);
}
