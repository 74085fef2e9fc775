// TLS on any connection.

export { type TlsConnDescription } from "./describeTls.js";
export { TlsConn } from "./tlsConn.js";
export { TlsContext } from "./tlsContext.js";
export { TlsListener } from "./tlsListener.js";
export type { TlsListenerDescription, TlsListenerOptions, TlsListenerStats } from "./tlsListenerOptions.js";
export type {
  Pem,
  SniCallback,
  TlsClientOptions,
  TlsConnectionOptions,
  TlsContextOptions,
  TlsCredentials,
  TlsOptions,
  TlsServerOptions,
  TlsVersion,
} from "./tlsOptions.js";
export { wrapTls } from "./wrapTls.js";
