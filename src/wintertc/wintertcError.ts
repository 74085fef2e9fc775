// The error of the WinterTC sockets proposal: a TypeError with the original error as its cause.

import { isNativeError } from "node:util/types";

/**
 * The error of the proposal: a `TypeError` whose message begins with `SocketError: `. `cause` is the original error,
 * and `code` is the code of that error (`"ECONNREFUSED"`, `"CERT_HAS_EXPIRED"`), if it has one.
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

/** Wraps `error` in a `SocketError`. Returns a `SocketError` unchanged. */
export function toSocketError(error: unknown): SocketError {
  if (error instanceof SocketError) return error;
  // isNativeError() also recognises an error of another realm, such as a context of node:vm.
  const message = error instanceof Error || isNativeError(error) ? error.message : String(error);
  return new SocketError(message, { cause: error });
}
