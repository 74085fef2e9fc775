// The end of a socket: every method after close(), a second close(), detached and adopted descriptors, duplicates.

import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SHUT_WR,
  SO_LINGER,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  SocketError,
  socketpair,
  SOL_SOCKET,
  TCP_NODELAY,
} from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { connected, datagram, families, listening } from "../support/families.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";

checkLeaks();

/** Every method that makes a call, with its name in errors. */
const methods: readonly (readonly [syscall: string, call: (socket: Socket) => unknown])[] = [
  ["bind", (socket) => socket.bind("127.0.0.1:0")],
  ["bind", (socket) => socket.bind(["localhost", 0])],
  ["listen", (socket) => socket.listen()],
  ["accept", (socket) => socket.accept()],
  ["connect", (socket) => socket.connect("127.0.0.1:9")],
  ["connect", (socket) => socket.connect(["localhost", 9])],
  ["send", (socket) => socket.send("x")],
  ["send", (socket) => socket.sendAll("x")],
  ["sendto", (socket) => socket.sendto("x", "127.0.0.1:9")],
  ["sendto", (socket) => socket.sendto("x", ["localhost", 9])],
  ["recv", (socket) => socket.recv(1)],
  ["recv", (socket) => socket.recv(1 << 20)],
  ["recv", (socket) => socket.recvInto(Buffer.alloc(1))],
  ["recvfrom", (socket) => socket.recvfrom(1)],
  ["recvfrom", (socket) => socket.recvfrom(1 << 20)],
  ["recvfrom", (socket) => socket.recvfromInto(Buffer.alloc(1))],
  ["poll", (socket) => socket.readable()],
  ["poll", (socket) => socket.writable()],
  ["getsockname", (socket) => socket.getsockname()],
  ["getpeername", (socket) => socket.getpeername()],
  ["setsockopt", (socket) => socket.setsockopt(TCP_NODELAY, true)],
  ["setsockopt", (socket) => socket.setsockopt(SOL_SOCKET, 2, 1)],
  ["getsockopt", (socket) => socket.getsockopt(SO_TYPE)],
  ["getsockopt", (socket) => socket.getsockopt(SOL_SOCKET, 3)],
  ["getsockopt", (socket) => socket.getsockopt(SOL_SOCKET, 3, 4)],
  ["shutdown", (socket) => socket.shutdown(SHUT_WR)],
  ["dup", (socket) => socket.dup()],
  ["detach", (socket) => socket.detach()],
];

/** What a call throws or rejects with. */
async function failure(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return assert.fail("it did not fail");
}

for (const [end, name] of [
  [(socket: Socket) => socket.close(), "close()"],
  [(socket: Socket) => closeSync(socket.detach()), "detach()"],
  [(socket: Socket) => socket[Symbol.dispose](), "using"],
] as const) {
  test(`after ${name} every method says EBADF and makes no call`, async () => {
    const socket = new Socket();
    end(socket);
    assert.equal(socket.closed, true);
    assert.equal(socket.fileno(), -1);
    for (const [syscall, call] of methods) {
      const error = await failure(() => call(socket));
      assert.ok(error instanceof SocketError, String(error));
      assert.equal(error.code, "EBADF");
      assert.equal(error.errno, -9);
      assert.equal(error.syscall, syscall);
    }
    for await (const pair of socket) assert.fail(`accepted ${String(pair[1])}`);
    assert.equal(socket.family, AF_INET);
    socket.close();
    socket[Symbol.dispose]();
    await socket[Symbol.asyncDispose]();
  });
}

test("a second close() does not close a descriptor that has reused the number", () => {
  const socket = new Socket();
  const fd = socket.fileno();
  socket.close();
  const file = openSync("/dev/null", "r");
  assert.equal(file, fd, "the number is used again");
  socket.close();
  assert.equal(calls.close(fd), -9, "not ours, so not closed");
  assert.equal(calls.release(fd), -9);
  closeSync(file);
});

test("a call on a closed socket never reaches the socket that has its number by now", async () => {
  const first = new Socket();
  const fd = first.fileno();
  first.close();
  await using second = await datagram();
  assert.equal(second.fileno(), fd);
  await second.sendto("mine", second.getsockname());
  await assert.rejects(first.recv(10), { code: "EBADF" });
  await assert.rejects(first.send("x"), { code: "EBADF" });
  assert.equal((await second.recv(10)).toString(), "mine");
});

for (const family of families) {
  test(`close() settles every call that waits over ${family.name} with ECANCELED`, async () => {
    await using both = await connected(family);
    await using server = await listening(family);
    await using messages = await datagram(family);
    const full = both.client.sendAll(Buffer.alloc(32 << 20));
    const expected = (promise: Promise<unknown>, syscall: string): Promise<void> =>
      assert.rejects(promise, { code: "ECANCELED", errno: -125, syscall });
    const all = [
      expected(full, "send"),
      expected(both.client.send("x"), "send"),
      expected(both.client.writable(), "poll"),
      expected(both.client.recv(1), "recv"),
      expected(both.client.recvInto(Buffer.alloc(1)), "recv"),
      expected(both.client.recv(1 << 20), "recv"),
      expected(both.client.recvfrom(1), "recvfrom"),
      expected(both.client.readable(), "poll"),
      expected(server.accept(), "accept"),
      expected(server.readable(), "poll"),
      expected(messages.recvfrom(1), "recvfrom"),
      expected(messages.recvfromInto(Buffer.alloc(1)), "recvfrom"),
      expected(messages.recv(1 << 20), "recv"),
    ];
    for (const socket of [both.client, server, messages]) socket.close();
    await Promise.all(all);
    await assert.rejects(full, (error: { transferred?: number }) => (error.transferred ?? 0) > 0);
  });
}

test("close() settles calls that wait for the resolver", async () => {
  const socket = new Socket();
  const waiting = [
    socket.bind(["localhost", 0]),
    socket.connect(["localhost", 9]),
    socket.sendto("x", ["localhost", 9]),
  ].map((promise) => assert.rejects(promise, { code: "ECANCELED", syscall: "getaddrinfo" }));
  socket.close();
  await Promise.all(waiting);
});

test("a socket can be closed by a handler of its own call", async () => {
  await using both = await connected();
  const second = both.conn.recv(10);
  const third = both.conn.recv(10);
  const closing = second.then(() => both.conn.close());
  await both.client.sendAll("x");
  await closing;
  await assert.rejects(third, { code: "ECANCELED" });
});

test("bytes that the kernel has taken are sent after close()", async () => {
  await using both = await connected();
  await both.client.sendAll(Buffer.alloc(100_000, 7));
  both.client.close();
  let total = 0;
  for (;;) {
    const { length } = await both.conn.recv(65536);
    if (length === 0) break;
    total += length;
  }
  assert.equal(total, 100_000);
});

test("with SO_LINGER 0 close() discards unsent bytes", async () => {
  await using both = await connected();
  both.client.setsockopt(SO_LINGER, 0);
  both.client.close();
  await assert.rejects(both.conn.recv(1), { code: "ECONNRESET" });
});

test("detach() and fromfd() hand a connection on, with family, type and protocol read back", async () => {
  for (const [made, protocol] of [
    [new Socket(AF_INET, SOCK_STREAM), IPPROTO_TCP],
    [new Socket(AF_INET6, SOCK_STREAM), IPPROTO_TCP],
    [new Socket(AF_INET6, SOCK_DGRAM), IPPROTO_UDP],
    [new Socket(AF_UNIX, SOCK_SEQPACKET), 0],
  ] as const) {
    const fd = made.detach();
    await using adopted = Socket.fromfd(fd);
    assert.equal(adopted.fileno(), fd);
    assert.equal(adopted.family, made.family);
    assert.equal(adopted.type, made.type);
    assert.equal(adopted.protocol, protocol);
  }
  await using both = await connected();
  await both.client.sendAll("before ");
  await using again = Socket.fromfd(both.conn.detach());
  await both.client.sendAll("and after");
  both.client.close();
  let text = "";
  for (let part = "-"; part !== ""; text += part) part = (await again.recv(100)).toString();
  assert.equal(text, "before and after");
});

test("fromfd() refuses a closed descriptor, one that is not a socket and one that a Socket owns, and changes nothing", async () => {
  const file = openSync("/dev/null", "r");
  await using socket = new Socket();
  const before = openDescriptors();
  assert.throws(() => Socket.fromfd(file), { code: "ENOTSOCK", syscall: "fromfd" });
  assert.throws(() => Socket.fromfd(60_000), { code: "EBADF", syscall: "fromfd" });
  assert.throws(() => Socket.fromfd(socket.fileno()), { code: "EBUSY", syscall: "fromfd" });
  assert.throws(() => Socket.fromfd(-1), RangeError);
  assert.throws(() => Socket.fromfd(1.5), RangeError);
  assert.throws(() => Socket.fromfd("3" as unknown as number), TypeError);
  assert.deepEqual(openDescriptors(), before);
  assert.equal(socket.closed, false);
  closeSync(file);
});

test("a duplicate stays open when the other is closed, and each gets its own events", async () => {
  await using both = await connected();
  both.conn.timeout = 12_345;
  const copy = both.conn.dup();
  assert.notEqual(copy.fileno(), both.conn.fileno());
  assert.equal(copy.timeout, 12_345);
  assert.equal(copy.family, both.conn.family);
  assert.deepEqual(copy.getpeername(), both.conn.getpeername());

  // Both wait for the same bytes. The first of them gets the bytes, and the other keeps waiting.
  const first = both.conn.recv(1);
  const second = copy.recv(1);
  await both.client.sendAll("1");
  const winner = await Promise.race([first.then(() => "first"), second.then(() => "second")]);
  assert.ok(winner === "first" || winner === "second");
  await both.client.sendAll("2");
  assert.deepEqual([(await first).toString(), (await second).toString()].sort(), ["1", "2"]);

  both.conn.close();
  await both.client.sendAll("3");
  assert.equal((await copy.recv(1)).toString(), "3");
  const waiting = copy.recv(1);
  await both.client.sendAll("4");
  assert.equal((await waiting).toString(), "4");
  copy.close();
  assert.equal((await both.client.recv(1)).length, 0, "only now the connection has ended");
});

test("no descriptor is left when a constructor is refused", () => {
  const before = openDescriptors().size;
  for (const args of [
    [AF_INET, 99, 0],
    [12345, SOCK_STREAM, 0],
    [AF_INET, SOCK_STREAM, 255],
    [AF_UNIX, SOCK_STREAM, 99],
  ] as [number, number, number][]) {
    assert.throws(() => new Socket(...args), { name: "SocketError", syscall: "socket" });
  }
  assert.equal(openDescriptors().size, before);
});

test("one signal can be used for many calls without a warning", async () => {
  const warnings: Error[] = [];
  const listen = (warning: Error): void => void warnings.push(warning);
  process.on("warning", listen);
  const [left, right] = socketpair();
  const controller = new AbortController();
  const all = Array.from({ length: 50 }, () => left.recv(1, { signal: controller.signal }));
  const ended = Promise.allSettled(all);
  controller.abort();
  assert.ok((await ended).every(({ status }) => status === "rejected"));
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", listen);
  assert.deepEqual(warnings, []);
  left.close();
  right.close();
});
