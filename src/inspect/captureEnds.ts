// The addresses of a capture: those of sockets, in the form that packets have.

import { type Address, AF_INET6, Inet6Address, InetAddress } from "../addr/index.js";

export type IpAddress = InetAddress | Inet6Address;

export interface Ends {
  readonly local: IpAddress;
  readonly peer: IpAddress;
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * An address of IP; undefined for all others. A socket of IPv6 shows an address of IPv4 in a mapped form, and its packets
 * are those of IPv4.
 */
export function ipAddress(address: Address | undefined): IpAddress | undefined {
  if (address instanceof InetAddress) return address;
  if (!(address instanceof Inet6Address)) return undefined;
  const host = MAPPED.exec(address.host)?.[1];
  return host === undefined ? address : new InetAddress(host, address.port);
}

/** The address of an end on all interfaces, as far as the peer shows it. */
export function onInterfaceOf(peer: IpAddress, near: IpAddress): IpAddress {
  if (near.host !== "0.0.0.0" && near.host !== "::") return near;
  // Between two sockets of this machine both addresses are the same.
  const loopback = peer.family === AF_INET6 ? peer.host === "::1" : peer.host.startsWith("127.");
  if (peer instanceof Inet6Address) return new Inet6Address(loopback ? peer.host : "::", near.port);
  return new InetAddress(loopback ? "127.0.0.1" : "0.0.0.0", near.port);
}
