// The documentation of each socket option: a man page; if there is none, an RFC or a header of the kernel.

/** The documentation of options by the prefix of their names. The first prefix that matches counts. */
const PAGES: readonly (readonly [prefix: string, source: string])[] = [
  ["SO_VM_", "vsock(7)"],
  ["SO_", "socket(7)"],
  ["IP_", "ip(7)"],
  ["IPV6_", "ipv6(7)"],
  ["TCP_", "tcp(7)"],
  ["UDP_", "linux/udp.h"],
  ["UDPLITE_", "udplite(7)"],
  ["MCAST_", "RFC 3678"],
  ["ICMP_", "raw(7)"],
  ["ICMP6_", "RFC 3542"],
  ["NETLINK_", "netlink(7)"],
  ["PACKET_", "packet(7)"],
];

/** Options whose documentation is not that of PAGES. The names are without the prefix. */
const EXCEPTIONS: readonly (readonly [prefix: string, source: string, names: string])[] = [
  ["SO_", "unix(7)", "PASSCRED PEERCRED PEERSEC PASSSEC"],
  [
    "SO_",
    "asm/socket.h",
    "NO_CHECK TIMESTAMPING WIFI_STATUS NOFCS MAX_PACING_RATE BPF_EXTENSIONS CNX_ADVICE MEMINFO COOKIE PEERGROUPS " +
      "ZEROCOPY TXTIME BINDTOIFINDEX DETACH_REUSEPORT_BPF PREFER_BUSY_POLL BUSY_POLL_BUDGET NETNS_COOKIE BUF_LOCK " +
      "RESERVE_MEM TXREHASH RCVMARK PASSPIDFD PEERPIDFD RCVPRIORITY PASSRIGHTS INQ",
  ],
  ["SO_VM_SOCKETS_", "linux/vm_sockets.h", "CONNECT_TIMEOUT"],
  ["IP_", "linux/in.h", "MINTTL CHECKSUM RECVFRAGSIZE RECVERR_RFC4884 UNICAST_IF LOCAL_PORT_RANGE PROTOCOL"],
  [
    "IPV6_",
    "RFC 3542",
    "CHECKSUM PKTINFO RECVHOPLIMIT RECVHOPOPTS RTHDRDSTOPTS RECVRTHDR RECVDSTOPTS RECVPATHMTU PATHMTU DONTFRAG " +
      "RECVTCLASS TCLASS",
  ],
  [
    "IPV6_",
    "linux/in6.h",
    "JOIN_ANYCAST LEAVE_ANYCAST MULTICAST_ALL ROUTER_ALERT_ISOLATE RECVERR_RFC4884 FLOWLABEL_MGR FLOWINFO_SEND " +
      "HDRINCL AUTOFLOWLABEL RECVORIGDSTADDR TRANSPARENT UNICAST_IF RECVFRAGSIZE FREEBIND",
  ],
  ["IPV6_", "RFC 5014", "ADDR_PREFERENCES"],
  ["IPV6_", "RFC 5082", "MINHOPCOUNT"],
  [
    "TCP_",
    "linux/tcp.h",
    "THIN_LINEAR_TIMEOUTS REPAIR REPAIR_QUEUE QUEUE_SEQ REPAIR_OPTIONS TIMESTAMP NOTSENT_LOWAT CC_INFO SAVE_SYN " +
      "SAVED_SYN REPAIR_WINDOW ULP FASTOPEN_KEY FASTOPEN_NO_COOKIE INQ TX_DELAY IS_MPTCP RTO_MAX_MS RTO_MIN_US " +
      "DELACK_MAX_US",
  ],
  ["UDP_", "udp(7)", "CORK"],
  [
    "PACKET_",
    "linux/if_packet.h",
    "COPY_THRESH ORIGDEV VNET_HDR TX_HAS_OFF ROLLOVER_STATS FANOUT_DATA IGNORE_OUTGOING VNET_HDR_SZ",
  ],
  ["NETLINK_", "linux/netlink.h", "EXT_ACK GET_STRICT_CHK"],
];

const exceptions = new Map(
  EXCEPTIONS.flatMap(([prefix, source, names]) => names.split(" ").map((name) => [prefix + name, source] as const)),
);

/** The documentation of an option; empty if it is unknown. */
export function sourceOf(name: string): string {
  return exceptions.get(name) ?? PAGES.find(([prefix]) => name.startsWith(prefix))?.[1] ?? "";
}
