// trySend, tryRecv, tryRecvInto, and tryWrite, which uses them: one system call, no wait, no promise.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_UNIX, MSG_OOB, MSG_PEEK, SHUT_WR, SO_SNDBUF, SOCK_DGRAM, SocketConn, socketpair, Stream } from "berkeley";
import { memoryPair } from "berkeley/testing";
import { fakeKernel, IN, keepAlive, OUT, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

test("trySend() makes one send(2) and returns what the kernel took", () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.script("send", 3);
  assert.equal(conn.trySend(Buffer.from("hello")), 3);
  assert.equal(conn.trySend("text"), 4);
  assert.equal(conn.trySend(["a ", Buffer.from("list")]), 6);
  assert.equal(String(sys.sent(conn.fileno())), "heltexta list");
  assert.equal(sys.count("send") + sys.count("sendmsg"), 3);
  assert.equal(sys.waiting, 0);
});

test("trySend() and tryRecv() return undefined if they would block, and make a system call each time", () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.script("send", "EAGAIN", "EAGAIN", 1);
  assert.equal(conn.trySend(Buffer.of(1)), undefined);
  assert.equal(conn.trySend(Buffer.of(1)), undefined);
  assert.equal(conn.trySend(Buffer.of(1)), 1);
  sys.script("recv", "EAGAIN", "EINTR", Buffer.from("x"));
  assert.equal(conn.tryRecv(10), undefined);
  assert.equal(String(conn.tryRecv(10)), "x");
  assert.equal(sys.count("pollerAdd"), 0, "nothing waits, nothing is registered");
});

test("trySend() and tryRecvInto() return undefined without a system call while other calls wait", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("send", "EAGAIN");
  const sending = watch(conn.sendAll("first"));
  const receiving = watch(conn.recv(10));
  const [sends, recvs] = [sys.count("send"), sys.count("recv")];
  assert.equal(conn.trySend("second"), undefined);
  assert.equal(conn.tryRecvInto(Buffer.alloc(4)), undefined);
  assert.deepEqual([sys.count("send"), sys.count("recv")], [sends, recvs]);
  sys.script("recv", Buffer.from("data"));
  fire(IN | OUT, conn);
  await turn();
  assert.equal(sending.state, "resolved");
  assert.equal(String(receiving.value), "data");
  assert.equal(conn.trySend("second"), 6);
  assert.equal(String(sys.sent(conn.fileno())), "firstsecond");
});

test("a loop of tries ends with the budget of the turn, and goes on in the next", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.always("send", 1);
  let sent = 0;
  while (conn.trySend(Buffer.of(1)) !== undefined) sent++;
  assert.ok(sent > 0 && sent < 1000, `${sent} sends in one turn`);
  // Who waits brings the next turn about.
  assert.equal(await conn.send(Buffer.of(1)), 1);
  assert.equal(conn.trySend(Buffer.of(1)), 1);
});

test("an error of the kernel is thrown", () => {
  const [left, right] = socketpair();
  right.close();
  assert.throws(() => left.trySend("x"), { code: "EPIPE", syscall: "send" });
  assert.equal(left.tryRecv(1)?.length, 0, "the end");
  left.close();
  assert.throws(() => left.trySend("x"), { code: "EBADF" });
  assert.throws(() => left.tryRecv(1), { code: "EBADF" });
  assert.throws(() => left.tryRecvInto(Buffer.alloc(1)), { code: "EBADF" });
});

test("wrong arguments are refused before any call", () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  assert.throws(() => conn.trySend(7 as never), TypeError);
  assert.throws(() => conn.tryRecv(-1), RangeError);
  assert.throws(() => conn.tryRecvInto("x" as never), TypeError);
  assert.throws(() => conn.tryRecv(1, MSG_PEEK as never), TypeError);
  assert.equal(sys.log.length, 0);
});

test("tryRecv() and tryRecvInto() accept flags, and with MSG_PEEK do not remove the bytes", async () => {
  const [left, right] = socketpair();
  await left.sendAll("peek");
  assert.equal(String(right.tryRecv(10, { flags: MSG_PEEK })), "peek");
  const buffer = Buffer.alloc(10);
  assert.equal(right.tryRecvInto(buffer, { flags: MSG_PEEK }), 4);
  assert.equal(right.tryRecvInto(buffer), 4);
  assert.equal(right.tryRecv(10), undefined);
  assert.throws(() => right.tryRecv(1, { flags: MSG_OOB }), { name: "SocketError" });
  left.close();
  right.close();
});

test("after an attempt without bytes, a later wait gets the bytes that arrive", async () => {
  const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
  assert.equal(right.tryRecv(10), undefined);
  const waiting = right.recv(10);
  assert.equal(left.trySend("datagram"), 8);
  assert.equal(String(await waiting), "datagram");
  left.close();
  right.close();
});

test("sendAll() after a try that took a part sends the rest once", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.script("send", 2, "EAGAIN");
  const sending = watch(conn.sendAll(Buffer.from("abcdef")));
  assert.equal(sending.state, "pending");
  fire(OUT, conn);
  await turn();
  assert.equal(sending.state, "resolved");
  assert.equal(String(sys.sent(conn.fileno())), "abcdef");
});

test("a sendAll() that fails at once rejects with the errno, after one system call", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.script("send", "ECONNRESET");
  await assert.rejects(conn.sendAll(Buffer.from("x")), { code: "ECONNRESET", syscall: "send", transferred: 0 });
  assert.equal(sys.count("send"), 1);
});

test("tryWrite() takes what there is room for, and write() the rest", async () => {
  const [left, right] = socketpair();
  left.setsockopt(SO_SNDBUF, 4608);
  const stream = left.stream();
  const data = Buffer.alloc(1_000_000, "0123456789");
  let taken = 0;
  let last: number;
  do taken += last = stream.tryWrite(data.subarray(taken));
  while (last > 0);
  assert.ok(taken < data.length);
  const rest = stream.write(data.subarray(taken));
  assert.equal(stream.tryWrite(Buffer.from("not before them")), 0);
  const reader = right.stream();
  assert.ok((await reader.readExactly(data.length)).equals(data));
  await rest;
  await stream.closeWrite();
  assert.throws(() => stream.tryWrite(Buffer.of(1)), { code: "EPIPE" });
  await stream.close();
  assert.throws(() => stream.tryWrite(Buffer.of(1)), { code: "EBADF" });
  right.close();
});

test("tryWrite() returns 0 if the connection has no tryWrite()", () => {
  const [a] = memoryPair();
  assert.equal(new Stream(a).tryWrite(Buffer.of(1)), 0);
});

test("tryWrite() of a SocketConn passes on what trySend() throws", () => {
  const [left, right] = socketpair();
  const conn = new SocketConn(left);
  right.shutdown(SHUT_WR);
  assert.equal(conn.tryWrite(Buffer.from("still fine")), 10);
  right.close();
  assert.throws(() => conn.tryWrite(Buffer.of(1)), { code: "EPIPE" });
  left.close();
});
