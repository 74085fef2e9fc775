// The internal functions and classes that src/server/ uses. Some are of layers below this folder, which src/server/ may
// not import.

export { acceptStream, gateOf, type ListenAddress, SocketListener } from "./socketListener.js";
export { callBeforeHandshake, finishSocketHandshakes, TlsSocketListener } from "./tlsSocketListener.js";
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
export { HeaderPeeker } from "./headerPeek.js";
export { checkStreamLimits, STREAM_OPTIONS } from "./endpointOptions.js";
export { prepareListenerTls } from "./endpointTls.js";
export { finishHandshakes, TlsListener } from "../tls/tlsListener.js";
export { type Handover, handoverOf, type PassableSocket, receivingGateOf, registerServer } from "./upgradeSockets.js";
export { findInheritance } from "./inherited.js";
export { notifyManager } from "./sdNotify.js";
export { unexpectedMessageError, type UpgradeMessage } from "./upgradeChannel.js";
export { type NewProgramChannel, openUpgradeChannel } from "./newProgramChannel.js";
