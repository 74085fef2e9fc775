// The reason and the hint in the error of a call on a closed socket. They replace the text of the system.

import type { SocketErrorDetails } from "./socketError.js";

const REASONS: Readonly<Record<string, string>> = {
  EBADF: "the socket was closed before this call",
  ECANCELED: "the socket was closed during this call",
};

const HINT = "look for the close(), abort(), end(), detach() or `await using` that closed it";

/** Adds the reason for EBADF or ECANCELED, and the hint for EBADF. A reason or a hint of `details` replaces them. */
export function withClosedReason(
  code: string,
  details: SocketErrorDetails | undefined,
): SocketErrorDetails | undefined {
  const reason = REASONS[code];
  return reason === undefined ? details : { reason, hint: code === "EBADF" ? HINT : undefined, ...details };
}
