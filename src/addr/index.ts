// Addresses and endpoints: parse, check, print. No system call, no resolver.

export {
  type Address,
  HostPort,
  Inet6Address,
  InetAddress,
  isAddress,
  NetlinkAddress,
  OpaqueAddress,
  PacketAddress,
  UnixAddress,
  VsockAddress,
} from "./address.js";
export { type AddressOf, type InetLike } from "./addressOf.js";
export {
  type AddressAt,
  type Endpoint,
  type EndpointLike,
  type FdEndpoint,
  formatEndpoint,
  type HostEndpoint,
  type HostScheme,
  type InetAt,
  parseEndpoint,
  parseLocalEndpoint,
  type SystemdEndpoint,
  type FdEndpointLike,
  type TcpEndpointLike,
  type TlsEndpointLike,
  type UnixEndpointLike,
  type VsockEndpointLike,
  type UnixEndpoint,
  type VsockEndpoint,
} from "./endpoint.js";
export { AF_INET, AF_INET6, AF_LOCAL, AF_NETLINK, AF_PACKET, AF_UNIX, AF_UNSPEC, AF_VSOCK } from "./families.js";
export { MAX_HOST_BYTES } from "./addressParts.js";
export { formatIPv4, parseIPv4 } from "./ipv4Text.js";
export { formatIPv6, parseIPv6 } from "./ipv6Text.js";
export {
  type AddressLike,
  type HostPortLike,
  type NetlinkLike,
  type OpaqueLike,
  type PacketLike,
  parseAddress,
  toAddress,
  type UnixLike,
  type VsockLike,
} from "./parse.js";
