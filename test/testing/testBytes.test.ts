// The helpers of tests: what they resolve with, and the messages of their errors.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Conn } from "berkeley";
import { connConformance, memoryPair, readFully, readToEnd, rejection } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("readFully() says how many bytes were missing at the end", async () => {
  const [a, b] = memoryPair();
  await a.write("abc");
  await a.close();
  await assert.rejects(readFully(b, 5), /^Error: Cannot readFully: the end came after 3 bytes, required 5$/);
  await b.close();
});

test("readToEnd() resolves with all bytes, and rejects with the error of a read", async () => {
  const [a, b] = memoryPair();
  await a.write("abc");
  await a.closeWrite();
  assert.equal(String(await readToEnd(b)), "abc");
  await b.close();
  assert.equal((await rejection(readToEnd(b))).code, "EBADF");
  await a.close();
});

test("rejection() rejects when the promise resolves", async () => {
  const expected = /^Error: Cannot get the rejection: the call resolved with 5, required a rejection$/;
  await assert.rejects(rejection(Promise.resolve(5)), expected);
});

test("a check of the conformance suite that hangs says how long it took", async () => {
  const [check] = connConformance("x", () => hangingPair(), { deadline: 20 });
  await assert.rejects(check!.run(), /^Error: Cannot run the check: it takes longer than 20 ms$/);
});

test("a connection whose writes never wait fails with the number of bytes that it took", async () => {
  const name = "writes wait while the peer does not read, and all bytes that were taken arrive";
  const makePair = (): [Conn, Conn] => {
    const pair = memoryPair();
    pair[0].write = () => Promise.resolve();
    return pair;
  };
  const check = connConformance("x", makePair, { maxHeld: 100_000 }).find((one) => one.name === `x: ${name}`);
  await assert.rejects(check!.run(), /^Error: Cannot make a write wait: 131072 bytes were taken .* at most 100000$/);
});

test("a write that times out without a count of bytes fails the check", async () => {
  const name = "writes wait while the peer does not read, and all bytes that were taken arrive";
  const makePair = (): [Conn, Conn] => {
    const pair = memoryPair();
    pair[0].write = () => Promise.reject(Object.assign(new Error("late"), { code: "ETIMEDOUT" }));
    return pair;
  };
  const check = connConformance("x", makePair).find((one) => one.name === `x: ${name}`);
  await assert.rejects(
    check!.run(),
    /transferred of the timeout error is undefined, required the number of bytes taken$/,
  );
});

function hangingPair(): [Conn, Conn] {
  const pair = memoryPair();
  for (const conn of pair) conn.read = () => new Promise(() => {});
  return pair;
}
