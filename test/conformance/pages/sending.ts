// send(2), which is sendto(2) and sendmsg(2) too, sendmmsg(2), sendfile(2), and what udp(7) and unix(7) say of them.
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  DatagramBatch,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_OOB,
  SHUT_WR,
  SO_BROADCAST,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SocketError,
} from "berkeley";
import { is, type Page, row, type Scene, type Socket } from "../row.js";

/** A connection whose client can't send any more for now. */
async function full(s: Scene): Promise<Socket> {
  const [a] = s.pair();
  for (;;) {
    try {
      await a.send(Buffer.alloc(1 << 16), { flags: MSG_DONTWAIT });
    } catch (error) {
      if (error instanceof SocketError && error.code === "EAGAIN") return a;
      throw error;
    }
  }
}

/** A connection that the peer has closed, with our data unread: what we send now is refused. */
async function broken(s: Scene): Promise<Socket> {
  const [a, b] = s.pair();
  b.close();
  return a;
}

// Longer than a datagram of UDP over IPv4 can be, 65507 bytes.
const big = Buffer.alloc(65_530);

export const send: Page = {
  page: "send(2)",
  rows: [
    row("send", "there is room", is(5), async (s) => (await s.connection())[0].send("hello")),
    row("send", "several parts go out in one call", is(6), (s) => s.pair()[0].send(["one", Buffer.from("two")])),
    row("send", "nothing on a stream", is(0), (s) => s.pair()[0].send("")),
    row("send", "an empty datagram", is(0), async (s) => {
      const [a, b] = s.pair(SOCK_DGRAM);
      await a.send("");
      return (await b.recv(10)).length;
    }),
    row("send", "there is no room, MSG_DONTWAIT", "EAGAIN", async (s) =>
      (await full(s)).send("x", { flags: MSG_DONTWAIT }),
    ),
    row("send", "there is no room for so long", "ETIMEDOUT", async (s) => (await full(s)).send("x", { timeout: 5 })),
    row("trySend", "there is room", is(5), async (s) => (await s.connection())[0].trySend("hello")),
    row("trySend", "there is no room", is(undefined), async (s) => (await full(s)).trySend("x")),
    row("trySend", "the peer has closed", "EPIPE", async (s) => (await broken(s)).trySend("x")),
    row("trySend", "a closed socket", "EBADF", (s) => s.closed().trySend("x")),
    row("trySend", "UDP without a peer", "EDESTADDRREQ", async (s) => (await s.udp()).trySend("x")),
    row("send", "TCP that is not connected", "EPIPE", (s) => s.socket().send("x")),
    row("send", "UNIX stream that is not connected", "ENOTCONN", (s) => s.socket(AF_UNIX).send("x")),
    row("send", "UNIX datagrams without a peer", "ENOTCONN", (s) => s.socket(AF_UNIX, SOCK_DGRAM).send("x")),
    row("send", "UDP without a peer", "EDESTADDRREQ", async (s) => (await s.udp()).send("x")),
    row("send", "it listens", "EPIPE", async (s) => (await s.listener()).send("x")),
    row("send", "we have ended writing", "EPIPE", async (s) => {
      const [client] = await s.connection();
      client.shutdown(SHUT_WR);
      await client.send("x");
    }),
    row("send", "the peer has closed", "EPIPE", async (s) => (await broken(s)).send("x")),
    row("send", "the peer has reset the connection", "ECONNRESET", async (s) => {
      const [client, conn] = await s.connection();
      await client.send("unread");
      await conn.readable();
      conn.close();
      await client.readable();
      await client.send("x");
    }),
    row("send", "an earlier datagram was refused", "ECONNREFUSED", async (s) => (await s.refused()).send("x")),
    row("send", "a datagram that is too long for UDP", "EMSGSIZE", async (s) => {
      const [a, b] = [await s.udp(), await s.udp()];
      await a.connect(b.getsockname());
      await a.send(big);
    }),
    row("send", "a message that is longer than the send buffer", "EMSGSIZE", (s) =>
      s.pair(SOCK_SEQPACKET)[0].send(Buffer.alloc(1 << 24)),
    ),
    row("send", "MSG_OOB on UDP", "EOPNOTSUPP", async (s) => {
      const [a, b] = [await s.udp(), await s.udp()];
      await a.connect(b.getsockname());
      await a.send("x", { flags: MSG_OOB });
    }),
    row("send", "MSG_OOB on UNIX datagrams", "EOPNOTSUPP", (s) => s.pair(SOCK_DGRAM)[0].send("x", { flags: MSG_OOB })),
    row("send", "MSG_MORE joins two sends to one datagram", is("onetwo"), async (s) => {
      const [a, b] = [await s.udp(), await s.udp()];
      await a.connect(b.getsockname());
      await a.send("one", { flags: MSG_MORE });
      await a.send("two");
      return (await b.recv(10)).toString();
    }),
    row("send", "it is closed", "EBADF", (s) => s.closed().send("x")),
    row("send", "the memory was detached", is(0), (s) => {
      const bytes = new Uint8Array(4);
      structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
      return s.pair()[0].send(bytes);
    }),
    row("send", "the data are a number", "TypeError", (s) => s.pair()[0].send(5 as never)),
    row("send", "a part of the data is null", "TypeError", (s) => s.pair()[0].send(["x", null as never])),
    row("send", "the flags are no number", "TypeError", (s) => s.pair()[0].send("x", { flags: "MSG_OOB" as never })),
    row("send", "the flags have more than 32 bits", "RangeError", (s) => s.pair()[0].send("x", { flags: 2 ** 40 })),
    row("sendAll", "more than the kernel takes at once", is(20), async (s) => {
      const [a, b] = s.pair();
      await a.sendAll(["0123456789", Buffer.alloc(10)]);
      return (await b.recv(100)).length;
    }),
    row("sendAll", "it is cut short: how many bytes went out", is([true, true]), async (s) => {
      const [a] = s.pair();
      try {
        await a.sendAll(Buffer.alloc(1 << 22), { timeout: 10 });
      } catch (error) {
        const { code, transferred } = error as SocketError;
        return [code === "ETIMEDOUT", transferred! > 0];
      }
      return [];
    }),
    row("sendAll", "the peer has closed", "EPIPE", async (s) => (await broken(s)).sendAll("x")),
    row("sendAll", "TCP that is not connected", "EPIPE", (s) => s.socket().sendAll("x")),
    row("sendAll", "it is closed", "EBADF", (s) => s.closed().sendAll("x")),
    row("sendAll", "the data are undefined", "TypeError", (s) => s.pair()[0].sendAll(undefined as never)),
    row("sendto", "UDP to an address", is(4), async (s) =>
      s.socket(AF_INET, SOCK_DGRAM).sendto("ping", (await s.udp()).getsockname()),
    ),
    row("sendto", "a datagram that is too long for UDP", "EMSGSIZE", async (s) =>
      s.socket(AF_INET, SOCK_DGRAM).sendto(big, (await s.udp()).getsockname()),
    ),
    row("sendto", "the broadcast address without SO_BROADCAST", "EACCES", (s) =>
      s.socket(AF_INET, SOCK_DGRAM).sendto("x", "127.255.255.255:9"),
    ),
    row("sendto", "the broadcast address with SO_BROADCAST", is(1), (s) => {
      const socket = s.socket(AF_INET, SOCK_DGRAM);
      socket.setsockopt(SO_BROADCAST, true);
      return socket.sendto("x", "127.255.255.255:9");
    }),
    row("sendto", "port 0", "EINVAL", (s) => s.socket(AF_INET, SOCK_DGRAM).sendto("x", "127.0.0.1:0")),
    row("sendto", "the address is of IPv6, the socket of IPv4", "EAFNOSUPPORT", (s) =>
      s.socket(AF_INET, SOCK_DGRAM).sendto("x", "[::1]:9"),
    ),
    row("sendto", "a mapped address from a socket of IPv6 alone", "ENETUNREACH", (s) => {
      const socket = s.socket(AF_INET6, SOCK_DGRAM);
      socket.setsockopt(s.api.IPV6_V6ONLY, true);
      return socket.sendto("x", "[::ffff:127.0.0.1]:9");
    }),
    row("sendto", "TCP that is connected pays no heed to the address", is(1), async (s) =>
      (await s.connection())[0].sendto("x", "127.0.0.1:9"),
    ),
    row("sendto", "TCP that is not connected", "EPIPE", (s) => s.socket().sendto("x", "127.0.0.1:9")),
    row("sendto", "a UNIX stream that is connected", "EISCONN", (s) => s.pair()[0].sendto("x", { path: "/x" })),
    row("sendto", "a UNIX stream that is not connected", "EOPNOTSUPP", (s) =>
      s.socket(AF_UNIX).sendto("x", { path: "/x" }),
    ),
    row("sendto", "the path does not exist", "ENOENT", (s) =>
      s.socket(AF_UNIX, SOCK_DGRAM).sendto("x", { path: s.path() }),
    ),
    row("sendto", "nobody is at the abstract name", "ECONNREFUSED", (s) =>
      s.socket(AF_UNIX, SOCK_DGRAM).sendto("x", `unix:@berkeley-no-${process.pid}`),
    ),
    row("sendto", "the path is of a stream socket", "EPROTOTYPE", async (s) => {
      const path = s.path();
      const server = s.socket(AF_UNIX);
      await server.bind({ path });
      await s.socket(AF_UNIX, SOCK_DGRAM).sendto("x", { path });
    }),
    row("sendto", "the receiver has another peer", "EPERM", async (s) => {
      const [path, other] = [s.path(), s.path()];
      const [receiver, peer] = [s.socket(AF_UNIX, SOCK_DGRAM), s.socket(AF_UNIX, SOCK_DGRAM)];
      await receiver.bind({ path });
      await peer.bind({ path: other });
      await receiver.connect({ path: other });
      await s.socket(AF_UNIX, SOCK_DGRAM).sendto("x", { path });
    }),
    row("sendto", "it is closed", "EBADF", (s) => s.closed().sendto("x", "127.0.0.1:9")),
    row("sendto", "the host is no literal and no name", "TypeError", (s) =>
      s.socket(AF_INET, SOCK_DGRAM).sendto("x", ["1.2.3.4.5", 9]),
    ),
  ],
};

export const sendmsg: Page = {
  page: "sendmsg(2)",
  rows: [
    row("sendmsg", "parts, an address and control data", is("abc"), async (s) => {
      const receiver = await s.udp();
      const sender = s.socket(AF_INET, SOCK_DGRAM);
      await sender.sendmsg(["a", "bc"], { address: receiver.getsockname(), control: [{ type: "IP_TTL", ttl: 9 }] });
      return (await receiver.recv(10)).toString();
    }),
    row("sendmsg", "UDP without a peer and without an address", "EDESTADDRREQ", async (s) =>
      (await s.udp()).sendmsg("x"),
    ),
    row("sendmsg", "the TTL is out of range", "EINVAL", async (s) => {
      const control = [{ level: 0, type: 2, data: Buffer.from(Int32Array.of(300).buffer) }] as never;
      return (await s.udp()).sendmsg("x", { address: "127.0.0.1:9", control });
    }),
    row("sendmsg", "control data that the kernel does not know here", "EINVAL", async (s) => {
      const control = [{ level: 0, type: 250, data: Buffer.alloc(4) }] as never;
      return (await s.udp()).sendmsg("x", { address: "127.0.0.1:9", control });
    }),
    row("sendmsg", "a descriptor that is not open", "EBADF", (s) =>
      s.pair()[0].sendmsg("x", { control: [{ type: "SCM_RIGHTS", fds: [999_999] }] }),
    ),
    row("sendmsg", "more descriptors than SCM_MAX_FD", "EINVAL", (s) => {
      const [a] = s.pair();
      return a.sendmsg("x", { control: [{ type: "SCM_RIGHTS", fds: Array.from({ length: 254 }, () => a.fileno()) }] });
    }),
    row(
      "sendmsg",
      "credentials of somebody else",
      "EPERM",
      (s) => s.pair()[0].sendmsg("x", { control: [{ type: "SCM_CREDENTIALS", pid: process.pid, uid: 0, gid: 0 }] }),
      { apart: true },
    ),
    row("sendmsg", "descriptors without a byte on a stream", "RangeError", (s) => {
      const [a, b] = s.pair();
      return a.sendmsg("", { control: [{ type: "SCM_RIGHTS", fds: [b] }] });
    }),
    row("sendmsg", "a datagram that is too long", "EMSGSIZE", async (s) =>
      (await s.udp()).sendmsg([big], { address: "127.0.0.1:9" }),
    ),
    row("sendmsg", "there is no room, MSG_DONTWAIT", "EAGAIN", async (s) =>
      (await full(s)).sendmsg("x", { flags: MSG_DONTWAIT }),
    ),
    row("sendmsg", "the peer has closed", "EPIPE", async (s) => (await broken(s)).sendmsg("x")),
    row("sendmsg", "it is closed", "EBADF", (s) => s.closed().sendmsg("x")),
    row("sendmsg", "the control data are of no known type", "TypeError", (s) =>
      s.pair()[0].sendmsg("x", { control: [{ type: "NOPE" } as never] }),
    ),
    row("send_fds", "a descriptor is passed", is(1), (s) => {
      const [a, b] = s.pair();
      return s.api.send_fds(a, "x", [b]);
    }),
    row("send_fds", "a descriptor that is not open", "EBADF", (s) => s.api.send_fds(s.pair()[0], "x", [999_999])),
  ],
};

export const sendmmsg: Page = {
  page: "sendmmsg(2)",
  rows: [
    row("sendmmsg", "all go out", is(2), (s) => {
      const batch = new DatagramBatch({ size: 10 });
      batch.add("a");
      batch.add("");
      return s.pair(SOCK_DGRAM)[0].sendmmsg(batch);
    }),
    row("sendmmsg", "the batch is empty", is(0), (s) => s.pair(SOCK_DGRAM)[0].sendmmsg(new DatagramBatch())),
    row("sendmmsg", "the second one is refused: one went out", is(["EMSGSIZE", 1]), async (s) => {
      const receiver = await s.udp();
      const batch = new DatagramBatch({ size: 65_530 });
      batch.add("a", receiver.getsockname());
      batch.add(big, receiver.getsockname());
      try {
        return await s.socket(AF_INET, SOCK_DGRAM).sendmmsg(batch);
      } catch (error) {
        const { code, transferred } = error as SocketError;
        return [code, transferred];
      }
    }),
    row("sendmmsg", "skipRefused passes over it", is([2, "EMSGSIZE"]), async (s) => {
      const address = (await s.udp()).getsockname();
      const batch = new DatagramBatch({ size: 65_530 });
      for (const data of ["a", big, "c"]) batch.add(data, address);
      const sent = await s.socket(AF_INET, SOCK_DGRAM).sendmmsg(batch, { skipRefused: true });
      return [sent, batch.error(1)?.code];
    }),
    row("sendmmsg", "UDP without a peer and without an address", "EDESTADDRREQ", async (s) => {
      const batch = new DatagramBatch({ size: 10 });
      batch.add("a");
      await (await s.udp()).sendmmsg(batch);
    }),
    row("sendmmsg", "it is closed", "EBADF", (s) => s.closed().sendmmsg(new DatagramBatch())),
    row("sendmmsg", "start is behind the end", "RangeError", (s) =>
      s.pair(SOCK_DGRAM)[0].sendmmsg(new DatagramBatch(), { start: 1 }),
    ),
    row("sendmmsg", "the batch is none", "TypeError", (s) => s.pair(SOCK_DGRAM)[0].sendmmsg([] as never)),
    row("sendSegments", "one buffer becomes datagrams", is([5, "aa", "c"]), async (s) => {
      const [a, b] = [await s.udp(), await s.udp()];
      const sent = await a.sendSegments("aabbc", 2, { address: b.getsockname() });
      const first = (await b.recv(9)).toString();
      await b.recv(9);
      return [sent, first, (await b.recv(9)).toString()];
    }),
    row("sendSegments", "a segment is larger than a datagram", "RangeError", async (s) =>
      (await s.udp()).sendSegments("x", 70_000),
    ),
    row("sendSegments", "without an address", "EDESTADDRREQ", async (s) => (await s.udp()).sendSegments("xyz", 2)),
    row("sendSegments", "it is closed", "EBADF", (s) => s.closed().sendSegments("xyz", 2)),
  ],
};

export const splice: Page = {
  page: "splice(2)",
  rows: [
    row("splice", "so many bytes", is([3, "abc"]), async (s) => {
      const [client, a] = s.pair();
      const [b, server] = s.pair();
      await client.send("abcdef");
      return [await s.api.splice(a, b, { count: 3 }), String(await server.recv(9))];
    }),
    row("splice", "until the source ends", is([6, 0]), async (s) => {
      const [client, a] = s.pair();
      const [b, server] = s.pair();
      await client.send("abcdef");
      client.close();
      const count = await s.api.splice(a, b);
      await server.recv(9);
      return [count, (await server.recv(9)).length];
    }),
    row("splice", "nothing comes", "ETIMEDOUT", (s) => s.api.splice(s.pair()[0], s.pair()[0], { timeout: 5 })),
    row("splice", "nothing comes, and nothing moves", "ETIMEDOUT", (s) =>
      s.api.splice(s.pair()[0], s.pair()[0], { idleTimeout: 5 }),
    ),
    row("splice", "the reader of the destination has closed", "EPIPE", async (s) => {
      const [client, a] = s.pair();
      await client.send("x");
      await s.api.splice(a, await broken(s));
    }),
    row("splice", "the source is not connected", "ENOTCONN", (s) => s.api.splice(s.socket(), s.pair()[0])),
    row("splice", "the source is closed", "EBADF", (s) => s.api.splice(s.closed(), s.pair()[0])),
    row("splice", "the source is no stream", "TypeError", (s) => s.api.splice(s.pair(SOCK_DGRAM)[0], s.pair()[0])),
    row("splice", "the count is negative", "RangeError", (s) => s.api.splice(s.pair()[0], s.pair()[0], { count: -1 })),
    row(
      "splice",
      "the process has no descriptors left for a pipe",
      "EMFILE",
      (s) => {
        const [[a], [b]] = [s.pair(), s.pair()];
        s.exhaust();
        return s.api.splice(a, b);
      },
      { apart: true },
    ),
    row("pump", "both ways, until both have ended", is({ aToB: 2, bToA: 3 }), async (s) => {
      const [client, a] = s.pair();
      const [b, server] = s.pair();
      await client.send("ab");
      await server.send("cde");
      client.shutdown(SHUT_WR);
      server.shutdown(SHUT_WR);
      return s.api.pump(a, b);
    }),
    row("pump", "nothing comes", "ETIMEDOUT", (s) => s.api.pump(s.pair()[0], s.pair()[0], { timeout: 5 })),
    row("pump", "one of them is closed", "EBADF", (s) => s.api.pump(s.pair()[0], s.closed())),
    row("pump", "one of them is none", "TypeError", (s) => s.api.pump(s.pair()[0], null as never)),
  ],
};

export const sendfile: Page = {
  page: "sendfile(2)",
  rows: [
    row("sendfile", "to its end", is(10), (s) => s.pair()[0].sendfile(s.file(10))),
    row("sendfile", "from an offset, so many bytes", is(3), (s) =>
      s.pair()[0].sendfile(s.file(10), { offset: 5, count: 3 }),
    ),
    row("sendfile", "the offset is behind the end", is(0), (s) => s.pair()[0].sendfile(s.file(10), { offset: 50 })),
    row("sendfile", "the file is not open", "EBADF", (s) => s.pair()[0].sendfile(999_999)),
    row("sendfile", "the file is no file", "EINVAL", (s) => s.pair()[0].sendfile(s.notSocket())),
    row("sendfile", "the file is a socket", "EINVAL", (s) => {
      const [a, b] = s.pair();
      return a.sendfile(b.fileno());
    }),
    row("sendfile", "TCP that is not connected", "EPIPE", (s) => s.socket().sendfile(s.file(10))),
    row("sendfile", "the peer has closed", "EPIPE", async (s) => (await broken(s)).sendfile(s.file(10))),
    row("sendfile", "there is no room for so long", "ETIMEDOUT", async (s) =>
      (await full(s)).sendfile(s.file(10), { timeout: 5 }),
    ),
    row("sendfile", "it is closed", "EBADF", (s) => s.closed().sendfile(s.file(10))),
    row("sendfile", "the offset is negative", "RangeError", (s) => s.pair()[0].sendfile(s.file(10), { offset: -1 })),
    row("sendfile", "the file is a path", "TypeError", (s) => s.pair()[0].sendfile("/etc/passwd" as never)),
  ],
};
