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
import { certificates } from "../tls/support.js";

checkLeaks();

/** Two streams of one connection. */
type Pair = readonly [writer: Stream, reader: Stream];

async function overTcp(opts: StreamOptions, scheme: "tcp" | "tls" = "tcp"): Promise<Pair> {
  const tls = scheme === "tls" ? { cert: certificates().server.cert, key: certificates().server.key } : undefined;
  const listener = await listen(`${scheme}://127.0.0.1:0`, tls === undefined ? opts : { ...opts, tls });
  const accepting = listener.accept();
  const target = `${scheme}://${String(listener.address)}`;
  const reader = await connect(target, tls === undefined ? {} : { tls: { rejectUnauthorized: false } });
  const writer = await accepting;
  await listener.close();
  return [writer, reader];
}

const kinds: readonly (readonly [name: string, make: (opts: StreamOptions) => Promise<Pair>])[] = [
  ["a TCP connection", (opts) => overTcp(opts)],
  ["TLS", (opts) => overTcp(opts, "tls")],
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

const MESSAGE = 10_000;
const MOST = 100_000;

/** The message with this number: the number, and a fill. */
function message(number: number): Buffer {
  const bytes = Buffer.alloc(MESSAGE, number & 0xff);
  bytes.writeUInt32BE(number);
  return bytes;
}

for (const [kind, make] of kinds) {
  test(`unawaited writes to a peer that does not read stop at maxOutbox: ${kind}`, async () => {
    const [writer, reader] = await make({ maxOutbox: MOST });
    await using _writer = writer;
    await using _reader = reader;
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
    const written: Promise<void>[] = [];
    let refused: unknown;
    while (refused === undefined) {
      assert.ok(written.length < 100_000, "the kernel takes no more than that");
      const writing = writer.write(message(written.length));
      written.push(writing);
      writing.catch((error: unknown) => (refused = error));
      // Promise reactions run here, and no event of the kernel.
      for (let tick = 0; tick < 5; tick++) await undefined;
    }
    written.pop();
    assert.ok(refused instanceof OutboxFullError);
    assert.equal(refused.code, "ERR_OUTBOX_FULL");
    assert.equal(refused.limit, "maxOutbox");
    assert.equal(refused.max, MOST);
    assert.match(
      refused.message,
      /^Cannot write 10000 bytes: the outbox has \d+ bytes in \d+ writes, required at most /,
    );
    const { bytes, writes } = writer.outbox;
    assert.deepEqual({ bytes, writes }, { bytes: refused.bytes, writes: refused.writes });
    assert.ok(bytes <= MOST && bytes > MOST - MESSAGE, `${bytes} bytes`);
    assert.ok(writes >= bytes / MESSAGE, `${writes} writes`);

    // All that was accepted arrives whole, and the next write is accepted.
    for (let number = 0; number < written.length; number++) {
      assert.ok((await reader.readExactly(MESSAGE)).equals(message(number)), `message ${number}`);
    }
    await Promise.all(written);
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
    const last = writer.write("again");
    assert.equal(String(await reader.readExactly(5)), "again");
    await last;
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
  });

  test(`a single write of any size is accepted, and small ones may wait behind it: ${kind}`, async () => {
    const [writer, reader] = await make({ maxOutbox: 1000 });
    await using _writer = writer;
    await using _reader = reader;
    const large = Buffer.alloc(6_000_000, "L");
    const writes = [
      writer.write(large),
      writer.write("a".repeat(600)),
      writer.write(["b".repeat(100), "b".repeat(300)]),
    ];
    assert.equal(writer.outbox.writes, 3);
    assert.ok(writer.outbox.bytes > 1000 && writer.outbox.bytes <= large.length + 1000);
    await assert.rejects(writer.write("c"), { code: "ERR_OUTBOX_FULL", max: 1000, writes: 3 });
    // Data and options that are wrong are wrong first.
    await assert.rejects(writer.write([1] as unknown as string), TypeError);
    await assert.rejects(writer.write("c", { timeout: -1 }), RangeError);
    await assert.rejects(writer.write("c", { signal: AbortSignal.abort("gone") }), (reason) => reason === "gone");
    assert.ok((await reader.readExactly(large.length)).equals(large));
    assert.equal(String(await reader.readExactly(1000)), "a".repeat(600) + "b".repeat(400));
    await Promise.all(writes);
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
  });

  test(`awaited writes never meet the limit: ${kind}`, async () => {
    const [writer, reader] = await make({ maxOutbox: 0, maxOutboxWrites: 1 });
    await using _writer = writer;
    await using _reader = reader;
    const all = (async () => {
      for (let number = 0; number < 200; number++) await writer.write(message(number));
    })();
    for (let number = 0; number < 200; number++) {
      assert.ok((await reader.readExactly(MESSAGE)).equals(message(number)));
    }
    await all;
  });

  test(`writes that end early leave the outbox: ${kind}`, async () => {
    const [writer, reader] = await make({ maxOutbox: MOST });
    await using _reader = reader;
    const large = writer.write(Buffer.alloc(6_000_000));
    const cut = new AbortController();
    const aborted = writer.write("abort me", { signal: cut.signal });
    const late = writer.write("late", { timeout: 1 });
    assert.equal(writer.outbox.writes, 3);
    cut.abort("enough");
    await assert.rejects(aborted, (reason) => reason === "enough");
    await assert.rejects(late, { code: "ETIMEDOUT" });
    assert.equal(writer.outbox.writes, 1);
    const ended = assert.rejects(large, { code: "ECANCELED" });
    await writer.close();
    await ended;
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
    await assert.rejects(writer.write("x"), { code: "EBADF" });
  });
}

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

test("without an option the outbox holds 4 MiB", async () => {
  const [a, b] = memoryPair({ capacity: 1000 });
  await using writer = new Stream(a);
  await using _reader = b;
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
