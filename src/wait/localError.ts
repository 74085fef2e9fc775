// Errors for what this side finds out without asking the kernel.

import { os } from "../builtins.js";
import { SocketError, type SocketErrorDetails, TimeoutError } from "../errors/index.js";

/** The platform's number for a code, 0 where there is none. */
function numberOf(code: string): number {
  const numbers: Readonly<Record<string, number>> = os().constants.errno;
  return numbers[code] ?? 0;
}

/** A `SocketError` for what this side found out without asking the kernel, with the platform's number for the code. */
export function localError(code: string, syscall: string, details?: SocketErrorDetails): SocketError {
  return new SocketError(code, -numberOf(code), syscall, details);
}

/** The error of a deadline that passed. */
export function timeoutError(syscall: string, details?: SocketErrorDetails): TimeoutError {
  return new TimeoutError(-numberOf("ETIMEDOUT"), syscall, details);
}
