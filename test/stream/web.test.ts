// Web streams, each direction separately: default and BYOB readers, backpressure, closing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { ReadableStream, TransformStream, WritableStream } from "node:stream/web";
import { fromWeb, Stream, toWeb } from "berkeley";
import { firstDifference, pattern, readFully, readToEnd, rejection } from "berkeley/testing";
import { memoryPair } from "berkeley/testing";
import { turn } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("toWeb() returns chunks with memory of their own to a default reader, and then the end", async () => {
  const [a, b] = memoryPair({ chunking: 700 });
  const writing = b.write(pattern(10_000)).then(() => b.closeWrite());
  const chunks: Uint8Array[] = [];
  for await (const chunk of toWeb(a).readable) chunks.push(chunk);
  await writing;
  assert.equal(firstDifference(Buffer.concat(chunks)), -1);
  assert.equal(Buffer.concat(chunks).length, 10_000);
  assert.ok(chunks.every((chunk) => chunk.buffer.byteLength === chunk.length));
});

test("toWeb() reads into the buffer of a BYOB reader", async () => {
  const [a, b] = memoryPair();
  const reader = toWeb(a).readable.getReader({ mode: "byob" });
  const reading = reader.read(new Uint8Array(new ArrayBuffer(64), 16, 8));
  await b.write("0123456789");
  const first = await reading;
  assert.equal(Buffer.from(first.value as Uint8Array).toString(), "01234567");
  assert.equal((first.value as Uint8Array).byteOffset, 16);
  const second = await reader.read(new Uint8Array(8));
  assert.equal(Buffer.from(second.value as Uint8Array).toString(), "89");
  await b.closeWrite();
  assert.equal((await reader.read(new Uint8Array(8))).done, true);
});

test("toWeb() reads nothing before a reader reads", async () => {
  const [a, b] = memoryPair();
  const { readable } = toWeb(a);
  await b.write("abc");
  await turn();
  assert.equal(b.unread, 3);
  const reader = readable.getReader();
  assert.equal(Buffer.from((await reader.read()).value as Uint8Array).toString(), "abc");
});

test("toWeb() writes text and bytes, and is not ready while a write waits", async () => {
  const [a, b] = memoryPair({ capacity: 1000 });
  const writer = toWeb(a).writable.getWriter();
  await writer.write("text ");
  let ready = false;
  const writing = writer.write(pattern(5000));
  const waiting = writer.ready.then(() => (ready = true));
  await turn();
  assert.equal(ready, false);
  assert.equal((await readFully(b, 5)).toString(), "text ");
  assert.equal(firstDifference(await readFully(b, 5000)), -1);
  await Promise.all([writing, waiting]);
});

test("toWeb() closes the connection when both sides are done, and not before", async () => {
  const [a, b] = memoryPair();
  const { readable, writable } = toWeb(a);
  await writable.close();
  assert.equal(await b.read(Buffer.alloc(1)), 0);
  assert.equal(a.closed, false);
  await b.write("x");
  await b.closeWrite();
  for await (const chunk of readable) assert.equal(Buffer.from(chunk).toString(), "x");
  assert.equal(a.closed, true);

  const [c] = memoryPair();
  const other = toWeb(c);
  const reader = other.readable.getReader();
  const pending = reader.read();
  await reader.cancel();
  assert.equal((await pending).done, true);
  assert.equal(c.closed, false);
  await other.writable.close();
  assert.equal(c.closed, true);
});

test("toWeb() aborts the connection when the writable is aborted", async () => {
  const [a, b] = memoryPair();
  await toWeb(a).writable.abort(new Error("broken"));
  assert.equal((await rejection(b.read(Buffer.alloc(1)))).code, "ECONNRESET");
});

test("toWeb() closes the connection when the last side has failed", async () => {
  const [a, b] = memoryPair();
  const { readable, writable } = toWeb(a);
  await b.close();
  const writer = writable.getWriter();
  await assert.rejects(writer.write("x"), { code: "EPIPE" });
  await assert.rejects(writer.closed, { code: "EPIPE" });
  assert.equal(a.closed, false);
  await readable.cancel();
  assert.equal(a.closed, true);

  const [c, d] = memoryPair();
  const other = toWeb(c);
  d.abort();
  const reader = other.readable.getReader();
  await assert.rejects(reader.read(), { code: "ECONNRESET" });
  // The writable finds out about a reset by itself.
  await assert.rejects(other.writable.getWriter().closed, { code: "ECONNRESET" });
  assert.equal(c.closed, true);
});

test("toWeb() errors the readable with the error of the connection", async () => {
  const [a, b] = memoryPair();
  const reader = toWeb(a).readable.getReader();
  const reading = reader.read();
  b.abort();
  assert.equal((await rejection(reading)).code, "ECONNRESET");
});

test("fromWeb() reads lines from a pair of web streams", async () => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const stream = new Stream(fromWeb({ readable, writable }));
  const writing = stream.write("one\ntwo\n").then(() => stream.closeWrite());
  const lines: string[] = [];
  for await (const line of stream.lines()) lines.push(line);
  await writing;
  assert.deepEqual(lines, ["one", "two"]);
});

test("fromWeb() passes on errors of a writable, also of another realm, and gives EPIPE a cause", async () => {
  const foreignError: unknown = runInNewContext('new Error("broken")');
  for (const reason of [new Error("broken"), foreignError, "broken"]) {
    const writable = new WritableStream<Uint8Array>({
      write() {
        throw reason;
      },
    });
    const conn = fromWeb({ readable: new ReadableStream<Uint8Array>(), writable });
    const broken = conn.whenBroken!();
    const isReason = (error: unknown): boolean =>
      reason === "broken" ? (error as Error).cause === reason : error === reason;
    await assert.rejects(conn.write("x"), isReason);
    assert.ok(isReason(await broken));
    await conn.close();
  }
});

test("fromWeb() copies the bytes that it writes", async () => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, {
    highWaterMark: 10,
  });
  const conn = fromWeb({ readable, writable });
  const buffer = Buffer.from("abc");
  await conn.write(buffer);
  buffer.fill("x");
  assert.equal((await readFully(conn, 3)).toString(), "abc");
});

test("fromWeb() refuses chunks that are no bytes", async () => {
  const { readable, writable } = new TransformStream<unknown, unknown>(undefined, undefined, { highWaterMark: 2 });
  await writable.getWriter().write("text");
  const sink = new TransformStream<Uint8Array, Uint8Array>();
  const pair = { readable, writable: sink.writable } as unknown as Parameters<typeof fromWeb>[0];
  await assert.rejects(fromWeb(pair).read(Buffer.alloc(8)), TypeError);
});

test("fromWeb() refuses streams that are locked", () => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  readable.getReader();
  assert.throws(() => fromWeb({ readable, writable }), TypeError);
});

test("a stream reads the body of a Response to its end", async () => {
  const [a, b] = memoryPair();
  const body = new Response(pattern(100_000)).body;
  assert.ok(body);
  const moving = (body as unknown as ReturnType<typeof toWeb>["readable"]).pipeTo(toWeb(a).writable);
  assert.equal(firstDifference(await readToEnd(b)), -1);
  await moving;
});
