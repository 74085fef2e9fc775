// Options of the level IPPROTO_IP, ip(7), in the order of their numbers. The options of the MCAST_ family are in
// mcast.ts. "Delivers X" means: recvmsg() returns X as control data.

import { formatIPv4, parseIPv4 } from "../addr/index.js";
import * as k from "../sys/constants.js";
import {
  encodeIpv4Membership,
  encodeIpv4Source,
  type Ipv4Membership,
  type Ipv4Source,
  type Ipv4SourceFilterOption,
  ipv4SourceFilterOption,
} from "./multicast.js";
import {
  booleanOption,
  bytesOption,
  intOption,
  withoutSet,
  cannotSet,
  writeOnlyOption,
  customOption,
  type SocketOption,
  numberMember,
} from "./option.js";
import { readInt, uintBytes, view } from "../sys/nativeInts.js";
import { interfaceMember, ipv4Member, concatenate, checkMembers } from "./memberChecks.js";
import type { NetworkInterface } from "../sys/interfaceIndex.js";

/** The level of all options in this file. */
const L = k.IPPROTO_IP;
/** The longest IP options of a packet, in bytes. */
const OPTIONS_SIZE = 40;

/** The type-of-service byte: DSCP and ECN. */
export const IP_TOS: SocketOption<number, number> = intOption("IP_TOS", L, k.IP_TOS, 0, 255);
/** Hops that a packet may take; -1 is the system's default. */
export const IP_TTL: SocketOption<number, number> = intOption("IP_TTL", L, k.IP_TTL, -1, 255);
/** The program writes the IP header of each packet. Raw sockets only. */
export const IP_HDRINCL: SocketOption<boolean, boolean> = booleanOption("IP_HDRINCL", L, k.IP_HDRINCL);
/** IP options (RFC 791) of each packet that is sent, at most 40 bytes. */
export const IP_OPTIONS: SocketOption<Uint8Array, Uint8Array> = bytesOption(
  "IP_OPTIONS",
  L,
  k.IP_OPTIONS,
  0,
  OPTIONS_SIZE,
);
/** Receives packets with the Router Alert option. This host would otherwise forward them. Raw sockets only. */
export const IP_ROUTER_ALERT: SocketOption<boolean, boolean> = booleanOption("IP_ROUTER_ALERT", L, k.IP_ROUTER_ALERT);
/** Delivers the IP options of each packet. The kernel has written the address of this host into these options. */
export const IP_RECVOPTS: SocketOption<boolean, boolean> = booleanOption("IP_RECVOPTS", L, k.IP_RECVOPTS);
/** Delivers the IP options for a reply to each packet. They do not contain the address of this host yet. */
export const IP_RETOPTS: SocketOption<boolean, boolean> = booleanOption("IP_RETOPTS", L, k.IP_RETOPTS);
/** The BSD name of IP_RETOPTS. */
export const IP_RECVRETOPTS: SocketOption<boolean, boolean> = IP_RETOPTS;
/** Delivers the interface and the addresses of each packet. */
export const IP_PKTINFO: SocketOption<boolean, boolean> = booleanOption("IP_PKTINFO", L, k.IP_PKTINFO);
/** Path-MTU discovery: `IP_PMTUDISC_WANT`, `_DONT`, `_DO`, `_PROBE`, `_INTERFACE`, `_OMIT`. */
export const IP_MTU_DISCOVER: SocketOption<number, number> = intOption("IP_MTU_DISCOVER", L, k.IP_MTU_DISCOVER);
/** Queues errors of sent packets. Receive them with `MSG_ERRQUEUE`. */
export const IP_RECVERR: SocketOption<boolean, boolean> = booleanOption("IP_RECVERR", L, k.IP_RECVERR);
/** Delivers the TTL of each packet. */
export const IP_RECVTTL: SocketOption<boolean, boolean> = booleanOption("IP_RECVTTL", L, k.IP_RECVTTL);
/** Delivers the type-of-service byte of each packet. */
export const IP_RECVTOS: SocketOption<boolean, boolean> = booleanOption("IP_RECVTOS", L, k.IP_RECVTOS);
/** The known path MTU to the peer (bytes). `ENOTCONN` if the socket is not connected. */
export const IP_MTU: SocketOption<number, never> = withoutSet(intOption("IP_MTU", L, k.IP_MTU));
/** Lets `bind` use an address that no interface has yet. */
export const IP_FREEBIND: SocketOption<boolean, boolean> = booleanOption("IP_FREEBIND", L, k.IP_FREEBIND);
/** Delivers the security label of each packet. */
export const IP_PASSSEC: SocketOption<boolean, boolean> = booleanOption("IP_PASSSEC", L, k.IP_PASSSEC);
/** Lets the socket bind to addresses of other hosts, and receive and send with them, for transparent proxies. */
export const IP_TRANSPARENT: SocketOption<boolean, boolean> = booleanOption("IP_TRANSPARENT", L, k.IP_TRANSPARENT);
/** Delivers the address to which each datagram was sent before it was redirected. */
export const IP_RECVORIGDSTADDR: SocketOption<boolean, boolean> = booleanOption(
  "IP_RECVORIGDSTADDR",
  L,
  k.IP_RECVORIGDSTADDR,
);
/** The kernel drops packets with a lower TTL than this number (RFC 5082). */
export const IP_MINTTL: SocketOption<number, number> = intOption("IP_MINTTL", L, k.IP_MINTTL, 0, 255);
/** The packet filter does not reassemble outgoing fragments. Raw sockets only. */
export const IP_NODEFRAG: SocketOption<boolean, boolean> = booleanOption("IP_NODEFRAG", L, k.IP_NODEFRAG);
/** Delivers the checksum that the kernel computed over each datagram. */
export const IP_CHECKSUM: SocketOption<boolean, boolean> = booleanOption("IP_CHECKSUM", L, k.IP_CHECKSUM);
/** After `bind` to port 0, the kernel chooses the port in `connect`. So connections to different peers can share it. */
export const IP_BIND_ADDRESS_NO_PORT: SocketOption<boolean, boolean> = booleanOption(
  "IP_BIND_ADDRESS_NO_PORT",
  L,
  k.IP_BIND_ADDRESS_NO_PORT,
);
/** Delivers the size of the largest fragment of each datagram that was fragmented. */
export const IP_RECVFRAGSIZE: SocketOption<boolean, boolean> = booleanOption("IP_RECVFRAGSIZE", L, k.IP_RECVFRAGSIZE);
/** With `IP_RECVERR`: reports the offset of the extensions of RFC 4884 in an ICMP error. */
export const IP_RECVERR_RFC4884: SocketOption<boolean, boolean> = booleanOption(
  "IP_RECVERR_RFC4884",
  L,
  k.IP_RECVERR_RFC4884,
);

/**
 * The interface of outgoing multicast: its index, its name, or one of its addresses; or an object with the interface
 * and an address. With `"0.0.0.0"` or 0 the system chooses the interface.
 */
export type MulticastInterface =
  | NetworkInterface
  | { readonly interface?: NetworkInterface; readonly address?: string };

/**
 * The interface of outgoing multicast. Reading returns the address that was set (`"0.0.0.0"` after an index or a name).
 */
export const IP_MULTICAST_IF: SocketOption<string, MulticastInterface> = customOption<string, MulticastInterface>(
  "IP_MULTICAST_IF",
  L,
  k.IP_MULTICAST_IF,
  4,
  (bytes) => formatIPv4(bytes),
  (value) => {
    const name = "IP_MULTICAST_IF";
    // struct in_addr: the kernel looks up the interface that has this IPv4 address.
    const ipv4 = typeof value === "string" ? parseIPv4(value) : undefined;
    if (ipv4 !== undefined) return ipv4;
    // Without this check, the default below would turn undefined into interface 0.
    if (value === undefined) throw new TypeError(`${cannotSet(name, value)}, required an interface`);
    const isObject = typeof value === "object" && value !== null;
    const given = isObject ? checkMembers(name, value, ["interface", "address"]) : { interface: value };
    const { interface: iface = 0, address = "0.0.0.0" } = given as { interface?: unknown; address?: unknown };
    // struct ip_mreqn: the group, which the kernel ignores here, the address and the index of the interface.
    return concatenate(
      new Uint8Array(4),
      ipv4Member(name, "address", address),
      uintBytes(interfaceMember(name, isObject ? "interface" : "value", iface)),
    );
  },
);
/** Hops that multicast may take. The default 1 keeps it on the local network; -1 restores the default. */
export const IP_MULTICAST_TTL: SocketOption<number, number> = intOption(
  "IP_MULTICAST_TTL",
  L,
  k.IP_MULTICAST_TTL,
  -1,
  255,
);
/** Whether sockets of this host also receive the multicast that this socket sends. */
export const IP_MULTICAST_LOOP: SocketOption<boolean, boolean> = booleanOption(
  "IP_MULTICAST_LOOP",
  L,
  k.IP_MULTICAST_LOOP,
);
/** Joins a multicast group. `EADDRINUSE` if the socket has already joined it. */
export const IP_ADD_MEMBERSHIP: SocketOption<never, Ipv4Membership> = writeOnlyOption(
  "IP_ADD_MEMBERSHIP",
  L,
  k.IP_ADD_MEMBERSHIP,
  encodeIpv4Membership,
);
/** Leaves a multicast group, with all its sources. */
export const IP_DROP_MEMBERSHIP: SocketOption<never, Ipv4Membership> = writeOnlyOption(
  "IP_DROP_MEMBERSHIP",
  L,
  k.IP_DROP_MEMBERSHIP,
  encodeIpv4Membership,
);
/** Unblocks a source of a group. `EADDRNOTAVAIL` if the source was not blocked. */
export const IP_UNBLOCK_SOURCE: SocketOption<never, Ipv4Source> = writeOnlyOption(
  "IP_UNBLOCK_SOURCE",
  L,
  k.IP_UNBLOCK_SOURCE,
  encodeIpv4Source,
);
/** Blocks one source of a group that the socket has joined. */
export const IP_BLOCK_SOURCE: SocketOption<never, Ipv4Source> = writeOnlyOption(
  "IP_BLOCK_SOURCE",
  L,
  k.IP_BLOCK_SOURCE,
  encodeIpv4Source,
);
/** Joins a multicast group for one source. If the socket has joined it for other sources, this source is added. */
export const IP_ADD_SOURCE_MEMBERSHIP: SocketOption<never, Ipv4Source> = writeOnlyOption(
  "IP_ADD_SOURCE_MEMBERSHIP",
  L,
  k.IP_ADD_SOURCE_MEMBERSHIP,
  encodeIpv4Source,
);
/** Removes a source of a group. Removing the last source leaves the group. */
export const IP_DROP_SOURCE_MEMBERSHIP: SocketOption<never, Ipv4Source> = writeOnlyOption(
  "IP_DROP_SOURCE_MEMBERSHIP",
  L,
  k.IP_DROP_SOURCE_MEMBERSHIP,
  encodeIpv4Source,
);
/** Sets all sources of a group at once (RFC 3376). To read them: `getsockopt(IP_MSFILTER.of(group, address))`. */
export const IP_MSFILTER: Ipv4SourceFilterOption = ipv4SourceFilterOption("IP_MSFILTER", L, k.IP_MSFILTER);
/** Whether a socket that is bound to the wildcard receives from groups that only other sockets have joined. */
export const IP_MULTICAST_ALL: SocketOption<boolean, boolean> = booleanOption(
  "IP_MULTICAST_ALL",
  L,
  k.IP_MULTICAST_ALL,
);
/** The interface of outgoing packets that are not multicast. Reading returns its index, or 0 for none. */
export const IP_UNICAST_IF: SocketOption<number, NetworkInterface> = unicastIfOption(
  "IP_UNICAST_IF",
  L,
  k.IP_UNICAST_IF,
);
/** The lowest and highest port that the kernel chooses for `bind` to port 0 and `connect`; 0 is the system's limit. */
export const IP_LOCAL_PORT_RANGE: SocketOption<PortRange, PortRange> = customOption<PortRange, PortRange>(
  "IP_LOCAL_PORT_RANGE",
  L,
  k.IP_LOCAL_PORT_RANGE,
  4,
  // The lowest port is in the low 16 bits, the highest port in the high 16 bits.
  (bytes) => [readInt(bytes) & 0xffff, readInt(bytes) >>> 16],
  (value) => {
    const name = "IP_LOCAL_PORT_RANGE";
    if (!Array.isArray(value) || value.length !== 2)
      throw new TypeError(`${cannotSet(name, value)}, required [lowest, highest]`);
    const [low, high] = (value as unknown[]).map((port) => numberMember(name, "value", port, 0, 0xffff)) as [
      number,
      number,
    ];
    return uintBytes(high * 0x1_0000 + low);
  },
);
/** The protocol that the kernel uses to look up the IPsec policy of a raw socket. */
export const IP_PROTOCOL: SocketOption<number, never> = withoutSet(intOption("IP_PROTOCOL", L, k.IP_PROTOCOL));

/** The lowest and the highest port. */
export type PortRange = readonly [low: number, high: number];

/** Makes IP_UNICAST_IF or IPV6_UNICAST_IF. The value of these two options is in network byte order. */
export function unicastIfOption(name: string, level: number, optname: number): SocketOption<number, NetworkInterface> {
  return customOption<number, NetworkInterface>(
    name,
    level,
    optname,
    4,
    (bytes) => view(bytes).getUint32(0),
    (value) => {
      const bytes = new Uint8Array(4);
      view(bytes).setUint32(0, interfaceMember(name, "value", value));
      return bytes;
    },
  );
}
