// The shapes of the WinterTC sockets proposal.

export { type Binding, type BindingOptions, connect, createBinding } from "./connect.js";
export { SocketError } from "./error.js";
export type { AnySocketAddress, SecureTransportKind, SocketAddress, SocketInfo, SocketOptions } from "./options.js";
export type { Socket } from "./socket.js";
