// The errors of the library. This layer imports no other layer. docs/errors.md lists the codes.

export { AddonError } from "./addonError.js";
export { attemptsError } from "./attempts.js";
export { BerkeleyError } from "./berkeleyError.js";
export { type ProxyErrorDetails, ProxyError } from "./proxyError.js";
export { IncompleteReadError, FrameError } from "./readErrors.js";
export { BusyError, BufferedError, LimitError } from "./refusals.js";
export { type SocketErrorDetails, SocketError, TimeoutError, restated } from "./socketError.js";
export { TlsError } from "./tlsError.js";
export { takesCaller, recordCaller } from "./trace.js";
