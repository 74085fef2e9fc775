// Stream: each reading method, timeouts and signals, limits, and one read at a time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { BusyError, IncompleteReadError, LimitError, SocketError } from "berkeley";
import { Stream, type StreamOptions } from "berkeley";
import { pattern } from "berkeley/testing";
import { FakeClock, type MemoryConn, memoryPair, type MemoryOptions } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

function pair(opts?: StreamOptions, memory?: MemoryOptions): [MemoryConn, Stream, MemoryConn] {
  const [a, b] = memoryPair(memory);
  return [a, new Stream(b, opts), b];
}

test("read() returns the bytes that there are, then waits, and resolves with null at the end", async () => {
  const [peer, stream] = pair();
  await peer.write("one");
  await peer.write("two");
  assert.equal(String(await stream.read()), "onetwo");
  const waiting = stream.read();
  await peer.write("three");
  assert.equal(String(await waiting), "three");
  await peer.closeWrite();
  assert.equal(await stream.read(), null);
  assert.equal(await stream.read(), null);
});

test("read(max) leaves the rest for the next read", async () => {
  const [peer, stream] = pair();
  await peer.write("abcdef");
  assert.equal(String(await stream.read(4)), "abcd");
  assert.equal(stream.buffered, 2);
  assert.equal(String(await stream.read(4)), "ef");
});

test("read() takes options in the place of max", async () => {
  const [, stream] = pair();
  await assert.rejects(stream.read({ timeout: 0 }), { code: "ETIMEDOUT" });
});

test("read(buffer) first copies the bytes of the stream's buffer, then the connection fills the buffer", async () => {
  const [peer, stream, conn] = pair();
  await peer.write("abcdef");
  await stream.peek(1);
  const target = Buffer.alloc(4);
  assert.equal(await stream.read(target), 4);
  assert.equal(String(target), "abcd");
  assert.equal(await stream.read(target), 2);
  const read = conn.read.bind(conn);
  let seen: Uint8Array | undefined;
  conn.read = (buffer, opts) => {
    seen = buffer;
    return read(buffer, opts);
  };
  await peer.write("gh");
  assert.equal(await stream.read(target), 2);
  assert.equal(seen, target);
  await peer.closeWrite();
  assert.equal(await stream.read(target), 0);
  assert.equal(await stream.read(target), 0);
});

test("the Buffers that read() returns keep their bytes", async () => {
  const [peer, stream] = pair({}, { chunking: 700 });
  const writing = peer.write(pattern(200_000)).then(() => peer.closeWrite());
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  await writing;
  assert.deepEqual(Buffer.concat(chunks), pattern(200_000));
});

test("readExactly() waits for all its bytes, in chunks of any size", async () => {
  const [peer, stream] = pair({}, { chunking: 3 });
  const reading = stream.readExactly(10);
  await peer.write("0123");
  await peer.write("456789rest");
  assert.equal(String(await reading), "0123456789");
  assert.equal(String(await stream.readExactly(4)), "rest");
  assert.equal((await stream.readExactly(0)).length, 0);
  await assert.rejects(stream.readExactly(0, { timeout: -1 }), /^RangeError: Cannot read: timeout is -1/);
  await assert.rejects(stream.readExactly(0, { signal: AbortSignal.abort("stop") }), (reason) => reason === "stop");
});

test("readExactly() returns more bytes than one read", async () => {
  const [peer, stream] = pair({ readSize: 1000 });
  const writing = peer.write(pattern(1_000_000));
  assert.deepEqual(await stream.readExactly(1_000_000), pattern(1_000_000));
  await writing;
});

test("readExactly() allocates no memory for bytes that have not arrived", async () => {
  const [peer, stream] = pair();
  const before = process.memoryUsage().arrayBuffers;
  const reading = stream.readExactly(2 ** 32);
  await peer.write(pattern(1000));
  await peer.closeWrite();
  await assert.rejects(reading, IncompleteReadError);
  assert.ok(process.memoryUsage().arrayBuffers - before < 8_000_000);
});

test("readExactly() rejects at an early end with the bytes that have arrived", async () => {
  const [peer, stream] = pair();
  await peer.write("abc");
  await peer.closeWrite();
  await assert.rejects(stream.readExactly(8), (error) => {
    assert.ok(error instanceof IncompleteReadError);
    assert.equal(error.code, "ERR_INCOMPLETE_READ");
    assert.equal(Buffer.from(error.received).toString(), "abc");
    assert.equal(error.expected, 8);
    return true;
  });
  assert.equal(await stream.read(), null);
});

test("readUntil() returns the bytes with the delimiter, also when the delimiter arrives in two chunks", async () => {
  const [peer, stream] = pair({}, { chunking: 1 });
  await peer.write("a\rb\r\r\nc\r\n");
  assert.equal(String(await stream.readUntil("\r\n")), "a\rb\r\r\n");
  assert.equal(String(await stream.readUntil(Buffer.from("\r\n"))), "c\r\n");
  await peer.write("tail");
  await peer.closeWrite();
  await assert.rejects(stream.readUntil("\r\n"), (error) => {
    assert.ok(error instanceof IncompleteReadError);
    assert.equal(Buffer.from(error.received).toString(), "tail");
    assert.equal(error.expected, undefined);
    return true;
  });
  assert.equal(await stream.readUntil("\r\n"), null);
});

test("readUntil() counts the delimiter in max", async () => {
  const [peer, stream] = pair();
  await peer.write("abc;defg;");
  assert.equal(String(await stream.readUntil(";", { max: 4 })), "abc;");
  await assert.rejects(stream.readUntil(";", { max: 4 }), { code: "ERR_LIMIT", limit: "max", max: 4 });
});

test("peek() returns bytes and leaves them unread, and fewer at the end", async () => {
  const [peer, stream] = pair({}, { chunking: 2 });
  await peer.write("abcd");
  assert.equal(String(await stream.peek(3)), "abc");
  assert.equal(String(await stream.peek(4)), "abcd");
  await peer.closeWrite();
  assert.equal(String(await stream.peek(9)), "abcd");
  assert.equal(String(await stream.readExactly(4)), "abcd");
  assert.equal(await stream.peek(1), null);
});

test("a call that times out leaves its bytes for the next call", async () => {
  const [peer, stream] = pair({}, { chunking: 2 });
  await peer.write("abcde");
  await assert.rejects(stream.readExactly(8, { timeout: 5 }), { code: "ETIMEDOUT" });
  await assert.rejects(stream.readUntil("\n", { timeout: 5 }), { code: "ETIMEDOUT" });
  await assert.rejects(stream.readLine({ timeout: 5 }), { code: "ETIMEDOUT" });
  await assert.rejects(stream.peek(6, { timeout: 5 }), { code: "ETIMEDOUT" });
  await peer.write("fgh");
  assert.equal(String(await stream.readExactly(8)), "abcdefgh");
});

test("a timeout applies to the whole call, and not to each of its reads", async () => {
  const clock = new FakeClock();
  const [peer, stream] = pair({ now: clock.now }, { clock });
  const reading = stream.readExactly(10, { timeout: 100 });
  const outcome = assert.rejects(reading, { code: "ETIMEDOUT" });
  for (let round = 0; round < 4; round++) {
    await peer.write("x");
    await clock.advance(30);
  }
  await outcome;
  assert.equal(clock.pending, 0);
  assert.equal(stream.buffered, 4);
});

test("a timeout of 0 takes the bytes that the connection has, in as many reads as necessary", async () => {
  const [peer, stream] = pair({}, { chunking: 1 });
  await peer.write("abcd");
  assert.equal(String(await stream.readExactly(4, { timeout: 0 })), "abcd");
  await assert.rejects(stream.readExactly(1, { timeout: 0 }), { code: "ETIMEDOUT" });
});

test("a signal ends a call with its reason and leaves its bytes for the next call", async () => {
  const [peer, stream] = pair();
  const control = new AbortController();
  const reason = new Error("enough");
  const reading = stream.readExactly(8, { signal: control.signal });
  await peer.write("abc");
  control.abort(reason);
  await assert.rejects(reading, reason);
  await assert.rejects(stream.read({ signal: control.signal }), reason);
  assert.equal(String(await stream.read()), "abc");
});

test("a second read while one is pending rejects with a BusyError and has no effect on the first", async () => {
  const [peer, stream] = pair();
  const reading = stream.readExactly(4);
  for (const second of [
    stream.read(),
    stream.read(Buffer.alloc(4)),
    stream.readExactly(2),
    stream.readLine(),
    stream.peek(1),
    stream.lines().next(),
    stream.pipeTo(stream),
  ]) {
    await assert.rejects(second, BusyError);
  }
  await peer.write("abcdef");
  assert.equal(String(await reading), "abcd");
  assert.equal(String(await stream.read()), "ef");
});

test("several reading methods, one after the other, return each byte once", async () => {
  const [peer, stream] = pair({ readSize: 64 }, { chunking: 7 });
  await peer.write("line\nexact;until;peekchunk");
  await peer.closeWrite();
  assert.equal(await stream.readLine(), "line");
  assert.equal(String(await stream.readExactly(5)), "exact");
  assert.equal(String(await stream.readUntil("l;")), ";until;");
  assert.equal(String(await stream.peek(4)), "peek");
  let rest = "";
  for await (const chunk of stream) rest += String(chunk);
  assert.equal(rest, "peekchunk");
});

test("a loop that has ended early can be continued", async () => {
  const [peer, stream] = pair();
  await peer.write("1\n2\n3\n");
  await peer.closeWrite();
  const seen: string[] = [];
  for await (const line of stream.lines()) {
    seen.push(line);
    break;
  }
  for await (const line of stream.lines()) seen.push(line);
  assert.deepEqual(seen, ["1", "2", "3"]);
});

test("a LimitError ends reading permanently, and writing continues", async () => {
  const [peer, stream] = pair({ maxLine: 10 });
  await peer.write("0123456789ab\nshort\n");
  const failed = await stream.readLine().catch((error: unknown) => error);
  assert.ok(failed instanceof LimitError);
  assert.equal(failed.limit, "maxLine");
  assert.equal(failed.max, 10);
  for (const later of [stream.readLine(), stream.read(), stream.read(Buffer.alloc(1)), stream.pipeTo(stream)]) {
    await assert.rejects(later, failed);
  }
  assert.equal(stream.buffered, 0);
  await stream.write("too long");
  const answer = Buffer.alloc(16);
  assert.equal(answer.toString("utf8", 0, await peer.read(answer)), "too long");
});

test("a peer that never ends its line exceeds the limit", async () => {
  const [peer, stream] = pair({ maxLine: 20_000, readSize: 4096 }, { capacity: 4096 });
  const writing = peer.write(pattern(1_000_000).fill("x")).catch((error: unknown) => error);
  await assert.rejects(stream.readLine(), LimitError);
  stream.abort();
  const error = await writing;
  assert.ok(error instanceof SocketError);
  assert.ok(Number(error.transferred) <= 20_000 + 4096 + 4096, `took ${error.transferred}`);
});

test("a stream reads nothing before a call", async () => {
  const [peer, stream] = pair();
  await peer.write("abc");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(peer.unread, 3);
  assert.equal(stream.buffered, 0);
});

test("a call rejects with the error of the connection and leaves the bytes before it", async () => {
  const [peer, stream] = pair({}, { faults: [{ side: "b", call: "read", after: 3, error: "EIO" }] });
  await peer.write("abcdef");
  await assert.rejects(stream.readExactly(6), { code: "EIO", syscall: "read" });
  assert.equal(String(await stream.readExactly(6)), "abcdef");
});

test("a connection that throws or returns a wrong count does not leave the stream busy", async () => {
  const [, conn] = memoryPair();
  const stream = new Stream(conn);
  conn.read = () => {
    throw new Error("thrown");
  };
  await assert.rejects(stream.read(), /thrown/);
  conn.read = () => Promise.resolve(1e9);
  await assert.rejects(stream.read(), RangeError);
  conn.read = (buffer) => Promise.resolve(Buffer.from(buffer.buffer, buffer.byteOffset, 1).write("x"));
  assert.equal(String(await stream.read()), "x");
});

test("close() rejects a pending call with ECANCELED and later calls with EBADF, and drops the buffer", async () => {
  const [peer, stream] = pair();
  await peer.write("abc");
  const reading = stream.readExactly(9);
  await new Promise((resolve) => setImmediate(resolve));
  const outcome = assert.rejects(reading, { code: "ECANCELED" });
  await stream.close();
  await outcome;
  assert.equal(stream.buffered, 0);
  await assert.rejects(stream.read(), { code: "EBADF" });
  await assert.rejects(stream.readLine(), { code: "EBADF" });
  await assert.rejects(stream.write("x"), { code: "EBADF" });
  await stream.close();
});

test("close() right after bytes have arrived rejects the call with ECANCELED", async () => {
  const [peer, stream] = pair();
  const outcome = assert.rejects(stream.read(), { code: "ECANCELED" });
  void peer.write("abc");
  await stream.close();
  await outcome;
});

test("wrong arguments are refused before anything is read", async () => {
  const [peer, stream] = pair();
  await peer.write("abc\n");
  const wrong = "3" as unknown as number;
  for (const call of [
    () => stream.read(0),
    () => stream.read(-1),
    () => stream.read(1.5),
    () => stream.readExactly(-1),
    () => stream.peek(0),
    () => stream.readUntil(""),
    () => stream.readUntil(";", { max: 0 }),
    () => stream.readLine({ max: NaN }),
    () => stream.read({ timeout: -1 }),
  ]) {
    await assert.rejects(call(), RangeError);
  }
  await assert.rejects(stream.readExactly(wrong), TypeError);
  for (const delimiter of [undefined, null, 5, {}, ["\n"]] as unknown as string[]) {
    await assert.rejects(
      stream.readUntil(delimiter),
      /^TypeError: Cannot readUntil: delimiter is .*, required a string or a Uint8Array$/,
    );
  }
  assert.throws(() => stream.lines({ max: -1 }), RangeError);
  assert.throws(() => new Stream(peer, { readSize: 0 }), RangeError);
  assert.throws(() => new Stream(peer, { maxLine: wrong }), TypeError);
  assert.equal(await stream.readLine(), "abc");
});

test("addresses, write and closeWrite are those of the connection", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(a);
  assert.equal(stream.conn, a);
  assert.equal(stream.localAddress, a.localAddress);
  await stream.write(["x", Buffer.from("y")]);
  await stream.closeWrite();
  const other = new Stream(b);
  assert.equal(String(await other.readExactly(2)), "xy");
  assert.equal(await other.read(), null);
});
