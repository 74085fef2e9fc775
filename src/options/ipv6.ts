// Options of the level IPPROTO_IPV6, ipv6(7) and RFC 3542, in the order of their numbers. The options of the MCAST_
// family are in mcast.ts. "Delivers X" means: recvmsg() returns X as control data.

import { formatIPv6 } from "../addr/index.js";
import * as k from "../sys/constants.js";
import { encodeFlowLabel, type FlowLabelRequest } from "./flowLabel.js";
import { unicastIfOption } from "./ip.js";
import { encodeIpv6Anycast, encodeIpv6Membership, type Ipv6Anycast, type Ipv6Membership } from "./multicast.js";
import { intBytes, LITTLE_ENDIAN, readInt, uintBytes, view } from "../sys/nativeInts.js";
import {
  booleanOption,
  bytesOption,
  intOption,
  readOnlyOption,
  writeOnlyOption,
  customOption,
  type SocketOption,
  uintOption,
} from "./option.js";
import { interfaceMember, ipv6Member, concatenate, checkMembers } from "./memberChecks.js";
import type { NetworkInterface } from "../sys/interfaceIndex.js";

/** The level of all options in this file. */
const L = k.IPPROTO_IPV6;
/** Bytes of the longest extension header: 8, and 255 times 8, because its length field is one byte. */
const HEADER_SIZE = 8 * 256;

/**
 * Converts a socket that is connected to an IPv4-mapped address to a socket of `AF_INET`. The `family` of the Socket
 * object does not change.
 */
export const IPV6_ADDRFORM: SocketOption<number, number> = intOption("IPV6_ADDRFORM", L, k.IPV6_ADDRFORM);
/** Offset of the checksum in the packets of a raw socket (bytes, an even number); -1 for no checksum. */
export const IPV6_CHECKSUM: SocketOption<number, number> = intOption("IPV6_CHECKSUM", L, k.IPV6_CHECKSUM, -1);
/** Delivers the flow label and traffic class of each packet. */
export const IPV6_FLOWINFO: SocketOption<boolean, boolean> = booleanOption("IPV6_FLOWINFO", L, k.IPV6_FLOWINFO);
/** Hops that a packet may take; -1 is the system's default. */
export const IPV6_UNICAST_HOPS: SocketOption<number, number> = intOption(
  "IPV6_UNICAST_HOPS",
  L,
  k.IPV6_UNICAST_HOPS,
  -1,
  255,
);
/** The interface of outgoing multicast. Reading returns its index, or 0 for none. */
export const IPV6_MULTICAST_IF: SocketOption<number, NetworkInterface> = customOption<number, NetworkInterface>(
  "IPV6_MULTICAST_IF",
  L,
  k.IPV6_MULTICAST_IF,
  4,
  readInt,
  (value) => intBytes(interfaceMember("IPV6_MULTICAST_IF", "value", value)),
);
/** Hops that multicast may take; -1 is the default, 1. */
export const IPV6_MULTICAST_HOPS: SocketOption<number, number> = intOption(
  "IPV6_MULTICAST_HOPS",
  L,
  k.IPV6_MULTICAST_HOPS,
  -1,
  255,
);
/** Whether sockets of this host also receive the multicast that this socket sends. */
export const IPV6_MULTICAST_LOOP: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_MULTICAST_LOOP",
  L,
  k.IPV6_MULTICAST_LOOP,
);
/** Joins a multicast group. `EADDRINUSE` if the socket has already joined it. */
export const IPV6_ADD_MEMBERSHIP: SocketOption<never, Ipv6Membership> = writeOnlyOption(
  "IPV6_ADD_MEMBERSHIP",
  L,
  k.IPV6_ADD_MEMBERSHIP,
  encodeIpv6Membership,
);
/** The name of IPV6_ADD_MEMBERSHIP in RFC 3493. */
export const IPV6_JOIN_GROUP: SocketOption<never, Ipv6Membership> = IPV6_ADD_MEMBERSHIP;
/** Leaves a multicast group. */
export const IPV6_DROP_MEMBERSHIP: SocketOption<never, Ipv6Membership> = writeOnlyOption(
  "IPV6_DROP_MEMBERSHIP",
  L,
  k.IPV6_DROP_MEMBERSHIP,
  encodeIpv6Membership,
);
/** The name of IPV6_DROP_MEMBERSHIP in RFC 3493. */
export const IPV6_LEAVE_GROUP: SocketOption<never, Ipv6Membership> = IPV6_DROP_MEMBERSHIP;
/**
 * Receives packets with this Router Alert value; -1 for none. This host would otherwise forward them. Raw sockets of
 * `IPPROTO_RAW` only.
 */
export const IPV6_ROUTER_ALERT: SocketOption<number, number> = intOption(
  "IPV6_ROUTER_ALERT",
  L,
  k.IPV6_ROUTER_ALERT,
  -1,
  0xffff,
);
/** Path-MTU discovery: `IPV6_PMTUDISC_WANT`, `_DONT`, `_DO`, `_PROBE`, `_INTERFACE`, `_OMIT`. */
export const IPV6_MTU_DISCOVER: SocketOption<number, number> = intOption("IPV6_MTU_DISCOVER", L, k.IPV6_MTU_DISCOVER);
/**
 * Reading returns the known path MTU to the peer (bytes). It fails with `ENOTCONN` if the socket is not connected.
 * Setting limits the MTU: 1280 or more, 0 for no limit.
 */
export const IPV6_MTU: SocketOption<number, number> = intOption("IPV6_MTU", L, k.IPV6_MTU, 0);
/** Queues errors of sent packets. Receive them with `MSG_ERRQUEUE`. */
export const IPV6_RECVERR: SocketOption<boolean, boolean> = booleanOption("IPV6_RECVERR", L, k.IPV6_RECVERR);
/** Whether an IPv6 socket uses only IPv6, and no IPv4-mapped addresses (`::ffff:a.b.c.d`). */
export const IPV6_V6ONLY: SocketOption<boolean, boolean> = booleanOption("IPV6_V6ONLY", L, k.IPV6_V6ONLY);
/** Joins an anycast address. */
export const IPV6_JOIN_ANYCAST: SocketOption<never, Ipv6Anycast> = writeOnlyOption(
  "IPV6_JOIN_ANYCAST",
  L,
  k.IPV6_JOIN_ANYCAST,
  encodeIpv6Anycast,
);
/** Leaves an anycast address. */
export const IPV6_LEAVE_ANYCAST: SocketOption<never, Ipv6Anycast> = writeOnlyOption(
  "IPV6_LEAVE_ANYCAST",
  L,
  k.IPV6_LEAVE_ANYCAST,
  encodeIpv6Anycast,
);
/** Whether a socket that is bound to the wildcard receives from groups that only other sockets have joined. */
export const IPV6_MULTICAST_ALL: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_MULTICAST_ALL",
  L,
  k.IPV6_MULTICAST_ALL,
);
/** Receives Router Alert packets only from this network namespace. */
export const IPV6_ROUTER_ALERT_ISOLATE: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_ROUTER_ALERT_ISOLATE",
  L,
  k.IPV6_ROUTER_ALERT_ISOLATE,
);
/** With `IPV6_RECVERR`: reports the offset of the extensions of RFC 4884 in an ICMP error. */
export const IPV6_RECVERR_RFC4884: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_RECVERR_RFC4884",
  L,
  k.IPV6_RECVERR_RFC4884,
);

/** Reserves, renews and releases flow labels. */
export const IPV6_FLOWLABEL_MGR: SocketOption<never, FlowLabelRequest> = writeOnlyOption(
  "IPV6_FLOWLABEL_MGR",
  L,
  k.IPV6_FLOWLABEL_MGR,
  encodeFlowLabel,
);
/** Whether packets are sent with the `flowinfo` of the destination address. */
export const IPV6_FLOWINFO_SEND: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_FLOWINFO_SEND",
  L,
  k.IPV6_FLOWINFO_SEND,
);
/** The program writes the IPv6 header of each packet. Raw sockets only. */
export const IPV6_HDRINCL: SocketOption<boolean, boolean> = booleanOption("IPV6_HDRINCL", L, k.IPV6_HDRINCL);
/** Delivers the interface and the destination of each packet. */
export const IPV6_RECVPKTINFO: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_RECVPKTINFO",
  L,
  k.IPV6_RECVPKTINFO,
);

/** The source of sent packets: `struct in6_pktinfo`. */
export interface Ipv6PacketInfo {
  /** Numeric source address; `"::"` if absent. */
  readonly address?: string;
  readonly interface?: NetworkInterface;
}

/** The source address and the interface of each packet that is sent. */
export const IPV6_PKTINFO: SocketOption<never, Ipv6PacketInfo> = writeOnlyOption(
  "IPV6_PKTINFO",
  L,
  k.IPV6_PKTINFO,
  (option, value) => {
    const { address = "::", interface: iface = 0 } = checkMembers(option, value, ["address", "interface"]);
    return concatenate(ipv6Member(option, "address", address), uintBytes(interfaceMember(option, "interface", iface)));
  },
);
/** Delivers the hop limit of each packet. */
export const IPV6_RECVHOPLIMIT: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_RECVHOPLIMIT",
  L,
  k.IPV6_RECVHOPLIMIT,
);
/** Delivers the hop-by-hop header of each packet. */
export const IPV6_RECVHOPOPTS: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_RECVHOPOPTS",
  L,
  k.IPV6_RECVHOPOPTS,
);
/** The hop-by-hop header of each packet that is sent; empty for none. */
export const IPV6_HOPOPTS: SocketOption<Uint8Array, Uint8Array> = bytesOption(
  "IPV6_HOPOPTS",
  L,
  k.IPV6_HOPOPTS,
  0,
  HEADER_SIZE,
);
/** The destination options header before the routing header of each packet that is sent; empty for none. */
export const IPV6_RTHDRDSTOPTS: SocketOption<Uint8Array, Uint8Array> = bytesOption(
  "IPV6_RTHDRDSTOPTS",
  L,
  k.IPV6_RTHDRDSTOPTS,
  0,
  HEADER_SIZE,
);
/** Delivers the routing header of each packet. */
export const IPV6_RECVRTHDR: SocketOption<boolean, boolean> = booleanOption("IPV6_RECVRTHDR", L, k.IPV6_RECVRTHDR);
/** The routing header of each packet that is sent; empty for none. */
export const IPV6_RTHDR: SocketOption<Uint8Array, Uint8Array> = bytesOption(
  "IPV6_RTHDR",
  L,
  k.IPV6_RTHDR,
  0,
  HEADER_SIZE,
);
/** Delivers the destination options header of each packet. */
export const IPV6_RECVDSTOPTS: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_RECVDSTOPTS",
  L,
  k.IPV6_RECVDSTOPTS,
);
/** The destination options header of each packet that is sent; empty for none. */
export const IPV6_DSTOPTS: SocketOption<Uint8Array, Uint8Array> = bytesOption(
  "IPV6_DSTOPTS",
  L,
  k.IPV6_DSTOPTS,
  0,
  HEADER_SIZE,
);
/** Delivers changes of the path MTU. */
export const IPV6_RECVPATHMTU: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_RECVPATHMTU",
  L,
  k.IPV6_RECVPATHMTU,
);

/** A path MTU: `struct ip6_mtuinfo`. */
export interface Ipv6PathMtu {
  /** Numeric address of the destination; on Linux always `"::"`. */
  readonly address: string;
  /** The MTU in bytes. */
  readonly mtu: number;
}

/** The path MTU to the peer. `ENOTCONN` if the socket is not connected. */
export const IPV6_PATHMTU: SocketOption<Ipv6PathMtu, never> = readOnlyOption(
  "IPV6_PATHMTU",
  L,
  k.IPV6_PATHMTU,
  32,
  // A sockaddr_in6, whose address begins at byte 8, and the MTU.
  (bytes) => ({
    address: formatIPv6(bytes, 8),
    mtu: view(bytes).getUint32(28, LITTLE_ENDIAN),
  }),
);
/** Sends no fragments: a packet that is longer than the path MTU fails with `EMSGSIZE`. */
export const IPV6_DONTFRAG: SocketOption<boolean, boolean> = booleanOption("IPV6_DONTFRAG", L, k.IPV6_DONTFRAG);
/** Delivers the traffic class of each packet. */
export const IPV6_RECVTCLASS: SocketOption<boolean, boolean> = booleanOption("IPV6_RECVTCLASS", L, k.IPV6_RECVTCLASS);
/** The traffic class of sent packets: DSCP and ECN. -1 sets the default, 0. */
export const IPV6_TCLASS: SocketOption<number, number> = intOption("IPV6_TCLASS", L, k.IPV6_TCLASS, -1, 255);
/** Generates a flow label for each flow. */
export const IPV6_AUTOFLOWLABEL: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_AUTOFLOWLABEL",
  L,
  k.IPV6_AUTOFLOWLABEL,
);
/** The source addresses that the kernel prefers: `IPV6_PREFER_SRC_` flags (RFC 5014). */
export const IPV6_ADDR_PREFERENCES: SocketOption<number, number> = uintOption(
  "IPV6_ADDR_PREFERENCES",
  L,
  k.IPV6_ADDR_PREFERENCES,
);
/** The kernel drops packets with a lower hop limit than this number (RFC 5082). */
export const IPV6_MINHOPCOUNT: SocketOption<number, number> = intOption(
  "IPV6_MINHOPCOUNT",
  L,
  k.IPV6_MINHOPCOUNT,
  0,
  255,
);
/** Delivers the address to which each datagram was sent before it was redirected. */
export const IPV6_RECVORIGDSTADDR: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_RECVORIGDSTADDR",
  L,
  k.IPV6_RECVORIGDSTADDR,
);
/** Lets the socket bind to addresses of other hosts, and receive and send with them, for transparent proxies. */
export const IPV6_TRANSPARENT: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_TRANSPARENT",
  L,
  k.IPV6_TRANSPARENT,
);
/** The interface of outgoing packets that are not multicast. Reading returns its index, or 0 for none. */
export const IPV6_UNICAST_IF: SocketOption<number, NetworkInterface> = unicastIfOption(
  "IPV6_UNICAST_IF",
  L,
  k.IPV6_UNICAST_IF,
);
/** Delivers the size of the largest fragment of each datagram that was fragmented. */
export const IPV6_RECVFRAGSIZE: SocketOption<boolean, boolean> = booleanOption(
  "IPV6_RECVFRAGSIZE",
  L,
  k.IPV6_RECVFRAGSIZE,
);
/** Lets `bind` use an address that no interface has yet. */
export const IPV6_FREEBIND: SocketOption<boolean, boolean> = booleanOption("IPV6_FREEBIND", L, k.IPV6_FREEBIND);
