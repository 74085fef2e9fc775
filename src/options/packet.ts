// Options of the level SOL_PACKET, packet(7), in the order of their numbers. "Delivers X" means: recvmsg() returns X
// as control data.

import { isUint8Array } from "node:util/types";
import { quote } from "../check/index.js";
import * as k from "../sys/constants.js";
import { intBytes, LITTLE_ENDIAN, readInt, uintBytes, view } from "../sys/nativeInts.js";
import {
  booleanOption,
  intOption,
  readOnlyOption,
  writeOnlyOption,
  customOption,
  type SocketOption,
  numberMember,
} from "./option.js";
import { type BpfInstruction, encodeProgram } from "./bpfProgram.js";
import { interfaceMember, checkMembers } from "./memberChecks.js";
import type { NetworkInterface } from "../sys/interfaceIndex.js";

/** The level of all options in this file. */
const L = k.SOL_PACKET;

/** Packets that an interface receives in addition to its own: `struct packet_mreq`. */
export interface PacketMembership {
  readonly interface: NetworkInterface;
  /** `PACKET_MR_PROMISC`, `PACKET_MR_MULTICAST`, `PACKET_MR_ALLMULTI`, `PACKET_MR_UNICAST`. */
  readonly type: number;
  /** Physical-layer address, at most 8 bytes. */
  readonly address?: Uint8Array;
}

function encodeMembership(option: string, value: PacketMembership): Uint8Array {
  const {
    interface: iface,
    type,
    address = new Uint8Array(0),
  } = checkMembers(option, value, ["interface", "type", "address"]);
  if (!isUint8Array(address) || address.length > 8) {
    throw new TypeError(`Cannot set ${option}: address is ${quote(address)}, required a Uint8Array of at most 8 bytes`);
  }
  const bytes = new Uint8Array(16);
  const out = view(bytes);
  out.setInt32(0, interfaceMember(option, "interface", iface), LITTLE_ENDIAN);
  out.setUint16(4, numberMember(option, "type", type, 0, 0xffff), LITTLE_ENDIAN);
  out.setUint16(6, address.length, LITTLE_ENDIAN);
  bytes.set(address, 8);
  return bytes;
}

/** Makes an interface receive packets in addition to those for this host. */
export const PACKET_ADD_MEMBERSHIP: SocketOption<never, PacketMembership> = writeOnlyOption(
  "PACKET_ADD_MEMBERSHIP",
  L,
  k.PACKET_ADD_MEMBERSHIP,
  encodeMembership,
);
/** Reverses PACKET_ADD_MEMBERSHIP. */
export const PACKET_DROP_MEMBERSHIP: SocketOption<never, PacketMembership> = writeOnlyOption(
  "PACKET_DROP_MEMBERSHIP",
  L,
  k.PACKET_DROP_MEMBERSHIP,
  encodeMembership,
);

/** Counters since the last reading: `struct tpacket_stats`. `packets` includes the dropped packets. */
export interface PacketStatistics {
  readonly packets: number;
  readonly drops: number;
}

/** Counters of received packets. Reading sets the counters to 0. */
export const PACKET_STATISTICS: SocketOption<PacketStatistics, never> = readOnlyOption(
  "PACKET_STATISTICS",
  L,
  k.PACKET_STATISTICS,
  8,
  (bytes) => ({
    packets: view(bytes).getUint32(0, LITTLE_ENDIAN),
    drops: view(bytes).getUint32(4, LITTLE_ENDIAN),
  }),
);
/** If not 0, a packet that is truncated in the ring also enters the receive buffer, whole (`TPACKET_V1`, `_V2`). */
export const PACKET_COPY_THRESH: SocketOption<number, number> = intOption(
  "PACKET_COPY_THRESH",
  L,
  k.PACKET_COPY_THRESH,
  0,
);
/** Delivers the lengths, the status and the VLAN tag of each packet. */
export const PACKET_AUXDATA: SocketOption<boolean, boolean> = booleanOption("PACKET_AUXDATA", L, k.PACKET_AUXDATA);
/** Reports the interface on which a packet arrived, not the one that processed it. */
export const PACKET_ORIGDEV: SocketOption<boolean, boolean> = booleanOption("PACKET_ORIGDEV", L, k.PACKET_ORIGDEV);
/** Version of the ring: `TPACKET_V1`, `TPACKET_V2`, `TPACKET_V3`. It also selects the struct of PACKET_STATISTICS. */
export const PACKET_VERSION: SocketOption<number, number> = intOption("PACKET_VERSION", L, k.PACKET_VERSION, 0);
/** Bytes reserved before each packet of the ring. */
export const PACKET_RESERVE: SocketOption<number, number> = intOption("PACKET_RESERVE", L, k.PACKET_RESERVE, 0);
/** Skips malformed packets of the sending ring. */
export const PACKET_LOSS: SocketOption<boolean, boolean> = booleanOption("PACKET_LOSS", L, k.PACKET_LOSS);
/** Each packet begins with a virtio_net_hdr. */
export const PACKET_VNET_HDR: SocketOption<boolean, boolean> = booleanOption("PACKET_VNET_HDR", L, k.PACKET_VNET_HDR);
/** The source of the time stamps in the ring: `SOF_TIMESTAMPING_RAW_HARDWARE`, or 0 for software. */
export const PACKET_TIMESTAMP: SocketOption<number, number> = intOption("PACKET_TIMESTAMP", L, k.PACKET_TIMESTAMP, 0);

/** A group of sockets over which the kernel distributes packets. */
export interface PacketFanout {
  /** Number of the group, 0 to 65535. */
  readonly group: number;
  /** `PACKET_FANOUT_HASH`, `_LB`, `_CPU`, `_ROLLOVER`, `_RND`, `_QM`, `_CBPF`, `_EBPF`. */
  readonly mode: number;
  /** `PACKET_FANOUT_FLAG_` flags; 0 if absent. */
  readonly flags?: number;
}

/** Joins a fanout group. Before the first join, reading returns zeros. */
export const PACKET_FANOUT: SocketOption<Required<PacketFanout>, PacketFanout> = customOption<
  Required<PacketFanout>,
  PacketFanout
>(
  "PACKET_FANOUT",
  L,
  k.PACKET_FANOUT,
  4,
  (bytes) => {
    // The group is in the low 16 bits, the mode and the flags are in the high 16 bits.
    const value = readInt(bytes);
    return { group: value & 0xffff, mode: (value >>> 16) & 0xff, flags: (value >>> 16) & 0xff00 };
  },
  (value) => {
    const name = "PACKET_FANOUT";
    const { group, mode, flags = 0 } = checkMembers(name, value, ["group", "mode", "flags"]);
    const modeAndFlags = numberMember(name, "mode", mode, 0, 0xff) | numberMember(name, "flags", flags, 0, 0xffff);
    return uintBytes(modeAndFlags * 0x1_0000 + numberMember(name, "group", group, 0, 0xffff));
  },
);
/** Sends from the ring at offsets that the program writes into the ring. */
export const PACKET_TX_HAS_OFF: SocketOption<boolean, boolean> = booleanOption(
  "PACKET_TX_HAS_OFF",
  L,
  k.PACKET_TX_HAS_OFF,
);
/** Sends packets without the queueing discipline of the interface. */
export const PACKET_QDISC_BYPASS: SocketOption<boolean, boolean> = booleanOption(
  "PACKET_QDISC_BYPASS",
  L,
  k.PACKET_QDISC_BYPASS,
);

/**
 * Numbers of packets for which a socket of a fanout group had too little room: `struct tpacket_rollover_stats`. `all`
 * counts the packets that rolled over to another socket of the group. `huge` counts those of `all` that belong to a
 * flow with many packets. `failed` counts the packets for which no other socket had room.
 */
export interface PacketRollover {
  readonly all: number;
  readonly huge: number;
  readonly failed: number;
}

/**
 * Counters of rollover. `EINVAL` unless the fanout group has the mode `PACKET_FANOUT_ROLLOVER` or the flag
 * `PACKET_FANOUT_FLAG_ROLLOVER`.
 */
export const PACKET_ROLLOVER_STATS: SocketOption<PacketRollover, never> = readOnlyOption(
  "PACKET_ROLLOVER_STATS",
  L,
  k.PACKET_ROLLOVER_STATS,
  24,
  (bytes) => {
    const u64 = (at: number): number => Number(view(bytes).getBigUint64(at, LITTLE_ENDIAN));
    return { all: u64(0), huge: u64(8), failed: u64(16) };
  },
);
/**
 * The program that chooses the socket of a fanout group: a classic BPF program for `PACKET_FANOUT_CBPF`, or the
 * descriptor of an extended one for `PACKET_FANOUT_EBPF`.
 */
export const PACKET_FANOUT_DATA: SocketOption<never, number | readonly BpfInstruction[]> = writeOnlyOption<
  number | readonly BpfInstruction[]
>("PACKET_FANOUT_DATA", L, k.PACKET_FANOUT_DATA, (option, value) =>
  typeof value === "number"
    ? intBytes(numberMember(option, "value", value, 0, 0x7fff_ffff))
    : encodeProgram(option, value),
);
/** Does not receive the packets that this host sends. */
export const PACKET_IGNORE_OUTGOING: SocketOption<boolean, boolean> = booleanOption(
  "PACKET_IGNORE_OUTGOING",
  L,
  k.PACKET_IGNORE_OUTGOING,
);
/** Bytes of the virtio_net_hdr before each packet: 10 or 12, or 0 for no header. */
export const PACKET_VNET_HDR_SZ: SocketOption<number, number> = intOption(
  "PACKET_VNET_HDR_SZ",
  L,
  k.PACKET_VNET_HDR_SZ,
  0,
);
