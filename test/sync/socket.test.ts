// The blocking socket, call by call, in one thread: sent bytes have arrived when the other end reads.
import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  create_connection,
  create_server,
  DatagramBatch,
  getaddrinfo,
  getnameinfo,
  has_dualstack_ipv6,
  MSG_DONTWAIT,
  MSG_PEEK,
  MSG_WAITALL,
  NI_NUMERICHOST,
  NI_NUMERICSERV,
  poll,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  pump,
  type PumpProgress,
  recv_fds,
  send_fds,
  SHUT_WR,
  SO_SNDBUF,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  SocketError,
  socketpair,
  splice,
  type SpliceProgress,
} from "berkeley/sync";
import * as awaitable from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof SocketError, String(error));
  assert.equal(error.code, expected);
  return true;
};

test("the seven steps of a server and a client block for as long as they take", () => {
  using server = new Socket(AF_INET, SOCK_STREAM);
  server.bind(["localhost", 0]);
  server.listen(5);
  using client = new Socket(AF_INET, SOCK_STREAM);
  client.connect(server.getsockname());
  const [conn, address] = server.accept();
  assert.equal(String(address), String(client.getsockname()));
  client.sendAll("Hello, Server");
  assert.equal(conn.recv(1024).toString(), "Hello, Server");
  conn.sendAll(["Welcome to ", Buffer.from("my server")]);
  conn.close();
  assert.equal(client.recv(1024, { flags: MSG_WAITALL }).toString(), "Welcome to my server");
  assert.equal(client.recv(1024).length, 0);
});

test("a timeout throws ETIMEDOUT after its time, and takes no data", () => {
  const [left, right] = socketpair();
  const began = performance.now();
  assert.throws(() => right.recv(10, { timeout: 60 }), code("ETIMEDOUT"));
  const took = performance.now() - began;
  assert.ok(took >= 59 && took < 2_000, `took ${took} ms`);
  right.timeout = 30;
  assert.throws(() => right.recvfrom(10), code("ETIMEDOUT"));
  assert.throws(() => right.readable(), code("ETIMEDOUT"));
  left.sendAll("late");
  assert.equal(right.recv(10).toString(), "late");
  using copy = right.dup();
  assert.equal(copy.timeout, 30);
  left.close();
  right.close();
});

test("timeout 0 gets what there is and waits for nothing", () => {
  const [left, right] = socketpair();
  assert.throws(() => right.recv(10, { timeout: 0 }), code("ETIMEDOUT"));
  left.send("x");
  assert.equal(right.recv(10, { timeout: 0 }).toString(), "x");
  left.close();
  right.close();
});

test("the error of an interrupted sendAll() has the number of sent bytes", () => {
  const [left, right] = socketpair();
  left.setsockopt(SO_SNDBUF, 8192);
  let sent = 0;
  assert.throws(
    () => left.sendAll(Buffer.alloc(1 << 20), { timeout: 20 }),
    (error: unknown) => {
      assert.ok(error instanceof SocketError);
      assert.equal(error.code, "ETIMEDOUT");
      sent = error.transferred ?? 0;
      return true;
    },
  );
  left.close();
  let got = 0;
  for (let part = right.recv(65536); part.length > 0; part = right.recv(65536)) got += part.length;
  assert.equal(got, sent);
  assert.ok(sent > 0 && sent < 1 << 20);
  right.close();
});

test("MSG_WAITALL that times out returns the received bytes, and with MSG_PEEK removes none", () => {
  const [left, right] = socketpair();
  left.sendAll("abc");
  assert.throws(() => right.recv(5, { flags: MSG_WAITALL | MSG_PEEK, timeout: 40 }), code("ETIMEDOUT"));
  assert.equal(right.recv(5, { flags: MSG_WAITALL, timeout: 20 }).toString(), "abc");
  assert.throws(() => right.recv(5, { flags: MSG_DONTWAIT }), code("EAGAIN"));
  left.close();
  right.close();
});

test("datagrams go both ways with their addresses, an empty one included", () => {
  using a = new Socket(AF_INET, SOCK_DGRAM);
  using b = new Socket(AF_INET, SOCK_DGRAM);
  a.bind("127.0.0.1:0");
  b.bind("127.0.0.1:0");
  assert.equal(a.sendto("ping", b.getsockname()), 4);
  assert.equal(a.sendmsg(["", ""], { address: b.getsockname() }), 0);
  const [data, from] = b.recvfrom(100);
  assert.equal(data.toString(), "ping");
  assert.equal(String(from), String(a.getsockname()));
  assert.equal(b.recvmsg(10).data.length, 0);
  b.connect(from);
  b.sendmsg(["po", "ng"]);
  const buffer = Buffer.alloc(10);
  assert.equal(a.recvfromInto(buffer)[0], 4);
  assert.equal(buffer.toString("utf8", 0, 4), "pong");
  assert.equal(b.sendSegments("aabbc", 2), 5);
  assert.deepEqual([a.recv(10), a.recv(10), a.recv(10)].map(String), ["aa", "bb", "c"]);
});

test("batches of datagrams are sent and received", () => {
  const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
  const out = new DatagramBatch({ capacity: 4, size: 16 });
  assert.equal(left.sendmmsg(out), 0);
  for (const text of ["one", "", "three"]) out.add(text);
  assert.equal(left.sendmmsg(out), 3);
  const into = new DatagramBatch({ capacity: 8, size: 16 });
  assert.equal(right.recvmmsg(into), 3);
  assert.deepEqual(
    Array.from(into, ([data]) => data.toString()),
    ["one", "", "three"],
  );
  assert.throws(() => right.recvmmsg(into, { timeout: 10 }), code("ETIMEDOUT"));
  left.close();
  right.close();
});

test("recvInto() and recvmsgInto() fill the caller's memory", () => {
  const [left, right] = socketpair(AF_UNIX, SOCK_SEQPACKET);
  left.send("0123456789");
  left.send("abcdef");
  const buffer = Buffer.alloc(4);
  assert.equal(right.recvInto(buffer), 4);
  assert.equal(buffer.toString(), "0123");
  const parts = [Buffer.alloc(2), Buffer.alloc(8)];
  assert.equal(right.recvmsgInto(parts).bytes, 6);
  assert.equal(parts[1]!.toString("utf8", 0, 4), "cdef");
  left.close();
  right.close();
});

test("a file is sent with sendfile(), with progress", () => {
  const folder = mkdtempSync(join(tmpdir(), "berkeley-"));
  const path = join(folder, "file");
  writeFileSync(path, Buffer.alloc(100_000, 7));
  const file = openSync(path, "r");
  const [left, right] = socketpair();
  const seen: number[] = [];
  assert.equal(left.sendfile(file, { offset: 10, count: 50_000, onProgress: (sent) => seen.push(sent) }), 50_000);
  assert.deepEqual(seen, [50_000]);
  assert.equal(right.recv(50_000, { flags: MSG_WAITALL }).length, 50_000);
  assert.equal(left.sendfile(file, { offset: 100_000 }), 0);
  left.close();
  right.close();
  closeSync(file);
  rmSync(folder, { recursive: true });
});

test("splice() and pump() move what there is, block for the rest, and say how far they got", () => {
  const [client, a] = socketpair();
  const [b, server] = socketpair();
  client.sendAll("question");
  assert.equal(splice(a, b, { count: 8 }), 8);
  client.sendAll("more");
  assert.throws(
    () => pump(a, b, { timeout: 30 }),
    (error: unknown) => {
      const { aToB, bToA, code: name } = error as SocketError & PumpProgress;
      assert.deepEqual([name, aToB.transferred, bToA.transferred], ["ETIMEDOUT", 4, 0]);
      return true;
    },
  );
  assert.throws(() => splice(a, b, { idleTimeout: 20 }), code("ETIMEDOUT"));
  client.shutdown(SHUT_WR);
  server.sendAll("the answer");
  server.shutdown(SHUT_WR);
  assert.deepEqual(pump(a, b), { aToB: 0, bToA: 10 });
  assert.equal(client.recv(100).toString(), "the answer");
  assert.equal(server.recv(100, { flags: MSG_WAITALL }).toString(), "questionmore");
  for (const socket of [client, a, b, server]) socket.close();
});

test("splice() returns the bytes that the destination did not take", () => {
  const [client, a] = socketpair();
  const [b, server] = socketpair();
  b.setsockopt(SO_SNDBUF, 4096);
  const sent = Buffer.alloc(100_000, "abcdefghij");
  client.sendAll(sent);
  client.shutdown(SHUT_WR);
  let rest: Buffer | undefined;
  let transferred = 0;
  assert.throws(
    () => splice(a, b, { timeout: 20 }),
    (error: unknown) => {
      ({ undelivered: rest, transferred } = error as SpliceProgress);
      return (error as SocketError).code === "ETIMEDOUT";
    },
  );
  b.close();
  const got = server.recv(sent.length, { flags: MSG_WAITALL });
  assert.equal(got.length, transferred);
  const left = a.recv(sent.length, { flags: MSG_WAITALL });
  assert.ok(Buffer.concat([got, rest!, left]).equals(sent));
  for (const socket of [client, a, server]) socket.close();
});

test("descriptors are passed", () => {
  const [left, right] = socketpair();
  const [one, other] = socketpair();
  assert.equal(send_fds(left, "x", [one]), 1);
  one.close();
  const [data, fds, flags] = recv_fds(right, 10, 1);
  assert.equal(data.toString(), "x");
  assert.equal(flags, 0);
  using passed = Socket.fromfd(fds.take()[0]!);
  passed.sendAll("through");
  assert.equal(other.recv(10).toString(), "through");
  for (const socket of [left, right, other]) socket.close();
});

test("poll() blocks for the timeout, and returns the ready sockets", () => {
  const [left, right] = socketpair();
  const entry = { socket: right, events: POLLIN };
  const began = performance.now();
  assert.deepEqual(poll([entry], { timeout: 30 }), []);
  assert.ok(performance.now() - began >= 29);
  left.send("x");
  assert.deepEqual(poll([{ fd: left.fileno(), events: POLLIN | POLLOUT }, entry]), [
    { entry: { fd: left.fileno(), events: POLLIN | POLLOUT }, revents: POLLOUT },
    { entry, revents: POLLIN },
  ]);
  left.writable();
  right.readable();
  right.close();
  assert.deepEqual(poll([entry]), [{ entry, revents: POLLNVAL }]);
  left.close();
});

test("create_server() and create_connection() find each other, dual-stack as well", () => {
  using server = create_server("127.0.0.1:0", { backlog: 3 });
  using client = create_connection(["localhost", (server.getsockname() as awaitable.InetAddress).port], {
    timeout: 5_000,
    sourceAddress: "127.0.0.1:0",
  });
  assert.equal(client.timeout, 5_000);
  for (const [conn, address] of server) {
    assert.equal(String(address), String(client.getsockname()));
    conn.close();
    server.close();
  }
  if (!has_dualstack_ipv6()) return;
  using both = create_server(["", 0], { dualstackIpv6: true });
  assert.equal(both.family, AF_INET6);
  using four = create_connection(["127.0.0.1", (both.getsockname() as awaitable.Inet6Address).port]);
  const [conn] = both.accept();
  assert.equal(String(conn.getpeername()), `[::ffff:127.0.0.1]:${(four.getsockname() as awaitable.InetAddress).port}`);
  conn.close();
});

test("create_connection() throws the last error, or all of them", () => {
  const closed = create_server("127.0.0.1:0");
  const address = closed.getsockname();
  closed.close();
  assert.throws(() => create_connection(address), code("ECONNREFUSED"));
  assert.throws(
    () => create_connection(address, { allErrors: true }),
    (error: unknown) => error instanceof AggregateError && error.errors.length === 1,
  );
});

test("names are looked up blocking", () => {
  const [first] = getaddrinfo("127.0.0.1", 80, { type: SOCK_STREAM });
  assert.equal(String(first?.address), "127.0.0.1:80");
  assert.deepEqual(getnameinfo("127.0.0.1:80", NI_NUMERICHOST | NI_NUMERICSERV), ["127.0.0.1", "80"]);
  using socket = new Socket();
  assert.throws(() => socket.connect(["does-not-exist.invalid", 80]), SocketError);
});

test("a closed socket throws EBADF, and closing again does nothing", () => {
  const [left, right] = socketpair();
  right.close();
  right.close();
  assert.equal(right.fileno(), -1);
  assert.equal(right.closed, true);
  const calls: (() => unknown)[] = [
    () => right.recv(1),
    () => right.send("x"),
    () => right.sendto("x", "127.0.0.1:9"),
    () => right.accept(),
    () => right.bind("127.0.0.1:0"),
    () => right.connect("127.0.0.1:9"),
    () => right.readable(),
    () => right.dup(),
    () => right.detach(),
    () => right.sendmmsg(new DatagramBatch()),
  ];
  for (const call of calls) assert.throws(call, code("EBADF"), String(call));
  left.close();
});

test("a signal is refused, and so are options that are no object", () => {
  const [left, right] = socketpair();
  const signal = new AbortController().signal;
  assert.throws(() => right.recv(1, { signal } as never), /Cannot recv: signal is given, required none/);
  assert.throws(() => right.recv(1, MSG_PEEK as never), /Cannot recv: options are 2/);
  assert.throws(() => left.connect("127.0.0.1:1", { timeout: -1 }), RangeError);
  assert.throws(() => poll([{ socket: {} as never, events: 0 }]), /required a Socket/);
  left.close();
  right.close();
});

test("a descriptor goes from the awaitable socket to the blocking one and back", async () => {
  const [a, b] = awaitable.socketpair();
  await a.sendAll("one");
  const blocking = Socket.fromfd(b.detach());
  assert.equal(blocking.recv(10).toString(), "one");
  await using again = awaitable.Socket.fromfd(blocking.detach());
  await a.sendAll("two");
  assert.equal((await again.recv(10)).toString(), "two");
  assert.equal(blocking.closed, true);
  a.close();
});

test("every call of the awaitable socket has its twin, but those that have no sense without promises", () => {
  const members = (type: { prototype: object }): Set<PropertyKey> => {
    const names = new Set<PropertyKey>();
    for (let at = type.prototype; at !== Object.prototype; at = Object.getPrototypeOf(at) as object) {
      for (const name of Reflect.ownKeys(at)) names.add(name);
    }
    return names;
  };
  const internal = ["queueOf", "startRead", "startReceive", "startSend", "startSendTo", "startWrite"];
  const promised = ["toNetSocket", "ref", "unref", Symbol.asyncIterator, Symbol.asyncDispose];
  const twin = members(Socket);
  const missing = [...members(awaitable.Socket)].filter((name) => !twin.has(name) && !internal.includes(String(name)));
  assert.deepEqual(new Set(missing), new Set(promised));
});

test("end() with a timeout of null waits without a deadline until the peer finishes", () => {
  const [left, right] = socketpair();
  right.sendAll("unread");
  right.shutdown(SHUT_WR);
  assert.deepEqual(left.end({ timeout: null }), { how: "finished", dropped: 6 });
  assert.equal(left.closed, true);
  right.close();
});
