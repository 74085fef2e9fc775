// TLS on any connection.

export { TlsConn } from "./conn.js";
export { TlsContext } from "./context.js";
export { TlsListener, type TlsListenerOptions } from "./listener.js";
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
export { wrapTls } from "./wrap.js";
