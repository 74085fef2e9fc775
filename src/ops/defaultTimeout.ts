// The timeout that new sockets start with.

import { milliseconds } from "../wait/waitOptions.js";

let current: number | null = null;

/**
 * The `timeout` that new sockets start with, in ms; null for none.
 *
 * @see setdefaulttimeout
 * @example
 * ```ts
 * import { getdefaulttimeout } from "berkeley";
 *
 * console.log(getdefaulttimeout()); // prints: null
 * ```
 */
export function getdefaulttimeout(): number | null {
  return current;
}

/**
 * Sets the `timeout` that sockets start with from now on: made, accepted or adopted. It holds for this thread; each worker
 * has its own. Listeners, streams and UDP sockets of `listen()`, `connect()` and `bindUdp()` take no notice of it, nor does a
 * stream of a socket: a call there that names no timeout has none, unless one was set on the socket itself.
 *
 * @param timeout ms; null for none, which is how a process starts
 * @throws TypeError or RangeError for a value that is neither null nor a number from 0 to 2,147,483,647
 * @example
 * ```ts
 * import { getdefaulttimeout, setdefaulttimeout, Socket } from "berkeley";
 *
 * setdefaulttimeout(5_000);
 * await using socket = new Socket();
 * console.log(socket.timeout, getdefaulttimeout()); // prints: 5000 5000
 * setdefaulttimeout(null);
 * ```
 */
export function setdefaulttimeout(timeout: number | null): void {
  current = milliseconds(timeout, "set the default timeout");
}
