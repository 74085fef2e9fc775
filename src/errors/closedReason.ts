// The text of an error of a call on an object that this program has closed. It replaces the text of the system.

import type { SocketErrorDetails } from "./socketError.js";

const REASONS: Readonly<Record<string, string>> = {
  EBADF: "the socket was closed before this call",
  ECANCELED: "the socket was closed during this call",
};

const HINT = "look for the close(), abort(), end(), detach() or `await using` that closed it";

/** For EBADF and ECANCELED, adds the reason; for EBADF also the hint. A reason or a hint of `details` replaces them. */
export function withClosedReason(
  code: string,
  details: SocketErrorDetails | undefined,
): SocketErrorDetails | undefined {
  const reason = REASONS[code];
  return reason === undefined ? details : { reason, hint: code === "EBADF" ? HINT : undefined, ...details };
}
