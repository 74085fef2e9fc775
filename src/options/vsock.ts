// Options of the level AF_VSOCK, vsock(7). In the order of their numbers.

import * as k from "../sys/constants.js";
import { byteCountOption, type SocketOption } from "./option.js";
import { timeoutOption } from "./timing.js";

const L = k.AF_VSOCK;

/** Bytes of the receive buffer of a stream, kept between the two limits below. */
export const SO_VM_SOCKETS_BUFFER_SIZE: SocketOption<number, number> = byteCountOption(
  "SO_VM_SOCKETS_BUFFER_SIZE",
  L,
  k.SO_VM_SOCKETS_BUFFER_SIZE,
);
/** The least that SO_VM_SOCKETS_BUFFER_SIZE may be (bytes). */
export const SO_VM_SOCKETS_BUFFER_MIN_SIZE: SocketOption<number, number> = byteCountOption(
  "SO_VM_SOCKETS_BUFFER_MIN_SIZE",
  L,
  k.SO_VM_SOCKETS_BUFFER_MIN_SIZE,
);
/** The most that SO_VM_SOCKETS_BUFFER_SIZE may be (bytes). */
export const SO_VM_SOCKETS_BUFFER_MAX_SIZE: SocketOption<number, number> = byteCountOption(
  "SO_VM_SOCKETS_BUFFER_MAX_SIZE",
  L,
  k.SO_VM_SOCKETS_BUFFER_MAX_SIZE,
);
/** ms that `connect` of a blocking socket waits. */
export const SO_VM_SOCKETS_CONNECT_TIMEOUT: SocketOption<number, number> = timeoutOption(
  "SO_VM_SOCKETS_CONNECT_TIMEOUT",
  L,
  k.SO_VM_SOCKETS_CONNECT_TIMEOUT,
);
