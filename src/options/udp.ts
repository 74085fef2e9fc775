// Options of the levels IPPROTO_UDP, udp(7), and IPPROTO_UDPLITE, udplite(7), in the order of their numbers.

import * as k from "../sys/constants.js";
import { booleanOption, intOption, type SocketOption } from "./option.js";

/** The level of the UDP options. */
const L = k.IPPROTO_UDP;

/** Joins the data of all sends into one datagram. Setting the option to false sends the datagram. */
export const UDP_CORK: SocketOption<boolean, boolean> = booleanOption("UDP_CORK", L, k.UDP_CORK);
/** The encapsulated protocol, such as `UDP_ENCAP_ESPINUDP`. The kernel then processes its datagrams itself. */
export const UDP_ENCAP: SocketOption<number, number> = intOption("UDP_ENCAP", L, k.UDP_ENCAP, 0);
/** Sends UDP over IPv6 with a zero checksum (RFC 6935), for tunnels. */
export const UDP_NO_CHECK6_TX: SocketOption<boolean, boolean> = booleanOption(
  "UDP_NO_CHECK6_TX",
  L,
  k.UDP_NO_CHECK6_TX,
);
/** Accepts UDP over IPv6 with a zero checksum (RFC 6935), for tunnels. */
export const UDP_NO_CHECK6_RX: SocketOption<boolean, boolean> = booleanOption(
  "UDP_NO_CHECK6_RX",
  L,
  k.UDP_NO_CHECK6_RX,
);
/** Segmentation offload: the kernel splits the data of one send into datagrams of this number of bytes; 0 for none. */
export const UDP_SEGMENT: SocketOption<number, number> = intOption("UDP_SEGMENT", L, k.UDP_SEGMENT, 0, 0xffff);
/** One call can receive several datagrams of the same sender and length. The control data contain that length. */
export const UDP_GRO: SocketOption<boolean, boolean> = booleanOption("UDP_GRO", L, k.UDP_GRO);

/** Number of bytes, from the header on, that the checksum of a sent UDP-Lite datagram covers; 0 for all bytes. */
export const UDPLITE_SEND_CSCOV: SocketOption<number, number> = intOption(
  "UDPLITE_SEND_CSCOV",
  k.IPPROTO_UDPLITE,
  k.UDPLITE_SEND_CSCOV,
  0,
  0xffff,
);
/** The kernel drops received datagrams whose checksum covers fewer bytes than this number; 0 drops none. */
export const UDPLITE_RECV_CSCOV: SocketOption<number, number> = intOption(
  "UDPLITE_RECV_CSCOV",
  k.IPPROTO_UDPLITE,
  k.UDPLITE_RECV_CSCOV,
  0,
  0xffff,
);
