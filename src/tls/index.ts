// TLS on any connection.

export { TlsConn, type TlsConnDescription } from "./tlsConn.js";
export { TlsContext } from "./tlsContext.js";
export {
  TlsListener,
  type TlsListenerDescription,
  type TlsListenerOptions,
  type TlsListenerStats,
} from "./tlsListener.js";
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
