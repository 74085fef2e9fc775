// The messages of wrong arguments of streams and connections: each names the action, the value and what is required.

import assert from "node:assert/strict";
import { Duplex, PassThrough } from "node:stream";
import { test } from "node:test";
import {
  type Codec,
  delimited,
  fixed,
  fromDuplex,
  fromWeb,
  lengthPrefixed,
  type LengthPrefixOptions,
  Stream,
  toDuplex,
  toWeb,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** A value of a type that the call does not take. */
const wrong = (value: unknown): never => value as never;

/** The message of the error that `call` throws or rejects with. */
async function messageOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
    return error.message;
  }
  throw new Error("the call must fail");
}

const [a, b] = memoryPair();
const stream = new Stream(b);
const connections = [
  ["a memory pair", () => memoryPair()[0]],
  ["a stream", () => new Stream(memoryPair()[0])],
  ["a Duplex", () => fromDuplex(new PassThrough())],
  ["web streams", () => fromWeb(new TransformStream<Uint8Array, Uint8Array>())],
] as const;

for (const [name, make] of connections) {
  test(`wrong arguments of the calls of ${name} have messages that name the call, the value and the rule`, async () => {
    const conn = make();
    const bytes = new Uint8Array(4);
    const milliseconds = "required milliseconds from 0 to 2147483647, or null for none";
    const rows: readonly [() => unknown, string][] = [
      [() => conn.read(wrong("x".repeat(3))), "Cannot read: buffer is"],
      [() => conn.read(new Uint8Array(0)), "Cannot read: buffer has 0 bytes, required at least 1"],
      [() => conn.read(bytes, { timeout: -1 }), `Cannot read: timeout is -1, ${milliseconds}`],
      [() => conn.read(bytes, { timeout: Infinity }), `Cannot read: timeout is Infinity, ${milliseconds}`],
      [() => conn.read(bytes, { timeout: 0x8000_0000 }), `Cannot read: timeout is 2147483648, ${milliseconds}`],
      [() => conn.read(bytes, { timeout: wrong("10") }), `Cannot read: timeout is "10", ${milliseconds}`],
      [() => conn.read(bytes, { signal: wrong(5) }), "Cannot read: signal is 5, required an AbortSignal"],
      [() => conn.read(bytes, wrong(5)), "Cannot read: options are 5, required an object"],
      [() => conn.write("x", { timeout: NaN }), `Cannot write: timeout is NaN, ${milliseconds}`],
      [() => conn.write(wrong(5)), "Cannot write: data is 5, required a string, a Uint8Array or an array of those"],
      [() => conn.write(["x", wrong(5)]), "Cannot write: data[1] is 5, required a string or a Uint8Array"],
      [() => conn.closeWrite({ timeout: -1 }), `Cannot closeWrite: timeout is -1, ${milliseconds}`],
    ];
    for (const [call, expected] of rows) {
      // The stream interprets the argument of `read("xxx")` as a maximum, so the message is about that.
      if (conn instanceof Stream && expected === "Cannot read: buffer is") continue;
      const message = await messageOf(call);
      assert.ok(message.startsWith(expected), message);
    }
    assert.match(
      await messageOf(() => conn.whenBroken?.({ timeout: -1 })),
      /^Cannot whenBroken: timeout is -1, required milliseconds/,
    );
    conn.abort();
    await conn.close();
  });
}

test("wrong arguments of a stream's own calls have messages that name the call, the value and the rule", async () => {
  const most = Number.MAX_SAFE_INTEGER;
  const rows: readonly [() => unknown, string][] = [
    [() => stream.read(0), `Cannot read: max is 0, required a whole number from 1 to ${most}`],
    [() => stream.read(wrong("1")), `Cannot read: max is "1", required a whole number from 1 to ${most}`],
    [() => stream.readExactly(-1), `Cannot readExactly: size is -1, required a whole number from 0 to ${most}`],
    [() => stream.peek(0), `Cannot peek: size is 0, required a whole number from 1 to ${most}`],
    [() => stream.readUntil(""), "Cannot readUntil: delimiter has 0 bytes, required at least 1"],
    [() => stream.readUntil(wrong(5)), "Cannot readUntil: delimiter is 5, required a string or a Uint8Array"],
    [() => stream.readUntil(";", { max: 0 }), `Cannot readUntil: max is 0, required a whole number from 1 to ${most}`],
    [() => stream.readLine({ max: -1 }), `Cannot readLine: max is -1, required a whole number from 0 to ${most}`],
    [
      () => stream.readLine({ encoding: wrong("utf9") }),
      'Cannot readLine: encoding is "utf9", required the name of an encoding of Buffer',
    ],
    [() => stream.readLine(wrong(null)), "Cannot readLine: options are null, required an object"],
    [() => stream.lines({ max: -1 }), `Cannot read lines: max is -1, required a whole number from 0 to ${most}`],
    [
      () => stream.frames(fixed(1), { max: -1 }),
      `Cannot read frames: max is -1, required a whole number from 0 to ${most}`,
    ],
    [
      () => new Stream(a, { readSize: 0 }),
      `Cannot make a stream: readSize is 0, required a whole number from 1 to ${most}`,
    ],
    [
      () => new Stream(a, { maxLine: wrong("1") }),
      `Cannot make a stream: maxLine is "1", required a whole number from 1 to ${most}`,
    ],
    [() => stream.pipeTo(a, { timeout: -1 }), "Cannot pipeTo: timeout is -1, required milliseconds from 0 to"],
    [() => stream.end({ timeout: -1 }), "Cannot end: timeout is -1, required milliseconds from 0 to"],
    [() => stream.end({ maxBytes: -1 }), "Cannot end: maxBytes is -1, required a whole number from 0, or Infinity"],
    [() => stream.toNetSocket(), "Cannot toNetSocket: a MemoryConn has no descriptor, required a connection over"],
  ];
  for (const [call, expected] of rows) {
    const message = await messageOf(call);
    assert.ok(message.startsWith(expected), message);
  }
  await a.write("still");
  assert.equal(String(await stream.readExactly(5)), "still");
});

test("wrong arguments of codecs have messages that name the codec, the value and the rule", async () => {
  const prefixed = (opts: unknown) => () => lengthPrefixed(opts as LengthPrefixOptions);
  const rows: readonly [() => unknown, string][] = [
    [prefixed({ bytes: 3 }), 'Cannot make a lengthPrefixed codec: bytes is 3, required 1, 2, 4, 8 or "varint"'],
    [
      prefixed({ endian: "middle" }),
      'Cannot make a lengthPrefixed codec: endian is "middle", required "big" or "little"',
    ],
    [
      prefixed({ bytes: 1, max: 256 }),
      "Cannot make a lengthPrefixed codec: max is 256, required a whole number from 0 to 255",
    ],
    [() => delimited(""), "Cannot make a delimited codec: delimiter has 0 bytes, required at least 1"],
    [() => delimited(";", { max: -1 }), "Cannot make a delimited codec: max is -1, required a whole number from 0 to"],
    [
      () => delimited(";").encode("a;b"),
      'Cannot encode a frame of 3 bytes: the delimiter ";" is found in them, required only at their end',
    ],
    [() => fixed(0), "Cannot make a fixed codec: size is 0, required a whole number from 1 to"],
    [() => fixed(4).encode("a"), "Cannot encode a frame: value has 1 bytes, required 4"],
  ];
  for (const [call, expected] of rows) {
    const message = await messageOf(call);
    assert.ok(message.startsWith(expected), message);
  }
});

test("a decoder that breaks its contract gets a message with what it returned", async () => {
  for (const [returned, expected] of [
    [1, /^Cannot read a frame: the decoder's number of bytes is 1, required more than the 2 bytes that it was given$/],
    [{ value: 1, size: 3 }, /^Cannot read a frame: the decoder's size is 3, required a whole number from 1 to 2$/],
    [{ value: 1 }, /^Cannot read a frame: the decoder's size is undefined, required a whole number from 1 to 2$/],
  ] as const) {
    const [near, far] = memoryPair();
    const codec: Codec<number> = { decoder: () => () => wrong(returned), encode: String };
    await near.write("ab");
    const reader = new Stream(far);
    assert.match(await messageOf(() => reader.frames(codec).read()), expected);
    await Promise.all([near.close(), reader.close()]);
  }
});

test("a source that returns no count gets a message with what it returned", async () => {
  for (const result of [1_000_000, -1, 0.5, NaN, undefined, "3"]) {
    const [, conn] = memoryPair();
    conn.read = () => Promise.resolve(wrong(result));
    const reader = new Stream(conn);
    const message = await messageOf(() => reader.read());
    const start = `Cannot read: the result of read() is ${result}, required a whole number`;
    assert.ok(message.startsWith(start), message);
    assert.deepEqual([reader.stats().bytesReceived, reader.stats().reads], [0, 0]);
    await conn.close();
  }
});

test("wrong arguments of the conversions have messages that name the function, the value and the rule", async () => {
  const objects = new PassThrough({ objectMode: true });
  const decoded = new PassThrough().setEncoding("utf8");
  const duplex = toDuplex(memoryPair()[0]);
  const rows: readonly [() => unknown, string][] = [
    [() => fromDuplex(objects), "Cannot fromDuplex: duplex is in object mode, required a Duplex of bytes"],
    [() => fromDuplex(decoded), 'Cannot fromDuplex: duplex has the encoding "utf8", required a Duplex of bytes'],
    [
      () => fromDuplex(new PassThrough(), { closeTimeout: -1 }),
      "Cannot fromDuplex: closeTimeout is -1, required milliseconds from 0 to 2147483647, or null for none",
    ],
    [
      () => fromDuplex(new PassThrough(), { closeTimeout: Infinity }),
      "Cannot fromDuplex: closeTimeout is Infinity, required milliseconds from 0 to 2147483647, or null for none",
    ],
    [() => fromDuplex(new PassThrough(), wrong(5)), "Cannot fromDuplex: options are 5, required an object"],
    [() => toDuplex(a, wrong(5)), "Cannot toDuplex: options are 5, required an object"],
    [() => toWeb(a, { readSize: 0 }), "Cannot toWeb: readSize is 0, required a whole number from 1 to"],
    [() => duplex.setTimeout(-1), "Cannot setTimeout: milliseconds is -1, required a finite number from 0"],
    [() => duplex.setTimeout(wrong("1")), 'Cannot setTimeout: milliseconds is "1", required a finite number from 0'],
    [() => duplex.setTimeout(1, wrong(5)), "Cannot setTimeout: listener is 5, required a function"],
    [
      () => memoryPair({ capacity: 0 }),
      "Cannot make a memory pair: capacity is 0, required a number of bytes from 1 on",
    ],
    [
      () => memoryPair({ latency: -1 }),
      "Cannot make a memory pair: latency is -1, required milliseconds from 0 to 2147483647, or null for none",
    ],
  ];
  for (const [call, expected] of rows) {
    const message = await messageOf(call);
    assert.ok(message.startsWith(expected), message);
  }
  duplex.destroy();
});

test("a chunk that is no bytes has a message with the chunk", async () => {
  const duplex = new Duplex({ readableHighWaterMark: 1, read: () => {} });
  duplex.read = () => "text";
  const conn = fromDuplex(duplex);
  assert.equal(
    await messageOf(() => conn.read(new Uint8Array(4))),
    'Cannot read: a chunk of the Duplex is "text", required bytes',
  );
  conn.abort();
  await conn.close();
  const { readable, writable } = new TransformStream<unknown, unknown>();
  const writing = writable.getWriter();
  void writing.write(5);
  writing.releaseLock();
  const web = fromWeb(wrong({ readable, writable }));
  assert.equal(
    await messageOf(() => web.read(new Uint8Array(4))),
    "Cannot read: a chunk of the readable is 5, required a Uint8Array",
  );
  web.abort();
  await web.close();
});
