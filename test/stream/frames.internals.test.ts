// Frames: the codecs of the package, codecs of users, limits, early ends and wrong lengths.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameError, IncompleteReadError, LimitError } from "berkeley";
import {
  type Codec,
  delimited,
  fixed,
  lengthPrefixed,
  type LengthPrefixOptions,
  Stream,
  type StreamOptions,
} from "berkeley";
import { readVarint, encodeVarint, varintSize } from "#berkeley/stream/varint.js";
import { pattern } from "berkeley/testing";
import { seededNumbers } from "berkeley/testing";
import { memoryPair, type MemoryOptions, seededChunks } from "berkeley/testing";
import type { Data } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { testSeeds } from "../support/random.js";

checkLeaks();

/** JSON values, one a line; the last may lack its line feed. */
const ndjson: Codec<unknown> = {
  decoder: () => {
    let searched = 0;
    return (bytes, ended) => {
      const end = bytes.indexOf(10, searched);
      if (end < 0 && !ended) {
        searched = bytes.length;
        return bytes.length + 1;
      }
      const size = end < 0 ? bytes.length : end;
      return { value: JSON.parse(bytes.toString("utf8", 0, size)) as unknown, size: end < 0 ? size : size + 1 };
    };
  },
  encode: (value) => `${JSON.stringify(value)}\n`,
};

/** https://cr.yp.to/proto/netstrings.txt */
const netstring: Codec<Buffer, Uint8Array> = {
  max: 1000,
  decoder: () => (bytes) => {
    const colon = bytes.indexOf(":");
    const digits = bytes.toString("latin1", 0, colon < 0 ? bytes.length : colon);
    if (!/^(0|[1-9][0-9]{0,8})?$/.test(digits) || colon === 0) throw new FrameError(`no length: ${digits}`);
    if (colon < 0) return bytes.length + 1;
    const size = colon + 1 + Number(digits) + 1;
    if (bytes.length < size) return size;
    if (bytes[size - 1] !== 44) throw new FrameError("no comma");
    return { value: bytes.subarray(colon + 1, size - 1), size };
  },
  encode: (value) => [`${value.length}:`, value, ","],
};

async function framesOf<T>(
  codec: Codec<T, never>,
  data: Data,
  memory: MemoryOptions = {},
  opts?: StreamOptions,
): Promise<T[]> {
  const [a, b] = memoryPair(memory);
  const writing = a.write(data).then(() => a.closeWrite());
  writing.catch(() => undefined);
  const values: T[] = [];
  try {
    for await (const value of new Stream(b, opts).frames(codec)) values.push(value);
    await writing;
  } finally {
    b.abort();
  }
  return values;
}

const headers: LengthPrefixOptions[] = [
  { bytes: 1 },
  ...([2, 4, 8] as const).flatMap((bytes) => [
    { bytes, endian: "big" as const },
    { bytes, endian: "little" as const },
  ]),
  { bytes: "varint" },
];

for (const opts of headers) {
  const name = `lengthPrefixed(${JSON.stringify(opts)})`;

  testSeeds(`${name} decodes the frames that it encoded, in pieces of any size`, [9], async (_random, seed) => {
    const codec = lengthPrefixed(opts);
    const random = seededNumbers(seed);
    const most = opts.bytes === 1 ? 255 : 40_000;
    const payloads = Array.from({ length: 60 }, () => pattern(Math.floor(random() ** 4 * most), 7));
    payloads.push(pattern(0), pattern(1), pattern(127), pattern(128), pattern(most));
    const data = payloads.flatMap((payload) => codec.encode(payload) as Uint8Array[]);
    for (const chunking of [seededChunks(seed + 1, 5), seededChunks(seed + 2, 5000), 65_536]) {
      assert.deepEqual(await framesOf(codec, data, { chunking }, { readSize: 3000 }), payloads);
    }
  });

  test(`${name} rejects at an early end with the bytes that have arrived`, async () => {
    const codec = lengthPrefixed(opts);
    const bytes = Buffer.concat(codec.encode(pattern(100)) as Uint8Array[]);
    for (const cut of [bytes.length - 1, bytes.length - 100, 1]) {
      await assert.rejects(framesOf(codec, bytes.subarray(0, cut)), (error) => {
        assert.ok(error instanceof IncompleteReadError);
        assert.deepEqual(Buffer.from(error.received), bytes.subarray(0, cut));
        return true;
      });
    }
  });

  test(`${name} refuses a length over max before the payload arrives`, async () => {
    const max = 100;
    const codec = lengthPrefixed({ ...opts, max });
    assert.throws(() => codec.encode(pattern(101)), { code: "ERR_LIMIT", limit: "max", max, found: 101 });
    const head = (lengthPrefixed(opts).encode(pattern(101)) as Uint8Array[])[0] as Uint8Array;
    const [a, b] = memoryPair();
    await a.write(head);
    await assert.rejects(new Stream(b).frames(codec).read(), LimitError);
    assert.equal((await framesOf(codec, codec.encode(pattern(100)))).length, 1);
  });
}

test("lengthPrefixed() writes the length in the given size and byte order", () => {
  const head = (opts: LengthPrefixOptions, size: number): string =>
    ((lengthPrefixed(opts).encode(Buffer.alloc(size)) as Buffer[])[0] as Buffer).toString("hex");
  assert.equal(head({ bytes: 1 }, 5), "05");
  assert.equal(head({ bytes: 2 }, 0x0102), "0102");
  assert.equal(head({ bytes: 2, endian: "little" }, 0x0102), "0201");
  assert.equal(head({}, 0x010203), "00010203");
  assert.equal(head({ bytes: 4, endian: "little" }, 0x010203), "03020100");
  assert.equal(head({ bytes: 8 }, 0x0102), "0000000000000102");
  assert.equal(head({ bytes: 8, endian: "little" }, 0x0102), "0201000000000000");
  assert.equal(head({ bytes: "varint" }, 300), "ac02");
});

test("lengthPrefixed() refuses a length of 2^63", async () => {
  for (const hex of ["8000000000000001", "ffffffffffffffff"]) {
    await assert.rejects(framesOf(lengthPrefixed({ bytes: 8 }), Buffer.from(hex, "hex")), LimitError);
  }
  await assert.rejects(
    framesOf(lengthPrefixed({ bytes: "varint" }), Buffer.from("ffffffffffffffffff01", "hex")),
    LimitError,
  );
});

test("a varint keeps each number up to 2^53 - 1, and more than ten bytes are refused", () => {
  for (let power = 0; power <= 53; power++) {
    for (const value of [2 ** power - 1, 2 ** power, 2 ** power + 1]) {
      if (value > Number.MAX_SAFE_INTEGER) continue;
      const bytes = encodeVarint(value);
      assert.equal(bytes.length, varintSize(value));
      assert.deepEqual(readVarint(Buffer.concat([bytes, Buffer.of(1)])), { value, size: bytes.length });
      assert.equal(readVarint(bytes.subarray(0, -1)), undefined);
    }
  }
  assert.throws(() => readVarint(Buffer.alloc(11, 0x80)), FrameError);
  assert.equal(readVarint(Buffer.alloc(9, 0x80)), undefined);
});

test("delimited() reads the values that it has encoded, in chunks of any size", async () => {
  for (const end of ["\0", "\r\n", "--end--"]) {
    const codec = delimited(end);
    const payloads = ["", "a", "\r", "-", "--en", "x".repeat(9000), "end--"].map((text) => Buffer.from(text));
    const data = payloads.flatMap((payload) => codec.encode(payload) as Uint8Array[]);
    for (const chunking of [1, 3, 65_536]) assert.deepEqual(await framesOf(codec, data, { chunking }), payloads);
  }
});

test("delimited() applies its limit, rejects at an early end, and refuses a payload with the delimiter", async () => {
  const codec = delimited("\r\n", { max: 5 });
  assert.deepEqual((await framesOf(codec, "12345\r\n\r\n", { chunking: 1 })).map(String), ["12345", ""]);
  await assert.rejects(framesOf(codec, "123456\r\n", { chunking: 1 }), { code: "ERR_LIMIT", limit: "max", max: 5 });
  await assert.rejects(framesOf(codec, "123456\r\n"), LimitError);
  await assert.rejects(framesOf(codec, "123\r"), IncompleteReadError);
  assert.throws(() => codec.encode("a\r\nb"), RangeError);
  assert.throws(() => delimited("--end--").encode("--end-"), RangeError);
  assert.throws(() => codec.encode("123456"), LimitError);
  assert.throws(() => delimited(""), RangeError);
});

test("fixed() reads frames of one size", async () => {
  assert.deepEqual((await framesOf(fixed(3), "abcdef", { chunking: 2 })).map(String), ["abc", "def"]);
  await assert.rejects(framesOf(fixed(3), "abcd"), { code: "ERR_INCOMPLETE_READ", expected: 3 });
  assert.throws(() => fixed(3).encode("ab"), RangeError);
  assert.throws(() => fixed(0), RangeError);
});

test("a codec of the user reads JSON lines, including null and a last line without its end", async () => {
  const values = [{ a: 1 }, null, "x", [1, 2], "last"];
  const data = values
    .map((value) => ndjson.encode(value) as string)
    .join("")
    .trimEnd();
  for (const chunking of [1, 4, 1000]) assert.deepEqual(await framesOf(ndjson, data, { chunking }), values);
});

test("an error of a decoder ends reading permanently", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b);
  await a.write("{}\n{oops\n{}\n");
  const frames = stream.frames(ndjson);
  assert.deepEqual(await frames.read(), {});
  const error = await frames.read().catch((thrown: unknown) => thrown);
  assert.ok(error instanceof SyntaxError);
  await assert.rejects(frames.read(), error);
  await assert.rejects(stream.read(), error);
});

test("codecs refuse arguments of another type, such as a number in the place of options", () => {
  const none = 4 as unknown as object;
  assert.throws(
    () => lengthPrefixed(none),
    /^TypeError: Cannot make a lengthPrefixed codec: options are 4, required an object/,
  );
  assert.throws(
    () => delimited(";", none),
    /^TypeError: Cannot make a delimited codec: options are 4, required an object/,
  );
  assert.throws(
    () => delimited(none as unknown as string),
    /^TypeError: Cannot make a delimited codec: delimiter is 4, required a string or a Uint8Array$/,
  );
  assert.throws(
    () => fixed("4" as unknown as number),
    /^TypeError: Cannot make a fixed codec: size is "4", required a whole number from 1 to \d+$/,
  );
  assert.throws(
    () => new Stream(memoryPair()[0], none),
    /^TypeError: Cannot make a stream: options are 4, required an object/,
  );
});

test("a codec of the user reads netstrings and refuses other bytes", async () => {
  const payloads = [pattern(0), pattern(12), pattern(900)];
  const data = payloads.flatMap((payload) => netstring.encode(payload) as Uint8Array[]);
  for (const chunking of [1, 1000]) assert.deepEqual(await framesOf(netstring, data, { chunking }), payloads);
  await assert.rejects(framesOf(netstring, "5:hello;"), FrameError);
  await assert.rejects(framesOf(netstring, "x"), FrameError);
  await assert.rejects(framesOf(netstring, "999999:x"), { code: "ERR_LIMIT", limit: "max", max: 1000 });
});

test("frames() takes its limit from the call, then the codec, then the stream", async () => {
  const plain: Codec<Buffer> = { ...fixed(50), max: undefined };
  const read = (codec: Codec<Buffer, never>, opts?: { max: number }): Promise<unknown> => {
    const [a, b] = memoryPair();
    void a.write(pattern(50));
    return new Stream(b, { maxFrame: 40 }).frames(codec, opts).read();
  };
  await assert.rejects(read(plain), { limit: "maxFrame", max: 40 });
  assert.ok(await read(fixed(50)));
  await assert.rejects(read(fixed(50), { max: 45 }), { limit: "max", max: 45 });
  assert.ok(await read(plain, { max: 50 }));
});

test("a decoder that returns a wrong number of bytes fails the read", async () => {
  const broken = (result: number | { value: string; size: number }): Codec<unknown> => ({
    decoder: () => () => result,
    encode: String,
  });
  await assert.rejects(framesOf(broken(2), "ab"), RangeError);
  await assert.rejects(framesOf(broken({ value: "x", size: 0 }), "ab"), RangeError);
  await assert.rejects(framesOf(broken({ value: "x", size: 3 }), "ab"), RangeError);
});

test("a new decoder is made when another method has read bytes of the frame", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b);
  const frames = stream.frames(delimited(";"));
  await a.write("0123456789");
  await assert.rejects(frames.read({ timeout: 0 }), { code: "ETIMEDOUT" });
  assert.equal(String(await stream.readExactly(8)), "01234567");
  await a.write(";x;y;");
  assert.equal(String(await frames.read()), "89");
  assert.equal(String(frames.tryRead()), "x");
  assert.equal(String(frames.tryRead()), "y");
  assert.equal(frames.tryRead(), undefined);
});

test("payloads keep their bytes while later frames are read", async () => {
  const codec = lengthPrefixed({ bytes: 2 });
  const payloads = Array.from({ length: 300 }, (_, index) => pattern(500, index));
  const data = payloads.flatMap((payload) => codec.encode(payload) as Uint8Array[]);
  assert.deepEqual(await framesOf(codec, data, { chunking: 777 }), payloads);
});

test("codecs refuse options that are out of range", () => {
  assert.throws(() => lengthPrefixed({ bytes: 3 as 4 }), RangeError);
  assert.throws(() => lengthPrefixed({ endian: "middle" as "big" }), RangeError);
  assert.throws(() => lengthPrefixed({ bytes: 1, max: 256 }), RangeError);
  assert.throws(() => lengthPrefixed({ max: -1 }), RangeError);
});
