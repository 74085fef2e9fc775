// Rare results of the kernel, made by a fake one: shortages in accept, closed connections, the stages of connect, full
// queues.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_INET, AF_UNIX, InetAddress, SOCK_DGRAM, SOCK_STREAM, type Socket } from "berkeley";
import { fakeKernel, IN, keepAlive, OUT, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

test("accept() rejects with EMFILE at once, and the connection waits for the next accept()", async () => {
  const { sys, socket } = fakeKernel();
  const server = socket();
  for (const code of ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]) {
    sys.script("accept", code);
    await assert.rejects(server.accept(), { code, syscall: "accept" });
  }
  const fd = sys.newFd();
  sys.script("accept", fd);
  const [conn, address] = await server.accept();
  assert.equal(conn.fileno(), fd);
  assert.deepEqual(address, new InetAddress("127.0.0.1", 7));
  assert.equal(sys.count("pollerAdd"), 0);
  // It is a socket of the real table of calls; there is nothing to close behind it.
  assert.throws(() => conn.close(), { code: "EBADF" });
});

test("after EMFILE the iterator over connections waits, longer each time, and gets no events meanwhile", async () => {
  const { sys, socket, fire } = fakeKernel();
  const server = socket();
  const fd = sys.newFd();
  sys.script("accept", "EMFILE", "EMFILE", "EMFILE", fd);
  const began = performance.now();
  const next = server[Symbol.asyncIterator]().next();
  await turn();
  assert.equal(sys.count("accept"), 2, "tried once more in the next turn, which starts the pause");
  fire(IN, server);
  fire(IN, server);
  assert.equal(sys.count("accept"), 2);
  assert.equal(sys.block(), true, "it keeps the process alive");
  const { value, done } = await next;
  assert.equal(done, false);
  assert.equal((value as [Socket, unknown])[0].fileno(), fd);
  assert.equal(sys.count("accept"), 4);
  assert.ok(performance.now() - began >= 14, "5 ms and 10 ms");
  assert.equal(sys.waiting, 0);
  assert.throws(() => (value as [Socket, unknown])[0].close(), { code: "EBADF" });
});

test("a pause ends with its call: close() settles it, and the loop over connections ends", async () => {
  const { sys, socket } = fakeKernel();
  const server = socket();
  sys.always("accept", "EMFILE");
  const rounds = (async () => {
    for await (const pair of server) assert.fail(`accepted ${String(pair[1])}`);
  })();
  await turn();
  server.close();
  await rounds;
  const tries = sys.count("accept");
  await assert.rejects(server.accept({ timeout: 20 }), { code: "EBADF" });
  assert.equal(sys.count("accept"), tries);
});

test("accept() passes over connections that were gone before they were accepted", async () => {
  const { sys, socket, fire } = fakeKernel();
  const server = socket();
  const gone = [
    "ECONNABORTED",
    "ENETDOWN",
    "EPROTO",
    "ENOPROTOOPT",
    "EHOSTDOWN",
    "ENONET",
    "EHOSTUNREACH",
    "ENETUNREACH",
  ];
  sys.script("accept", ...gone, "EAGAIN");
  const accepted = watch(server.accept());
  await turn();
  assert.equal(accepted.state, "pending");
  assert.equal(sys.count("accept"), gone.length + 1);
  const fd = sys.newFd();
  sys.script("accept", "EINTR", ...gone, fd);
  fire(IN, server);
  await turn();
  assert.equal(accepted.value?.[0].fileno(), fd);
  assert.throws(() => accepted.value?.[0].close(), { code: "EBADF" });
});

test("the loop over connections skips connections that a firewall refused, and a single accept() rejects", async () => {
  const { sys, socket } = fakeKernel();
  const server = socket();
  const fd = sys.newFd();
  sys.script("accept", "EPERM", "EPERM", fd, "EPERM");
  const { value } = await server[Symbol.asyncIterator]().next();
  assert.equal((value as [Socket, unknown])[0].fileno(), fd);
  await assert.rejects(server.accept(), { code: "EPERM", syscall: "accept" });
  sys.script("accept", "EPERM", sys.newFd());
  const [another] = await server.accept({ retryOnShortage: true });
  for (const one of [(value as [Socket, unknown])[0], another]) assert.throws(() => one.close(), { code: "EBADF" });
});

for (const code of ["ECONNABORTED", "EPROTO", "EPERM"]) {
  test(`after ${code} accept() is tried again with pauses, until the deadline of the call`, async () => {
    const { sys, socket } = fakeKernel();
    const server = socket();
    sys.always("accept", code);
    await assert.rejects(server.accept({ retryOnShortage: true, timeout: 100 }), { code: "ETIMEDOUT" });
    assert.ok(sys.count("accept") <= 16 * 6, "at once, in the next turn, and after 5, 10, 20 and 40 ms");
    assert.equal(sys.waiting, 0);
  });
}

test("accept() on a socket that does not listen rejects with EINVAL", async () => {
  const { sys, socket } = fakeKernel();
  sys.script("accept", "EINVAL", "EOPNOTSUPP");
  await assert.rejects(socket().accept(), {
    code: "EINVAL",
    syscall: "accept",
    message: /^accept EINVAL( \S+)?: invalid argument$/,
  });
  await assert.rejects(socket(AF_INET, SOCK_DGRAM).accept(), { code: "EOPNOTSUPP" });
});

test("a waiting connect() checks the connection at each event, and an early event does no harm", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("connect", "EINPROGRESS", "EALREADY", "EALREADY", 0);
  const connected = watch(conn.connect("192.0.2.1:9"));
  fire(OUT, conn);
  fire(OUT, conn);
  await turn();
  assert.equal(connected.state, "pending");
  fire(OUT, conn);
  await turn();
  assert.equal(connected.state, "resolved");
});

test("an interrupted connect() continues in the kernel, and its result is then queried", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("connect", "EINTR", "EALREADY", "EISCONN");
  const connected = conn.connect("192.0.2.1:9");
  fire(OUT, conn);
  await connected;
});

test("connect() of a socket that is connected or under way already is an error", async () => {
  const { sys, socket } = fakeKernel();
  sys.script("connect", "EISCONN", "EALREADY");
  await assert.rejects(socket().connect("127.0.0.1:9"), { code: "EISCONN", address: "127.0.0.1", port: 9 });
  await assert.rejects(socket().connect("127.0.0.1:9"), { code: "EALREADY" });
});

test("connect() to a UNIX listener with a full queue tries again after a pause, because there is no event for free space", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket(AF_UNIX, SOCK_STREAM);
  sys.script("connect", "EAGAIN", "EAGAIN", "EAGAIN", 0);
  await conn.connect("unix:/run/x.sock");
  assert.equal(sys.count("connect"), 4);
  sys.always("connect", "EAGAIN");
  await assert.rejects(socket(AF_UNIX, SOCK_STREAM).connect("unix:/run/x.sock", { timeout: 1 }), {
    code: "ETIMEDOUT",
    path: "/run/x.sock",
  });
  assert.equal(sys.waiting, 0);
});

test("sendto() to a UNIX receiver with a full queue waits, and ignores events that its own attempts cause", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket(AF_UNIX, SOCK_DGRAM);
  sys.script("sendto", "EAGAIN", "EAGAIN", "EAGAIN");
  const sent = conn.sendto("x", "unix:@full");
  await turn();
  const tries = sys.count("sendto");
  for (let i = 0; i < 10; i++) fire(OUT, conn);
  assert.equal(sys.count("sendto"), tries);
  assert.equal(await sent, 1);
  assert.equal(sys.count("sendto"), 4);
});

test("sendto() over the network waits for the event that its buffer has room", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket(AF_INET, SOCK_DGRAM);
  sys.script("sendto", "EAGAIN");
  const sent = watch(conn.sendto("xyz", "127.0.0.1:9"));
  await turn();
  assert.equal(sys.count("sendto"), 1);
  fire(OUT, conn);
  await turn();
  assert.equal(sent.value, 3);
});

test("a list of more parts than one call accepts is sent as one message", async () => {
  const { sys, socket } = fakeKernel();
  const parts = Array.from({ length: 2000 }, (_, index) => String.fromCharCode(97 + (index % 26)));
  const conn = socket(AF_INET, SOCK_DGRAM);
  assert.equal(await conn.sendto(parts, "127.0.0.1:9"), 2000);
  assert.equal(await conn.send(parts), 2000);
  assert.equal(sys.count("sendto") + sys.count("send") + sys.count("sendmsg"), 2);
  assert.equal(sys.sent(conn.fileno()).toString(), parts.join("").repeat(2));
});

test("readable() and writable() query the kernel, and wait while it reports that the socket is not ready", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("poll", 0, 0, 0x1, 0x4, 0x20);
  const readable = watch(conn.readable());
  fire(IN, conn);
  await turn();
  assert.equal(readable.state, "pending");
  fire(IN, conn);
  await turn();
  assert.equal(readable.state, "resolved");
  await conn.writable();
  await assert.rejects(conn.readable(), { code: "EBADF" }, "POLLNVAL: somebody else closed the descriptor");
});
