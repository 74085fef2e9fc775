// Options of the level SOL_SOCKET, socket(7). In the order of their numbers.

import { quote } from "../../addr/index.js";
import * as k from "../constants.js";
import { errnoName } from "../errno.js";
import { booleanOption, checkNumber, intOption, LITTLE, readInt, readOnly, shapedOption, type SocketOption, view } from "./option.js";

/** SO_LINGER: what `close()` does with unsent data. `null` is off; a number is on, for so many seconds; 0 sends RST. */
export type Linger = number | null;

/** A pending error and its name. */
export type PendingError = string | null;

export const SO_REUSEADDR: SocketOption<boolean, boolean> = booleanOption("SO_REUSEADDR", k.SOL_SOCKET, k.SO_REUSEADDR);
/** The type of the socket, as `SOCK_STREAM`. */
export const SO_TYPE: SocketOption<number, never> = readOnly(intOption("SO_TYPE", k.SOL_SOCKET, k.SO_TYPE));
/** Takes the pending error away and returns its code, such as `"ECONNREFUSED"`, or null. */
export const SO_ERROR: SocketOption<PendingError, never> = readOnly(
  shapedOption<PendingError, never>(
    "SO_ERROR",
    k.SOL_SOCKET,
    k.SO_ERROR,
    4,
    (bytes) => (readInt(bytes) === 0 ? null : errnoName(-readInt(bytes))),
    () => new Uint8Array(0),
  ),
);
export const SO_BROADCAST: SocketOption<boolean, boolean> = booleanOption("SO_BROADCAST", k.SOL_SOCKET, k.SO_BROADCAST);
/** Bytes; the kernel doubles what is set for its own use, and says the doubled value. */
export const SO_SNDBUF: SocketOption<number, number> = intOption("SO_SNDBUF", k.SOL_SOCKET, k.SO_SNDBUF, 0);
/** Bytes; the kernel doubles what is set for its own use, and says the doubled value. */
export const SO_RCVBUF: SocketOption<number, number> = intOption("SO_RCVBUF", k.SOL_SOCKET, k.SO_RCVBUF, 0);
export const SO_KEEPALIVE: SocketOption<boolean, boolean> = booleanOption("SO_KEEPALIVE", k.SOL_SOCKET, k.SO_KEEPALIVE);
/** `null` is off, a number the seconds for which close lingers; 0 makes close send RST. */
export const SO_LINGER: SocketOption<Linger, Linger> = shapedOption<Linger, Linger>(
  "SO_LINGER",
  k.SOL_SOCKET,
  k.SO_LINGER,
  8,
  (bytes) => (view(bytes).getInt32(0, LITTLE) === 0 ? null : view(bytes).getInt32(4, LITTLE)),
  (value) => {
    const bytes = new Uint8Array(8);
    if (value === null) return bytes;
    if (typeof value !== "number") throw new TypeError(`Cannot set SO_LINGER to ${quote(value)}: required seconds, or null for off`);
    view(bytes).setInt32(0, 1, LITTLE);
    view(bytes).setInt32(4, checkNumber("SO_LINGER", value, 0, 0x7fff_ffff), LITTLE);
    return bytes;
  },
);
export const SO_REUSEPORT: SocketOption<boolean, boolean> = booleanOption("SO_REUSEPORT", k.SOL_SOCKET, k.SO_REUSEPORT);
/** Whether the socket listens. */
export const SO_ACCEPTCONN: SocketOption<boolean, never> = readOnly(booleanOption("SO_ACCEPTCONN", k.SOL_SOCKET, k.SO_ACCEPTCONN));
/** The protocol of the socket, as `IPPROTO_TCP`. */
export const SO_PROTOCOL: SocketOption<number, never> = readOnly(intOption("SO_PROTOCOL", k.SOL_SOCKET, k.SO_PROTOCOL));
/** The family of the socket, as `AF_INET`. */
export const SO_DOMAIN: SocketOption<number, never> = readOnly(intOption("SO_DOMAIN", k.SOL_SOCKET, k.SO_DOMAIN));
