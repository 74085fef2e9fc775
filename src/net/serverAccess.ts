// For src/server/, which is above: how it accepts from the listeners of this folder. Not for users.

export { acceptStream, lastDescriptor, SocketListener } from "./socketListener.js";
export { lastTlsDescriptor, makeTlsImpatient, TlsSocketListener } from "./tlsSocketListener.js";
