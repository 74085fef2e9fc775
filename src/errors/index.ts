// The errors of the library. docs/errors.md lists the codes.

export { AddonError } from "./addonError.js";
export { attemptsError } from "./attempts.js";
export { BerkeleyError, recordCaller, canRecordCaller } from "./berkeleyError.js";
export { withClosedReason } from "./closedReason.js";
export type { ErrnoCode, ResolverCode, SocketErrorCode } from "./codes.js";
export { type ProxyErrorDetails, ProxyError } from "./proxyError.js";
export { IncompleteReadError, FrameError } from "./readErrors.js";
export { BusyError, BufferedError, LimitError, OutboxFullError } from "./refusals.js";
export { type SocketErrorDetails, SocketError, TimeoutError, isEndedByClose, restateError } from "./socketError.js";
export { TlsError } from "./tlsError.js";
