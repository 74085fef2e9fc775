// Reads and writes of stream.socket while the stream has buffered bytes.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BufferedError,
  DatagramBatch,
  MSG_PEEK,
  socketpair,
  SO_RCVBUF,
  SO_SNDBUF,
  splice,
  SocketConn,
  Stream,
} from "berkeley";
import { openSync, closeSync } from "node:fs";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

function pair(): [near: Stream<SocketConn>, far: Stream<SocketConn>] {
  const [a, b] = socketpair();
  for (const socket of [a, b]) {
    socket.setsockopt(SO_SNDBUF, 4096);
    socket.setsockopt(SO_RCVBUF, 4096);
  }
  return [new Stream(new SocketConn(a)), new Stream(new SocketConn(b))];
}

test("each call that receives is refused while its stream has unread bytes", async () => {
  const [near, far] = pair();
  await near.write("one\ntwo\n");
  assert.equal(await far.readLine(), "one");
  const socket = far.socket;
  const refused = (error: unknown): boolean =>
    error instanceof BufferedError && error.code === "ERR_BUFFERED" && error.buffered === 4;
  const memory = Buffer.alloc(10);
  await assert.rejects(socket.recv(1), refused);
  await assert.rejects(socket.recv(1, { flags: MSG_PEEK }), refused);
  await assert.rejects(socket.recvInto(memory), refused);
  await assert.rejects(socket.recvfrom(1), refused);
  await assert.rejects(socket.recvfromInto(memory), refused);
  await assert.rejects(socket.recvmsg(1), refused);
  await assert.rejects(socket.recvmsgInto(memory), refused);
  await assert.rejects(socket.recvmmsg(new DatagramBatch()), refused);
  assert.throws(() => socket.tryRecv(1), refused);
  assert.throws(() => socket.tryRecvInto(memory), refused);
  // Writes pass: the stream has no writes that wait.
  assert.equal(await socket.send("x"), 1);
  assert.equal(await far.readLine(), "two");
  assert.equal(socket.tryRecv(1), undefined);
  await Promise.all([near.close(), far.close()]);
});

test("each call that sends is refused while writes of its stream wait, and the stream's bytes stay whole", async () => {
  const [near, far] = pair();
  const socket = near.socket;
  assert.equal(await socket.send("a"), 1, "before the stream has written");
  const size = 100_000;
  const writing = near.write(Buffer.alloc(size, "b"));
  const waiting = near.outbox.bytes;
  assert.ok(waiting > 0);
  const refused = (error: unknown): boolean =>
    error instanceof BufferedError && error.code === "ERR_BUFFERED" && error.buffered === waiting;
  const file = openSync(process.execPath, "r");
  await assert.rejects(socket.send("x"), refused);
  await assert.rejects(socket.sendAll("x"), refused);
  await assert.rejects(socket.sendto("x", "unix:/nowhere"), refused);
  await assert.rejects(socket.sendmsg("x"), refused);
  await assert.rejects(socket.sendSegments("xy", 1), refused);
  await assert.rejects(socket.sendmmsg(new DatagramBatch()), refused);
  await assert.rejects(socket.sendfile(file, { count: 1 }), refused);
  assert.throws(() => socket.trySend("x"), refused);
  assert.equal(near.tryWrite(Buffer.of(1)), 0, "the stream itself may try");
  const second = near.write("c");
  closeSync(file);
  const bytes = await far.readExactly(size + 2);
  await Promise.all([writing, second]);
  assert.equal(bytes.toString(), `a${"b".repeat(size)}c`);
  assert.equal(await socket.send("d"), 1, "the outbox is empty again");
  assert.equal((await far.readExactly(1)).toString(), "d");
  await Promise.all([near.close(), far.close()]);
});

test("splice() keeps the order: bytes that were read ahead, and writes that wait, come first", async () => {
  const [source, middle] = pair();
  const [next, sink] = pair();
  await source.write("one\ntwo\n");
  assert.equal(await middle.readLine(), "one");
  const before = next.write("x".repeat(50_000));
  await source.closeWrite();
  const moved = splice(middle.socket, next.socket);
  const received = await sink.readExactly(50_004);
  assert.equal(received.subarray(50_000).toString(), "two\n");
  assert.equal(await moved, 4);
  await before;
  await Promise.all([source, middle, next, sink].map((stream) => stream.close()));
});
