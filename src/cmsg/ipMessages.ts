// Control messages of IPv4 and IPv6: the address and the interface of a packet, its TTL, its traffic class.
// ip(7), ipv6(7), RFC 3542.

import { type Address, formatIPv4, formatIPv6, parseIPv4, parseIPv6 } from "../addr/index.js";
import { integer, quote } from "../check/index.js";
import * as k from "../sys/constants.js";
import { interfaceIndex, type NetworkInterface } from "../sys/interfaceIndex.js";
import { intBytes, LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { decodeAddressAt } from "../sys/sockaddr.js";
import { type Codec, intCodec, SIZE_IN, SIZE_IN6 } from "./codec.js";

/**
 * The interface and the addresses of a received IPv4 packet: struct in_pktinfo of ip(7), after `IP_PKTINFO` was set.
 * `addr` is the destination in the packet's header. `spec_dst` is the local address from which to reply.
 */
export interface PktinfoMessage {
  readonly type: "IP_PKTINFO";
  readonly ifindex: number;
  readonly spec_dst: string;
  readonly addr: string;
}

/**
 * The source address (`spec_dst`) and the interface (`ifindex`: index, name or address) of an IPv4 packet to send. The
 * kernel ignores `addr`. A received {@link PktinfoMessage} can be sent unchanged with a reply: the source of the reply
 * is then the address to which the packet was sent.
 */
export interface PktinfoToSend {
  readonly type: "IP_PKTINFO";
  readonly ifindex?: NetworkInterface | undefined;
  readonly spec_dst?: string | undefined;
  readonly addr?: string | undefined;
}

/**
 * The interface and the destination of a received IPv6 packet: struct in6_pktinfo of RFC 3542, after `IPV6_RECVPKTINFO`
 * was set.
 */
export interface Pktinfo6Message {
  readonly type: "IPV6_PKTINFO";
  readonly addr: string;
  readonly ifindex: number;
}

/** The source address and the interface of an IPv6 packet to send. */
export interface Pktinfo6ToSend {
  readonly type: "IPV6_PKTINFO";
  readonly addr?: string | undefined;
  readonly ifindex?: NetworkInterface | undefined;
}

/** The TTL of a received IPv4 packet (after `IP_RECVTTL` was set), or of a packet to send. */
export interface TtlMessage {
  readonly type: "IP_TTL";
  readonly ttl: number;
}

/**
 * The hop limit of a received IPv6 packet (after `IPV6_RECVHOPLIMIT` was set), or of a packet to send. To send, -1 is
 * the default hop limit.
 */
export interface HoplimitMessage {
  readonly type: "IPV6_HOPLIMIT";
  readonly hoplimit: number;
}

/** The type-of-service byte of an IPv4 packet, after `IP_RECVTOS` was set: DSCP and ECN (RFC 2474, RFC 3168). */
export interface TosMessage {
  readonly type: "IP_TOS";
  readonly tos: number;
  /** The upper six bits of `tos`. */
  readonly dscp: number;
  /** The lower two bits: 0 not ECN-capable, 1 ECT(1), 2 ECT(0), 3 congestion experienced. */
  readonly ecn: number;
}

/** The type-of-service byte of an IPv4 packet to send. */
export interface TosToSend {
  readonly type: "IP_TOS";
  readonly tos: number;
}

/** The traffic class of an IPv6 packet, after `IPV6_RECVTCLASS` was set: DSCP and ECN. */
export interface TclassMessage {
  readonly type: "IPV6_TCLASS";
  readonly tclass: number;
  /** The upper six bits of `tclass`. */
  readonly dscp: number;
  /** The lower two bits: 0 not ECN-capable, 1 ECT(1), 2 ECT(0), 3 congestion experienced. */
  readonly ecn: number;
}

/** The traffic class of an IPv6 packet to send. */
export interface TclassToSend {
  readonly type: "IPV6_TCLASS";
  readonly tclass: number;
}

/**
 * Traffic class and flow label (together 28 bits) of a received IPv6 packet (after `IPV6_FLOWINFO` was set), or of a
 * packet to send.
 */
export interface FlowinfoMessage {
  readonly type: "IPV6_FLOWINFO";
  readonly flowinfo: number;
}

/**
 * The destination of a packet before a packet filter redirected it to this socket, after `IP_RECVORIGDSTADDR` or
 * `IPV6_RECVORIGDSTADDR` was set.
 */
export interface OrigdstaddrMessage {
  readonly type: "IP_ORIGDSTADDR" | "IPV6_ORIGDSTADDR";
  readonly address: Address;
}

/** The size of the largest fragment of a packet; 0 if it was not fragmented. After `IP_RECVFRAGSIZE` was set. */
export interface FragsizeMessage {
  readonly type: "IP_RECVFRAGSIZE" | "IPV6_RECVFRAGSIZE";
  readonly fragsize: number;
}

/** Whether the kernel must send the packet without fragmenting it. */
export interface DontfragToSend {
  readonly type: "IPV6_DONTFRAG";
  readonly dontfrag: boolean;
}

function addressError(value: unknown, name: string, version: "IPv4" | "IPv6"): TypeError {
  return new TypeError(`Cannot sendmsg: ${name} is ${quote(value)}, required a numeric ${version} address`);
}

function ipv4Bytes(value: unknown, name: string): Uint8Array {
  const bytes = typeof value === "string" ? parseIPv4(value) : undefined;
  if (bytes === undefined) throw addressError(value, name, "IPv4");
  return bytes;
}

function ipv6Bytes(value: unknown, name: string): Uint8Array {
  const parsed = typeof value === "string" ? parseIPv6(value) : undefined;
  if (parsed === undefined || parsed.zone !== undefined) throw addressError(value, name, "IPv6");
  return parsed.bytes;
}

const PKTINFO: Codec = {
  name: "IP_PKTINFO",
  level: k.IPPROTO_IP,
  cmsgType: k.IP_PKTINFO,
  decode: (data): PktinfoMessage | undefined =>
    data.length < 12
      ? undefined
      : {
          type: "IP_PKTINFO",
          ifindex: view(data).getInt32(0, LITTLE_ENDIAN),
          spec_dst: formatIPv4(data, 4),
          addr: formatIPv4(data, 8),
        },
  encode: ({ ifindex = 0, spec_dst = "0.0.0.0", addr = "0.0.0.0" }: PktinfoToSend, messageName) => {
    const bytes = new Uint8Array(12);
    view(bytes).setInt32(0, interfaceIndex(ifindex, "sendmsg", `${messageName}.ifindex`), LITTLE_ENDIAN);
    bytes.set(ipv4Bytes(spec_dst, `${messageName}.spec_dst`), 4);
    bytes.set(ipv4Bytes(addr, `${messageName}.addr`), 8);
    return bytes;
  },
};

const PKTINFO6: Codec = {
  name: "IPV6_PKTINFO",
  level: k.IPPROTO_IPV6,
  cmsgType: k.IPV6_PKTINFO,
  decode: (data): Pktinfo6Message | undefined =>
    data.length < 20
      ? undefined
      : { type: "IPV6_PKTINFO", addr: formatIPv6(data), ifindex: view(data).getUint32(16, LITTLE_ENDIAN) },
  encode: ({ addr = "::", ifindex = 0 }: Pktinfo6ToSend, messageName) => {
    const bytes = new Uint8Array(20);
    bytes.set(ipv6Bytes(addr, `${messageName}.addr`));
    view(bytes).setUint32(16, interfaceIndex(ifindex, "sendmsg", `${messageName}.ifindex`), LITTLE_ENDIAN);
    return bytes;
  },
};

/**
 * Makes the codec of a kind whose value is DSCP and ECN. The kernel delivers IP_TOS as a byte, and IPV6_TCLASS as an
 * int.
 *
 * @param field the member of the message with the value
 */
function trafficClassCodec(name: "IP_TOS" | "IPV6_TCLASS", level: number, cmsgType: number, field: string): Codec {
  const codec = intCodec(name, level, cmsgType, field, [0, 255]);
  return {
    ...codec,
    decode: (data): { type: string } | undefined => {
      const isByte = name === "IP_TOS" && data.length === 1;
      if (!isByte && data.length < 4) return undefined;
      const value = isByte ? data[0]! : view(data).getInt32(0, LITTLE_ENDIAN) & 255;
      const fields: Record<string, number> = { [field]: value, dscp: value >> 2, ecn: value & 3 };
      return { type: name, ...fields };
    },
  };
}

/** The data are one number in network byte order. */
const FLOWINFO: Codec = {
  name: "IPV6_FLOWINFO",
  level: k.IPPROTO_IPV6,
  cmsgType: k.IPV6_FLOWINFO,
  decode: (data): FlowinfoMessage | undefined =>
    data.length < 4 ? undefined : { type: "IPV6_FLOWINFO", flowinfo: view(data).getUint32(0) },
  encode: ({ flowinfo }: FlowinfoMessage, messageName) => {
    const bytes = new Uint8Array(4);
    view(bytes).setUint32(0, integer(flowinfo, "sendmsg", `${messageName}.flowinfo`, 0, 0x0fff_ffff));
    return bytes;
  },
};

/** @param size bytes of the struct sockaddr_in or sockaddr_in6 */
function origdstaddrCodec(
  name: "IP_ORIGDSTADDR" | "IPV6_ORIGDSTADDR",
  level: number,
  cmsgType: number,
  size: number,
): Codec {
  return {
    name,
    level,
    cmsgType,
    decode: (data): OrigdstaddrMessage | undefined =>
      data.length < size ? undefined : { type: name, address: decodeAddressAt(data, 0, data.length) },
  };
}

const DONTFRAG: Codec = {
  name: "IPV6_DONTFRAG",
  level: k.IPPROTO_IPV6,
  cmsgType: k.IPV6_DONTFRAG,
  encode: ({ dontfrag }: DontfragToSend, messageName) => {
    if (typeof dontfrag === "boolean") return intBytes(dontfrag ? 1 : 0);
    throw new TypeError(`Cannot sendmsg: ${messageName}.dontfrag is ${quote(dontfrag)}, required true or false`);
  },
};

export const IP_CODECS: readonly Codec[] = [
  trafficClassCodec("IP_TOS", k.IPPROTO_IP, k.IP_TOS, "tos"),
  intCodec("IP_TTL", k.IPPROTO_IP, k.IP_TTL, "ttl", [0, 255]),
  PKTINFO,
  // The option and its message have the same number: IP_ORIGDSTADDR in <linux/in.h>.
  origdstaddrCodec("IP_ORIGDSTADDR", k.IPPROTO_IP, k.IP_RECVORIGDSTADDR, SIZE_IN),
  intCodec("IP_RECVFRAGSIZE", k.IPPROTO_IP, k.IP_RECVFRAGSIZE, "fragsize"),
  FLOWINFO,
  PKTINFO6,
  intCodec("IPV6_HOPLIMIT", k.IPPROTO_IPV6, k.IPV6_HOPLIMIT, "hoplimit", [-1, 255]),
  DONTFRAG,
  trafficClassCodec("IPV6_TCLASS", k.IPPROTO_IPV6, k.IPV6_TCLASS, "tclass"),
  origdstaddrCodec("IPV6_ORIGDSTADDR", k.IPPROTO_IPV6, k.IPV6_ORIGDSTADDR, SIZE_IN6),
  intCodec("IPV6_RECVFRAGSIZE", k.IPPROTO_IPV6, k.IPV6_RECVFRAGSIZE, "fragsize"),
];
