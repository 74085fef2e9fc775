// For src/server/, which is above: how it accepts from the listeners of this folder. Not for users.

export { acceptStream, type ListenAddress, SocketListener } from "./socketListener.js";
export { beforeHandshake, TlsSocketListener } from "./tlsSocketListener.js";
export { TlsListener } from "../tls/index.js";
export { trySendFrom } from "../socket/datagramQueue.js";
export { DatagramQueue } from "../socket/index.js";
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
