// The text of an error of a call on an object that this program has closed. It replaces the text of the system.

import type { SocketErrorDetails } from "./socketError.js";

const WORDS: Readonly<Record<string, string>> = {
  EBADF: "the socket was closed before this call",
  ECANCELED: "the socket was closed during this call",
};

const HINT = "look for the close(), abort(), end(), detach() or `await using` that closed it";

/** Returns `details` with this text if `code` is one of the two codes. A reason or a hint in `details` stays. */
export function withClosedReason(
  code: string,
  details: SocketErrorDetails | undefined,
): SocketErrorDetails | undefined {
  const reason = WORDS[code];
  return reason === undefined ? details : { reason, hint: code === "EBADF" ? HINT : undefined, ...details };
}
