// The memory pair: capacity, latency, chunking and faults.

import assert from "node:assert/strict";
import { test } from "node:test";
import { InetAddress } from "berkeley";
import { pattern, readFully, rejection } from "berkeley/testing";
import { FakeClock, memoryPair, seededChunks } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("a direction holds capacity bytes before writes wait", async () => {
  const [a, b] = memoryPair({ capacity: 10 });
  await a.write(pattern(10));
  const error = (await rejection(a.write("xyz", { timeout: 0 }))) as { code?: string; transferred?: number };
  assert.deepEqual([error.code, error.transferred], ["ETIMEDOUT", 0]);
  let done = false;
  const writing = a.write(pattern(15, 10)).then(() => (done = true));
  assert.deepEqual(await readFully(b, 10), pattern(10));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(done, false);
  assert.equal(a.unread, 10);
  assert.deepEqual(await readFully(b, 15), pattern(15, 10));
  await writing;
});

test("latency delays bytes and the end", async () => {
  const clock = new FakeClock();
  const [a, b] = memoryPair({ latency: 100, clock });
  await a.write("early");
  await clock.advance(50);
  await a.write("late");
  await a.closeWrite();
  const seen: string[] = [];
  const reading = (async () => {
    const buffer = Buffer.alloc(64);
    for (;;) {
      const count = await b.read(buffer);
      seen.push(`${clock.now()} ${buffer.toString("utf8", 0, count)}`);
      if (count === 0) return;
    }
  })();
  await clock.advance(49);
  assert.deepEqual(seen, []);
  await clock.advance(1);
  assert.deepEqual(seen, ["100 early"]);
  await clock.advance(50);
  await reading;
  assert.deepEqual(seen, ["100 early", "150 late", "150 "]);
  assert.equal(clock.pending, 0);
});

test("a timeout uses the clock of the pair", async () => {
  const clock = new FakeClock();
  const [a, b] = memoryPair({ clock, capacity: 4 });
  const reading = rejection(b.read(Buffer.alloc(1), { timeout: 1000 }));
  await clock.advance(1000);
  assert.equal((await reading).code, "ETIMEDOUT");
  const writing = rejection(a.write("abcdef", { timeout: 1000 }));
  await clock.advance(1000);
  assert.equal(((await writing) as { transferred?: number }).transferred, 4);
  assert.equal((await readFully(b, 4)).toString(), "abcd");
  assert.equal(clock.pending, 0);
});

test("chunking limits the bytes of a read, and the same seed gives the same sizes", async () => {
  const sizes = async (chunking: number | ((available: number) => number)): Promise<number[]> => {
    const [a, b] = memoryPair({ chunking });
    await a.write(pattern(40));
    const seen: number[] = [];
    for (let got = 0; got < 40; got += seen.at(-1) as number) seen.push(await b.read(Buffer.alloc(64)));
    return seen;
  };
  assert.deepEqual(await sizes(15), [15, 15, 10]);
  assert.deepEqual(await sizes((available) => available / 2), [20, 10, 5, 2, 1, 1, 1]);
  assert.equal((await sizes(() => NaN)).length, 40);
  const random = await sizes(seededChunks(1, 9));
  assert.ok(random.every((size) => size >= 1 && size <= 9));
  assert.deepEqual(await sizes(seededChunks(1, 9)), random);
  assert.notDeepEqual(await sizes(seededChunks(2, 9)), random);
});

test("a fault fails its call on its side after its number of bytes", async () => {
  const [a, b] = memoryPair({
    faults: [
      { side: "a", call: "write", after: 4, error: "ENOBUFS" },
      { side: "b", call: "read", after: 2, error: "EIO", times: 2 },
      { side: "b", call: "write", error: new Error("own") },
      { side: "a", call: "closeWrite", error: "ENOTCONN" },
    ],
  });
  const cut = (await rejection(a.write("abcdef"))) as { code?: string; transferred?: number; syscall?: string };
  assert.deepEqual([cut.code, cut.syscall, cut.transferred], ["ENOBUFS", "write", 4]);
  await a.write("ef");
  const buffer = Buffer.alloc(64);
  assert.equal(await b.read(buffer), 2);
  for (let round = 0; round < 2; round++) assert.equal((await rejection(b.read(buffer))).code, "EIO");
  assert.equal((await readFully(b, 4)).toString(), "cdef");
  await assert.rejects(b.write("x"), /own/);
  await b.write("y");
  assert.equal((await readFully(a, 1)).toString(), "y");
  assert.equal((await rejection(a.closeWrite())).code, "ENOTCONN");
});

test("a fault that is due rejects a write that waits for space", async () => {
  const [a, b] = memoryPair({ capacity: 4, faults: [{ side: "a", call: "write", after: 6, error: "ECONNRESET" }] });
  const writing = rejection(a.write("abcdefgh"));
  assert.equal((await readFully(b, 6)).toString(), "abcdef");
  const error = (await writing) as { code?: string; transferred?: number };
  assert.deepEqual([error.code, error.transferred], ["ECONNRESET", 6]);
});

test("each end has the two given addresses, as local and remote address", () => {
  const addresses = [new InetAddress("127.0.0.1", 1000), new InetAddress("127.0.0.1", 80)] as const;
  const [a, b] = memoryPair({ addresses });
  assert.deepEqual([String(a.localAddress), String(a.remoteAddress)], ["127.0.0.1:1000", "127.0.0.1:80"]);
  assert.deepEqual([String(b.localAddress), String(b.remoteAddress)], ["127.0.0.1:80", "127.0.0.1:1000"]);
  assert.equal(memoryPair()[0].localAddress, undefined);
});

test("options that are out of range are refused", () => {
  assert.throws(() => memoryPair({ capacity: 0 }), RangeError);
  assert.throws(() => memoryPair({ latency: -1 }), RangeError);
});
