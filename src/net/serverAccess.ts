// For src/server/, which is above: how it accepts from the listeners of this folder. Not for users.

export { acceptStream, SocketListener } from "./socketListener.js";
export { TlsSocketListener } from "./tlsSocketListener.js";
