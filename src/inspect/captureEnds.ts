// The IP addresses of the packets in a capture, made from the addresses of the sockets.

import { type Address, AF_INET6, Inet6Address, InetAddress } from "../addr/index.js";

export type IpAddress = InetAddress | Inet6Address;

export interface CaptureAddresses {
  readonly local: IpAddress;
  readonly peer: IpAddress;
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * The IP address of a socket; undefined for other families. An IPv4-mapped address becomes one of IPv4, because the
 * packets are those of IPv4.
 */
export function ipAddress(address: Address | undefined): IpAddress | undefined {
  if (address instanceof InetAddress) return address;
  if (!(address instanceof Inet6Address)) return undefined;
  const host = MAPPED.exec(address.host)?.[1];
  return host === undefined ? address : new InetAddress(host, address.port);
}

/**
 * The local address of a packet. It is `near`, the address of the socket. If the socket is bound to all interfaces
 * (`near` is 0.0.0.0 or ::), it is derived from the address of the peer.
 */
export function resolveLocalAddress(peer: IpAddress, near: IpAddress): IpAddress {
  if (near.host !== "0.0.0.0" && near.host !== "::") return near;
  // If the address of the peer is a loopback address, so is the local one. Otherwise the local address is unknown.
  const loopback = peer.family === AF_INET6 ? peer.host === "::1" : peer.host.startsWith("127.");
  if (peer instanceof Inet6Address) return new Inet6Address(loopback ? peer.host : "::", near.port);
  return new InetAddress(loopback ? "127.0.0.1" : "0.0.0.0", near.port);
}
