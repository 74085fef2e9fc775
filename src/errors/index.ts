// The errors of the library. This layer imports no other layer. docs/errors.md lists the codes.

export { AddonError } from "./addonError.js";
export type { ErrnoCode, ResolverCode, SocketErrorCode } from "./codes.js";
export { type ProxyErrorDetails, ProxyError } from "./proxyError.js";
export { IncompleteReadError, FrameError } from "./readErrors.js";
export { BusyError, BufferedError, LimitError, OutboxFullError } from "./refusals.js";
export { type SocketErrorDetails, SocketError, TimeoutError, restated } from "./socketError.js";
export { TlsError } from "./tlsError.js";
