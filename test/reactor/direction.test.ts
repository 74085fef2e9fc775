// One direction of a descriptor, on a fake kernel: when calls are tried, when they wait, their order, and their ends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MSG_PEEK, SOCK_DGRAM, SocketError } from "berkeley";
import { AF_INET, AF_UNIX, SOCK_STREAM } from "#berkeley/sys/constants.js";
import { ERR, fakeKernel, HUP, IN, keepAlive, OUT, PRI, RDHUP, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

const bytes = (text: string): Buffer => Buffer.from(text);

test("a call that completes at once neither registers the descriptor nor opens the poller", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.script("recv", bytes("hello"));
  assert.equal((await conn.recv(5)).toString(), "hello");
  assert.equal(await conn.send("abc"), 3);
  assert.deepEqual(
    sys.log.map((call) => call.name),
    ["recv", "send"],
  );
});

test("EAGAIN registers the descriptor, and after the event the call is tried again", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("recv", "EAGAIN", bytes("late"));
  const received = conn.recv(10);
  assert.equal(sys.count("pollerAdd"), 1);
  assert.equal(sys.waiting, 1);
  fire(IN, conn);
  assert.equal((await received).toString(), "late");
  assert.equal(sys.count("recv"), 2);
  assert.equal(sys.waiting, 0);
});

test("after a spurious event the call keeps waiting", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const received = watch(conn.recv(10));
  for (let i = 0; i < 3; i++) fire(IN, conn);
  await turn();
  assert.equal(received.state, "pending");
  assert.equal(sys.count("recv"), 4);
  conn.close();
  await turn();
});

test("calls of one direction are served in the order in which they were made", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const order: string[] = [];
  sys.script("recv", "EAGAIN", bytes("a".repeat(4)), bytes("b".repeat(4)), "EAGAIN", bytes("c".repeat(4)));
  const all = [1, 2, 3].map(async (index) => {
    const data = await conn.recv(4);
    order.push(`${index}${data.toString()}`);
  });
  assert.equal(sys.count("recv"), 1, "only the first is tried");
  fire(IN, conn);
  await turn();
  assert.deepEqual(order, ["1aaaa", "2bbbb"]);
  fire(IN, conn);
  await Promise.all(all);
  assert.deepEqual(order, ["1aaaa", "2bbbb", "3cccc"]);
});

test("the two directions do not wait for each other", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("send", "EAGAIN");
  const received = watch(conn.recv(10));
  const sent = watch(conn.send("x"));
  sys.script("recv", bytes("y"));
  fire(IN, conn);
  await turn();
  assert.equal(received.state, "resolved");
  assert.equal(sent.state, "pending");
  fire(OUT, conn);
  await turn();
  assert.equal(sent.state, "resolved");
});

test("after EAGAIN a later call makes no system call before there is an event", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  await assert.rejects(conn.recv(10, { timeout: 0 }), { code: "ETIMEDOUT" });
  assert.equal(sys.count("recv"), 1);
  await assert.rejects(conn.recv(10, { timeout: 0 }), { code: "ETIMEDOUT" });
  assert.equal(sys.count("recv"), 1);
  // An event without a waiting call is remembered.
  fire(IN, conn);
  assert.equal(sys.count("recv"), 1);
  sys.script("recv", bytes("z"));
  assert.equal((await conn.recv(10)).toString(), "z");
});

test("EINTR is tried again at once, on the first try and after an event", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("recv", "EINTR", "EINTR", bytes("now"));
  assert.equal((await conn.recv(3)).toString(), "now");
  sys.script("recv", "EAGAIN", "EINTR", "EINTR", "EINTR", bytes("later"));
  const received = conn.recv(5);
  fire(IN, conn);
  assert.equal((await received).toString(), "later");
  assert.equal(sys.count("recv"), 8);
});

test("endless EINTR uses up the budget of the turn and does not delay other calls", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.always("recv", "EINTR");
  const received = watch(conn.recv(3));
  const tries = sys.count("recv");
  assert.ok(tries > 100 && tries < 5000, `${tries} tries`);
  await turn();
  assert.ok(sys.count("recv") > tries);
  sys.always("recv", bytes("end"));
  await turn();
  assert.equal(received.value?.toString(), "end");
});

test("after a short read on TCP the socket is empty: no second recv(2) before an event", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("recv", bytes("12345"), bytes("67890"));
  assert.equal((await conn.recv(10)).length, 5);
  const received = watch(conn.recv(10));
  await turn();
  assert.equal(sys.count("recv"), 1);
  assert.equal(received.state, "pending");
  fire(IN, conn);
  await turn();
  assert.equal(received.value?.toString(), "67890");
  assert.equal(sys.count("recv"), 2);
});

test("after a full read on TCP the next read is tried at once", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.script("recv", bytes("12345"), bytes("67"));
  assert.equal((await conn.recv(5)).toString(), "12345");
  assert.equal((await conn.recv(5)).toString(), "67");
});

for (const [name, events] of [
  ["RDHUP", RDHUP],
  ["PRI", PRI],
  ["ERR", ERR],
  ["HUP", HUP],
] as const) {
  test(`a short read with ${name} among the events is followed by another try`, async () => {
    const { sys, socket, fire } = fakeKernel();
    const conn = socket();
    sys.script("recv", "EAGAIN", bytes("last"), 0);
    const received = conn.recv(10);
    fire(IN | events, conn);
    assert.equal((await received).toString(), "last");
    assert.equal((await conn.recv(10)).length, 0);
    assert.equal(sys.count("recv"), 3);
  });
}

test("a short read with flags, of a datagram, or of a UNIX socket does not mean empty", async () => {
  const { sys, socket } = fakeKernel();
  for (const [conn, flags] of [
    [socket(), MSG_PEEK],
    [socket(AF_INET, SOCK_DGRAM), 0],
    [socket(AF_UNIX, SOCK_STREAM), 0],
  ] as const) {
    sys.script("recv", bytes("abc"), bytes("def"));
    assert.equal((await conn.recv(10, { flags })).toString(), "abc");
    assert.equal((await conn.recv(10, { flags })).toString(), "def");
  }
});

test("the end of a stream is not a short read: it can be read again and again", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.always("recv", 0);
  for (let i = 0; i < 3; i++) assert.equal((await conn.recv(10)).length, 0);
});

test("an error rejects only the call that failed", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket(AF_INET, SOCK_DGRAM);
  sys.script("recv", "EAGAIN", "ECONNREFUSED", bytes("fine"));
  const first = conn.recv(10);
  const second = conn.recv(10);
  fire(IN | ERR, conn);
  await assert.rejects(first, (error: unknown) => {
    assert.ok(error instanceof SocketError);
    assert.equal(error.message, "recv ECONNREFUSED: connection refused");
    assert.equal(error.syscall, "recv");
    return true;
  });
  assert.equal((await second).toString(), "fine");
});

test("an event goes to the writing direction first, so connect() gets its error", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("connect", "EINPROGRESS", "ECONNREFUSED").script("recv", "EAGAIN", 0);
  const connected = conn.connect("192.0.2.1:9");
  const received = conn.recv(10);
  fire(IN | OUT | ERR | HUP, conn);
  await assert.rejects(connected, {
    code: "ECONNREFUSED",
    message: "connect ECONNREFUSED 192.0.2.1:9: connection refused",
  });
  assert.equal((await received).length, 0);
  assert.deepEqual(
    sys.log.map((call) => call.name).filter((name) => name === "connect" || name === "recv"),
    ["connect", "recv", "connect", "recv"],
  );
});

test("a call that throws (no memory for the result) rejects alone, and the batch continues", async () => {
  const { sys, socket, fire } = fakeKernel();
  const [one, two] = [socket(), socket()];
  sys.script("recv", "EAGAIN", "EAGAIN", () => {
    throw new RangeError("Array buffer allocation failed");
  });
  const first = one.recv(10);
  const second = one.recv(10);
  const other = two.recv(10);
  sys.script("recv", bytes("second"), bytes("other"));
  fire(IN, one, two);
  await assert.rejects(first, RangeError);
  assert.equal((await second).toString(), "second");
  assert.equal((await other).toString(), "other");
});

test("if a descriptor can't be registered, the call fails and does not wait", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.script("pollerAdd", "ENOSPC");
  await assert.rejects(conn.recv(10), { code: "ENOSPC", syscall: "epoll_ctl" });
  assert.equal(sys.waiting, 0);
  // The next call tries again.
  const received = conn.recv(10);
  assert.equal(sys.count("pollerAdd"), 2);
  conn.close();
  await assert.rejects(received, { code: "ECANCELED" });
});

test("a call that only waits for its turn is registered only after EAGAIN", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  for (let i = 0; i < 256; i++) void conn.send("x");
  sys.script("recv", bytes("1111"), "EAGAIN", bytes("2222"));
  const one = watch(conn.recv(4));
  const two = watch(conn.recv(4));
  assert.equal(sys.count("pollerAdd"), 0);
  await turn();
  await turn();
  assert.deepEqual([one.value?.toString(), two.state], ["1111", "pending"]);
  assert.equal(sys.count("pollerAdd"), 1);
  fire(IN, conn);
  await turn();
  assert.equal(two.value?.toString(), "2222");
  conn.close();
});

test("after a short read whose turn came late, the next call is registered without another try", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  for (let i = 0; i < 256; i++) void conn.send("x");
  sys.script("recv", bytes("1"), bytes("2222"));
  const one = watch(conn.recv(4));
  const two = watch(conn.recv(4));
  await turn();
  await turn();
  assert.deepEqual([one.value?.toString(), two.state], ["1", "pending"]);
  assert.deepEqual([sys.count("recv"), sys.count("pollerAdd")], [1, 1]);
  fire(IN, conn);
  await turn();
  assert.equal(two.value?.toString(), "2222");
  conn.close();
});

test("calls whose turn came late fail together if the descriptor can't be registered", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  for (let i = 0; i < 256; i++) void conn.send("x");
  const all = [watch(conn.recv(4)), watch(conn.recv(4))];
  sys.script("pollerAdd", "ENOMEM");
  await turn();
  await turn();
  for (const { error } of all) {
    assert.ok(error instanceof SocketError);
    assert.deepEqual([error.code, error.syscall], ["ENOMEM", "epoll_ctl"]);
  }
  assert.equal(sys.waiting, 0);
  const next = conn.recv(4);
  assert.equal(sys.count("pollerAdd"), 2);
  conn.close();
  await assert.rejects(next, { code: "ECANCELED" });
});
