// bind(2), listen(2), getsockname(2), getpeername(2), shutdown(2).
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_UNSPEC,
  type InetAddress,
  OpaqueAddress,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  UnixAddress,
} from "berkeley";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { is, type Page, row } from "../row.js";

export const bind: Page = {
  page: "bind(2)",
  rows: [
    row("bind", "port 0 lets the kernel choose", is(true), async (s) => {
      const socket = s.socket();
      await socket.bind("127.0.0.1:0");
      return (socket.getsockname() as InetAddress).port > 0;
    }),
    row("bind", "the wildcard address", is("0.0.0.0"), async (s) => {
      const socket = s.socket();
      await socket.bind(["", 0]);
      return (socket.getsockname() as InetAddress).host;
    }),
    row("bind", "a host name is resolved", is("127.0.0.1"), async (s) => {
      const socket = s.socket();
      await socket.bind(["localhost", 0]);
      return (socket.getsockname() as InetAddress).host;
    }),
    row("bind", "somebody listens there", "EADDRINUSE", async (s) => {
      const server = await s.listener();
      await s.socket().bind(server.getsockname());
    }),
    row("bind", "somebody listens there, SO_REUSEADDR or not", "EADDRINUSE", async (s) => {
      const server = await s.listener();
      const socket = s.socket();
      socket.setsockopt(SO_REUSEADDR, true);
      await socket.bind(server.getsockname());
    }),
    row("bind", "both have SO_REUSEPORT", is(true), async (s) => {
      const [a, b] = [s.socket(), s.socket()];
      for (const socket of [a, b]) socket.setsockopt(SO_REUSEPORT, true);
      await a.bind("127.0.0.1:0");
      await b.bind(a.getsockname());
      return String(a.getsockname()) === String(b.getsockname());
    }),
    row("bind", "another UDP socket has the port", "EADDRINUSE", async (s) => {
      const first = await s.udp();
      await s.socket(AF_INET, SOCK_DGRAM).bind(first.getsockname());
    }),
    row("bind", "the address is not one of this machine", "EADDRNOTAVAIL", (s) => s.socket().bind("203.0.113.1:0")),
    row("bind", "the IPv6 address is not one of this machine", "EADDRNOTAVAIL", (s) =>
      s.socket(AF_INET6).bind("[2001:db8::1]:0"),
    ),
    row("bind", "it is bound already", "EINVAL", async (s) => {
      const socket = s.socket();
      await socket.bind("127.0.0.1:0");
      await socket.bind("127.0.0.1:0");
    }),
    row("bind", "the address is of IPv6, the socket of IPv4", "EAFNOSUPPORT", (s) => s.socket().bind("[::1]:0")),
    row("bind", "the address is of IPv4, the socket of IPv6", "EINVAL", (s) => s.socket(AF_INET6).bind("127.0.0.1:0")),
    row("bind", "the address is a path, the socket of IPv4", "EINVAL", (s) => s.socket().bind({ path: "/x" })),
    row("bind", "the address is of IPv4, the socket is UNIX", "EINVAL", (s) => s.socket(AF_UNIX).bind("127.0.0.1:0")),
    row("bind", "the address is too short for its family", "EINVAL", (s) =>
      s.socket().bind(new OpaqueAddress(AF_UNSPEC, new Uint8Array(4))),
    ),
    row("bind", "a privileged port", "EACCES", (s) => s.socket().bind("127.0.0.1:80"), { apart: true }),
    row("bind", "a link-local address without its interface", "EINVAL", (s) => s.socket(AF_INET6).bind("[fe80::1]:0")),
    row("bind", "the zone is no interface", "ENODEV", (s) => s.socket(AF_INET6).bind("[fe80::1%nosuch]:0")),
    row("bind", "it is closed", "EBADF", (s) => s.closed().bind("127.0.0.1:0")),
    row("bind", "the port is out of range", "RangeError", (s) => s.socket().bind(["127.0.0.1", 65536])),
    row("bind", "the host is an old form of a number", "TypeError", (s) => s.socket().bind(["127.1", 0])),
    row("bind", "the address is no address", "TypeError", (s) => s.socket().bind(null as never)),
    row("bind", "a path that exists", "EADDRINUSE", async (s) => {
      const path = s.path();
      writeFileSync(path, "");
      await s.socket(AF_UNIX).bind({ path });
    }),
    row("bind", "the folder of the path is missing", "ENOENT", (s) =>
      s.socket(AF_UNIX).bind({ path: `${s.path("missing")}/s` }),
    ),
    row("bind", "a part of the path is no folder", "ENOTDIR", async (s) => {
      const path = s.path();
      writeFileSync(path, "");
      await s.socket(AF_UNIX).bind({ path: `${path}/s` });
    }),
    row("bind", "the path is longer than sun_path", "RangeError", (s) =>
      s.socket(AF_UNIX).bind({ path: `/${"x".repeat(107)}` }),
    ),
    row(
      "bind",
      "the folder must not be written to",
      "EACCES",
      async (s) => {
        const folder = s.path("folder");
        mkdirSync(folder);
        chmodSync(folder, 0o500);
        await s.socket(AF_UNIX).bind({ path: `${folder}/s` });
      },
      { apart: true },
    ),
    row("bind", "an abstract name is taken", "EADDRINUSE", async (s) => {
      const path = `\0berkeley-row-${process.pid}`;
      await s.socket(AF_UNIX).bind(new UnixAddress(path));
      await s.socket(AF_UNIX).bind(new UnixAddress(path));
    }),
    row("bind", "no name at all: the kernel chooses one", is(true), async (s) => {
      const socket = s.socket(AF_UNIX);
      await socket.bind("");
      return (socket.getsockname() as UnixAddress).path.startsWith("\0");
    }),
  ],
};

export const listen: Page = {
  page: "listen(2)",
  rows: [
    row("listen", "without bind() the kernel chooses the port", is(true), (s) => {
      const socket = s.socket();
      socket.listen();
      return (socket.getsockname() as InetAddress).port > 0;
    }),
    row("listen", "a second time changes the backlog", is(undefined), async (s) => (await s.listener()).listen(1)),
    row("listen", "a negative backlog is none", is(undefined), (s) => s.socket().listen(-1)),
    row("listen", "another socket listens at the address", "EADDRINUSE", async (s) => {
      const [a, b] = [s.socket(), s.socket()];
      for (const socket of [a, b]) socket.setsockopt(SO_REUSEADDR, true);
      await a.bind("127.0.0.1:0");
      await b.bind(a.getsockname());
      a.listen();
      b.listen();
    }),
    row("listen", "UDP does not listen", "EOPNOTSUPP", (s) => s.socket(AF_INET, SOCK_DGRAM).listen()),
    row("listen", "UNIX datagrams do not listen", "EOPNOTSUPP", (s) => s.socket(AF_UNIX, SOCK_DGRAM).listen()),
    row("listen", "a UNIX socket without a name", "EINVAL", (s) => s.socket(AF_UNIX, SOCK_SEQPACKET).listen()),
    row("listen", "it is connected", "EINVAL", async (s) => (await s.connection())[0].listen()),
    row("listen", "it is closed", "EBADF", (s) => s.closed().listen()),
    row("listen", "the backlog is no number", "TypeError", (s) => s.socket().listen("5" as never)),
    row("listen", "the backlog is no C int", "RangeError", (s) => s.socket().listen(2 ** 31)),
  ],
};

export const getsockname: Page = {
  page: "getsockname(2)",
  rows: [
    row("getsockname", "nobody has bound it", is("0.0.0.0:0"), (s) => String(s.socket().getsockname())),
    row("getsockname", "a UNIX socket without a name", is(""), (s) => (s.pair()[0].getsockname() as UnixAddress).path),
    row("getsockname", "a path of the greatest length", is(107), async (s) => {
      const stem = s.path("");
      const path = stem.padEnd(107, "x");
      const socket = s.socket(AF_UNIX);
      await socket.bind({ path });
      return (socket.getsockname() as UnixAddress).path.length;
    }),
    row("getsockname", "it is closed", "EBADF", (s) => s.closed().getsockname()),
  ],
};

export const getpeername: Page = {
  page: "getpeername(2)",
  rows: [
    row("getpeername", "it is connected", is(true), async (s) => {
      const [client, conn] = await s.connection();
      return String(client.getpeername()) === String(conn.getsockname());
    }),
    row("getpeername", "it is not connected", "ENOTCONN", (s) => s.socket().getpeername()),
    row("getpeername", "it listens", "ENOTCONN", async (s) => (await s.listener()).getpeername()),
    row("getpeername", "UDP without a peer", "ENOTCONN", async (s) => (await s.udp()).getpeername()),
    row("getpeername", "UNIX without a peer", "ENOTCONN", (s) => s.socket(AF_UNIX).getpeername()),
    row("getpeername", "it is closed", "EBADF", (s) => s.closed().getpeername()),
  ],
};

export const shutdown: Page = {
  page: "shutdown(2)",
  rows: [
    row("shutdown", "of writing: the peer reads the end", is(0), async (s) => {
      const [client, conn] = await s.connection();
      client.shutdown(SHUT_WR);
      return (await conn.recv(1)).length;
    }),
    row("end", "the peer has finished: what it sent is dropped", is({ how: "finished", dropped: 5 }), async (s) => {
      const [client, conn] = await s.connection();
      await client.sendAll("12345");
      client.shutdown(SHUT_WR);
      return { ...(await conn.end({ timeout: 5000 })) };
    }),
    row("end", "the peer does not finish", is({ how: "timeout", dropped: 0 }), async (s) => {
      const [, conn] = await s.connection();
      return { ...(await conn.end({ timeout: 1 })) };
    }),
    row("end", "more comes than maxBytes", is({ how: "maxBytes", dropped: 3 }), async (s) => {
      const [client, conn] = await s.connection();
      await client.sendAll("12345");
      return { ...(await conn.end({ timeout: 5000, maxBytes: 2 })) };
    }),
    row("end", "twice, and the socket is closed", is([true, true]), async (s) => {
      const [client, conn] = await s.connection();
      client.close();
      const first = await conn.end({ timeout: 5000 });
      const second = await conn.end({ timeout: 5000 });
      return [first.how === "finished" && ["finished", "closed"].includes(second.how), conn.closed];
    }),
    row("shutdown", "of reading: we read the end", is(0), async (s) => {
      const [client] = await s.connection();
      client.shutdown(SHUT_RD);
      return (await client.recv(1)).length;
    }),
    row("shutdown", "of a listener: nobody is accepted any more", "EINVAL", async (s) => {
      const server = await s.listener();
      server.shutdown(SHUT_RD);
      await server.accept();
    }),
    row("shutdown", "it is not connected", "ENOTCONN", (s) => s.socket().shutdown(SHUT_WR)),
    row("shutdown", "UDP without a peer", "ENOTCONN", async (s) => (await s.udp()).shutdown(SHUT_RDWR)),
    row("shutdown", "the direction is unknown", "RangeError", async (s) => (await s.connection())[0].shutdown(3)),
    row("shutdown", "the direction is no number", "TypeError", (s) => s.socket().shutdown("both" as never)),
    row("shutdown", "it is closed", "EBADF", (s) => s.closed().shutdown(SHUT_WR)),
  ],
};
