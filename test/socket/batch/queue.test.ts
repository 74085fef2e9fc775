// The bounded queue of datagrams to send.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as immediate } from "node:timers/promises";
import {
  AF_INET,
  AF_UNIX,
  type Address,
  DatagramBatch,
  DatagramQueue,
  SO_SNDBUF,
  SOCK_DGRAM,
  Socket,
  type SocketError,
  socketpair,
} from "berkeley";
import { datagram, pattern } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

/** A pair whose first socket can send only a few datagrams before the second has to receive. */
function narrow(): [Socket, Socket] {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  one.setsockopt(SO_SNDBUF, 1);
  return [one, two];
}

async function receive(socket: Socket, count: number): Promise<Buffer[]> {
  const batch = new DatagramBatch({ capacity: 5 });
  const all: Buffer[] = [];
  while (all.length < count) {
    await socket.recvmmsg(batch);
    for (const [data] of batch) all.push(Buffer.from(data));
  }
  return all;
}

test("datagrams of one turn are sent in order, and flush() waits for them", async () => {
  await using receiver = await datagram();
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  const queue = new DatagramQueue(socket);
  for (let i = 0; i < 100; i++) assert.ok(queue.trySend(String(i), receiver.getsockname()));
  assert.equal(queue.length, 100);
  await queue.flush();
  assert.deepEqual(queue.stats(), { queued: 0, sent: 100, refused: 0 });
  assert.deepEqual(
    (await receive(receiver, 100)).map(String),
    Array.from({ length: 100 }, (_, i) => String(i)),
  );
  await queue.flush();
});

test("trySend() answers false when the queue is full, and send() waits for room, in order", async () => {
  const [one, two] = narrow();
  const queue = new DatagramQueue(one, { maxQueue: 8, size: 512 });
  let next = 0;
  // The kernel accepts a few datagrams; then the queue fills.
  for (; ; await immediate()) {
    while (queue.trySend(pattern(512, next + 1))) next++;
    if (queue.length === 8) break;
  }
  const order: number[] = [];
  const waiting = Array.from({ length: 20 }, (_, i) =>
    queue.send(pattern(512, next + i + 1)).then(() => order.push(i)),
  );
  assert.equal(queue.trySend(pattern(512)), false, "those who wait are first");
  const all = await receive(two, next + 20);
  for (const [i, data] of all.entries()) assert.ok(data.equals(pattern(512, i + 1)), `datagram ${i} is another one`);
  await Promise.all(waiting);
  assert.deepEqual(
    order,
    Array.from({ length: 20 }, (_, i) => i),
  );
  await queue.flush();
  assert.deepEqual(queue.stats(), { queued: 0, sent: next + 20, refused: 0 });
  one.close();
  two.close();
});

test("the queue never holds more than maxQueue", async () => {
  const [one, two] = narrow();
  const queue = new DatagramQueue(one, { maxQueue: 3, size: 512 });
  const sent = Array.from({ length: 50 }, (_, i) => queue.send(pattern(512, i + 1)));
  let most = 0;
  const received = receive(two, 50);
  for (let done = false; !done; await immediate()) {
    most = Math.max(most, queue.length);
    done = queue.stats().sent === 50;
  }
  assert.ok(most <= 3, String(most));
  await Promise.all(sent);
  for (const [i, data] of (await received).entries()) assert.ok(data.equals(pattern(512, i + 1)));
  one.close();
  two.close();
});

test("datagrams that the kernel refuses are counted and reported, and do not delay the others", async () => {
  await using receiver = await datagram();
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  const refused: [string, string][] = [];
  const onRefused = (error: SocketError, address: Address | undefined): void =>
    void refused.push([error.message, String(address)]);
  const queue = new DatagramQueue(socket, { size: 65_536, maxQueue: 8, onRefused });
  const to = receiver.getsockname();
  queue.trySend(Buffer.alloc(65_536), to);
  queue.trySend("fine", to);
  queue.trySend("broadcast", "255.255.255.255:9");
  queue.trySend("fine too", to);
  await queue.flush();
  assert.deepEqual(queue.stats(), { queued: 0, sent: 2, refused: 2 });
  assert.deepEqual(refused, [
    [`sendmmsg EMSGSIZE ${String(to)}: message too long`, String(to)],
    ["sendmmsg EACCES 255.255.255.255:9: permission denied", "255.255.255.255:9"],
  ]);
  assert.deepEqual((await receive(receiver, 2)).map(String), ["fine", "fine too"]);
});

test("closing the socket ends everything that waits for the queue", async () => {
  const [one, two] = narrow();
  const queue = new DatagramQueue(one, { maxQueue: 2, size: 512 });
  for (; queue.length < 2; await immediate()) while (queue.trySend(pattern(512)));
  const sending = queue.send(pattern(512));
  const flushing = queue.flush();
  one.close();
  await assert.rejects(sending, { code: "ECANCELED", syscall: "sendmmsg" });
  await assert.rejects(flushing, { code: "ECANCELED" });
  assert.throws(() => queue.trySend("x"), { code: "ECANCELED" });
  await assert.rejects(queue.send("x"), { code: "ECANCELED" });
  two.close();
  const late = new DatagramQueue(one);
  assert.throws(() => late.trySend("x"), { code: "EBADF" });
});

test("close() of the queue drops its datagrams, and has no effect on the socket", async () => {
  const [one, two] = narrow();
  const queue = new DatagramQueue(one, { maxQueue: 2, size: 512 });
  for (; queue.length < 2; await immediate()) while (queue.trySend(pattern(512)));
  const { sent } = queue.stats();
  const flushing = queue.flush();
  queue.close();
  queue.close();
  await assert.rejects(flushing, { code: "ECANCELED" });
  assert.equal(queue.length, 0);
  await receive(two, sent);
  await one.send("still open");
  assert.equal((await two.recv(100)).toString(), "still open");
  one.close();
  two.close();
});

test("a timeout or an abort takes a waiting datagram out again", async () => {
  const [one, two] = narrow();
  const queue = new DatagramQueue(one, { maxQueue: 2, size: 512 });
  for (; queue.length < 2; await immediate()) while (queue.trySend(pattern(512)));
  const controller = new AbortController();
  const aborted = queue.send("aborted", undefined, { signal: controller.signal });
  await assert.rejects(queue.send("late", undefined, { timeout: 1 }), { code: "ETIMEDOUT", syscall: "sendmmsg" });
  await assert.rejects(queue.flush({ timeout: 1 }), { code: "ETIMEDOUT" });
  controller.abort(new Error("enough"));
  await assert.rejects(aborted, { message: "enough" });
  await assert.rejects(queue.send("x", undefined, { signal: AbortSignal.abort(new Error("before")) }), {
    message: "before",
  });
  const count = queue.stats().sent + 2;
  const all = await receive(two, count);
  assert.ok(
    all.every((data) => data.length === 512),
    "what was given up is not sent",
  );
  await queue.flush();
  assert.equal(queue.stats().sent, count);
  one.close();
  two.close();
});

test("await using waits until everything is sent", async () => {
  const [one, two] = narrow();
  const received = receive(two, 30);
  {
    await using queue = new DatagramQueue(one, { maxQueue: 30, size: 512 });
    for (let i = 0; i < 30; i++) queue.trySend(pattern(512, i + 1));
  }
  assert.equal((await received).length, 30);
  one.close();
  two.close();
});

test("an error of a waiting call rejects only that call", async () => {
  const [one, two] = narrow();
  const queue = new DatagramQueue(one, { maxQueue: 2, size: 512 });
  for (; queue.length < 2; await immediate()) while (queue.trySend(pattern(512)));
  const wrong = queue.send(Buffer.alloc(513));
  const right = queue.send("right");
  const { sent } = queue.stats();
  const all = receive(two, sent + 3);
  await assert.rejects(wrong, RangeError);
  await right;
  assert.equal((await all).at(-1)!.toString(), "right");
  one.close();
  two.close();
});

test("wrong arguments are refused", async () => {
  await using socket = await datagram();
  assert.throws(() => new DatagramQueue({} as never), { name: "TypeError", message: /required a Socket$/ });
  assert.throws(() => new DatagramQueue(socket, { maxQueue: 0 }), RangeError);
  assert.throws(() => new DatagramQueue(socket, { size: 0 }), RangeError);
  assert.throws(() => new DatagramQueue(socket, { onRefused: 1 as never }), TypeError);
  assert.throws(() => new DatagramQueue(socket, 5 as never), TypeError);
  const queue = new DatagramQueue(socket);
  assert.throws(() => queue.trySend(5 as never), TypeError);
  assert.throws(() => queue.trySend("x", "localhost:80"), TypeError);
  await assert.rejects(queue.send("x", undefined, 5 as never), TypeError);
  assert.equal(queue.length, 0);
});
