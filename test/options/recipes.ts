// How each option is tested on the real kernel: the socket, the value, and the expected result.
//
// An option without a recipe is tested on the first kind of socket of its level: a boolean is set to true, to false and
// back, and a number is set to its present value.
import { closeSync } from "node:fs";
import {
  AF_INET,
  type BpfInstruction,
  BPF_K,
  BPF_RET,
  CLOCK_MONOTONIC,
  IP_PMTUDISC_DO,
  IPV6_FL_A_GET,
  IPV6_FL_F_CREATE,
  IPV6_FL_S_ANY,
  IPV6_PREFER_SRC_PUBLIC,
  IPV6_PMTUDISC_DO,
  MCAST_EXCLUDE,
  PACKET_FANOUT_CBPF,
  PACKET_FANOUT_FLAG_ROLLOVER,
  PACKET_FANOUT_LB,
  PACKET_MR_ALLMULTI,
  RTNLGRP_LINK,
  SO_REUSEPORT,
  type Socket,
  SOCK_RCVBUF_LOCK,
  SOCK_STREAM,
  SOF_TIMESTAMPING_RX_SOFTWARE,
  SOF_TIMESTAMPING_SOFTWARE,
  TCP_REPAIR_ON,
  TCP_SEND_QUEUE,
  TPACKET_V2,
  UDP_ENCAP_ESPINUDP,
} from "berkeley";
import * as berkeley from "berkeley";
import type { Kind } from "./support.js";

export interface Recipe {
  /** The kind of socket; the level's own if absent. */
  readonly on?: Kind;
  /** What has to happen before. */
  readonly before?: (socket: Socket) => void | Promise<void>;
  /** The value to set; a boolean and a number have one of their own. */
  readonly set?: unknown;
  /** What is read afterwards, if it is not what was set. */
  readonly reads?: unknown;
  /** Whether a read value is right, if it can't be known beforehand. */
  readonly fits?: (value: never) => boolean;
  /** What shows that it was set, where it can't be read back on this socket. */
  readonly shows?: (socket: Socket) => boolean;
  /**
   * Codes with which this kernel may say that the socket, its configuration or its security modules have no such thing.
   */
  readonly refused?: readonly string[];
}

const PASS: BpfInstruction[] = [{ code: BPF_RET | BPF_K, jt: 0, jf: 0, k: 0xffff_ffff }];
const GROUP = "239.255.77.2";
const GROUP6 = "ff15::77:2";
const SOURCE = "127.0.0.9";
const join4 = (socket: Socket): void =>
  socket.setsockopt(berkeley.IP_ADD_MEMBERSHIP, { group: GROUP, address: "127.0.0.1" });
const join6 = (socket: Socket): void =>
  socket.setsockopt(berkeley.MCAST_JOIN_GROUP, { group: GROUP6, interface: "lo" });
const block6 = (socket: Socket): void => {
  join6(socket);
  socket.setsockopt(berkeley.MCAST_BLOCK_SOURCE, { group: GROUP6, interface: "lo", source: "::1" });
};
const join4Source = (socket: Socket): void =>
  socket.setsockopt(berkeley.IP_ADD_SOURCE_MEMBERSHIP, { group: GROUP, source: SOURCE, address: "127.0.0.1" });
const repair = (socket: Socket): void => socket.setsockopt(berkeley.TCP_REPAIR, TCP_REPAIR_ON);
const repairSendQueue = (socket: Socket): void => {
  repair(socket);
  socket.setsockopt(berkeley.TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
};
/** A header of padding: next header, length 0, PadN over 4 bytes. */
const PADDING = Uint8Array.of(0, 0, 1, 4, 0, 0, 0, 0);
/** Record route, room for one address, end of options. */
const RECORD_ROUTE = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0);
const ROUTING = Uint8Array.of(0, 2, 2, 1, 0, 0, 0, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

const number = (value: number): boolean => Number.isInteger(value);
const positive = (value: number): boolean => Number.isInteger(value) && value > 0;

/** The kind of socket for the options of a level. */
export const usual: Readonly<Record<string, Kind>> = {
  SOL_SOCKET: "udp",
  IPPROTO_IP: "udp",
  IPPROTO_IPV6: "udp6",
  IPPROTO_TCP: "tcp",
  IPPROTO_UDP: "udp",
  IPPROTO_UDPLITE: "udplite",
  AF_VSOCK: "vsock",
  SOL_PACKET: "packet",
  SOL_NETLINK: "netlink",
  SOL_RAW: "icmp",
  IPPROTO_ICMPV6: "icmp6",
};

export const recipes: Readonly<Record<string, Recipe>> = {
  SO_TYPE: { on: "tcp", fits: (value: number) => value === SOCK_STREAM },
  SO_ERROR: { fits: (value: unknown) => value === null },
  SO_SNDBUF: { set: 8192, reads: 16384 },
  SO_RCVBUF: { set: 8192, reads: 16384 },
  SO_PRIORITY: { set: 3 },
  SO_LINGER: { set: 7 },
  SO_PASSCRED: { on: "unix" },
  SO_PEERCRED: {
    on: "unix",
    fits: (value: berkeley.Ucred) => value.pid === process.pid && value.uid === process.geteuid?.(),
  },
  SO_RCVLOWAT: { on: "tcp", set: 100 },
  SO_SNDLOWAT: { fits: (value: number) => value === 1 },
  SO_RCVTIMEO: { set: 1500 },
  SO_SNDTIMEO: { set: 2500 },
  SO_BINDTODEVICE: { set: "lo" },
  SO_ATTACH_FILTER: { set: PASS },
  SO_DETACH_FILTER: { before: (socket) => socket.setsockopt(berkeley.SO_ATTACH_FILTER, PASS), set: true },
  SO_DETACH_BPF: { before: (socket) => socket.setsockopt(berkeley.SO_ATTACH_FILTER, PASS), set: true },
  SO_PEERSEC: { on: "unix", fits: (value: string) => typeof value === "string", refused: ["ENOPROTOOPT"] },
  SO_SNDBUFFORCE: { set: 1 << 24 },
  SO_RCVBUFFORCE: { set: 1 << 24 },
  SO_PASSSEC: { on: "unix", refused: ["EOPNOTSUPP"] },
  SO_MARK: { set: 0xffff_fff0 },
  SO_TIMESTAMPING: {
    set: SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE,
    reads: { flags: SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE, bindPhc: 0 },
  },
  SO_ACCEPTCONN: { on: "tcp", before: (socket) => socket.listen(1), fits: (value: boolean) => value },
  SO_PROTOCOL: { fits: (value: number) => value === berkeley.IPPROTO_UDP },
  SO_DOMAIN: { fits: (value: number) => value === AF_INET },
  SO_PEEK_OFF: { on: "unix", set: 4 },
  SO_LOCK_FILTER: { set: true },
  SO_BUSY_POLL: { set: 50 },
  SO_MAX_PACING_RATE: { on: "tcp", set: 5_000_000_000 },
  SO_BPF_EXTENSIONS: { fits: positive },
  SO_INCOMING_CPU: { set: 0 },
  // There is no program to pass, so the kernel must refuse the descriptor.
  SO_ATTACH_BPF: { set: 0, refused: ["EINVAL"] },
  SO_ATTACH_REUSEPORT_EBPF: { set: 0, before: (socket) => socket.setsockopt(SO_REUSEPORT, true), refused: ["EINVAL"] },
  SO_ATTACH_REUSEPORT_CBPF: { set: PASS, before: (socket) => socket.setsockopt(SO_REUSEPORT, true) },
  SO_CNX_ADVICE: { on: "tcpConnected", set: true },
  SO_MEMINFO: { fits: (value: berkeley.MemInfo) => positive(value.rcvbuf) && positive(value.sndbuf) },
  SO_INCOMING_NAPI_ID: { fits: number },
  SO_COOKIE: { fits: (value: bigint) => typeof value === "bigint" && value > 0n },
  SO_PEERGROUPS: {
    on: "unix",
    fits: (value: number[]) => value.every((group) => process.getgroups?.().includes(group)),
  },
  SO_TXTIME: { set: { clockid: CLOCK_MONOTONIC, flags: 0 } },
  SO_BINDTOIFINDEX: { set: "lo", reads: 1 },
  SO_DETACH_REUSEPORT_BPF: {
    before: async (socket) => {
      socket.setsockopt(SO_REUSEPORT, true);
      await socket.bind("127.0.0.1:0");
      socket.setsockopt(berkeley.SO_ATTACH_REUSEPORT_CBPF, PASS);
    },
    set: true,
  },
  SO_BUSY_POLL_BUDGET: { set: 16 },
  SO_NETNS_COOKIE: { fits: (value: bigint) => typeof value === "bigint" && value > 0n },
  SO_BUF_LOCK: { set: SOCK_RCVBUF_LOCK },
  SO_RESERVE_MEM: { on: "tcp", set: 4096, refused: ["EOPNOTSUPP"] },
  SO_TXREHASH: { on: "tcp", set: 0 },
  SO_PASSPIDFD: { on: "unix" },
  SO_PEERPIDFD: {
    on: "unix",
    fits: (fd: number) => {
      closeSync(fd);
      return fd > 2;
    },
  },
  SO_PASSRIGHTS: { on: "unix" },
  SO_INQ: { on: "unix", set: true },

  IP_TOS: { set: 0x10 },
  IP_TTL: { set: 33 },
  IP_HDRINCL: { on: "icmp" },
  IP_OPTIONS: { set: RECORD_ROUTE, fits: (value: Uint8Array) => value[0] === 7 },
  IP_ROUTER_ALERT: { on: "icmp", set: true, fits: (value: boolean) => typeof value === "boolean" },
  IP_MTU_DISCOVER: { set: IP_PMTUDISC_DO },
  IP_MTU: { on: "udpConnected", fits: positive },
  IP_NODEFRAG: { on: "icmp" },
  IP_MINTTL: { set: 200 },
  IP_MULTICAST_IF: { set: "127.0.0.1" },
  IP_MULTICAST_TTL: { set: 5 },
  IP_ADD_MEMBERSHIP: { set: { group: GROUP, interface: "lo" } },
  IP_DROP_MEMBERSHIP: { before: join4, set: { group: GROUP, address: "127.0.0.1" } },
  IP_BLOCK_SOURCE: { before: join4, set: { group: GROUP, source: SOURCE, address: "127.0.0.1" } },
  IP_UNBLOCK_SOURCE: {
    before: (socket) => {
      join4(socket);
      socket.setsockopt(berkeley.IP_BLOCK_SOURCE, { group: GROUP, source: SOURCE, address: "127.0.0.1" });
    },
    set: { group: GROUP, source: SOURCE, address: "127.0.0.1" },
  },
  IP_ADD_SOURCE_MEMBERSHIP: { set: { group: GROUP, source: SOURCE, address: "127.0.0.1" } },
  IP_DROP_SOURCE_MEMBERSHIP: { before: join4Source, set: { group: GROUP, source: SOURCE, address: "127.0.0.1" } },
  IP_MSFILTER: { before: join4, set: { group: GROUP, address: "127.0.0.1", mode: MCAST_EXCLUDE, sources: [SOURCE] } },
  IP_UNICAST_IF: { set: "lo", reads: 1 },
  IP_LOCAL_PORT_RANGE: { set: [40_000, 40_010] },
  IP_PROTOCOL: { on: "icmp", fits: (value: number) => value === berkeley.IPPROTO_ICMP },

  MCAST_JOIN_GROUP: { set: { group: GROUP6, interface: "lo" } },
  MCAST_LEAVE_GROUP: { before: join6, set: { group: GROUP6, interface: "lo" } },
  MCAST_BLOCK_SOURCE: { before: join6, set: { group: GROUP6, interface: "lo", source: "::1" } },
  MCAST_UNBLOCK_SOURCE: { before: block6, set: { group: GROUP6, interface: "lo", source: "::1" } },
  MCAST_JOIN_SOURCE_GROUP: { set: { group: GROUP6, interface: "lo", source: "::1" } },
  MCAST_LEAVE_SOURCE_GROUP: {
    before: (socket) =>
      socket.setsockopt(berkeley.MCAST_JOIN_SOURCE_GROUP, { group: GROUP6, interface: "lo", source: "::1" }),
    set: { group: GROUP6, interface: "lo", source: "::1" },
  },
  MCAST_MSFILTER: { before: join6, set: { group: GROUP6, interface: "lo", mode: MCAST_EXCLUDE, sources: ["::1"] } },

  IPV6_ADDRFORM: { on: "mapped", set: AF_INET, shows: (socket) => socket.getsockopt(berkeley.SO_DOMAIN) === AF_INET },
  // The checksum of ICMPv6 has a fixed place, and the kernel refuses to move it.
  IPV6_CHECKSUM: { on: "raw6", set: 2 },
  IPV6_UNICAST_HOPS: { set: 33 },
  IPV6_MULTICAST_IF: { set: "lo", reads: 1 },
  IPV6_MULTICAST_HOPS: { set: 5 },
  IPV6_ADD_MEMBERSHIP: { set: { group: GROUP6, interface: "lo" } },
  IPV6_JOIN_GROUP: { set: { group: GROUP6, interface: "lo" } },
  IPV6_DROP_MEMBERSHIP: { before: join6, set: { group: GROUP6, interface: "lo" } },
  IPV6_LEAVE_GROUP: { before: join6, set: { group: GROUP6, interface: "lo" } },
  IPV6_ROUTER_ALERT: { on: "raw6", set: 5, fits: number },
  IPV6_MTU_DISCOVER: { set: IPV6_PMTUDISC_DO },
  IPV6_MTU: { on: "udp6Connected", set: 1400, fits: positive },
  IPV6_JOIN_ANYCAST: { set: { address: "2001:db8::77", interface: "lo" }, refused: ["EADDRNOTAVAIL", "ENODEV"] },
  // No group was joined, so the kernel returns an error.
  IPV6_LEAVE_ANYCAST: { set: { address: "2001:db8::77", interface: "lo" }, refused: ["ENOENT"] },
  // A label stays for some seconds after its socket: this one may be shared by the next run.
  IPV6_FLOWLABEL_MGR: {
    set: { action: IPV6_FL_A_GET, label: 0x1_2345, destination: "::1", flags: IPV6_FL_F_CREATE, share: IPV6_FL_S_ANY },
  },
  IPV6_HDRINCL: { on: "icmp6" },
  IPV6_PKTINFO: { set: { address: "::1", interface: "lo" } },
  IPV6_HOPOPTS: { set: PADDING },
  IPV6_RTHDRDSTOPTS: { set: PADDING },
  IPV6_DSTOPTS: { set: PADDING },
  // Type 2 is for Mobile IPv6, which a kernel may lack; the older types are forbidden (RFC 5095).
  IPV6_RTHDR: { set: ROUTING, refused: ["EINVAL"] },
  IPV6_PATHMTU: { on: "udp6Connected", fits: (value: berkeley.Ipv6PathMtu) => value.mtu >= 1280 },
  IPV6_TCLASS: { set: 0x20 },
  IPV6_ADDR_PREFERENCES: {
    set: IPV6_PREFER_SRC_PUBLIC,
    fits: (value: number) => (value & IPV6_PREFER_SRC_PUBLIC) !== 0,
  },
  IPV6_MINHOPCOUNT: { set: 200 },
  IPV6_UNICAST_IF: { set: "lo", reads: 1 },

  TCP_MAXSEG: { set: 1000, fits: positive },
  TCP_KEEPIDLE: { set: 30 },
  TCP_KEEPINTVL: { set: 5 },
  TCP_KEEPCNT: { set: 4 },
  TCP_SYNCNT: { set: 3 },
  TCP_LINGER2: { set: 20 },
  // The seconds become a number of retransmissions, and those become seconds again.
  TCP_DEFER_ACCEPT: { set: 3 },
  TCP_WINDOW_CLAMP: { set: 65_536, fits: positive },
  TCP_INFO: {
    on: "tcpConnected",
    fits: (value: berkeley.TcpInfo) => value.tcpi_state === "ESTABLISHED" && value.tcpi_rcv_wnd !== 0,
  },
  TCP_CONGESTION: { set: "reno" },
  TCP_USER_TIMEOUT: { set: 12_345 },
  TCP_REPAIR: { set: TCP_REPAIR_ON },
  TCP_REPAIR_QUEUE: { before: repair, set: TCP_SEND_QUEUE },
  TCP_QUEUE_SEQ: { before: repairSendQueue, set: 0xfff0_0000 },
  TCP_REPAIR_OPTIONS: {
    on: "tcpConnected",
    before: repair,
    set: [{ code: 2, value: 1400 }, { code: 3, value: 7 | (7 << 16) }, { code: 4 }],
  },
  TCP_FASTOPEN: { set: 16 },
  TCP_TIMESTAMP: { before: repair, set: 4_000_000_000, fits: (value: number) => value >= 4_000_000_000 },
  TCP_NOTSENT_LOWAT: { set: 16_384 },
  TCP_CC_INFO: {
    on: "tcpConnected",
    fits: (value: berkeley.TcpCcInfo) => value.bytes.length >= 20 === (value.bbr !== null),
  },
  TCP_SAVE_SYN: { set: 2 },
  TCP_SAVED_SYN: { on: "tcpConnected", fits: (value: Uint8Array) => value.length === 0 },
  TCP_REPAIR_WINDOW: {
    on: "tcpConnected",
    before: repair,
    fits: (value: berkeley.TcpRepairWindow) => positive(value.snd_wnd) && positive(value.rcv_wnd),
  },
  // tls is a module that a kernel may lack.
  TCP_ULP: { on: "tcpConnected", set: "tls", refused: ["ENOENT"] },
  TCP_FASTOPEN_KEY: { set: new Uint8Array(16).fill(7) },
  TCP_TX_DELAY: { set: 1000 },
  TCP_IS_MPTCP: { on: "tcpConnected", fits: (value: boolean) => !value },
  TCP_RTO_MAX_MS: { set: 30_000 },
  // In ticks of the timer.
  TCP_RTO_MIN_US: { set: 50_000, fits: (value: number) => value >= 50_000 && value < 70_000 },
  TCP_DELACK_MAX_US: { set: 20_000, fits: (value: number) => value >= 20_000 && value < 40_000 },

  UDP_ENCAP: { set: UDP_ENCAP_ESPINUDP, refused: ["ENOPROTOOPT"] },
  UDP_SEGMENT: { set: 1200 },
  UDPLITE_SEND_CSCOV: { set: 20 },
  UDPLITE_RECV_CSCOV: { set: 20 },

  SO_VM_SOCKETS_BUFFER_SIZE: { set: 65_536 },
  SO_VM_SOCKETS_BUFFER_MIN_SIZE: { set: 4096 },
  SO_VM_SOCKETS_BUFFER_MAX_SIZE: { set: 1 << 20 },
  SO_VM_SOCKETS_CONNECT_TIMEOUT: { set: 1500 },

  PACKET_ADD_MEMBERSHIP: { set: { interface: "lo", type: PACKET_MR_ALLMULTI } },
  PACKET_DROP_MEMBERSHIP: {
    before: (socket) =>
      socket.setsockopt(berkeley.PACKET_ADD_MEMBERSHIP, { interface: "lo", type: PACKET_MR_ALLMULTI }),
    set: { interface: 1, type: PACKET_MR_ALLMULTI },
  },
  PACKET_STATISTICS: { fits: (value: berkeley.PacketStatistics) => number(value.packets) && number(value.drops) },
  PACKET_COPY_THRESH: { set: 500 },
  PACKET_VERSION: { set: TPACKET_V2 },
  PACKET_RESERVE: { set: 16 },
  PACKET_TIMESTAMP: { set: 1 << 6 },
  PACKET_FANOUT: { set: { group: 7701, mode: PACKET_FANOUT_LB, flags: 0 } },
  PACKET_ROLLOVER_STATS: {
    before: (socket) =>
      socket.setsockopt(berkeley.PACKET_FANOUT, {
        group: 7702,
        mode: PACKET_FANOUT_LB,
        flags: PACKET_FANOUT_FLAG_ROLLOVER,
      }),
    fits: (value: berkeley.PacketRollover) => value.all === 0 && value.failed === 0,
  },
  PACKET_FANOUT_DATA: {
    before: (socket) => socket.setsockopt(berkeley.PACKET_FANOUT, { group: 7703, mode: PACKET_FANOUT_CBPF }),
    set: PASS,
  },
  PACKET_VNET_HDR_SZ: { set: 12 },

  NETLINK_ADD_MEMBERSHIP: { set: RTNLGRP_LINK },
  NETLINK_DROP_MEMBERSHIP: {
    before: (socket) => socket.setsockopt(berkeley.NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK),
    set: RTNLGRP_LINK,
  },
  NETLINK_LIST_MEMBERSHIPS: {
    before: (socket) => {
      socket.setsockopt(berkeley.NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK);
      socket.setsockopt(berkeley.NETLINK_ADD_MEMBERSHIP, 33);
    },
    fits: (value: number[]) => value.join() === `${RTNLGRP_LINK},33`,
  },

  ICMP_FILTER: { set: { block: [8, 13] } },
  ICMP6_FILTER: { set: { block: [128, 255] } },
};
