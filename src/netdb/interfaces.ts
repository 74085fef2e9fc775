// Network interfaces: their names and indexes.

import { integer } from "../check/index.js";
import { calls } from "../sys/calls.js";
import { socketError } from "../sys/errno.js";
import { indexOfName } from "../sys/interfaceIndex.js";
import { checkPlainText } from "./textArguments.js";

/**
 * The network interfaces: if_nameindex(3).
 *
 * @returns `[index, name]` of each interface
 * @see if_nameindex(3)
 * @example
 * ```ts
 * import { if_nameindex } from "berkeley";
 *
 * console.log(if_nameindex().some(([, name]) => name === "lo")); // prints: true
 * ```
 */
export function if_nameindex(): [index: number, name: string][] {
  // An index and a name for each interface, one after the other.
  const flat = calls.if_nameindex();
  if (typeof flat === "number") throw socketError(flat, "if_nameindex");
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] as number, flat[2 * i + 1] as string]);
}

/**
 * The index of an interface: if_nametoindex(3).
 *
 * @throws SocketError `ENODEV` if there is no such interface
 * @see if_nametoindex(3)
 * @example
 * ```ts
 * import { if_indextoname, if_nametoindex } from "berkeley";
 *
 * console.log(if_indextoname(if_nametoindex("lo"))); // prints: lo
 * ```
 */
export function if_nametoindex(name: string): number {
  const text = checkPlainText(name, "if_nametoindex", "name");
  return indexOfName(calls, text);
}

/**
 * The name of an interface: if_indextoname(3).
 *
 * @throws SocketError `ENXIO` if there is no such interface
 * @see if_indextoname(3)
 * @example
 * ```ts
 * import { if_indextoname, if_nameindex } from "berkeley";
 *
 * for (const [index, name] of if_nameindex()) console.assert(if_indextoname(index) === name);
 * ```
 */
export function if_indextoname(index: number): string {
  const number = integer(index, "if_indextoname", "index", 0, 0xffff_ffff);
  const name = calls.if_indextoname(number);
  if (typeof name === "string") return name;
  throw socketError(name, "if_indextoname", { address: String(number) });
}
