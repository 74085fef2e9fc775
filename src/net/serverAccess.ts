// For src/server/, which is above: how it accepts from the listeners of this folder. Not for users.

export { acceptStream, SocketListener } from "./socketListener.js";
export { beforeHandshake, TlsSocketListener } from "./tlsSocketListener.js";
export { TlsListener } from "../tls/index.js";
