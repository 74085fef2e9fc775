// The platform's numbers under the names of its headers, read from the addon.

import { addon } from "./addon.js";

function constant(name: string): number {
  const value = addon.constants[name];
  if (value === undefined)
    throw new Error(`the addon was built against headers that lack ${name}: rebuild it against newer ones`);
  return value;
}

// families
export const AF_UNSPEC: number = constant("AF_UNSPEC");
export const AF_UNIX: number = constant("AF_UNIX");
export const AF_INET: number = constant("AF_INET");
export const AF_INET6: number = constant("AF_INET6");
export const AF_NETLINK: number = constant("AF_NETLINK");
export const AF_PACKET: number = constant("AF_PACKET");
export const AF_VSOCK: number = constant("AF_VSOCK");

// types
export const SOCK_STREAM: number = constant("SOCK_STREAM");
export const SOCK_DGRAM: number = constant("SOCK_DGRAM");
export const SOCK_RAW: number = constant("SOCK_RAW");
export const SOCK_RDM: number = constant("SOCK_RDM");
export const SOCK_SEQPACKET: number = constant("SOCK_SEQPACKET");
export const SOCK_CLOEXEC: number = constant("SOCK_CLOEXEC");
export const SOCK_NONBLOCK: number = constant("SOCK_NONBLOCK");
export const SOMAXCONN: number = constant("SOMAXCONN");

// protocols
export const IPPROTO_IP: number = constant("IPPROTO_IP");
export const IPPROTO_ICMP: number = constant("IPPROTO_ICMP");
export const IPPROTO_IGMP: number = constant("IPPROTO_IGMP");
export const IPPROTO_TCP: number = constant("IPPROTO_TCP");
export const IPPROTO_UDP: number = constant("IPPROTO_UDP");
export const IPPROTO_IPV6: number = constant("IPPROTO_IPV6");
export const IPPROTO_ICMPV6: number = constant("IPPROTO_ICMPV6");
export const IPPROTO_RAW: number = constant("IPPROTO_RAW");
export const IPPROTO_SCTP: number = constant("IPPROTO_SCTP");
export const IPPROTO_UDPLITE: number = constant("IPPROTO_UDPLITE");
export const IPPROTO_MPTCP: number = constant("IPPROTO_MPTCP");

// shutdown
export const SHUT_RD: number = constant("SHUT_RD");
export const SHUT_WR: number = constant("SHUT_WR");
export const SHUT_RDWR: number = constant("SHUT_RDWR");

// flags
export const MSG_OOB: number = constant("MSG_OOB");
export const MSG_PEEK: number = constant("MSG_PEEK");
export const MSG_DONTROUTE: number = constant("MSG_DONTROUTE");
export const MSG_CTRUNC: number = constant("MSG_CTRUNC");
export const MSG_TRUNC: number = constant("MSG_TRUNC");
export const MSG_DONTWAIT: number = constant("MSG_DONTWAIT");
export const MSG_EOR: number = constant("MSG_EOR");
export const MSG_WAITALL: number = constant("MSG_WAITALL");
export const MSG_CONFIRM: number = constant("MSG_CONFIRM");
export const MSG_ERRQUEUE: number = constant("MSG_ERRQUEUE");
export const MSG_NOSIGNAL: number = constant("MSG_NOSIGNAL");
export const MSG_MORE: number = constant("MSG_MORE");
export const MSG_WAITFORONE: number = constant("MSG_WAITFORONE");
export const MSG_FASTOPEN: number = constant("MSG_FASTOPEN");
export const MSG_CMSG_CLOEXEC: number = constant("MSG_CMSG_CLOEXEC");
export const MSG_ZEROCOPY: number = constant("MSG_ZEROCOPY");

// levels
export const SOL_SOCKET: number = constant("SOL_SOCKET");
export const SOL_IP: number = constant("SOL_IP");
export const SOL_TCP: number = constant("SOL_TCP");
export const SOL_UDP: number = constant("SOL_UDP");
export const SOL_IPV6: number = constant("SOL_IPV6");
export const SOL_RAW: number = constant("SOL_RAW");
export const SOL_ICMPV6: number = constant("SOL_ICMPV6");

// SO
export const SO_DEBUG: number = constant("SO_DEBUG");
export const SO_REUSEADDR: number = constant("SO_REUSEADDR");
export const SO_TYPE: number = constant("SO_TYPE");
export const SO_ERROR: number = constant("SO_ERROR");
export const SO_DONTROUTE: number = constant("SO_DONTROUTE");
export const SO_BROADCAST: number = constant("SO_BROADCAST");
export const SO_SNDBUF: number = constant("SO_SNDBUF");
export const SO_RCVBUF: number = constant("SO_RCVBUF");
export const SO_SNDBUFFORCE: number = constant("SO_SNDBUFFORCE");
export const SO_RCVBUFFORCE: number = constant("SO_RCVBUFFORCE");
export const SO_KEEPALIVE: number = constant("SO_KEEPALIVE");
export const SO_OOBINLINE: number = constant("SO_OOBINLINE");
export const SO_PRIORITY: number = constant("SO_PRIORITY");
export const SO_LINGER: number = constant("SO_LINGER");
export const SO_REUSEPORT: number = constant("SO_REUSEPORT");
export const SO_PASSCRED: number = constant("SO_PASSCRED");
export const SO_PEERCRED: number = constant("SO_PEERCRED");
export const SO_RCVLOWAT: number = constant("SO_RCVLOWAT");
export const SO_SNDLOWAT: number = constant("SO_SNDLOWAT");
export const SO_RCVTIMEO: number = constant("SO_RCVTIMEO");
export const SO_SNDTIMEO: number = constant("SO_SNDTIMEO");
export const SO_BINDTODEVICE: number = constant("SO_BINDTODEVICE");
export const SO_TIMESTAMP: number = constant("SO_TIMESTAMP");
export const SO_TIMESTAMPNS: number = constant("SO_TIMESTAMPNS");
export const SO_TIMESTAMPING: number = constant("SO_TIMESTAMPING");
export const SO_ACCEPTCONN: number = constant("SO_ACCEPTCONN");
export const SO_PEERSEC: number = constant("SO_PEERSEC");
export const SO_PASSSEC: number = constant("SO_PASSSEC");
export const SO_MARK: number = constant("SO_MARK");
export const SO_PROTOCOL: number = constant("SO_PROTOCOL");
export const SO_DOMAIN: number = constant("SO_DOMAIN");
export const SO_RXQ_OVFL: number = constant("SO_RXQ_OVFL");
export const SO_PEEK_OFF: number = constant("SO_PEEK_OFF");
export const SO_NOFCS: number = constant("SO_NOFCS");
export const SO_LOCK_FILTER: number = constant("SO_LOCK_FILTER");
export const SO_SELECT_ERR_QUEUE: number = constant("SO_SELECT_ERR_QUEUE");
export const SO_BUSY_POLL: number = constant("SO_BUSY_POLL");
export const SO_MAX_PACING_RATE: number = constant("SO_MAX_PACING_RATE");
export const SO_INCOMING_CPU: number = constant("SO_INCOMING_CPU");
export const SO_MEMINFO: number = constant("SO_MEMINFO");
export const SO_INCOMING_NAPI_ID: number = constant("SO_INCOMING_NAPI_ID");
export const SO_COOKIE: number = constant("SO_COOKIE");
export const SO_PEERGROUPS: number = constant("SO_PEERGROUPS");
export const SO_ZEROCOPY: number = constant("SO_ZEROCOPY");
export const SO_TXTIME: number = constant("SO_TXTIME");
export const SO_BINDTOIFINDEX: number = constant("SO_BINDTOIFINDEX");
export const SO_PREFER_BUSY_POLL: number = constant("SO_PREFER_BUSY_POLL");
export const SO_BUF_LOCK: number = constant("SO_BUF_LOCK");
export const SO_ATTACH_FILTER: number = constant("SO_ATTACH_FILTER");
export const SO_DETACH_FILTER: number = constant("SO_DETACH_FILTER");
export const SO_ATTACH_BPF: number = constant("SO_ATTACH_BPF");
export const SO_ATTACH_REUSEPORT_CBPF: number = constant("SO_ATTACH_REUSEPORT_CBPF");
export const SO_ATTACH_REUSEPORT_EBPF: number = constant("SO_ATTACH_REUSEPORT_EBPF");

// IP
export const IP_TOS: number = constant("IP_TOS");
export const IP_TTL: number = constant("IP_TTL");
export const IP_HDRINCL: number = constant("IP_HDRINCL");
export const IP_OPTIONS: number = constant("IP_OPTIONS");
export const IP_RECVOPTS: number = constant("IP_RECVOPTS");
export const IP_RETOPTS: number = constant("IP_RETOPTS");
export const IP_PKTINFO: number = constant("IP_PKTINFO");
export const IP_MTU_DISCOVER: number = constant("IP_MTU_DISCOVER");
export const IP_RECVERR: number = constant("IP_RECVERR");
export const IP_RECVTTL: number = constant("IP_RECVTTL");
export const IP_RECVTOS: number = constant("IP_RECVTOS");
export const IP_MTU: number = constant("IP_MTU");
export const IP_FREEBIND: number = constant("IP_FREEBIND");
export const IP_TRANSPARENT: number = constant("IP_TRANSPARENT");
export const IP_RECVORIGDSTADDR: number = constant("IP_RECVORIGDSTADDR");
export const IP_MINTTL: number = constant("IP_MINTTL");
export const IP_NODEFRAG: number = constant("IP_NODEFRAG");
export const IP_CHECKSUM: number = constant("IP_CHECKSUM");
export const IP_BIND_ADDRESS_NO_PORT: number = constant("IP_BIND_ADDRESS_NO_PORT");
export const IP_RECVFRAGSIZE: number = constant("IP_RECVFRAGSIZE");
export const IP_RECVERR_RFC4884: number = constant("IP_RECVERR_RFC4884");
export const IP_MULTICAST_IF: number = constant("IP_MULTICAST_IF");
export const IP_MULTICAST_TTL: number = constant("IP_MULTICAST_TTL");
export const IP_MULTICAST_LOOP: number = constant("IP_MULTICAST_LOOP");
export const IP_ADD_MEMBERSHIP: number = constant("IP_ADD_MEMBERSHIP");
export const IP_DROP_MEMBERSHIP: number = constant("IP_DROP_MEMBERSHIP");
export const IP_UNBLOCK_SOURCE: number = constant("IP_UNBLOCK_SOURCE");
export const IP_BLOCK_SOURCE: number = constant("IP_BLOCK_SOURCE");
export const IP_ADD_SOURCE_MEMBERSHIP: number = constant("IP_ADD_SOURCE_MEMBERSHIP");
export const IP_DROP_SOURCE_MEMBERSHIP: number = constant("IP_DROP_SOURCE_MEMBERSHIP");
export const IP_MSFILTER: number = constant("IP_MSFILTER");
export const IP_MULTICAST_ALL: number = constant("IP_MULTICAST_ALL");
export const IP_UNICAST_IF: number = constant("IP_UNICAST_IF");
export const IP_LOCAL_PORT_RANGE: number = constant("IP_LOCAL_PORT_RANGE");
export const IP_PMTUDISC_DONT: number = constant("IP_PMTUDISC_DONT");
export const IP_PMTUDISC_WANT: number = constant("IP_PMTUDISC_WANT");
export const IP_PMTUDISC_DO: number = constant("IP_PMTUDISC_DO");
export const IP_PMTUDISC_PROBE: number = constant("IP_PMTUDISC_PROBE");
export const IP_PMTUDISC_INTERFACE: number = constant("IP_PMTUDISC_INTERFACE");
export const IP_PMTUDISC_OMIT: number = constant("IP_PMTUDISC_OMIT");
export const IP_ROUTER_ALERT: number = constant("IP_ROUTER_ALERT");
export const MCAST_JOIN_GROUP: number = constant("MCAST_JOIN_GROUP");
export const MCAST_BLOCK_SOURCE: number = constant("MCAST_BLOCK_SOURCE");
export const MCAST_UNBLOCK_SOURCE: number = constant("MCAST_UNBLOCK_SOURCE");
export const MCAST_LEAVE_GROUP: number = constant("MCAST_LEAVE_GROUP");
export const MCAST_JOIN_SOURCE_GROUP: number = constant("MCAST_JOIN_SOURCE_GROUP");
export const MCAST_LEAVE_SOURCE_GROUP: number = constant("MCAST_LEAVE_SOURCE_GROUP");
export const MCAST_MSFILTER: number = constant("MCAST_MSFILTER");
export const MCAST_EXCLUDE: number = constant("MCAST_EXCLUDE");
export const MCAST_INCLUDE: number = constant("MCAST_INCLUDE");

// IPV6
export const IPV6_ADDRFORM: number = constant("IPV6_ADDRFORM");
export const IPV6_2292PKTINFO: number = constant("IPV6_2292PKTINFO");
export const IPV6_CHECKSUM: number = constant("IPV6_CHECKSUM");
export const IPV6_UNICAST_HOPS: number = constant("IPV6_UNICAST_HOPS");
export const IPV6_MULTICAST_IF: number = constant("IPV6_MULTICAST_IF");
export const IPV6_MULTICAST_HOPS: number = constant("IPV6_MULTICAST_HOPS");
export const IPV6_MULTICAST_LOOP: number = constant("IPV6_MULTICAST_LOOP");
export const IPV6_JOIN_GROUP: number = constant("IPV6_JOIN_GROUP");
export const IPV6_LEAVE_GROUP: number = constant("IPV6_LEAVE_GROUP");
export const IPV6_ROUTER_ALERT: number = constant("IPV6_ROUTER_ALERT");
export const IPV6_MTU_DISCOVER: number = constant("IPV6_MTU_DISCOVER");
export const IPV6_MTU: number = constant("IPV6_MTU");
export const IPV6_RECVERR: number = constant("IPV6_RECVERR");
export const IPV6_V6ONLY: number = constant("IPV6_V6ONLY");
export const IPV6_RECVPKTINFO: number = constant("IPV6_RECVPKTINFO");
export const IPV6_PKTINFO: number = constant("IPV6_PKTINFO");
export const IPV6_RECVHOPLIMIT: number = constant("IPV6_RECVHOPLIMIT");
export const IPV6_HOPLIMIT: number = constant("IPV6_HOPLIMIT");
export const IPV6_RECVHOPOPTS: number = constant("IPV6_RECVHOPOPTS");
export const IPV6_HOPOPTS: number = constant("IPV6_HOPOPTS");
export const IPV6_RTHDRDSTOPTS: number = constant("IPV6_RTHDRDSTOPTS");
export const IPV6_RECVRTHDR: number = constant("IPV6_RECVRTHDR");
export const IPV6_RTHDR: number = constant("IPV6_RTHDR");
export const IPV6_RECVDSTOPTS: number = constant("IPV6_RECVDSTOPTS");
export const IPV6_DSTOPTS: number = constant("IPV6_DSTOPTS");
export const IPV6_RECVPATHMTU: number = constant("IPV6_RECVPATHMTU");
export const IPV6_PATHMTU: number = constant("IPV6_PATHMTU");
export const IPV6_DONTFRAG: number = constant("IPV6_DONTFRAG");
export const IPV6_RECVTCLASS: number = constant("IPV6_RECVTCLASS");
export const IPV6_TCLASS: number = constant("IPV6_TCLASS");
export const IPV6_AUTOFLOWLABEL: number = constant("IPV6_AUTOFLOWLABEL");
export const IPV6_ADDR_PREFERENCES: number = constant("IPV6_ADDR_PREFERENCES");
export const IPV6_MINHOPCOUNT: number = constant("IPV6_MINHOPCOUNT");
export const IPV6_ORIGDSTADDR: number = constant("IPV6_ORIGDSTADDR");
export const IPV6_RECVORIGDSTADDR: number = constant("IPV6_RECVORIGDSTADDR");
export const IPV6_TRANSPARENT: number = constant("IPV6_TRANSPARENT");
export const IPV6_UNICAST_IF: number = constant("IPV6_UNICAST_IF");
export const IPV6_RECVFRAGSIZE: number = constant("IPV6_RECVFRAGSIZE");
export const IPV6_FREEBIND: number = constant("IPV6_FREEBIND");
export const IPV6_FLOWINFO: number = constant("IPV6_FLOWINFO");
export const IPV6_FLOWINFO_SEND: number = constant("IPV6_FLOWINFO_SEND");
export const IPV6_FLOWLABEL_MGR: number = constant("IPV6_FLOWLABEL_MGR");
export const IPV6_MULTICAST_ALL: number = constant("IPV6_MULTICAST_ALL");
export const IPV6_HDRINCL: number = constant("IPV6_HDRINCL");
export const IPV6_NEXTHOP: number = constant("IPV6_NEXTHOP");
export const IPV6_RTHDR_TYPE_0: number = constant("IPV6_RTHDR_TYPE_0");
export const IPV6_RECVERR_RFC4884: number = constant("IPV6_RECVERR_RFC4884");

// TCP
export const TCP_NODELAY: number = constant("TCP_NODELAY");
export const TCP_MAXSEG: number = constant("TCP_MAXSEG");
export const TCP_CORK: number = constant("TCP_CORK");
export const TCP_KEEPIDLE: number = constant("TCP_KEEPIDLE");
export const TCP_KEEPINTVL: number = constant("TCP_KEEPINTVL");
export const TCP_KEEPCNT: number = constant("TCP_KEEPCNT");
export const TCP_SYNCNT: number = constant("TCP_SYNCNT");
export const TCP_LINGER2: number = constant("TCP_LINGER2");
export const TCP_DEFER_ACCEPT: number = constant("TCP_DEFER_ACCEPT");
export const TCP_WINDOW_CLAMP: number = constant("TCP_WINDOW_CLAMP");
export const TCP_INFO: number = constant("TCP_INFO");
export const TCP_QUICKACK: number = constant("TCP_QUICKACK");
export const TCP_CONGESTION: number = constant("TCP_CONGESTION");
export const TCP_THIN_LINEAR_TIMEOUTS: number = constant("TCP_THIN_LINEAR_TIMEOUTS");
export const TCP_THIN_DUPACK: number = constant("TCP_THIN_DUPACK");
export const TCP_USER_TIMEOUT: number = constant("TCP_USER_TIMEOUT");
export const TCP_REPAIR: number = constant("TCP_REPAIR");
export const TCP_REPAIR_QUEUE: number = constant("TCP_REPAIR_QUEUE");
export const TCP_QUEUE_SEQ: number = constant("TCP_QUEUE_SEQ");
export const TCP_REPAIR_OPTIONS: number = constant("TCP_REPAIR_OPTIONS");
export const TCP_FASTOPEN: number = constant("TCP_FASTOPEN");
export const TCP_TIMESTAMP: number = constant("TCP_TIMESTAMP");
export const TCP_NOTSENT_LOWAT: number = constant("TCP_NOTSENT_LOWAT");
export const TCP_CC_INFO: number = constant("TCP_CC_INFO");
export const TCP_SAVE_SYN: number = constant("TCP_SAVE_SYN");
export const TCP_SAVED_SYN: number = constant("TCP_SAVED_SYN");
export const TCP_REPAIR_WINDOW: number = constant("TCP_REPAIR_WINDOW");
export const TCP_FASTOPEN_CONNECT: number = constant("TCP_FASTOPEN_CONNECT");
export const TCP_ULP: number = constant("TCP_ULP");
export const TCP_FASTOPEN_KEY: number = constant("TCP_FASTOPEN_KEY");
export const TCP_FASTOPEN_NO_COOKIE: number = constant("TCP_FASTOPEN_NO_COOKIE");
export const TCP_ZEROCOPY_RECEIVE: number = constant("TCP_ZEROCOPY_RECEIVE");
export const TCP_INQ: number = constant("TCP_INQ");
export const TCP_TX_DELAY: number = constant("TCP_TX_DELAY");

// UDP
export const UDP_CORK: number = constant("UDP_CORK");
export const UDP_ENCAP: number = constant("UDP_ENCAP");
export const UDP_NO_CHECK6_TX: number = constant("UDP_NO_CHECK6_TX");
export const UDP_NO_CHECK6_RX: number = constant("UDP_NO_CHECK6_RX");
export const UDP_SEGMENT: number = constant("UDP_SEGMENT");
export const UDP_GRO: number = constant("UDP_GRO");
export const UDPLITE_SEND_CSCOV: number = constant("UDPLITE_SEND_CSCOV");
export const UDPLITE_RECV_CSCOV: number = constant("UDPLITE_RECV_CSCOV");

// SCM
export const SCM_RIGHTS: number = constant("SCM_RIGHTS");
export const SCM_CREDENTIALS: number = constant("SCM_CREDENTIALS");
export const SCM_TIMESTAMP: number = constant("SCM_TIMESTAMP");
export const SCM_TIMESTAMPNS: number = constant("SCM_TIMESTAMPNS");
export const SCM_TIMESTAMPING: number = constant("SCM_TIMESTAMPING");

// resolver
export const AI_PASSIVE: number = constant("AI_PASSIVE");
export const AI_CANONNAME: number = constant("AI_CANONNAME");
export const AI_NUMERICHOST: number = constant("AI_NUMERICHOST");
export const AI_V4MAPPED: number = constant("AI_V4MAPPED");
export const AI_ALL: number = constant("AI_ALL");
export const AI_ADDRCONFIG: number = constant("AI_ADDRCONFIG");
export const AI_NUMERICSERV: number = constant("AI_NUMERICSERV");
export const EAI_BADFLAGS: number = constant("EAI_BADFLAGS");
export const EAI_NONAME: number = constant("EAI_NONAME");
export const EAI_AGAIN: number = constant("EAI_AGAIN");
export const EAI_FAIL: number = constant("EAI_FAIL");
export const EAI_FAMILY: number = constant("EAI_FAMILY");
export const EAI_SOCKTYPE: number = constant("EAI_SOCKTYPE");
export const EAI_SERVICE: number = constant("EAI_SERVICE");
export const EAI_MEMORY: number = constant("EAI_MEMORY");
export const EAI_SYSTEM: number = constant("EAI_SYSTEM");
export const EAI_OVERFLOW: number = constant("EAI_OVERFLOW");
export const EAI_NODATA: number = constant("EAI_NODATA");
export const EAI_ADDRFAMILY: number = constant("EAI_ADDRFAMILY");
export const NI_NUMERICHOST: number = constant("NI_NUMERICHOST");
export const NI_NUMERICSERV: number = constant("NI_NUMERICSERV");
export const NI_NOFQDN: number = constant("NI_NOFQDN");
export const NI_NAMEREQD: number = constant("NI_NAMEREQD");
export const NI_DGRAM: number = constant("NI_DGRAM");
export const NI_MAXHOST: number = constant("NI_MAXHOST");
export const NI_MAXSERV: number = constant("NI_MAXSERV");

// addresses
export const INADDR_ANY: number = constant("INADDR_ANY");
export const INADDR_BROADCAST: number = constant("INADDR_BROADCAST");
export const INADDR_LOOPBACK: number = constant("INADDR_LOOPBACK");
export const INADDR_NONE: number = constant("INADDR_NONE");
export const INADDR_UNSPEC_GROUP: number = constant("INADDR_UNSPEC_GROUP");
export const INADDR_ALLHOSTS_GROUP: number = constant("INADDR_ALLHOSTS_GROUP");
export const INADDR_MAX_LOCAL_GROUP: number = constant("INADDR_MAX_LOCAL_GROUP");
export const IPPORT_RESERVED: number = constant("IPPORT_RESERVED");
export const IPPORT_USERRESERVED: number = constant("IPPORT_USERRESERVED");
export const VMADDR_CID_ANY: number = constant("VMADDR_CID_ANY");
export const VMADDR_PORT_ANY: number = constant("VMADDR_PORT_ANY");
export const VMADDR_CID_HOST: number = constant("VMADDR_CID_HOST");
export const VMADDR_CID_LOCAL: number = constant("VMADDR_CID_LOCAL");
export const SO_VM_SOCKETS_BUFFER_SIZE: number = constant("SO_VM_SOCKETS_BUFFER_SIZE");
export const SO_VM_SOCKETS_BUFFER_MIN_SIZE: number = constant("SO_VM_SOCKETS_BUFFER_MIN_SIZE");
export const SO_VM_SOCKETS_BUFFER_MAX_SIZE: number = constant("SO_VM_SOCKETS_BUFFER_MAX_SIZE");
export const VM_SOCKETS_INVALID_VERSION: number = constant("VM_SOCKETS_INVALID_VERSION");

// poll
export const POLLIN: number = constant("POLLIN");
export const POLLPRI: number = constant("POLLPRI");
export const POLLOUT: number = constant("POLLOUT");
export const POLLERR: number = constant("POLLERR");
export const POLLHUP: number = constant("POLLHUP");
export const POLLNVAL: number = constant("POLLNVAL");
export const POLLRDHUP: number = constant("POLLRDHUP");

// errors of packets
export const SO_EE_ORIGIN_NONE: number = constant("SO_EE_ORIGIN_NONE");
export const SO_EE_ORIGIN_LOCAL: number = constant("SO_EE_ORIGIN_LOCAL");
export const SO_EE_ORIGIN_ICMP: number = constant("SO_EE_ORIGIN_ICMP");
export const SO_EE_ORIGIN_ICMP6: number = constant("SO_EE_ORIGIN_ICMP6");
export const SO_EE_ORIGIN_TIMESTAMPING: number = constant("SO_EE_ORIGIN_TIMESTAMPING");
export const SO_EE_ORIGIN_ZEROCOPY: number = constant("SO_EE_ORIGIN_ZEROCOPY");
