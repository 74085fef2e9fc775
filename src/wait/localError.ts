// Errors that this library detects without a system call, such as a timeout or a call on a closed connection.

import { os } from "../builtins.js";
import { SocketError, type SocketErrorDetails, TimeoutError, withClosedReason } from "../errors/index.js";

/** The number of an errno such as "ETIMEDOUT" on this platform; 0 if the platform does not have it. */
function numberOf(code: string): number {
  const numbers: Readonly<Record<string, number>> = os().constants.errno;
  return numbers[code] ?? 0;
}

/**
 * Makes a `SocketError` with this code and its number. For EBADF and ECANCELED, the message says that the object was
 * closed.
 */
export function localError(code: string, syscall: string, details?: SocketErrorDetails): SocketError {
  return new SocketError(code, -numberOf(code), syscall, withClosedReason(code, details));
}

/** The error of a deadline that has passed. */
export function timeoutError(syscall: string, details?: SocketErrorDetails): TimeoutError {
  return new TimeoutError(-numberOf("ETIMEDOUT"), syscall, details);
}
