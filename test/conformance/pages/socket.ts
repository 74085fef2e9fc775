// socket(2), socketpair(2), and the functions that make a Socket of a descriptor.
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  NETLINK_ROUTE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_RDM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from "berkeley";
import { closeSync, fstatSync, readFileSync } from "node:fs";
import { is, type Page, row } from "../row.js";

const pingIsOpen = (): boolean => {
  const [first = 1, last = 0] = readFileSync("/proc/sys/net/ipv4/ping_group_range", "utf8").split("\t").map(Number);
  return first <= last;
};

export const making: Page = {
  page: "socket(2)",
  rows: [
    row("Socket", "nothing is said of it: TCP over IPv4", is([AF_INET, SOCK_STREAM, 0]), (s) => {
      const made = s.socket();
      return [made.family, made.type, made.protocol];
    }),
    row(
      "Socket",
      "the flags of the type are no part of it",
      is(SOCK_DGRAM),
      (s) => s.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC).type,
    ),
    row("Socket", "the family is unknown", "EAFNOSUPPORT", (s) => s.socket(255, SOCK_STREAM)),
    row("Socket", "the family is negative", "EAFNOSUPPORT", (s) => s.socket(-1, SOCK_STREAM)),
    row("Socket", "the type has flags that do not exist", "EINVAL", (s) => s.socket(AF_INET, SOCK_STREAM | 0x100)),
    row("Socket", "the type is unknown", "EINVAL", (s) => s.socket(AF_INET, 15)),
    row("Socket", "IPv4 has no such type", "ESOCKTNOSUPPORT", (s) => s.socket(AF_INET, SOCK_RDM)),
    row("Socket", "UNIX has no such type", "ESOCKTNOSUPPORT", (s) => s.socket(AF_UNIX, SOCK_RDM)),
    row("Socket", "netlink has no streams", "ESOCKTNOSUPPORT", (s) => s.socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE)),
    row("Socket", "UDP is no stream", "EPROTONOSUPPORT", (s) => s.socket(AF_INET, SOCK_STREAM, IPPROTO_UDP)),
    row("Socket", "TCP has no datagrams", "EPROTONOSUPPORT", (s) => s.socket(AF_INET6, SOCK_DGRAM, IPPROTO_TCP)),
    row("Socket", "UNIX has no protocols", "EPROTONOSUPPORT", (s) => s.socket(AF_UNIX, SOCK_STREAM, 5)),
    row("Socket", "netlink has no such protocol", "EPROTONOSUPPORT", (s) => s.socket(AF_NETLINK, SOCK_RAW, 31)),
    row("Socket", "the protocol is out of range", "EINVAL", (s) => s.socket(AF_INET, SOCK_STREAM, -1)),
    row("Socket", "the family is no number", "TypeError", (s) => s.socket("AF_INET" as never)),
    row("Socket", "the type is no whole number", "RangeError", (s) => s.socket(AF_INET, 1.5)),
    row("Socket", "raw sockets need a privilege", "EPERM", (s) => s.socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), {
      apart: true,
    }),
    row("Socket", "packet sockets need a privilege", "EPERM", (s) => s.socket(AF_PACKET, SOCK_RAW), { apart: true }),
    row(
      "Socket",
      "ICMP datagrams need a group of ping_group_range",
      "EACCES",
      (s) => s.socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
      {
        apart: true,
        unless: () => pingIsOpen() && "ping_group_range has groups",
      },
    ),
    row(
      "Socket",
      "the process has no descriptors left",
      "EMFILE",
      (s) => {
        s.exhaust();
        s.socket();
      },
      { apart: true },
    ),
    row("fromfd", "a socket says of itself what it is", is([AF_UNIX, SOCK_SEQPACKET]), (s) => {
      const adopted = s.own(s.api.Socket.fromfd(s.pair(SOCK_SEQPACKET)[0].detach()));
      return [adopted.family, adopted.type];
    }),
    row("fromfd", "the descriptor is not open", "EBADF", (s) => s.api.Socket.fromfd(1_000_000)),
    row("fromfd", "the descriptor is no socket", "ENOTSOCK", (s) => s.api.Socket.fromfd(s.notSocket())),
    row("fromfd", "another Socket has it", "EBUSY", (s) => s.api.Socket.fromfd(s.socket().fileno())),
    row("fromfd", "the number is negative", "RangeError", (s) => s.api.Socket.fromfd(-1)),
    row("fileno", "an open socket has a descriptor", is(true), (s) => fstatSync(s.socket().fileno()).isSocket()),
    row("fileno", "a closed socket has none", is(-1), (s) => {
      const socket = s.socket();
      socket.close();
      return socket.fileno();
    }),
    row("detach", "the descriptor stays open", is(true), (s) => {
      const fd = s.socket().detach();
      s.finally(() => closeSync(fd));
      return fstatSync(fd).isSocket();
    }),
    row("detach", "it is closed", "EBADF", (s) => {
      const socket = s.socket();
      socket.close();
      socket.detach();
    }),
    row("dup", "two descriptors are one socket", is("both"), async (s) => {
      const [a, b] = s.pair();
      const copy = s.own(a.dup());
      a.close();
      await copy.sendAll("both");
      return (await b.recv(10)).toString();
    }),
    row("dup", "it is closed", "EBADF", (s) => {
      const socket = s.socket();
      socket.close();
      socket.dup();
    }),
    row(
      "dup",
      "the process has no descriptors left",
      "EMFILE",
      (s) => {
        const socket = s.socket();
        s.exhaust();
        socket.dup();
      },
      { apart: true },
    ),
    row("close", "a second time", is(true), (s) => {
      const socket = s.socket();
      socket.close();
      socket.close();
      return socket.closed;
    }),
    row("close", "the peer has not read: the connection is reset", "ECONNRESET", async (s) => {
      const [client, conn] = await s.connection();
      await client.sendAll("unread");
      await conn.readable();
      conn.close();
      await client.recv(1);
    }),
    row("timeout", "it holds for a call that has none of its own", "ETIMEDOUT", async (s) => {
      const [a] = s.pair();
      a.timeout = 5;
      await a.recv(1);
    }),
    row("timeout", "it is negative", "RangeError", (s) => {
      s.socket().timeout = -1;
    }),
    row("setdefaulttimeout", "new sockets start with it", is([7, 7]), (s) => {
      s.finally(() => s.api.setdefaulttimeout(null));
      s.api.setdefaulttimeout(7);
      return [s.socket().timeout, s.api.getdefaulttimeout()];
    }),
    row("getdefaulttimeout", "nobody has set one", is(null), (s) => s.api.getdefaulttimeout()),
  ],
};

export const pairing: Page = {
  page: "socketpair(2)",
  rows: [
    row("socketpair", "nothing is said of it: UNIX streams", is([AF_UNIX, SOCK_STREAM]), (s) => {
      const [a, b] = s.api.socketpair();
      s.own(a);
      s.own(b);
      return [a.family, b.type];
    }),
    row("socketpair", "IPv4 has no pairs", "EOPNOTSUPP", (s) => s.api.socketpair(AF_INET)),
    row("socketpair", "the family is unknown", "EAFNOSUPPORT", (s) => s.api.socketpair(255)),
    row("socketpair", "the protocol is unknown", "EPROTONOSUPPORT", (s) => s.api.socketpair(AF_UNIX, SOCK_STREAM, 9)),
    row("socketpair", "the type is unknown", "EINVAL", (s) => s.api.socketpair(AF_UNIX, 14)),
    row("socketpair", "the protocol is no number", "TypeError", (s) =>
      s.api.socketpair(AF_UNIX, SOCK_STREAM, null as never),
    ),
    row(
      "socketpair",
      "the process has no descriptors left",
      "EMFILE",
      (s) => {
        s.exhaust();
        s.api.socketpair();
      },
      { apart: true },
    ),
  ],
};
