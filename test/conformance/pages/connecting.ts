// accept(2), connect(2), and the calls that connect or listen in one go.
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_UNSPEC,
  type Inet6Address,
  type InetAddress,
  OpaqueAddress,
  SHUT_WR,
  SO_LINGER,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from "berkeley";
import { chmodSync, writeFileSync } from "node:fs";
import { calls } from "#berkeley/sys/calls.js";
import { EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED } from "#berkeley/sys/errno.js";
import { is, type Page, row, type Scene } from "../row.js";

/** The kernel answers the next call of `name` so; it can't be made to on demand. */
function answers(s: Scene, name: "accept" | "socket", ...results: number[]): void {
  const real = calls[name] as (...args: unknown[]) => number;
  Object.assign(calls, { [name]: (...args: unknown[]) => results.shift() ?? real(...args) });
  s.finally(() => Object.assign(calls, { [name]: real }));
}

const unixListener = async (s: Scene, type: number, backlog?: number): Promise<string> => {
  const path = s.path();
  const server = s.socket(AF_UNIX, type);
  await server.bind({ path });
  server.listen(backlog);
  return path;
};

export const accept: Page = {
  page: "accept(2)",
  rows: [
    row("accept", "a connection waits", is([AF_INET, SOCK_STREAM, true]), async (s) => {
      const server = await s.listener();
      const client = s.socket();
      await client.connect(server.getsockname());
      const [conn, address] = await server.accept();
      s.own(conn);
      return [conn.family, conn.getsockopt(SO_TYPE), String(address) === String(client.getsockname())];
    }),
    row("accept", "the peer has gone, its data have not", is("last words"), async (s) => {
      const server = await s.listener();
      const client = s.socket();
      await client.connect(server.getsockname());
      await client.sendAll("last words");
      client.close();
      const [conn] = await server.accept();
      return (await s.own(conn).recv(100)).toString();
    }),
    row("accept", "the peer has reset the connection", "ECONNRESET", async (s) => {
      const server = await s.listener();
      const client = s.socket();
      await client.connect(server.getsockname());
      client.setsockopt(SO_LINGER, 0);
      client.close();
      const [conn] = await server.accept();
      await s.own(conn).recv(1);
    }),
    row("accept", "nobody comes", "ETIMEDOUT", async (s) => (await s.listener()).accept({ timeout: 5 })),
    row("accept", "it does not listen", "EINVAL", (s) => s.socket().accept()),
    row("accept", "it is connected", "EINVAL", async (s) => (await s.connection())[1].accept()),
    row("accept", "UDP has no connections", "EOPNOTSUPP", async (s) => (await s.udp()).accept()),
    row("accept", "UNIX datagrams have no connections", "EOPNOTSUPP", (s) => s.pair(SOCK_DGRAM)[0].accept()),
    row("accept", "a UNIX socket that does not listen", "EINVAL", (s) => s.socket(AF_UNIX).accept()),
    row("accept", "it is closed", "EBADF", async (s) => {
      const server = await s.listener();
      server.close();
      await server.accept();
    }),
    row(
      "accept",
      "the process has no descriptors left",
      "EMFILE",
      async (s) => {
        const server = await s.listener();
        await s.socket().connect(server.getsockname());
        s.exhaust();
        await server.accept();
      },
      { apart: true },
    ),
    ...(
      [
        ["ENFILE", ENFILE],
        ["ENOBUFS", ENOBUFS],
        ["ENOMEM", ENOMEM],
        ["EMFILE", EMFILE],
      ] as const
    ).map(([code, errno]) =>
      row("accept", `the kernel says ${code}`, code, async (s) => {
        const server = await s.listener();
        await s.socket().connect(server.getsockname());
        answers(s, "accept", errno);
        await server.accept();
      }),
    ),
    row("accept", "retryOnShortage, the kernel is short of memory for a while", is(true), async (s) => {
      const server = await s.listener();
      await s.socket().connect(server.getsockname());
      answers(s, "accept", ENOMEM, ENOBUFS);
      const [conn] = await server.accept({ retryOnShortage: true });
      return s.own(conn).fileno() >= 0;
    }),
    row("accept", "a connection was aborted: the next one comes", is(true), async (s) => {
      const server = await s.listener();
      await s.socket().connect(server.getsockname());
      answers(s, "accept", ECONNABORTED);
      const [conn] = await server.accept();
      return s.own(conn).fileno() >= 0;
    }),
    row("accept", "retryOnShortage is no boolean", "TypeError", async (s) =>
      (await s.listener()).accept({ retryOnShortage: 1 as never }),
    ),
  ],
};

export const connect: Page = {
  page: "connect(2)",
  rows: [
    row("connect", "somebody listens", is(true), async (s) => {
      const server = await s.listener();
      const client = s.socket();
      await client.connect(server.getsockname());
      return String(client.getpeername()) === String(server.getsockname());
    }),
    row("connect", "nobody listens", "ECONNREFUSED", async (s) => s.socket().connect(await s.deadPort())),
    row("connect", "nobody listens, over IPv6", "ECONNREFUSED", async (s) => {
      const server = s.socket(AF_INET6);
      await server.bind("[::1]:0");
      await s.socket(AF_INET6).connect(server.getsockname());
    }),
    row("connect", "it is connected", "EISCONN", async (s) => {
      const server = await s.listener();
      const client = s.socket();
      await client.connect(server.getsockname());
      await client.connect(server.getsockname());
    }),
    row("connect", "it listens", "EISCONN", async (s) => {
      const server = await s.listener();
      await server.connect(server.getsockname());
    }),
    row("connect", "an attempt that was cut short is under way", "EALREADY", async (s) => {
      const client = s.socket();
      const address = await fullListener(s);
      try {
        await client.connect(address, { timeout: 5 });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ETIMEDOUT") throw error;
      }
      await client.connect(address);
    }),
    row("connect", "the queue of the listener is full", "ETIMEDOUT", async (s) =>
      s.socket().connect(await fullListener(s), { timeout: 20 }),
    ),
    row("connect", "the address is of IPv6, the socket of IPv4", "EAFNOSUPPORT", (s) => s.socket().connect("[::1]:1")),
    row("connect", "the address is a path, the socket of IPv4", "EAFNOSUPPORT", (s) =>
      s.socket().connect({ path: "/x".padEnd(30, "x") }),
    ),
    row("connect", "the address is of IPv4, the socket is UNIX", "EINVAL", (s) =>
      s.socket(AF_UNIX).connect("127.0.0.1:1"),
    ),
    row("connect", "the address is too short", "EINVAL", (s) =>
      s.socket().connect(new OpaqueAddress(200, new Uint8Array(2))),
    ),
    row("connect", "TCP to the broadcast address", "ENETUNREACH", (s) => s.socket().connect("255.255.255.255:1")),
    row("connect", "UDP to the broadcast address without SO_BROADCAST", "EACCES", (s) =>
      s.socket(AF_INET, SOCK_DGRAM).connect("255.255.255.255:1"),
    ),
    row("connect", "TCP to a multicast address", "ENETUNREACH", (s) => s.socket().connect("224.0.0.1:1")),
    row("connect", "a link-local address without its interface", "EINVAL", (s) =>
      s.socket(AF_INET6).connect("[fe80::1]:1"),
    ),
    row("connect", "it is bound to the loopback, the address is elsewhere", "EINVAL", async (s) => {
      const socket = s.socket();
      await socket.bind("127.0.0.1:0");
      await socket.connect("203.0.113.1:1");
    }),
    row("connect", "UDP sets the peer, and again", is(true), async (s) => {
      const [a, b, c] = [await s.udp(), await s.udp(), await s.udp()];
      await a.connect(b.getsockname());
      await a.connect(c.getsockname());
      return String(a.getpeername()) === String(c.getsockname());
    }),
    row("connect", "AF_UNSPEC takes the peer of a datagram socket away", "ENOTCONN", async (s) => {
      const [a, b] = [await s.udp(), await s.udp()];
      await a.connect(b.getsockname());
      await a.connect(new OpaqueAddress(AF_UNSPEC, new Uint8Array(14)));
      a.getpeername();
    }),
    row("connect", "the path does not exist", "ENOENT", (s) => s.socket(AF_UNIX).connect({ path: s.path() })),
    row("connect", "the path is no socket", "ECONNREFUSED", async (s) => {
      const path = s.path();
      writeFileSync(path, "");
      await s.socket(AF_UNIX).connect({ path });
    }),
    row("connect", "nobody listens at the path", "ECONNREFUSED", async (s) => {
      const path = s.path();
      await s.socket(AF_UNIX).bind({ path });
      await s.socket(AF_UNIX).connect({ path });
    }),
    row("connect", "the abstract name does not exist", "ECONNREFUSED", (s) =>
      s.socket(AF_UNIX).connect(`unix:@berkeley-none-${process.pid}`),
    ),
    row("connect", "a part of the path is no folder", "ENOTDIR", async (s) => {
      const path = s.path();
      writeFileSync(path, "");
      await s.socket(AF_UNIX).connect({ path: `${path}/s` });
    }),
    row("connect", "datagrams to a stream socket", "EPROTOTYPE", async (s) => {
      const path = await unixListener(s, SOCK_STREAM);
      await s.socket(AF_UNIX, SOCK_DGRAM).connect({ path });
    }),
    row("connect", "a stream to a seqpacket socket", "EPROTOTYPE", async (s) => {
      const path = await unixListener(s, SOCK_SEQPACKET);
      await s.socket(AF_UNIX).connect({ path });
    }),
    row(
      "connect",
      "the socket must not be written to",
      "EACCES",
      async (s) => {
        const path = await unixListener(s, SOCK_STREAM);
        chmodSync(path, 0o400);
        await s.socket(AF_UNIX).connect({ path });
      },
      { apart: true },
    ),
    row("connect", "the queue of a UNIX listener is full", "ETIMEDOUT", async (s) => {
      const path = await unixListener(s, SOCK_STREAM, 0);
      await s.socket(AF_UNIX).connect({ path });
      await s.socket(AF_UNIX).connect({ path }, { timeout: 20 });
    }),
    row("connect", "it is closed", "EBADF", (s) => {
      const socket = s.socket();
      socket.close();
      return socket.connect("127.0.0.1:1");
    }),
    row("connect", "the address has no port", "TypeError", (s) => s.socket().connect("127.0.0.1")),
    row("connect", "the timeout is no number", "TypeError", (s) =>
      s.socket().connect("127.0.0.1:1", { timeout: "1" as never }),
    ),
    row("connect", "the options are a number", "TypeError", (s) => s.socket().connect("127.0.0.1:1", 5 as never)),
  ],
};

/** A listener whose queue is full, so that the kernel drops what comes. */
async function fullListener(s: Scene): Promise<InetAddress> {
  const server = await s.listener(0);
  const address = server.getsockname() as InetAddress;
  await s.socket().connect(address);
  return address;
}

export const create: Page = {
  page: "socket(2), bind(2), listen(2), connect(2) in one call",
  rows: [
    row("create_server", "it listens", is(true), async (s) => {
      const server = s.own(await s.api.create_server("127.0.0.1:0"));
      return (server.getsockname() as InetAddress).port > 0;
    }),
    row("create_server", "the address is taken", "EADDRINUSE", async (s) => {
      const server = await s.listener();
      await s.api.create_server(server.getsockname());
    }),
    row("create_server", "dual-stack without IPv6", "TypeError", (s) =>
      s.api.create_server(["", 0], { family: AF_INET, dualstackIpv6: true }),
    ),
    row("create_server", "IPv6 alone takes no IPv4", "ECONNREFUSED", async (s) => {
      const server = s.own(await s.api.create_server(["", 0], { family: AF_INET6 }));
      await s.socket().connect(["127.0.0.1", (server.getsockname() as Inet6Address).port]);
    }),
    row("create_server", "reusePort is no boolean", "TypeError", (s) =>
      s.api.create_server(["", 0], { reusePort: 1 as never }),
    ),
    row("create_connection", "somebody listens", is(true), async (s) => {
      const server = await s.listener();
      const client = s.own(await s.api.create_connection(server.getsockname(), { sourceAddress: "127.0.0.1:0" }));
      return String(client.getpeername()) === String(server.getsockname());
    }),
    row("create_connection", "nobody listens", "ECONNREFUSED", async (s) =>
      s.api.create_connection(await s.deadPort()),
    ),
    row("create_connection", "allErrors", "AggregateError", async (s) =>
      s.api.create_connection(await s.deadPort(), { allErrors: true }),
    ),
    row("create_connection", "the source is not one of this machine", "EADDRNOTAVAIL", async (s) => {
      const server = await s.listener();
      await s.api.create_connection(server.getsockname(), { sourceAddress: "203.0.113.1:0" });
    }),
    row("create_connection", "nobody accepts in time", "ETIMEDOUT", async (s) =>
      s.api.create_connection(await fullListener(s), { timeout: 20 }),
    ),
    row("iterator", "the loop ends when the listener is closed", is(2), async (s) => {
      const server = await s.listener();
      for (let i = 0; i < 2; i++) await s.socket().connect(server.getsockname());
      let count = 0;
      // An awaitable loop over what is iterable without promises does the same.
      for await (const [conn] of server as AsyncIterable<[ReturnType<typeof s.own>, unknown]>) {
        s.own(conn).shutdown(SHUT_WR);
        if (++count === 2) server.close();
      }
      return count;
    }),
  ],
};
