// Bytes that the poller forwards for a pump without JavaScript, on the real kernel.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { setImmediate as immediate } from "node:timers/promises";
import { MSG_DONTWAIT, MSG_OOB, pump, SHUT_WR, type Socket, socketpair, splice, type SpliceProgress } from "berkeley";
import * as blocking from "berkeley/sync";
import { calls } from "#berkeley/sys/calls.js";
import { type Connection, connected, pattern, receiveAll } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

const big = pattern(20_000_000, 3);

/** How often `spliceThrough` is called from JavaScript while `body` runs. */
async function attempts(body: () => Promise<void>): Promise<number> {
  const { spliceThrough } = calls;
  let count = 0;
  calls.spliceThrough = (...args) => {
    count++;
    return spliceThrough(...args);
  };
  try {
    await body();
  } finally {
    calls.spliceThrough = spliceThrough;
  }
  return count;
}

/** Sends until the kernel accepts no more. Returns the number of bytes. */
async function fillUp(socket: Socket): Promise<number> {
  const chunk = Buffer.alloc(100_000, "f");
  for (let total = 0; ;) {
    try {
      total += await socket.send(chunk, { flags: MSG_DONTWAIT });
    } catch (error) {
      assert.equal((error as { code: string }).code, "EAGAIN");
      return total;
    }
  }
}

/** Questions and answers through a pump between `a` and `b`, nearly all of which the poller passes on by itself. */
async function conversation(a: Connection, b: Connection): Promise<void> {
  const pumping = pump(a.conn, b.client);
  const exchange = async (): Promise<void> => {
    await a.client.sendAll("question");
    assert.equal((await b.conn.recv(100)).toString(), "question");
    await b.conn.sendAll("answer");
    assert.equal((await a.client.recv(100)).toString(), "answer");
  };
  // Registered and noted down with the first ones.
  for (let i = 0; i < 3; i++) await exchange();
  const count = await attempts(async () => {
    for (let i = 0; i < 50; i++) await exchange();
  });
  assert.ok(count < 10, `${count} attempts for 100 messages`);
  a.client.shutdown(SHUT_WR);
  b.conn.shutdown(SHUT_WR);
  assert.deepEqual(await pumping, { aToB: 53 * 8, bToA: 53 * 6 });
}

test("while a pump waits, the poller forwards bytes in both directions without a call", async () => {
  await using a = await connected();
  await using b = await connected();
  await conversation(a, b);
});

test("the poller also forwards for a pump after more than a thousand other descriptors", async () => {
  const others = Array.from({ length: 600 }, () => socketpair()).flat();
  const waiting = others.map((socket) => socket.recv(1));
  await using a = await connected();
  await using b = await connected();
  await conversation(a, b);
  for (const socket of others) socket.close();
  for (const { status } of await Promise.allSettled(waiting)) assert.equal(status, "rejected");
});

test("a flood that is aborted anywhere loses nothing: sent, undelivered and unread are all there is", async () => {
  for (const enough of [1, 1_000_000, 3_000_000, 6_000_000, 9_000_000, 12_000_000]) {
    await using a = await connected();
    await using b = await connected();
    const controller = new AbortController();
    const failed = splice(a.conn, b.client, { signal: controller.signal }).then(
      () => assert.fail("it was not aborted"),
      (error: unknown) => error as SpliceProgress,
    );
    const sending = a.client.sendAll(big).then(() => a.client.shutdown(SHUT_WR));
    const chunks: Buffer[] = [];
    let length = 0;
    const receiving = (async () => {
      for (;;) {
        const chunk = await b.conn.recv(300_000);
        if (chunk.length === 0) return;
        chunks.push(chunk);
        length += chunk.length;
        if (length >= enough) controller.abort(new Error("enough"));
      }
    })();
    const { transferred, undelivered } = await failed;
    // The source is usable at once, also for what there has been no event for.
    const rest = await receiveAll(a.conn);
    await sending;
    b.client.shutdown(SHUT_WR);
    await receiving;
    const received = Buffer.concat(chunks);
    assert.equal(received.length, transferred);
    assert.ok(Buffer.concat([received, undelivered, rest]).equals(big), `aborted after ${enough} bytes`);
  }
});

test("a few bytes for a destination that is full wait in the pipe, and are given back", async () => {
  // Bytes over a UNIX socket have arrived when the call returns, and a socket without a reader stays full.
  const [client, conn] = socketpair();
  const [full, unread] = socketpair();
  await fillUp(full);
  const controller = new AbortController();
  const failed = splice(conn, full, { signal: controller.signal }).then(
    () => assert.fail("it was not aborted"),
    (error: unknown) => error as SpliceProgress,
  );
  await client.sendAll("12345");
  while (calls.inq(conn.fileno()) > 0) await immediate();
  controller.abort(new Error("enough"));
  const { transferred, undelivered } = await failed;
  assert.deepEqual([transferred, undelivered.toString()], [0, "12345"]);
  for (const socket of [client, conn, full, unread]) socket.close();
});

test("a few bytes for a TCP connection that is full are delivered, given back or not taken, and all of them are there", async () => {
  await using a = await connected();
  await using b = await connected();
  const filled = await fillUp(b.client);
  const controller = new AbortController();
  const failed = splice(a.conn, b.client, { signal: controller.signal }).then(
    () => assert.fail("it was not aborted"),
    (error: unknown) => error as SpliceProgress,
  );
  await a.client.sendAll("12345");
  for (let i = 0; i < 5; i++) await immediate();
  controller.abort(new Error("enough"));
  const { transferred, undelivered } = await failed;
  a.client.shutdown(SHUT_WR);
  b.client.shutdown(SHUT_WR);
  const rest = await receiveAll(a.conn);
  const delivered = (await receiveAll(b.conn)).subarray(filled);
  // The kernel makes room whenever it hands bytes on to the receiver.
  assert.equal(delivered.length, transferred);
  assert.equal(Buffer.concat([delivered, undelivered, rest]).toString(), "12345");
});

test("a waiting write and a later one get the event for buffer space on a relayed source", async () => {
  await using a = await connected();
  await using b = await connected();
  const controller = new AbortController();
  const splicing = splice(a.conn, b.client, { signal: controller.signal }).catch((error: unknown) => error);
  for (let i = 0; i < 3; i++) {
    await a.client.sendAll("x");
    await b.conn.recv(1);
  }
  // Against the stream of the splice. Nobody waits when the room comes.
  let total = await fillUp(a.conn);
  while (total > 0) total -= (await a.client.recv(1_000_000)).length;
  await a.client.sendAll("x");
  await b.conn.recv(1);
  await a.conn.sendAll("later");
  assert.equal((await a.client.recv(10)).toString(), "later");
  // A write waits when the room comes.
  const writing = a.conn.sendAll(big);
  for (let left = big.length; left > 0;) {
    left -= (await a.client.recv(1_000_000)).length;
    await a.client.sendAll("x");
    await b.conn.recv(1);
  }
  await writing;
  controller.abort();
  await splicing;
});

/** How many descriptors the pollers of this process watch, as proc(5) lists them. */
function watched(): number {
  let count = 0;
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== "anon_inode:[eventpoll]") continue;
      count += readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")
        .split("\n")
        .filter((line) => line.startsWith("tfd:")).length;
    } catch {
      // It was the one that listed the folder.
    }
  }
  return count;
}

test("the kernel forgets a socket that is closed, whether it had a duplicate or not", async () => {
  await using a = await connected();
  await using b = await connected();
  const copy = b.conn.dup();
  const waits = [a.conn, b.conn, copy].map((socket) => assert.rejects(socket.recv(1), { code: "ECANCELED" }));
  const all = watched();
  a.conn.close();
  assert.equal(watched(), all - 1);
  b.conn.close();
  assert.equal(watched(), all - 2, "the copy is open, and the registration of the original is not");
  copy.close();
  assert.equal(watched(), all - 3);
  await Promise.all(waits);
});

for (const end of [true, false]) {
  test(`urgent data stops no flow, and the bytes after it ${end ? "arrive before the end" : "arrive at once"}`, async () => {
    await using a = await connected();
    await using b = await connected();
    const moving = splice(a.conn, b.client);
    const sending = a.client.sendAll(big);
    const far = b.conn.stream();
    const came = await far.readExactly(big.length);
    await sending;
    await a.client.send("!", { flags: MSG_OOB });
    await a.client.sendAll("what lies behind");
    if (end) a.client.shutdown(SHUT_WR);
    assert.ok(came.equals(big));
    // The urgent byte itself is no part of the stream: tcp(7), SO_OOBINLINE.
    assert.equal(String(await far.readExactly(16)), "what lies behind");
    if (!end) a.client.shutdown(SHUT_WR);
    assert.equal(await moving, big.length + 16);
    assert.equal(await far.read(), null);
  });
}

test("urgent data that has come before a flow begins stops it no more, blocking or not", async () => {
  for (const kind of ["awaitable", "blocking"]) {
    await using a = await connected();
    await using b = await connected();
    const bulk = big.subarray(0, 100_000);
    const receiving = receiveAll(b.conn);
    await a.client.sendAll(bulk);
    await a.client.send("!", { flags: MSG_OOB });
    await a.client.sendAll("tail");
    a.client.shutdown(SHUT_WR);
    if (kind === "awaitable") assert.equal(await splice(a.conn, b.client), bulk.length + 4);
    else {
      using from = blocking.Socket.fromfd(a.conn.dup().detach());
      using to = blocking.Socket.fromfd(b.client.dup().detach());
      assert.equal(blocking.splice(from, to), bulk.length + 4);
    }
    const came = await receiving;
    assert.ok(came.subarray(0, bulk.length).equals(bulk));
    assert.equal(String(came.subarray(bulk.length)), "tail");
  }
});

for (const end of [true, false]) {
  test(`urgent data that was read before still splits the bytes of a flow ${end ? "at the end" : "before more bytes"}`, async () => {
    await using a = await connected();
    await using b = await connected();
    // Registered, so that arriving bytes cause events.
    const first = a.conn.recv(1);
    await a.client.sendAll("abc");
    assert.equal(String(await first), "a");
    await a.client.send("!", { flags: MSG_OOB });
    await a.client.sendAll("def");
    if (end) a.client.shutdown(SHUT_WR);
    assert.equal(String(a.conn.tryRecv(1, { flags: MSG_OOB })), "!");
    await immediate();
    const moving = splice(a.conn, b.client);
    const far = b.conn.stream();
    assert.equal(String(await far.readExactly(5)), "bcdef");
    if (!end) a.client.shutdown(SHUT_WR);
    assert.equal(await moving, 5);
    assert.equal(await far.read(), null);
  });
}

test("all bytes arrive that came before the end, with it and after it", async () => {
  for (const size of [0, 1, 64, 16_383, 16_384, 16_385, 40_000]) {
    await using a = await connected();
    await using b = await connected();
    const moving = pump(a.conn, b.client);
    const data = big.subarray(0, size);
    const receiving = receiveAll(b.conn);
    await a.client.sendAll(data);
    a.client.shutdown(SHUT_WR);
    assert.ok((await receiving).equals(data), `${size} bytes`);
    b.conn.shutdown(SHUT_WR);
    assert.deepEqual(await moving, { aToB: size, bToA: 0 });
  }
});
