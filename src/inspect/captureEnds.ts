// The IP addresses of the packets in a capture, made from the addresses of the sockets.

import { type Address, AF_INET6, Inet6Address, InetAddress } from "../addr/index.js";

export type IpAddress = InetAddress | Inet6Address;

/** The addresses of the two ends of a connection or datagram. */
export interface CaptureAddresses {
  readonly local: IpAddress;
  readonly peer: IpAddress;
}

const IPV4_MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * The IP address for the packets of a socket; undefined for other families. An IPv4-mapped address becomes one of IPv4,
 * because the packets are those of IPv4.
 */
export function ipAddress(address: Address | undefined): IpAddress | undefined {
  if (address instanceof InetAddress) return address;
  if (!(address instanceof Inet6Address)) return undefined;
  const host = IPV4_MAPPED.exec(address.host)?.[1];
  return host === undefined ? address : new InetAddress(host, address.port);
}

/**
 * The local address of a packet: mostly `bound`, the address of the socket. If the socket is bound to all interfaces
 * (0.0.0.0 or ::), the address is derived from that of the peer.
 */
export function resolveLocalAddress(peer: IpAddress, bound: IpAddress): IpAddress {
  if (bound.host !== "0.0.0.0" && bound.host !== "::") return bound;
  // If the address of the peer is a loopback address, so is the local address. Otherwise the local address is unknown.
  const isLoopback = peer.family === AF_INET6 ? peer.host === "::1" : peer.host.startsWith("127.");
  if (peer instanceof Inet6Address) return new Inet6Address(isLoopback ? peer.host : "::", bound.port);
  return new InetAddress(isLoopback ? "127.0.0.1" : "0.0.0.0", bound.port);
}
