// Options of the level AF_VSOCK, vsock(7), in the order of their numbers.

import * as k from "../sys/constants.js";
import { byteCountOption, type SocketOption } from "./option.js";
import { timeoutOption } from "./timing.js";

/** The level of all options in this file. */
const L = k.AF_VSOCK;

/**
 * Size of the receive buffer of a stream (bytes). The kernel keeps the size between SO_VM_SOCKETS_BUFFER_MIN_SIZE and
 * SO_VM_SOCKETS_BUFFER_MAX_SIZE.
 */
export const SO_VM_SOCKETS_BUFFER_SIZE: SocketOption<number, number> = byteCountOption(
  "SO_VM_SOCKETS_BUFFER_SIZE",
  L,
  k.SO_VM_SOCKETS_BUFFER_SIZE,
);
/** Minimum of SO_VM_SOCKETS_BUFFER_SIZE (bytes). */
export const SO_VM_SOCKETS_BUFFER_MIN_SIZE: SocketOption<number, number> = byteCountOption(
  "SO_VM_SOCKETS_BUFFER_MIN_SIZE",
  L,
  k.SO_VM_SOCKETS_BUFFER_MIN_SIZE,
);
/** Maximum of SO_VM_SOCKETS_BUFFER_SIZE (bytes). */
export const SO_VM_SOCKETS_BUFFER_MAX_SIZE: SocketOption<number, number> = byteCountOption(
  "SO_VM_SOCKETS_BUFFER_MAX_SIZE",
  L,
  k.SO_VM_SOCKETS_BUFFER_MAX_SIZE,
);
/** Timeout of `connect` on a blocking socket (ms). */
export const SO_VM_SOCKETS_CONNECT_TIMEOUT: SocketOption<number, number> = timeoutOption(
  "SO_VM_SOCKETS_CONNECT_TIMEOUT",
  L,
  k.SO_VM_SOCKETS_CONNECT_TIMEOUT,
);
