// Endpoints: connect, listen, forward, UDP.

export type {
  AddressList,
  DrainOptions,
  ProxyProtocolOptions,
  AdmissionOptions,
  ClosedEvent,
  ConnectionEvent,
  DrainEvent,
  DroppedEvent,
  EndEvent,
  EndReason,
  ErrorEvent,
  EventConnection,
  EventEnds,
  EventError,
  EventFields,
  ListeningEvent,
  PressureEvent,
  RefusedEvent,
  Refusal,
  RefusalReason,
  ServerEvent,
  ShortageEvent,
} from "../admission/index.js";
export type { CallEndEvent, CallErrorEvent, CallStartEvent } from "./callEvents.js";
export { connect, type ConnectOptions } from "./connect.js";
export {
  forward,
  type ForwardConnectOptions,
  type ForwardHeaderOptions,
  type Forwarded,
  Forwarder,
  type ForwarderStats,
  type ForwardListenOptions,
  type ForwardOptions,
} from "./forward.js";
export { Reconnector, type DisconnectEvent, type ReconnectorOptions, type ReconnectorStats } from "./reconnector.js";
export { type Clock } from "../wait/clock.js";
export { isRetryable, type RetryEvent, type RetryOptions } from "./retry.js";
export { type ListenerDescription, type ListenerStats } from "./listenerStats.js";
export { listen, type ListenOptions } from "./listen.js";
export { type KeepAlive, type TcpOptions } from "./endpointOptions.js";
export type { ProxyOptions } from "./proxy.js";
export { type HostAddress, type HostFamily, type Resolver } from "./resolveHost.js";
export { type CloseListenerOptions, type ListenAddress, SocketListener } from "./socketListener.js";
export { type ListenFd, listenFds, type ListenFdsOptions } from "./systemd.js";
export { type TlsConnectOptions, type TlsListenOptions } from "./endpointTls.js";
export { TlsSocketListener } from "./tlsSocketListener.js";
export { bindUdp, type BindUdpOptions, connectUdp, type ConnectUdpOptions, type UdpOptions } from "./bindUdp.js";
export { type GroupOptions } from "./multicastGroups.js";
export { type Packet, type UdpDescription, type UdpSendOptions, UdpSocket, type UdpStats } from "./udpSocket.js";
export {
  bindUnixDatagram,
  type BindUnixDatagramOptions,
  connectUnixDatagram,
  type ConnectUnixDatagramOptions,
  type UnixDatagramOptions,
} from "./bindUnixDatagram.js";
export {
  type CloseUnixDatagramOptions,
  type UnixDatagram,
  type UnixDatagramDescription,
  UnixDatagramSocket,
  type UnixDatagramStats,
} from "./unixDatagramSocket.js";
