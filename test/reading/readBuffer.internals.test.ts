// The read buffer: returned bytes are never overwritten, searches are correct, and both take linear time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadBuffer } from "#berkeley/reading/readBuffer.js";
import { pattern } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

function put(buffer: ReadBuffer, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    const space = buffer.prepareSpace();
    const count = Math.min(space.length, bytes.length - done);
    space.set(bytes.subarray(done, done + count));
    buffer.commit(count);
    done += count;
  }
}

test("take() returns bytes that later reads do not overwrite", () => {
  const buffer = new ReadBuffer(65_536);
  const held: Buffer[] = [];
  for (let round = 0; round < 400; round++) {
    put(buffer, pattern(37, round * 37));
    held.push(buffer.take(20), buffer.peek(17), buffer.take(17));
  }
  const taken = Buffer.concat(held.filter((_, index) => index % 3 !== 1));
  assert.deepEqual(taken, pattern(400 * 37));
  assert.deepEqual(held[1], pattern(17, 20));
});

test("peek() returns bytes that stay the same when the unread bytes move", () => {
  const buffer = new ReadBuffer(65_536);
  put(buffer, pattern(3000));
  const seen = buffer.peek(3000);
  put(buffer, pattern(100_000, 3000));
  seen.fill(0);
  assert.deepEqual(buffer.take(103_000).subarray(3000), pattern(100_000, 3000));
});

test("bytes of peek() stay the same after a take() of no bytes, whichever call takes them", () => {
  const takeRest: readonly ((buffer: ReadBuffer) => unknown)[] = [
    (buffer) => buffer.skip(100),
    (buffer) => buffer.takeText(100, "latin1"),
    (buffer) => buffer.copyInto(new Uint8Array(100)),
  ];
  for (const takeAll of takeRest) {
    const buffer = new ReadBuffer(65_536);
    put(buffer, pattern(100));
    const seen = buffer.peek(100);
    assert.equal(buffer.take(0).length, 0);
    takeAll(buffer);
    assert.equal(buffer.length, 0);
    put(buffer, Buffer.alloc(100, 0xff));
    assert.deepEqual(seen, pattern(100));
  }
});

test("prepareSpace() uses one slab again while it has no views", () => {
  const buffer = new ReadBuffer(65_536);
  put(buffer, Buffer.from("first line"));
  const memory = buffer.unreadBytes().buffer;
  for (let round = 0; round < 1000; round++) {
    buffer.takeText(buffer.length, "utf8");
    put(buffer, Buffer.from("another line, some of it longer".slice(0, 3 + (round % 28))));
    assert.equal(buffer.unreadBytes().buffer, memory);
  }
});

test("the slab grows when reads fill it and shrinks after many small reads", () => {
  const buffer = new ReadBuffer(65_536);
  assert.equal(buffer.prepareSpace().length, 4096);
  for (let round = 0; round < 4; round++) {
    buffer.commit(buffer.prepareSpace().length);
    buffer.skip(buffer.length);
  }
  assert.equal(buffer.prepareSpace().length, 65_536);
  for (let round = 0; round < 16 * 4; round++) {
    buffer.prepareSpace();
    buffer.commit(10);
    buffer.skip(10);
  }
  assert.equal(buffer.prepareSpace().length, 4096);
});

test("prepareSpace() never has more bytes than the size of a read", () => {
  const buffer = new ReadBuffer(100);
  for (let round = 0; round < 50; round++) {
    const { length } = buffer.prepareSpace();
    assert.ok(length >= 1 && length <= 100, `found ${length}`);
    buffer.commit(length);
  }
});

test("unread bytes that grow by single bytes are seldom moved", () => {
  const buffer = new ReadBuffer(65_536);
  let moved = 0;
  let slab;
  for (let index = 0; index < 300_000; index++) {
    const space = buffer.prepareSpace();
    space[0] = index % 251;
    buffer.commit(1);
    if (slab !== space.buffer) moved += buffer.length;
    slab = space.buffer;
  }
  assert.equal(buffer.length, 300_000);
  assert.ok(moved < 3 * 300_000, `moved ${moved} bytes`);
});

test("find() finds a pattern across reads and not in bytes that were not read", () => {
  const buffer = new ReadBuffer(65_536);
  put(buffer, Buffer.from("old\r\nold\r\n"));
  buffer.skip(10);
  put(buffer, Buffer.from("new"));
  assert.equal(buffer.find(10, 0), -1);
  assert.equal(buffer.find(Buffer.from("\r\n"), 0), -1);
  put(buffer, Buffer.from("\r"));
  assert.equal(buffer.find(Buffer.from("\r\n"), 0), -1);
  put(buffer, Buffer.from("\n"));
  assert.equal(buffer.find(Buffer.from("\r\n"), 2), 3);
  assert.equal(buffer.find(Buffer.from("\r\n"), 4), -1);
  assert.equal(buffer.find(10, 0), 4);
});

test("find() stays within the bytes that were read in a slab with much free space", () => {
  const buffer = new ReadBuffer(65_536);
  put(buffer, Buffer.concat([Buffer.alloc(60_000, "x"), Buffer.from("\n")]));
  buffer.skip(60_001);
  put(buffer, Buffer.from("abc\n"));
  assert.equal(buffer.find(10, 0), 3);
  buffer.skip(4);
  put(buffer, Buffer.from("y"));
  assert.equal(buffer.find(10, 0), -1);
});

test("position counts the bytes that were taken, in the stream's own slab and in the shared block", () => {
  const buffer = new ReadBuffer(5000);
  let taken = 0;
  for (let round = 0; round < 300; round++) {
    put(buffer, pattern(997));
    const count = (round * 131) % (buffer.length + 1);
    if (round % 3 === 0) buffer.take(count);
    else if (round % 3 === 1) buffer.skip(count);
    else buffer.takeText(count, "latin1");
    taken += count;
    assert.equal(buffer.position, taken);
  }
});

test("commit() refuses a count that is out of range", () => {
  const buffer = new ReadBuffer(100);
  buffer.prepareSpace();
  for (const count of [-1, 101, 1.5, NaN]) assert.throws(() => buffer.commit(count), RangeError);
});
