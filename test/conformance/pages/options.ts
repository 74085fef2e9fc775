// setsockopt(2) and getsockopt(2), with socket(7), ip(7), ipv6(7), tcp(7), udp(7).
import {
  AF_INET6,
  AF_UNIX,
  IP_ADD_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPV6_V6ONLY,
  SO_ACCEPTCONN,
  SO_BINDTODEVICE,
  SO_DOMAIN,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_MARK,
  SO_PEERCRED,
  SO_PRIORITY,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_CONGESTION,
  TCP_INFO,
  TCP_KEEPIDLE,
  TCP_MAXSEG,
  TCP_NODELAY,
  UDP_SEGMENT,
  AF_INET,
} from "berkeley";
import { is, type Page, row } from "../row.js";

const group = { group: "224.0.0.251", address: "127.0.0.1" };

export const setsockopt: Page = {
  page: "setsockopt(2)",
  rows: [
    row("setsockopt", "a typed option", is(true), (s) => {
      const socket = s.socket();
      socket.setsockopt(SO_KEEPALIVE, true);
      return socket.getsockopt(SO_KEEPALIVE);
    }),
    row("setsockopt", "the kernel doubles a buffer", is(32768), (s) => {
      const socket = s.socket();
      socket.setsockopt(SO_RCVBUF, 16384);
      return socket.getsockopt(SO_RCVBUF);
    }),
    row("setsockopt", "level, number and bytes", is(1), (s) => {
      const socket = s.socket();
      socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, Uint8Array.of(1, 0, 0, 0));
      return socket.getsockopt(IPPROTO_TCP, TCP_NODELAY);
    }),
    row("setsockopt", "the level does not know the option", "ENOPROTOOPT", (s) =>
      s.socket().setsockopt(IPPROTO_TCP, 200, 1),
    ),
    row("setsockopt", "the socket level does not know the option", "ENOPROTOOPT", (s) =>
      s.socket().setsockopt(SOL_SOCKET, 5000, 1),
    ),
    row("setsockopt", "the socket does not know the level", "EOPNOTSUPP", (s) =>
      s.socket(AF_UNIX).setsockopt(IPPROTO_TCP, TCP_NODELAY, 1),
    ),
    row("setsockopt", "UDP has no options of TCP", "ENOPROTOOPT", (s) =>
      s.socket(AF_INET, SOCK_DGRAM).setsockopt(TCP_NODELAY, true),
    ),
    row("setsockopt", "TCP has no options of UDP", "ENOPROTOOPT", (s) =>
      s.socket().setsockopt(IPPROTO_UDP, UDP_SEGMENT, 100),
    ),
    row("setsockopt", "an option that can only be read", "ENOPROTOOPT", (s) =>
      s.socket().setsockopt(SOL_SOCKET, SO_TYPE, 1),
    ),
    row("setsockopt", "the value is too short", "EINVAL", (s) =>
      s.socket().setsockopt(SOL_SOCKET, SO_KEEPALIVE, new Uint8Array(2)),
    ),
    row("setsockopt", "a linger of half its length", "EINVAL", (s) =>
      s.socket().setsockopt(SOL_SOCKET, SO_LINGER, new Uint8Array(4)),
    ),
    row("setsockopt", "an empty value", "EINVAL", (s) =>
      s.socket().setsockopt(SOL_SOCKET, SO_KEEPALIVE, new Uint8Array(0)),
    ),
    row("setsockopt", "TTL 0", "EINVAL", (s) => s.socket().setsockopt(IPPROTO_IP, IP_TTL, 0)),
    row("setsockopt", "TTL 256", "EINVAL", (s) => s.socket().setsockopt(IPPROTO_IP, IP_TTL, 256)),
    row("setsockopt", "a segment size that is too small", "EINVAL", (s) =>
      s.socket().setsockopt(IPPROTO_TCP, TCP_MAXSEG, 1),
    ),
    row("setsockopt", "a keep-alive of no time", "EINVAL", (s) => s.socket().setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, 0)),
    row("setsockopt", "a congestion control that nobody has", "ENOENT", (s) =>
      s.socket().setsockopt(TCP_CONGESTION, "nosuch"),
    ),
    row("setsockopt", "a device that does not exist", "ENODEV", (s) =>
      s.socket().setsockopt(SO_BINDTODEVICE, "nosuch0"),
    ),
    row("setsockopt", "SO_MARK needs a privilege", "EPERM", (s) => s.socket().setsockopt(SO_MARK, 1), { apart: true }),
    row(
      "setsockopt",
      "SO_RCVBUFFORCE needs a privilege",
      "EPERM",
      (s) => s.socket().setsockopt(SO_RCVBUFFORCE, 100_000),
      { apart: true },
    ),
    row("setsockopt", "priorities over 6 need a privilege", "EPERM", (s) => s.socket().setsockopt(SO_PRIORITY, 7), {
      apart: true,
    }),
    row("setsockopt", "a group is joined twice", "EADDRINUSE", (s) => {
      const socket = s.socket(AF_INET, SOCK_DGRAM);
      socket.setsockopt(IP_ADD_MEMBERSHIP, group);
      socket.setsockopt(IP_ADD_MEMBERSHIP, group);
    }),
    row("setsockopt", "a group is left that was not joined", "EADDRNOTAVAIL", (s) =>
      s.socket(AF_INET, SOCK_DGRAM).setsockopt(IP_DROP_MEMBERSHIP, group),
    ),
    row("setsockopt", "the group is no multicast address", "EINVAL", (s) =>
      s.socket(AF_INET, SOCK_DGRAM).setsockopt(IP_ADD_MEMBERSHIP, { group: "10.0.0.1", address: "127.0.0.1" }),
    ),
    row("setsockopt", "IPV6_V6ONLY after bind()", "EINVAL", async (s) => {
      const socket = s.socket(AF_INET6);
      await socket.bind("[::1]:0");
      socket.setsockopt(IPV6_V6ONLY, true);
    }),
    row("setsockopt", "it is closed", "EBADF", (s) => s.closed().setsockopt(SO_KEEPALIVE, true)),
    row("setsockopt", "the value is of another type", "TypeError", (s) =>
      s.socket().setsockopt(SO_KEEPALIVE, "on" as never),
    ),
    row("setsockopt", "the value is missing", "TypeError", (s) =>
      s.socket().setsockopt(SOL_SOCKET, 9, undefined as never),
    ),
    row("setsockopt", "the value is no C int", "RangeError", (s) => s.socket().setsockopt(SOL_SOCKET, 9, 2 ** 33)),
  ],
};

export const getsockopt: Page = {
  page: "getsockopt(2)",
  rows: [
    row("getsockopt", "what the kernel says of the socket", is([AF_INET, SOCK_STREAM]), (s) => {
      const socket = s.socket();
      return [socket.getsockopt(SO_DOMAIN), socket.getsockopt(SO_TYPE)];
    }),
    row("getsockopt", "whether it listens", is([false, true]), async (s) => [
      s.socket().getsockopt(SO_ACCEPTCONN),
      (await s.listener()).getsockopt(SO_ACCEPTCONN),
    ]),
    row("getsockopt", "who the peer is", is(process.pid), (s) => s.pair()[0].getsockopt(SO_PEERCRED).pid),
    row("getsockopt", "SO_ERROR takes the error", is(["ECONNREFUSED", null]), async (s) => {
      const socket = await s.refused();
      const first = socket.getsockopt(SO_ERROR);
      return [first, socket.getsockopt(SO_ERROR)];
    }),
    row("getsockopt", "a linger of 8 bytes", is(8), (s) => s.socket().getsockopt(SOL_SOCKET, SO_LINGER, 100).length),
    row(
      "getsockopt",
      "room for half the value: it is cut",
      is(2),
      (s) => s.socket().getsockopt(SOL_SOCKET, SO_TYPE, 2).length,
    ),
    row("getsockopt", "the level does not know the option", "ENOPROTOOPT", (s) =>
      s.socket().getsockopt(IPPROTO_TCP, 200),
    ),
    row("getsockopt", "the socket level does not know the option", "ENOPROTOOPT", (s) =>
      s.socket().getsockopt(SOL_SOCKET, 5000),
    ),
    row("getsockopt", "the socket does not know the level", "EOPNOTSUPP", (s) =>
      s.socket(AF_UNIX).getsockopt(TCP_INFO),
    ),
    row("getsockopt", "it is closed", "EBADF", (s) => s.closed().getsockopt(SO_TYPE)),
    row("getsockopt", "the size is negative", "RangeError", (s) => s.socket().getsockopt(SOL_SOCKET, 3, -1)),
    row("getsockopt", "the option is a text", "TypeError", (s) => s.socket().getsockopt("SO_TYPE" as never)),
  ],
};
