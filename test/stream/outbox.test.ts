// stream.outbox and its limits, on each kind of connection: the kernel's, TLS, memory, a Duplex, and a Conn of a user.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { dirname } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  type Conn,
  connect,
  listen,
  OutboxFullError,
  socketpair,
  SO_SNDBUF,
  Stream,
  type StreamOptions,
} from "berkeley";
import { memoryPair, readFully } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { type Ends, testOutbox } from "./outboxChecks.js";

checkLeaks();

async function overTcp(opts: StreamOptions): Promise<Ends> {
  await using listener = await listen("tcp://127.0.0.1:0", opts);
  const reader = await connect(listener.address);
  return [await listener.accept(), reader];
}

const kinds: readonly (readonly [name: string, make: (opts: StreamOptions) => Promise<Ends>])[] = [
  ["a TCP connection", (opts) => overTcp(opts)],
  [
    "a pair of UNIX sockets",
    (opts) => {
      const [left, right] = socketpair();
      return Promise.resolve([left.stream(opts), right.stream()]);
    },
  ],
  [
    "a pair in memory",
    (opts) => {
      const [a, b] = memoryPair();
      return Promise.resolve([new Stream(a, opts), new Stream(b)]);
    },
  ],
  [
    "a stream on a stream",
    (opts) => {
      const [a, b] = memoryPair();
      return Promise.resolve([new Stream(new Stream(a), opts), new Stream(b)]);
    },
  ],
  [
    "a Duplex",
    (opts) => {
      const duplex = new PassThrough({ highWaterMark: 1000 });
      const both = Stream.fromDuplex(duplex, opts);
      return Promise.resolve([both, both]);
    },
  ],
  [
    "a Conn of a user, without writeProgress",
    (opts) => {
      const [a, b] = memoryPair();
      return Promise.resolve([new Stream(plainConn(a), opts), new Stream(b)]);
    },
  ],
];

/** A Conn with the required methods only. */
function plainConn(conn: Conn): Conn {
  return {
    localAddress: undefined,
    remoteAddress: undefined,
    read: (buffer, opts) => conn.read(buffer, opts),
    write: (data, opts) => conn.write(data, opts),
    closeWrite: (opts) => conn.closeWrite(opts),
    close: () => conn.close(),
    abort: () => conn.abort(),
    [Symbol.asyncDispose]: () => conn.close(),
  };
}

for (const [kind, make] of kinds) testOutbox(kind, make);

test("the outbox counts the bytes that the kernel has not taken, and no more", async () => {
  const [left, right] = socketpair();
  left.setsockopt(SO_SNDBUF, 8192);
  await using writer = left.stream();
  await using reader = right.stream();
  const writing = writer.write(Buffer.alloc(1_000_000));
  const before = writer.outbox;
  assert.equal(before.writes, 1);
  assert.ok(before.bytes < 1_000_000, "the kernel has taken a part");
  const received = await reader.readExactly(200_000);
  // What the kernel holds and what was read is not in the outbox.
  assert.ok(writer.outbox.bytes <= 1_000_000 - received.length);
  assert.ok(writer.outbox.bytes < before.bytes);
  await reader.readExactly(800_000);
  await writing;
  assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
});

test("maxOutboxWrites limits writes that have few bytes, or none", async () => {
  const [a, b] = memoryPair({ capacity: 1 });
  const writer = new Stream(a, { maxOutboxWrites: 3 });
  const writes = [writer.write("one"), writer.write(""), writer.write("2")];
  assert.deepEqual(writer.outbox, { bytes: 3, writes: 3 });
  const refused: unknown = await writer.write("").catch((error: unknown) => error);
  assert.ok(refused instanceof OutboxFullError);
  assert.deepEqual([refused.limit, refused.max, refused.writes], ["maxOutboxWrites", 3, 3]);
  assert.equal(String(await readFully(b, 4)), "one2");
  await Promise.all(writes);
  await writer.write("");
  await writer.close();
  await b.close();
});

test("a pipe to a stream whose outbox is full loses no byte", async () => {
  const [a, peer] = memoryPair({ capacity: 10 });
  const [from, source] = memoryPair();
  await using writer = new Stream(a, { maxOutbox: 20 });
  await using reader = new Stream(peer);
  await using piped = new Stream(source);
  const first = writer.write("x".repeat(30));
  const second = writer.write("y".repeat(15));
  await from.write("bytes to move");
  await assert.rejects(piped.pipeTo(writer), { code: "ERR_OUTBOX_FULL" });
  assert.equal(piped.buffered, 13);
  assert.equal(String(await reader.readExactly(45)), "x".repeat(30) + "y".repeat(15));
  await Promise.all([first, second]);
  await from.closeWrite();
  const moving = piped.pipeTo(writer);
  assert.equal(String(await reader.readExactly(13)), "bytes to move");
  assert.equal(await moving, 13);
  await from.close();
});

test("without an option the outbox holds 4 MiB", async () => {
  const [a] = memoryPair({ capacity: 1000 });
  await using writer = new Stream(a);
  const pending = Array.from({ length: 1598 }, () =>
    writer.write(Buffer.alloc(10_000)).then(
      () => "written",
      (error: unknown) => (error as { code: string }).code,
    ),
  );
  assert.ok(writer.outbox.bytes <= 4_194_304 && writer.outbox.bytes > 4_184_304, `${writer.outbox.bytes} bytes`);
  assert.equal(writer.outbox.writes, 419);
  assert.equal(await pending[1597], "ERR_OUTBOX_FULL");
});

test("a rejected write that no code awaits is an unhandled rejection, as before", () => {
  const program = `
    import { Stream } from "berkeley";
    import { memoryPair } from "berkeley/testing";
    const [a, b] = memoryPair({ capacity: 1 });
    const writer = new Stream(a);
    process.on("unhandledRejection", (error) => console.log(error.code));
    void writer.write("many bytes");
    void writer.write("more");
    await b.close();`;
  // Beside this file, so that "berkeley" is what the test imports.
  const cwd = dirname(fileURLToPath(import.meta.url));
  const args = ["--input-type=module", "--eval", program];
  assert.equal(execFileSync(process.execPath, args, { cwd, encoding: "utf8" }), "EPIPE\nEPIPE\n");
});

test("wrong limits of an outbox are refused before there is a connection", async () => {
  const [a, b] = memoryPair();
  for (const [name, value, error] of [
    ["maxOutbox", -1, RangeError],
    ["maxOutbox", 1.5, RangeError],
    ["maxOutbox", "1MB", TypeError],
    ["maxOutboxWrites", 0, RangeError],
    ["maxOutboxWrites", {}, TypeError],
  ] as const) {
    const opts = { [name]: value } as StreamOptions;
    const wanted = { name: error.name, message: new RegExp(`: ${name} is .*, required a whole number from `) };
    assert.throws(() => new Stream(a, opts), wanted);
    await assert.rejects(connect("tcp://127.0.0.1:1", opts), wanted);
    await assert.rejects(listen("tcp://127.0.0.1:0", opts), wanted);
  }
  await a.close();
  await b.close();
});
