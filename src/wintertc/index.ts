// The entry "berkeley/wintertc": the interface of the WinterTC sockets proposal.

export { type Binding, type BindingOptions, connect, createBinding } from "./wintertcConnect.js";
export { SocketError } from "./wintertcError.js";
export type {
  AnySocketAddress,
  SecureTransportKind,
  SocketAddress,
  SocketInfo,
  SocketOptions,
} from "./wintertcOptions.js";
export type { Socket } from "./wintertcSocket.js";
