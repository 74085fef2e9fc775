// pipeTo(): all bytes arrive, the end is passed on, backpressure, and the bytes that stay unread after an error.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { Stream } from "berkeley";
import { firstDifference, pattern, readFully, readToEnd } from "berkeley/testing";
import { memoryPair, seededChunks } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { testSeeds } from "../support/random.js";

checkLeaks();

testSeeds(
  "pipeTo() moves all bytes, including those in the buffer, and passes the end on",
  [4],
  async (_random, seed) => {
    const [source, from] = memoryPair({ chunking: seededChunks(seed, 9000) });
    const [to, sink] = memoryPair({ capacity: 5000, chunking: seededChunks(seed + 1, 4000) });
    const stream = new Stream(from);
    const writing = source.write(pattern(500_000)).then(() => source.closeWrite());
    await stream.peek(100);
    const [moved, all] = await Promise.all([stream.pipeTo(to), readToEnd(sink), writing]);
    assert.equal(moved, 500_000);
    assert.equal(all.length, 500_000);
    assert.equal(firstDifference(all), -1);
  },
);

test("pipeTo() uses one buffer for all bytes", async () => {
  const [source, from] = memoryPair();
  const [to, sink] = memoryPair();
  const memory = new Set<ArrayBufferLike>();
  const write = to.write.bind(to);
  to.write = (data, opts) => {
    memory.add((data as Uint8Array).buffer);
    return write(data, opts);
  };
  const writing = source.write(pattern(3_000_000)).then(() => source.closeWrite());
  await Promise.all([new Stream(from).pipeTo(to), readToEnd(sink), writing]);
  assert.ok(memory.size <= 4, `used ${memory.size}`);
});

test("pipeTo() with keepOpen leaves the destination open", async () => {
  const [source, from] = memoryPair();
  const [to, sink] = memoryPair();
  await source.write("one ");
  await source.closeWrite();
  assert.equal(await new Stream(from).pipeTo(to, { keepOpen: true }), 4);
  await to.write("two");
  assert.equal((await readFully(sink, 7)).toString(), "one two");
});

test("pipeTo() reads no more than the destination takes", async () => {
  const [source, from] = memoryPair({ capacity: 10_000 });
  const [to, sink] = memoryPair({ capacity: 10_000 });
  const stream = new Stream(from, { readSize: 4096 });
  const writing = source.write(pattern(1_000_000)).catch((error: unknown) => error);
  const piping = stream.pipeTo(to, { timeout: 20 });
  await assert.rejects(piping, { code: "ETIMEDOUT", syscall: "write" });
  assert.equal(to.unread, 10_000);
  assert.ok(stream.buffered <= 4096);
  // The bytes that the destination has not taken are still unread.
  assert.equal(firstDifference(await readFully(sink, 10_000)), -1);
  assert.equal(firstDifference(await stream.readExactly(20_000), 10_000), -1);
  stream.abort();
  assert.equal(((await writing) as { code?: unknown }).code, "ECONNRESET");
});

test("pipeTo() that times out in a read loses no byte and unlocks the stream", async () => {
  const [source, from] = memoryPair();
  const [to, sink] = memoryPair();
  const stream = new Stream(from);
  await source.write("abc");
  await assert.rejects(stream.pipeTo(to, { timeout: 5 }), { code: "ETIMEDOUT", syscall: "read" });
  assert.equal((await readFully(sink, 3)).toString(), "abc");
  await source.write("def");
  assert.equal(String(await stream.read()), "def");
});

test("pipeTo() rejects with the error of either side and closes neither", async () => {
  const [source, from] = memoryPair();
  const [to, sink] = memoryPair({ faults: [{ side: "a", call: "write", after: 2, error: "EIO" }] });
  const stream = new Stream(from);
  await source.write("abcdef");
  await assert.rejects(stream.pipeTo(to), { code: "EIO" });
  assert.equal((await readFully(sink, 2)).toString(), "ab");
  assert.equal(String(await stream.read()), "cdef");
  source.abort();
  await assert.rejects(stream.pipeTo(to), { code: "ECONNRESET" });
  await to.write("x");
  assert.equal((await readFully(sink, 1)).toString(), "x");
});

test("pipeTo() ends with the reason of its signal", async () => {
  const [, from] = memoryPair();
  const [to] = memoryPair();
  const control = new AbortController();
  const piping = new Stream(from).pipeTo(to, { signal: control.signal });
  const reason = new Error("enough");
  control.abort(reason);
  await assert.rejects(piping, reason);
});

test("close() during pipeTo() ends it with ECANCELED", async () => {
  const [source, from] = memoryPair();
  const [to] = memoryPair({ capacity: 10 });
  const stream = new Stream(from);
  await source.write(pattern(100));
  const reading = stream.pipeTo(to).catch((error: unknown) => error);
  await new Promise((resolve) => setImmediate(resolve));
  await stream.close();
  await to.close();
  assert.equal(((await reading) as { code?: unknown }).code, "ECANCELED");
});

test("two connections piped into each other make a proxy", async () => {
  const [client, left] = memoryPair();
  const [right, server] = memoryPair();
  const [front, back] = [new Stream(left), new Stream(right)];
  const proxy = Promise.all([front.pipeTo(back), back.pipeTo(front)]);
  await client.write("question");
  await client.closeWrite();
  assert.equal((await readToEnd(server)).toString(), "question");
  await server.write("answer");
  await server.closeWrite();
  assert.equal((await readToEnd(client)).toString(), "answer");
  assert.deepEqual(await proxy, [8, 6]);
});

test("pipeTo() to a writer whose whenBroken() throws rejects with that error and unlocks the stream", async () => {
  const [source, from] = memoryPair();
  const [to, sink] = memoryPair();
  const stream = new Stream(from);
  const broken = new Error("a fault of the writer");
  to.whenBroken = () => {
    throw broken;
  };
  const { signal } = new AbortController();
  await assert.rejects(stream.pipeTo(to, { signal }), broken);
  assert.equal(getEventListeners(signal, "abort").length, 0);
  await source.write("still there\n");
  assert.equal(await stream.readLine(), "still there");
  for (const conn of [source, stream, to, sink]) await conn.close();
});
