// recv(2), which is recvfrom(2) and recvmsg(2) too, recvmmsg(2), poll(2).
import {
  AF_INET,
  AF_UNIX,
  DatagramBatch,
  IP_RECVERR,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLRDHUP,
  SHUT_WR,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
} from "berkeley";
import { is, type Page, row, type Scene, type Socket } from "../row.js";

async function reset(s: Scene): Promise<Socket> {
  const [client, conn] = await s.connection();
  await client.send("unread");
  await conn.readable();
  conn.close();
  return client;
}

/** A socket with these messages to read. */
async function filled(s: Scene, type: number, ...messages: string[]): Promise<Socket> {
  const [a, b] = s.pair(type);
  for (const message of messages) await a.send(message);
  return b;
}

const stream = (s: Scene, text: string): Promise<Socket> => filled(s, s.api.SOCK_STREAM, text);

export const recv: Page = {
  page: "recv(2)",
  rows: [
    row("recv", "what there is, though it is less", is("abc"), async (s) =>
      String(await (await stream(s, "abc")).recv(10)),
    ),
    row("recv", "no more than asked for", is("ab"), async (s) => String(await (await stream(s, "abc")).recv(2))),
    row("recv", "the peer has finished", is(0), async (s) => {
      const [client, conn] = await s.connection();
      conn.shutdown(SHUT_WR);
      return (await client.recv(10)).length;
    }),
    row("recv", "0 bytes of a stream", is(0), async (s) => (await (await stream(s, "abc")).recv(0)).length),
    row("recv", "a datagram that is longer is cut", is(["ab", "next"]), async (s) => {
      const socket = await filled(s, SOCK_DGRAM, "abcdef", "next");
      return [String(await socket.recv(2)), String(await socket.recv(9))];
    }),
    row("tryRecv", "what there is", is("abc"), async (s) => String((await stream(s, "abc")).tryRecv(10))),
    row("tryRecv", "nothing is there", is(undefined), (s) => s.pair()[0].tryRecv(1)),
    row("tryRecv", "MSG_WAITALL waits for nothing", is("abc"), async (s) =>
      String((await stream(s, "abc")).tryRecv(10, { flags: MSG_WAITALL })),
    ),
    row("tryRecv", "a closed socket", "EBADF", (s) => s.closed().tryRecv(1)),
    row("tryRecv", "a socket that is not connected", "ENOTCONN", (s) => s.socket().tryRecv(1)),
    row("tryRecvInto", "what there is", is(3), async (s) => (await stream(s, "abc")).tryRecvInto(Buffer.alloc(10))),
    row("tryRecvInto", "nothing is there", is(undefined), (s) => s.pair()[0].tryRecvInto(Buffer.alloc(1))),
    row("tryRecvInto", "the peer has reset the connection", "ECONNRESET", async (s) =>
      (await reset(s)).tryRecvInto(Buffer.alloc(1)),
    ),
    row("recv", "nothing is there, MSG_DONTWAIT", "EAGAIN", (s) => s.pair()[0].recv(1, { flags: MSG_DONTWAIT })),
    row("recv", "nothing comes", "ETIMEDOUT", (s) => s.pair()[0].recv(1, { timeout: 5 })),
    row("recv", "MSG_PEEK leaves it", is(["abc", "abc"]), async (s) => {
      const socket = await stream(s, "abc");
      return [String(await socket.recv(9, { flags: MSG_PEEK })), String(await socket.recv(9))];
    }),
    row("recv", "MSG_WAITALL at the end of the stream", is("abc"), async (s) => {
      const [a, b] = s.pair();
      await a.sendAll("abc");
      a.shutdown(SHUT_WR);
      return String(await b.recv(9, { flags: MSG_WAITALL }));
    }),
    row("recv", "MSG_WAITALL that is cut short has what came", is("abc"), async (s) =>
      String(await (await stream(s, "abc")).recv(9, { flags: MSG_WAITALL, timeout: 5 })),
    ),
    row("recv", "urgent data", is("!"), async (s) => {
      const [client, conn] = await s.connection();
      await client.send("!", { flags: MSG_OOB });
      return String(await conn.recv(1, { flags: MSG_OOB }));
    }),
    row("recv", "no urgent data are known of", "EINVAL", async (s) =>
      (await s.connection())[0].recv(1, { flags: MSG_OOB }),
    ),
    row("recv", "MSG_OOB on UNIX datagrams", "EOPNOTSUPP", (s) => s.pair(SOCK_DGRAM)[0].recv(1, { flags: MSG_OOB })),
    row("recv", "TCP that is not connected", "ENOTCONN", (s) => s.socket().recv(1)),
    row("recv", "it listens", "ENOTCONN", async (s) => (await s.listener()).recv(1)),
    row("recv", "a UNIX stream that is not connected", "EINVAL", (s) => s.socket(AF_UNIX).recv(1)),
    row("recv", "a seqpacket that is not connected", "ENOTCONN", (s) => s.socket(AF_UNIX, SOCK_SEQPACKET).recv(1)),
    row("recv", "the peer has reset the connection", "ECONNRESET", async (s) => (await reset(s)).recv(1)),
    row("recv", "after the reset has been told there is the end", is(0), async (s) => {
      const client = await reset(s);
      try {
        await client.recv(1);
      } catch {
        // The row before this one.
      }
      return (await client.recv(1)).length;
    }),
    row("recv", "our datagram was refused", "ECONNREFUSED", async (s) => (await s.refused()).recv(1)),
    row("recv", "it is closed", "EBADF", (s) => s.closed().recv(1)),
    row("recv", "the size is negative", "RangeError", (s) => s.pair()[0].recv(-1)),
    row("recv", "the size is no number", "TypeError", (s) => s.pair()[0].recv("10" as never)),
    row("recv", "the size is more than the kernel moves", "RangeError", (s) => s.pair()[0].recv(2 ** 31)),
    row("recv", "flags in the place of the options", "TypeError", (s) => s.pair()[0].recv(1, MSG_PEEK as never)),
    row("recvInto", "what there is", is([3, "abc"]), async (s) => {
      const buffer = Buffer.alloc(3);
      return [await (await stream(s, "abcdef")).recvInto(buffer), String(buffer)];
    }),
    row("recvInto", "MSG_TRUNC tells how long the datagram was", is(6), async (s) =>
      (await filled(s, SOCK_DGRAM, "abcdef")).recvInto(Buffer.alloc(2), { flags: MSG_TRUNC }),
    ),
    row("recvInto", "the memory was detached", is(0), async (s) => {
      const buffer = new Uint8Array(4);
      structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
      return (await stream(s, "abc")).recvInto(buffer);
    }),
    row("recvInto", "nothing comes", "ETIMEDOUT", (s) => s.pair()[0].recvInto(Buffer.alloc(1), { timeout: 5 })),
    row("recvInto", "it is closed", "EBADF", (s) => s.closed().recvInto(Buffer.alloc(1))),
    row("recvInto", "the buffer is a string", "TypeError", (s) => s.pair()[0].recvInto("buffer" as never)),
    row("recvfrom", "a datagram and its sender", is(["hi", true]), async (s) => {
      const [a, b] = [await s.udp(), await s.udp()];
      await a.sendto("hi", b.getsockname());
      const [data, address] = await b.recvfrom(10);
      return [String(data), String(address) === String(a.getsockname())];
    }),
    row("recvfrom", "nothing is there, MSG_DONTWAIT", "EAGAIN", async (s) =>
      (await s.udp()).recvfrom(1, { flags: MSG_DONTWAIT }),
    ),
    row("recvfrom", "nothing comes", "ETIMEDOUT", async (s) => (await s.udp()).recvfrom(1, { timeout: 5 })),
    row("recvfrom", "our datagram was refused", "ECONNREFUSED", async (s) => (await s.refused()).recvfrom(1)),
    row("recvfrom", "TCP that is not connected", "ENOTCONN", (s) => s.socket().recvfrom(1)),
    row("recvfrom", "it is closed", "EBADF", (s) => s.closed().recvfrom(1)),
    row("recvfromInto", "a datagram into memory", is(2), async (s) => {
      const [a, b] = [await s.udp(), await s.udp()];
      await a.sendto("hi", b.getsockname());
      return (await b.recvfromInto(Buffer.alloc(10)))[0];
    }),
    row("recvfromInto", "it is closed", "EBADF", (s) => s.closed().recvfromInto(Buffer.alloc(1))),
    row("recvfromInto", "the buffer is an array of numbers", "TypeError", async (s) =>
      (await s.udp()).recvfromInto([0, 0] as never),
    ),
  ],
};

export const recvmsg: Page = {
  page: "recvmsg(2)",
  rows: [
    row("recvmsg", "a datagram that is longer is cut, and says so", is(["ab", true]), async (s) => {
      const message = await (await filled(s, SOCK_DGRAM, "abcdef")).recvmsg(2);
      return [String(message.data), message.truncated];
    }),
    row("recvmsg", "room for control data is missing", is(MSG_CTRUNC), async (s) => {
      const [a, b] = s.pair();
      await a.sendmsg("x", { control: [{ type: "SCM_RIGHTS", fds: [a] }] });
      return (await b.recvmsg(9)).flags & MSG_CTRUNC;
    }),
    row("recvmsg", "the error queue is empty", "EAGAIN", async (s) =>
      (await s.udp()).recvmsg(9, { flags: MSG_ERRQUEUE | MSG_DONTWAIT }),
    ),
    row("recvmsg", "nothing comes into the error queue", "ETIMEDOUT", async (s) =>
      (await s.udp()).recvmsg(9, { flags: MSG_ERRQUEUE, timeout: 5 }),
    ),
    row("recvmsg", "a refused datagram is in the error queue", is("x"), async (s) => {
      const gone = await s.udp();
      const socket = s.socket(AF_INET, SOCK_DGRAM);
      socket.setsockopt(IP_RECVERR, true);
      await socket.connect(gone.getsockname());
      gone.close();
      await socket.send("x");
      return String((await socket.recvmsg(9, { flags: MSG_ERRQUEUE })).data);
    }),
    row("recvmsg", "TCP that is not connected", "ENOTCONN", (s) => s.socket().recvmsg(1)),
    row("recvmsg", "the peer has reset the connection", "ECONNRESET", async (s) => (await reset(s)).recvmsg(1)),
    row("recvmsg", "it is closed", "EBADF", (s) => s.closed().recvmsg(1)),
    row("recvmsg", "the room for control data is negative", "RangeError", (s) =>
      s.pair()[0].recvmsg(1, { controlSize: -1 }),
    ),
    row("recvmsgInto", "scattered over two buffers", is(["ab", "cd"]), async (s) => {
      const [a, b] = [Buffer.alloc(2), Buffer.alloc(2)];
      await (await stream(s, "abcd")).recvmsgInto([a, b]);
      return [String(a), String(b)];
    }),
    row("recvmsgInto", "more buffers than IOV_MAX", "RangeError", (s) =>
      s.pair()[0].recvmsgInto(Array.from({ length: 1025 }, () => Buffer.alloc(1))),
    ),
    row("recvmsgInto", "it is closed", "EBADF", (s) => s.closed().recvmsgInto(Buffer.alloc(1))),
    row("recv_fds", "a descriptor comes", is([1, 0]), async (s) => {
      const [a, b] = s.pair();
      await s.api.send_fds(a, "x", [a]);
      const [, fds, flags] = await s.api.recv_fds(b, 9, 1);
      const { length } = fds;
      fds.close();
      return [length, flags];
    }),
    row("recv_fds", "more come than are wanted", is([1, MSG_CTRUNC]), async (s) => {
      const [a, b] = s.pair();
      await s.api.send_fds(a, "x", [a, b]);
      const [, fds, flags] = await s.api.recv_fds(b, 9, 1);
      const { length } = fds;
      fds.close();
      return [length, flags];
    }),
    row("recv_fds", "nothing comes", "ETIMEDOUT", (s) => s.api.recv_fds(s.pair()[0], 1, 1, { timeout: 5 })),
    row("recv_fds", "it is closed", "EBADF", (s) => s.api.recv_fds(s.closed(), 1, 1)),
    row("recv_fds", "the number is negative", "RangeError", (s) => s.api.recv_fds(s.pair()[0], 1, -1)),
  ],
};

export const recvmmsg: Page = {
  page: "recvmmsg(2)",
  rows: [
    row("recvmmsg", "all that are there", is(["a", "", "c"]), async (s) => {
      const batch = new DatagramBatch({ size: 10 });
      await (await filled(s, SOCK_DGRAM, "a", "", "c")).recvmmsg(batch);
      return Array.from(batch, ([data]) => String(data));
    }),
    row("recvmmsg", "no more than the batch holds", is(2), async (s) =>
      (await filled(s, SOCK_DGRAM, "a", "b", "c")).recvmmsg(new DatagramBatch({ capacity: 2, size: 10 })),
    ),
    row("recvmmsg", "nothing is there, MSG_DONTWAIT", "EAGAIN", async (s) =>
      (await s.udp()).recvmmsg(new DatagramBatch(), { flags: MSG_DONTWAIT }),
    ),
    row("recvmmsg", "nothing comes", "ETIMEDOUT", async (s) =>
      (await s.udp()).recvmmsg(new DatagramBatch(), { timeout: 5 }),
    ),
    row("recvmmsg", "our datagram was refused", "ECONNREFUSED", async (s) =>
      (await s.refused()).recvmmsg(new DatagramBatch()),
    ),
    row("recvmmsg", "it is closed", "EBADF", (s) => s.closed().recvmmsg(new DatagramBatch())),
    row("recvmmsg", "the batch is none", "TypeError", async (s) => (await s.udp()).recvmmsg({} as never)),
  ],
};

export const poll: Page = {
  page: "poll(2)",
  rows: [
    row("poll", "there is something to read, and room to write", is([POLLIN | POLLOUT]), async (s) => {
      const socket = await stream(s, "x");
      return (await s.api.poll([{ socket, events: POLLIN | POLLOUT }])).map(({ revents }) => revents);
    }),
    row(
      "poll",
      "nothing is ready in time",
      is(0),
      async (s) => (await s.api.poll([{ socket: s.pair()[0], events: POLLIN }], { timeout: 5 })).length,
    ),
    row("poll", "no entries at all: it is a pause", is(0), async (s) => (await s.api.poll([], { timeout: 5 })).length),
    row("poll", "the socket is closed", is([POLLNVAL]), async (s) =>
      (await s.api.poll([{ socket: s.closed(), events: POLLIN }])).map(({ revents }) => revents),
    ),
    row("poll", "the descriptor is not open", is([POLLNVAL]), async (s) =>
      (await s.api.poll([{ fd: 999_999, events: POLLIN }])).map(({ revents }) => revents),
    ),
    row("poll", "the peer has closed", is([POLLIN | POLLRDHUP | POLLHUP]), async (s) => {
      const [a, b] = s.pair();
      b.close();
      return (await s.api.poll([{ socket: a, events: POLLIN | POLLRDHUP }])).map(({ revents }) => revents);
    }),
    row("poll", "an error is pending", is(true), async (s) => {
      const [ready] = await s.api.poll([{ socket: await s.refused(), events: 0 }]);
      return (ready!.revents & POLLERR) !== 0;
    }),
    row("poll", "a regular file is always ready", is([POLLIN]), async (s) =>
      (await s.api.poll([{ fd: s.file(), events: POLLIN }])).map(({ revents }) => revents),
    ),
    row(
      "poll",
      "more entries than descriptors may be open",
      "EINVAL",
      (s) => {
        const fd = s.notSocket();
        return s.api.poll(Array.from({ length: 300 }, () => ({ fd, events: POLLIN })));
      },
      { apart: true },
    ),
    row("poll", "the entry has neither socket nor descriptor", "TypeError", (s) =>
      s.api.poll([{ events: POLLIN } as never]),
    ),
    row("poll", "the events are out of range", "RangeError", (s) => s.api.poll([{ fd: 0, events: 1 << 20 }])),
    row("readable", "there is something", is(undefined), async (s) => (await stream(s, "x")).readable()),
    row("readable", "there is the end", is(undefined), (s) => {
      const [a, b] = s.pair();
      b.close();
      return a.readable();
    }),
    row("readable", "there is nothing", "ETIMEDOUT", (s) => s.pair()[0].readable({ timeout: 5 })),
    row("readable", "it is closed", "EBADF", (s) => s.closed().readable()),
    row("writable", "there is room", is(undefined), (s) => s.pair()[0].writable()),
    row("writable", "it is closed", "EBADF", (s) => s.closed().writable()),
  ],
};
