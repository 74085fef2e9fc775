// Lines: their ends, their limits, and how they are found.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Stream } from "berkeley";
import { seededNumbers } from "berkeley/testing";
import { memoryPair, seededChunks } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { testSeeds } from "../support/random.js";

checkLeaks();

async function linesOf(
  text: string,
  chunking: number | ((available: number) => number),
  max?: number,
): Promise<string[]> {
  const [a, b] = memoryPair({ chunking });
  const writing = a.write(text).then(() => a.closeWrite());
  const lines: string[] = [];
  for await (const line of new Stream(b).lines({ max })) lines.push(line);
  await writing;
  return lines;
}

test("lines end in LF or CR LF, empty ones count, the last may lack its end", async () => {
  for (const chunking of [1, 2, 3, 100]) {
    assert.deepEqual(await linesOf("a\r\nb\n\n\r\nc\rd\r\r\ne", chunking), ["a", "b", "", "", "c\rd\r", "e"]);
    assert.deepEqual(await linesOf("a\n", chunking), ["a"]);
    assert.deepEqual(await linesOf("", chunking), []);
    assert.deepEqual(await linesOf("\n", chunking), [""]);
  }
});

testSeeds("lines are the same however the bytes come", [5], async (_random, seed) => {
  const random = seededNumbers(seed);
  const expected = Array.from({ length: 500 }, () => "é€x".repeat(Math.floor(random() ** 4 * 900)));
  const text = expected.map((line, index) => line + (index % 2 === 0 ? "\n" : "\r\n")).join("");
  for (let further = 1; further <= 5; further++) {
    assert.deepEqual(await linesOf(text, seededChunks(seed + further, 3000)), expected);
  }
});

test("max counts the bytes of a line without its end", async () => {
  for (const chunking of [1, 100]) {
    assert.deepEqual(await linesOf("12345\r\nabcde\n€12\n12345", chunking, 5), ["12345", "abcde", "€12", "12345"]);
    await assert.rejects(linesOf("123456\n", chunking, 5), { code: "ERR_LIMIT", limit: "max", max: 5 });
    await assert.rejects(linesOf("12345\r\r\n", chunking, 5), { code: "ERR_LIMIT" });
    await assert.rejects(linesOf("123456", chunking, 5), { code: "ERR_LIMIT" });
    assert.deepEqual(await linesOf("\n\r\n", chunking, 0), ["", ""]);
  }
});

test("readLine() decodes in the given encoding, and replaces bytes that are not UTF-8", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b);
  await a.write(Buffer.of(0xe9, 0x0a, 0xe9, 0x0a));
  assert.equal(await stream.readLine({ encoding: "latin1" }), "é");
  assert.equal(await stream.readLine(), "\ufffd");
});

test("a search for a line stays correct when other methods have read bytes of it", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b);
  const lines = stream.lines();
  await a.write("0123456789");
  await assert.rejects(lines.read({ timeout: 0 }), { code: "ETIMEDOUT" });
  assert.equal(String(await stream.readExactly(8)), "01234567");
  await a.write("\nnext line\nlast line\n");
  assert.equal(await lines.read(), "89");
  assert.equal(await stream.readLine(), "next line");
  assert.equal(await lines.read(), "last line");
});

test("tryRead() returns the lines that have arrived and never waits", async () => {
  const [a, b] = memoryPair();
  const lines = new Stream(b).lines();
  assert.equal(lines.tryRead(), undefined);
  await a.write("1\n\n3\n4");
  assert.equal(await lines.read(), "1");
  assert.equal(lines.tryRead(), "");
  assert.equal(lines.tryRead(), "3");
  assert.equal(lines.tryRead(), undefined);
  await a.closeWrite();
  assert.equal(await lines.read(), "4");
  assert.equal(lines.tryRead(), undefined);
  assert.equal(await lines.read(), null);
});

test("the timeout of lines() applies to each line", async () => {
  const [a, b] = memoryPair();
  const lines = new Stream(b).lines({ timeout: 20 });
  await a.write("1\n2\n");
  assert.equal(await lines.read(), "1");
  assert.deepEqual(await lines.next(), { done: false, value: "2" });
  await assert.rejects(lines.next(), { code: "ETIMEDOUT" });
  await a.write("3\n");
  assert.deepEqual(await lines.next(), { done: false, value: "3" });
});

test("a long line in small pieces takes linear time", async () => {
  const [a, b] = memoryPair({ chunking: 64, capacity: 1_000_000 });
  const stream = new Stream(b);
  await a.write("x".repeat(200_000) + "\n");
  let searched = 0;
  const { indexOf } = Buffer.prototype;
  Buffer.prototype.indexOf = function (this: Buffer, ...args: Parameters<typeof indexOf>) {
    searched += this.length - ((args[1] as number | undefined) ?? 0);
    return indexOf.apply(this, args);
  } as typeof indexOf;
  try {
    assert.equal((await stream.readLine({ max: 200_000 }))?.length, 200_000);
  } finally {
    Buffer.prototype.indexOf = indexOf;
  }
  assert.ok(searched > 0 && searched < (200_000 / 64) * 4300, `looked at ${searched} bytes`);
});
