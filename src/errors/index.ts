// The errors of the library. A leaf. Codes are listed in docs/errors.md.

export { AddonError } from "./addonError.js";
export { type ProxyErrorDetails, ProxyError } from "./proxyError.js";
export { IncompleteReadError, FrameError } from "./readErrors.js";
export { BusyError, BufferedError, LimitError } from "./refusals.js";
export { type SocketErrorDetails, SocketError, TimeoutError, restated } from "./socketError.js";
export { TlsError } from "./tlsError.js";
