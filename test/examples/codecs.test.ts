// The examples ndjson.ts and netstring.ts: codecs with input in pieces of any size, and servers that use them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Codec, connect, type Data, FrameError, IncompleteReadError, Stream } from "berkeley";
import { memoryPair } from "berkeley/testing";
import { type Json, ndjson, startNdjsonServer } from "../../examples/ndjson.js";
import { netstring, startNetstringServer } from "../../examples/netstring.js";
import { checkLeaks } from "../support/leaks.js";
import { example, interrupted, portOf } from "./support.js";

checkLeaks();

/** The frames of `data`, which comes in pieces of `chunking` bytes. */
async function framesOf<T>(codec: Codec<T, never>, data: Data, chunking: number): Promise<T[]> {
  const [a, b] = memoryPair({ chunking });
  const writing = a.write(data).then(() => a.closeWrite());
  writing.catch(() => undefined);
  const values: T[] = [];
  try {
    for await (const value of new Stream(b).frames(codec)) values.push(value);
    await writing;
  } finally {
    b.abort();
    a.abort();
  }
  return values;
}

/** What a peer gets back for what it sends, all of it. */
async function answer(address: Parameters<typeof connect>[0], data: Data): Promise<string> {
  await using stream = await connect(address);
  await stream.write(data);
  await stream.closeWrite();
  let text = "";
  for await (const chunk of stream) text += chunk.toString();
  return text;
}

test("NDJSON gives every value once, however its bytes come, with and without the last line's end", async () => {
  const values: Json[] = [{ a: 1 }, null, [1, "zwei\n", { drei: "3️⃣" }], false, "", 0];
  const data = values.map((value) => ndjson.encode(value) as string).join("");
  for (const chunking of [1, 3, 1000]) {
    assert.deepEqual(await framesOf(ndjson, data, chunking), values);
    assert.deepEqual(await framesOf(ndjson, data.trimEnd(), chunking), values);
    assert.deepEqual(await framesOf(ndjson, data.replaceAll("\n", "\r\n"), chunking), values);
  }
});

test("NDJSON has errors for a line that is not JSON, a line that is too long, and a value that JSON can't represent", async () => {
  await assert.rejects(framesOf(ndjson, "1\n\n2\n", 1), FrameError);
  const broken = framesOf(ndjson, "{}\n{oops\n{}\n", 1);
  await assert.rejects(broken, (error) => error instanceof FrameError && error.cause instanceof SyntaxError);
  await assert.rejects(framesOf({ ...ndjson, max: 10 }, `"${"x".repeat(20)}"\n`, 1), { code: "ERR_LIMIT", max: 10 });
  assert.throws(() => ndjson.encode(undefined as unknown as Json), TypeError);
});

test("netstrings return every string once, and refuse wrong bytes as early as possible", async () => {
  const payloads = ["", "hello world!", "12:", Buffer.alloc(900, ",").toString()];
  const codec = netstring(1000);
  const data = payloads.flatMap((payload) => codec.encode(payload) as (string | Uint8Array)[]);
  for (const chunking of [1, 7, 5000]) {
    assert.deepEqual((await framesOf(codec, data, chunking)).map(String), payloads);
    await assert.rejects(framesOf(codec, "5:hello;", chunking), FrameError);
    for (const wrong of ["x", ":", "-1:", "01:x,", "00:,", "99999", "1 :x,", "+1:x,"]) {
      await assert.rejects(framesOf(codec, wrong, chunking), FrameError, wrong);
    }
    await assert.rejects(framesOf(codec, "1001:", chunking), {
      code: "ERR_LIMIT",
      limit: "max",
      max: 1000,
      found: 1001,
    });
    await assert.rejects(framesOf(codec, "5:hel", chunking), IncompleteReadError);
  }
  assert.throws(() => codec.encode(Buffer.alloc(1001)), { code: "ERR_LIMIT" });
});

test("the servers answer, and send an error before they close", async () => {
  await using json = await startNdjsonServer("tcp://127.0.0.1:0");
  assert.equal(await answer(json.address, '{"a":1}\n[2]'), '{"number":1,"value":{"a":1}}\n{"number":2,"value":[2]}\n');
  assert.match(
    await answer(json.address, "1\n{oops\n"),
    /^{"number":1,"value":1}\n{"error":"a line of NDJSON is no JSON/,
  );
  await using strings = await startNetstringServer("unix:@berkeley-netstring-test");
  assert.equal(await answer(strings.address, "5:hello,0:,"), "5:hello,0:,");
  assert.match(await answer(strings.address, "5:hello!"), /^\d+:a netstring ends with ",", found byte 33,$/);
});

for (const [name, sent, back] of [
  ["ndjson", "7\n", '{"number":1,"value":7}\n'],
  ["netstring", "2:hi,", "2:hi,"],
] as const) {
  test(`${name}.ts runs as a program and ends on Ctrl-C`, async () => {
    await using program = example(name, "0");
    assert.equal(await answer(["127.0.0.1", await portOf(program)], sent), back);
    await interrupted(program);
  });
}
