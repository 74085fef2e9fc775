// Errors that this library detects without a system call, such as a timeout or a call on a closed connection.

import { os } from "../builtins.js";
import { SocketError, type SocketErrorDetails, TimeoutError, withClosedReason } from "../errors/index.js";

/** The number of a code on this platform; 0 if it has none. */
function numberOf(code: string): number {
  const numbers: Readonly<Record<string, number>> = os().constants.errno;
  return numbers[code] ?? 0;
}

/** A `SocketError` with this code and the platform's number for it. */
export function localError(code: string, syscall: string, details?: SocketErrorDetails): SocketError {
  return new SocketError(code, -numberOf(code), syscall, withClosedReason(code, details));
}

/** The error of a deadline that has passed. */
export function timeoutError(syscall: string, details?: SocketErrorDetails): TimeoutError {
  return new TimeoutError(-numberOf("ETIMEDOUT"), syscall, details);
}
