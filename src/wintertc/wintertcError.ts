// The proposal's error, which is a TypeError, around the one that says what happened.

import { isNativeError } from "node:util/types";

/**
 * What went wrong, as the proposal has it: a `TypeError` whose message begins with `SocketError: `. `cause` is the
 * error behind it, and `code` that error's code (`"ECONNREFUSED"`, `"CERT_HAS_EXPIRED"`), where it has one.
 *
 * @see https://sockets-api.proposal.wintertc.org/#socket-error
 */
export class SocketError extends TypeError {
  /** The code of the cause. */
  readonly code: string | undefined;

  constructor(message: string, options?: ErrorOptions) {
    super(`SocketError: ${message}`, options);
    const code: unknown = (options?.cause as { readonly code?: unknown } | undefined)?.code;
    this.code = typeof code === "string" ? code : undefined;
  }

  static {
    SocketError.prototype.name = "SocketError";
  }
}

/** `error` as one of the proposal's; one that is already stays as it is. */
export function socketErrorOf(error: unknown): SocketError {
  if (error instanceof SocketError) return error;
  return new SocketError(error instanceof Error || isNativeError(error) ? error.message : String(error), {
    cause: error,
  });
}
