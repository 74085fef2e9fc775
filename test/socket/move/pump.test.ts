// splice() and pump() on the real kernel.

import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { setImmediate as immediate } from "node:timers/promises";
import {
  AF_UNIX,
  poll,
  POLLIN,
  POLLOUT,
  pump,
  type PumpProgress,
  SHUT_WR,
  SO_LINGER,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  Socket,
  socketpair,
  splice,
  type SpliceProgress,
} from "berkeley";
import { TestClock } from "../../support/clock.js";
import { connected, families, pattern, receiveAll } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

const stream = families.filter(({ name }) => name !== "an abstract UNIX name");
const size = 3_000_017;
const content = pattern(size);
/** More than the kernel's buffers of a connection hold. */
const big = pattern(20_000_000, 3);

function pipes(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("pipe:");
    } catch {
      return false;
    }
  }).length;
}

const before = pipes();
const noPipes = (): void => assert.equal(pipes(), before, "a pipe is left open");

async function fail<T>(promise: Promise<unknown>): Promise<T> {
  return promise.then(
    () => assert.fail("it succeeded"),
    (error: unknown) => error as T,
  );
}

/** Sends until the kernel accepts no more. Returns the number of bytes. */
async function fillUp(socket: Socket): Promise<number> {
  const chunk = Buffer.alloc(10_000);
  let sent = 0;
  try {
    for (;;) sent += await socket.send(chunk, { timeout: 0 });
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ETIMEDOUT");
    return sent;
  }
}

for (const family of stream) {
  const over = `over ${family.name}`;

  test(`splice() ${over} moves every byte, then the end`, async () => {
    await using a = await connected(family);
    await using b = await connected(family);
    const splicing = splice(a.conn, b.client);
    const received = receiveAll(b.conn);
    await a.client.sendAll(content);
    a.client.shutdown(SHUT_WR);
    assert.equal(await splicing, size);
    assert.ok((await received).equals(content));
    // The other direction is untouched, and open.
    await b.conn.sendAll("back");
    assert.equal((await b.client.recv(10)).toString(), "back");
    noPipes();
  });

  test(`pump() ${over} carries both directions at once, and keeps a half-closed one open`, async () => {
    await using a = await connected(family);
    await using b = await connected(family);
    const pumping = pump(a.conn, b.client);
    const there = receiveAll(b.conn);
    await a.client.sendAll(content);
    a.client.shutdown(SHUT_WR);
    assert.ok((await there).equals(content));
    const back = receiveAll(a.client);
    await b.conn.sendAll(content.subarray(0, 1_000_000));
    await b.conn.sendAll(content.subarray(1_000_000));
    b.conn.shutdown(SHUT_WR);
    assert.ok((await back).equals(content));
    assert.deepEqual(await pumping, { aToB: size, bToA: size });
    noPipes();
  });

  test(`many small pieces ${over} arrive in order`, async () => {
    await using a = await connected(family);
    await using b = await connected(family);
    const pumping = pump(a.conn, b.client);
    const received = receiveAll(b.conn);
    let all = "";
    for (let i = 0; i < 2000; i++) {
      await a.client.sendAll(`${i} `);
      all += `${i} `;
      if (i % 100 === 0) await immediate();
    }
    a.client.shutdown(SHUT_WR);
    b.conn.shutdown(SHUT_WR);
    assert.equal((await received).toString(), all);
    assert.deepEqual(await pumping, { aToB: all.length, bToA: 0 });
  });
}

test("a question and its answer pass at once", async () => {
  await using a = await connected();
  await using b = await connected();
  const pumping = pump(a.conn, b.client);
  for (let i = 0; i < 100; i++) {
    await a.client.sendAll(`question ${i}`);
    assert.equal((await b.conn.recv(100)).toString(), `question ${i}`);
    await b.conn.sendAll(`answer ${i}`);
    assert.equal((await a.client.recv(100)).toString(), `answer ${i}`);
  }
  a.client.close();
  b.conn.close();
  await pumping;
});

test("a destination that does not read holds the source back", async () => {
  await using a = await connected();
  await using b = await connected();
  const splicing = splice(a.conn, b.client, { pipeSize: 4096 });
  let sent = 0;
  const sending = (async () => {
    for (; sent < big.length; sent += 10_000) await a.client.sendAll(big.subarray(sent, sent + 10_000));
    a.client.shutdown(SHUT_WR);
  })();
  // The pump stops when the kernel's buffers are full.
  let seen = -1;
  for (let still = 0; still < 50; await immediate()) {
    still = sent === seen ? still + 1 : 0;
    seen = sent;
  }
  assert.ok(sent < big.length, "it was all taken");
  const received = receiveAll(b.conn, 1 << 20);
  await sending;
  assert.equal(await splicing, big.length);
  assert.ok((await received).equals(big));
});

test("count moves so many bytes and no more, and does not end the destination", async () => {
  await using a = await connected();
  await using b = await connected();
  await a.client.sendAll("header:body and the next request");
  assert.equal(await splice(a.conn, b.client, { count: 11 }), 11);
  assert.equal((await b.conn.recv(100)).toString(), "header:body");
  assert.equal((await a.conn.recv(100)).toString(), " and the next request");
  assert.equal(await splice(a.conn, b.client, { count: 0 }), 0);
  await b.client.sendAll("still open");
  assert.equal((await b.conn.recv(100)).toString(), "still open");
  noPipes();
});

test("a source that ends before count ends the destination, unless end is false", async () => {
  await using a = await connected();
  await using b = await connected();
  await a.client.sendAll("short");
  a.client.shutdown(SHUT_WR);
  assert.equal(await splice(a.conn, b.client, { count: 100, end: false }), 5);
  await b.client.sendAll(" and more");
  assert.equal((await b.conn.recv(100)).toString(), "short and more");
  assert.equal(await splice(a.conn, b.client, { count: 100 }), 0);
  assert.equal((await b.conn.recv(100)).length, 0);
});

test("an abort says how many bytes went, and gives back those that were on their way", async () => {
  await using a = await connected();
  await using b = await connected();
  const controller = new AbortController();
  const splicing = splice(a.conn, b.client, { signal: controller.signal });
  const failed = fail<SpliceProgress>(splicing);
  const sending = a.client.sendAll(big);
  // The destination is full when the source alone is ready, and stays so.
  for (let looks = 0; looks < 100; looks++) {
    const entries = [
      { socket: a.conn, events: POLLIN },
      { socket: b.client, events: POLLOUT },
    ];
    const ready = await poll(entries, { timeout: 0 });
    if (ready.length !== 1 || ready[0]!.revents !== POLLIN) looks = -1;
    await immediate();
  }
  controller.abort();
  const progress = await failed;
  assert.equal(progress, controller.signal.reason);
  assert.ok(progress.transferred > 0 && progress.transferred < big.length);
  assert.ok(progress.undelivered.length > 0, "the destination was to be full");
  noPipes();
  // Going on is exact.
  const received = receiveAll(b.conn);
  await b.client.sendAll(progress.undelivered);
  const rest = splice(a.conn, b.client);
  await sending;
  a.client.shutdown(SHUT_WR);
  assert.equal((await rest) + progress.transferred + progress.undelivered.length, big.length);
  assert.ok((await received).equals(big));
});

test("an abort while nothing comes has nothing on its way", async () => {
  await using a = await connected();
  await using b = await connected();
  const controller = new AbortController();
  const failed = fail<Error & SpliceProgress>(splice(a.conn, b.client, { signal: controller.signal }));
  await a.client.sendAll("12345");
  assert.equal((await b.conn.recv(10)).toString(), "12345");
  controller.abort(new Error("enough"));
  const error = await failed;
  assert.equal(error.message, "enough");
  assert.equal(error.transferred, 5);
  assert.equal(error.undelivered.length, 0);
  await a.client.sendAll("kept");
  assert.equal((await a.conn.recv(10)).toString(), "kept");
  await assert.rejects(splice(a.conn, b.client, { signal: AbortSignal.abort(new Error("before")) }), {
    message: "before",
  });
  noPipes();
});

test("a reason that can carry nothing is passed on as it is", async () => {
  await using a = await connected();
  await using b = await connected();
  const controller = new AbortController();
  const failed = fail<string>(splice(a.conn, b.client, { signal: controller.signal }));
  controller.abort("text");
  assert.equal(await failed, "text");
  const frozen = Object.freeze(new Error("frozen"));
  const other = new AbortController();
  const failedToo = fail<Error>(pump(a.conn, b.client, { signal: other.signal }));
  other.abort(frozen);
  assert.equal(await failedToo, frozen);
  noPipes();
});

test("timeout limits the whole pump, idleTimeout the time without bytes", async () => {
  await using a = await connected();
  await using b = await connected();
  await a.client.sendAll("x");
  await assert.rejects(splice(a.conn, b.client, { timeout: 10 }), {
    code: "ETIMEDOUT",
    syscall: "splice",
    transferred: 1,
  });
  await assert.rejects(pump(a.conn, b.client, { idleTimeout: 10 }), { code: "ETIMEDOUT", syscall: "splice" });
  assert.equal(String(await b.conn.recv(10)), "x");
  // Also a silence after bytes that have moved.
  const silent = fail<PumpProgress & { code: string }>(pump(a.conn, b.client, { idleTimeout: 30 }));
  await a.client.sendAll("y");
  assert.equal(String(await b.conn.recv(10)), "y");
  const { aToB, bToA, code } = await silent;
  assert.deepEqual([code, aToB.transferred, bToA.transferred], ["ETIMEDOUT", 1, 0]);
  // As long as bytes move it goes on. The poller dates the bytes that it has passed on itself, in the system's time.
  using clock = new TestClock();
  const controller = new AbortController();
  const { signal } = controller;
  const pumping = fail<Error & PumpProgress>(pump(a.conn, b.client, { idleTimeout: 500, signal }));
  for (let round = 0; round < 4; round++) {
    await a.client.sendAll("y");
    await b.conn.recv(1);
    await clock.advance(300);
    await b.conn.sendAll("z");
    await a.client.recv(1);
    await clock.advance(300);
  }
  controller.abort(new Error("enough"));
  const end = await pumping;
  assert.deepEqual([end.message, end.aToB.transferred, end.bToA.transferred], ["enough", 4, 4]);
  noPipes();
});

test("the sockets' own timeout does not end a pump", async () => {
  await using a = await connected();
  await using b = await connected();
  a.conn.timeout = 1;
  b.client.timeout = 1;
  using clock = new TestClock();
  const pumping = pump(a.conn, b.client);
  await clock.advance(20);
  await a.client.sendAll("later");
  assert.equal((await b.conn.recv(10)).toString(), "later");
  a.client.close();
  b.conn.close();
  await pumping;
});

test("the error for a reset source has the number of sent bytes", async () => {
  await using a = await connected();
  await using b = await connected();
  const failed = fail<Error & SpliceProgress & { code: string; syscall: string }>(splice(a.conn, b.client));
  await a.client.sendAll("12345");
  assert.equal((await b.conn.recv(10)).toString(), "12345");
  a.client.setsockopt(SO_LINGER, 0);
  a.client.close();
  const error = await failed;
  assert.equal(error.code, "ECONNRESET");
  assert.equal(error.syscall, "splice");
  assert.equal(error.transferred, 5);
  await b.client.sendAll("open");
  assert.equal((await b.conn.recv(10)).toString(), "open");
  noPipes();
});

test("a destination that is reset ends a pump, and both directions say how far they were", async () => {
  await using a = await connected();
  await using b = await connected();
  const failed = fail<PumpProgress & { code: string }>(pump(a.conn, b.client));
  await a.client.sendAll("12345");
  assert.equal((await b.conn.recv(10)).toString(), "12345");
  b.conn.setsockopt(SO_LINGER, 0);
  b.conn.close();
  const error = await failed;
  assert.equal(error.code, "ECONNRESET");
  assert.deepEqual(error.aToB, { transferred: 5, undelivered: Buffer.alloc(0) });
  assert.deepEqual(error.bToA, { transferred: 0, undelivered: Buffer.alloc(0) });
  noPipes();
});

test("bytes for a closed destination are returned", async () => {
  const [client, from] = socketpair();
  const [to, server] = socketpair();
  server.close();
  await client.sendAll("nobody wants it");
  const error = await fail<SpliceProgress & { code: string }>(splice(from, to));
  assert.equal(error.code, "EPIPE");
  assert.equal(error.transferred, 0);
  assert.equal(error.undelivered.toString(), "nobody wants it");
  noPipes();
  for (const socket of [client, from, to]) socket.close();
});

test("closing either socket ends a splice with ECANCELED in every state", async () => {
  for (const which of ["source", "destination"]) {
    await using a = await connected();
    await using b = await connected();
    const splicing = fail<SpliceProgress & { code: string }>(splice(a.conn, b.client));
    await a.client.sendAll("1");
    await b.conn.recv(1);
    (which === "source" ? a.conn : b.client).close();
    const error = await splicing;
    assert.equal(error.code, "ECANCELED", which);
    assert.equal(error.transferred, 1);
    await assert.rejects(splice(a.conn, b.client), { code: "EBADF", syscall: "splice" });
  }
  // While it waits for the destination, which is full before the splice begins.
  for (const which of ["source", "destination"]) {
    await using a = await connected();
    const pair = socketpair();
    await using to = pair[0];
    await using reader = pair[1];
    const full = await fillUp(to);
    await a.client.sendAll(content.subarray(0, 1000));
    await a.conn.readable();
    const splicing = fail<SpliceProgress & { code: string }>(splice(a.conn, to));
    // The pipe has the bytes once the source has none.
    while ((await poll([{ socket: a.conn, events: POLLIN }], { timeout: 0 })).length > 0) await immediate();
    (which === "source" ? a.conn : to).close();
    const error = await splicing;
    assert.equal(error.code, "ECANCELED", which);
    assert.equal(error.transferred, 0);
    assert.ok(error.undelivered.equals(content.subarray(0, 1000)), which);
    to.close();
    assert.equal((await receiveAll(reader)).length, full);
    reader.close();
  }
  noPipes();
});

test("a socket spliced to itself is an echo", async () => {
  await using a = await connected();
  const echoing = splice(a.conn, a.conn);
  const received = receiveAll(a.client);
  await a.client.sendAll(content);
  a.client.shutdown(SHUT_WR);
  assert.equal(await echoing, size);
  assert.ok((await received).equals(content));
});

test("other writers of the destination come before or after, never in between", async () => {
  await using a = await connected();
  await using b = await connected();
  const first = b.client.sendAll(big);
  await a.client.sendAll("spliced");
  a.client.shutdown(SHUT_WR);
  const splicing = splice(a.conn, b.client);
  const received = receiveAll(b.conn);
  await first;
  assert.equal(await splicing, 7);
  const bytes = await received;
  assert.ok(bytes.subarray(0, big.length).equals(big));
  assert.equal(bytes.subarray(big.length).toString(), "spliced");
});

test("idle pumps hold no pipe of their own", async () => {
  const connections = await Promise.all(Array.from({ length: 20 }, () => connected()));
  const pumps: Promise<unknown>[] = [];
  for (let i = 0; i < 20; i += 2) pumps.push(pump(connections[i]!.conn, connections[i + 1]!.client));
  for (let i = 0; i < 20; i += 2) {
    await connections[i]!.client.sendAll("x");
    await connections[i + 1]!.conn.recv(1);
  }
  assert.ok(pipes() - before <= 4, `${pipes() - before} ends of pipes for 10 idle pumps`);
  for (const { client, conn } of connections) {
    client.shutdown(SHUT_WR);
    conn.shutdown(SHUT_WR);
  }
  for (let i = 0; i < 20; i += 2) connections[i + 1]!.conn.close();
  await Promise.all(pumps);
  noPipes();
  for (const connection of connections) await connection[Symbol.asyncDispose]();
});

test("only stream sockets are spliced", async () => {
  const [one, two] = socketpair();
  const [dgram, other] = socketpair(AF_UNIX, SOCK_DGRAM);
  const [packet, last] = socketpair(AF_UNIX, SOCK_SEQPACKET);
  await assert.rejects(splice(one, dgram), {
    name: "TypeError",
    message: /^Cannot splice: to is a socket of type 2, required a stream/,
  });
  await assert.rejects(splice(dgram, one), { name: "TypeError", message: /^Cannot splice: from is/ });
  await assert.rejects(pump(packet, one), { name: "TypeError", message: /^Cannot pump: a is/ });
  await assert.rejects(splice({} as never, one), { name: "TypeError", message: /required a Socket or a Stream$/ });
  await assert.rejects(splice(one, two, 5 as never), TypeError);
  await assert.rejects(splice(one, two, { count: -1 }), RangeError);
  await assert.rejects(splice(one, two, { end: 1 as never }), TypeError);
  await assert.rejects(splice(one, two, { pipeSize: 100 }), RangeError);
  await assert.rejects(pump(one, two, { idleTimeout: -1 }), {
    name: "RangeError",
    message: "Cannot pump: idleTimeout is -1, required milliseconds from 0 to 2147483647, or null for none",
  });
  await using unconnected = new Socket();
  await assert.rejects(splice(unconnected, one), { code: "ENOTCONN", syscall: "splice" });
  for (const socket of [one, two, dgram, other, packet, last]) socket.close();
  noPipes();
});
