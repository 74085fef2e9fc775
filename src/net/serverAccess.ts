// For src/server/, which is above: how it accepts from the listeners of this folder. Not for users.

export { decodeAddress, encodeAddress } from "../sys/sockaddr.js";
export {
  ChannelListener,
  copyOfListener,
  type ForeignDescriptor,
  type ListenerCopy,
  secureChannel,
  takeListener,
} from "./channelListener.js";
export {
  type AcceptedConnection,
  acceptRaw,
  closeConnection,
  ConnectionChannel,
  peerOfConnection,
  resetConnection,
  type SocketKind,
} from "./connectionChannel.js";
export { checkStreamLimits, STREAM_OPTIONS } from "./endpointOptions.js";
export { prepareListener } from "./endpointTls.js";
export { acceptStream, type ListenAddress, SocketListener } from "./socketListener.js";
export { TlsSocketListener } from "./tlsSocketListener.js";
