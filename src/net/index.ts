// Endpoints: connect, listen, forward, UDP.

export { connect, type ConnectOptions } from "./connect.js";
export {
  forward,
  type ForwardConnectOptions,
  type Forwarded,
  Forwarder,
  type ForwardListenOptions,
  type ForwardOptions,
} from "./forward.js";
export { listen, type ListenOptions } from "./listen.js";
export { type KeepAlive, type TcpOptions } from "./endpointOptions.js";
export { type ProxyOptions } from "./proxy.js";
export { type HostAddress, type HostFamily, type Resolver } from "./customResolver.js";
export { type CloseListenerOptions, type ListenAddress, SocketListener } from "./socketListener.js";
export { type ListenFd, listenFds, type ListenFdsOptions } from "./systemd.js";
export { type TlsConnectOptions, type TlsListenOptions } from "./endpointTls.js";
export { TlsSocketListener } from "./tlsSocketListener.js";
export { bindUdp, type BindUdpOptions, connectUdp, type ConnectUdpOptions, type UdpOptions } from "./bindUdp.js";
export { type GroupOptions } from "./multicastGroups.js";
export { type Packet, type UdpSendOptions, UdpSocket } from "./udpSocket.js";
export {
  bindUnixDatagram,
  type BindUnixDatagramOptions,
  connectUnixDatagram,
  type ConnectUnixDatagramOptions,
  type UnixDatagramOptions,
} from "./bindUnixDatagram.js";
export { type CloseUnixDatagramOptions, type UnixDatagram, UnixDatagramSocket } from "./unixDatagramSocket.js";
