// The timeout that new sockets start with.

import { milliseconds } from "../wait/waitOptions.js";

let defaultTimeout: number | null = null;

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
  return defaultTimeout;
}

/**
 * Sets the initial `timeout` of sockets that are made, accepted or adopted from now on. Each thread has its own value.
 * The listeners, streams and UDP sockets of `listen()`, `connect()` and `bindUdp()`, and the stream of a socket, do not
 * use it. Without a `timeout` their calls wait without limit, unless `timeout` was set on the socket itself.
 *
 * @param timeout ms; null for none, the value at the start of a process
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
  defaultTimeout = milliseconds(timeout, "set the default timeout");
}
