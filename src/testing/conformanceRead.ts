// Conformance checks of reading: the order of bytes, timeouts and signals without loss, one read at a time.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import {
  assertRejects,
  firstDifference,
  markHandled,
  nextTurn,
  pattern,
  readFully,
  readToEnd,
  rejection,
} from "./testBytes.js";
import type { Check } from "./conformance.js";
import { seededNumbers } from "./seededNumbers.js";

export const readChecks: readonly Check[] = [
  {
    name: "bytes arrive in order, each once, for writes and reads of any size",
    async run(a, b) {
      // The powers below make small sizes more frequent than large ones.
      const writeSizes = seededNumbers(1);
      const size = 300_000;
      const send = async (): Promise<void> => {
        for (let sent = 0; sent < size;) {
          const count = Math.min(size - sent, 1 + Math.floor(writeSizes() ** 4 * 40_000));
          await a.write(pattern(count, sent));
          sent += count;
        }
      };
      const writing = markHandled(send());
      const readSizes = seededNumbers(2);
      for (let received = 0; received < size;) {
        const buffer = Buffer.alloc(1 + Math.floor(readSizes() ** 3 * 20_000));
        const count = await b.read(buffer);
        assert.ok(
          count >= 1 && count <= buffer.length,
          `read() is ${count}, required 1 to ${buffer.length}, the size of its buffer`,
        );
        assert.equal(firstDifference(buffer.subarray(0, count), received), -1);
        received += count;
      }
      await writing;
    },
  },
  {
    name: "a read takes at most the size of its buffer and leaves the rest for the next read",
    async run(a, b) {
      await a.write("0123456789");
      assert.equal((await readFully(b, 4)).toString(), "0123");
      assert.equal((await readFully(b, 6)).toString(), "456789");
    },
  },
  {
    name: "a read writes only to its buffer, and only the bytes that it counts",
    async run(a, b) {
      await a.write("xy");
      const memory = Buffer.alloc(64, 1);
      const count = await b.read(memory.subarray(8, 40));
      assert.ok(count === 1 || count === 2);
      // The two bytes from index 8 on may have changed, and no others.
      assert.ok(memory.subarray(0, 8).every((byte) => byte === 1));
      assert.ok(memory.subarray(8 + 2).every((byte) => byte === 1));
    },
  },
  {
    name: "a read waits while there are no bytes",
    async run(a, b) {
      let settled = false;
      const buffer = Buffer.alloc(8);
      const reading = markHandled(b.read(buffer).finally(() => (settled = true)));
      for (let index = 0; index < 5; index++) await nextTurn();
      assert.equal(settled, false);
      await a.write("x");
      assert.equal(await reading, 1);
      assert.equal(buffer.toString("utf8", 0, 1), "x");
    },
  },
  {
    name: "a read into an empty buffer rejects with a RangeError",
    async run(a, b) {
      await a.write("x");
      assert.equal((await rejection(b.read(new Uint8Array(0)))).name, "RangeError");
      assert.equal((await readFully(b, 1)).toString(), "x");
    },
  },
  {
    name: "a second read while one is pending rejects with ERR_BUSY and takes no byte",
    async run(a, b) {
      const first = Buffer.alloc(8);
      const reading = markHandled(b.read(first));
      await assertRejects(b.read(Buffer.alloc(8)), "ERR_BUSY");
      await a.write("x");
      assert.equal(await reading, 1);
      assert.equal(first.toString("utf8", 0, 1), "x");
      await a.write("y");
      assert.equal((await readFully(b, 1)).toString(), "y");
    },
  },
  {
    name: "reads return 0 at the end, and again after it",
    needs: ["halfClose"],
    async run(a, b) {
      await a.write("x");
      await a.closeWrite();
      assert.equal((await readToEnd(b)).toString(), "x");
      for (let index = 0; index < 3; index++) assert.equal(await b.read(Buffer.alloc(8)), 0);
    },
  },
  {
    name: "a waiting read returns 0 when the peer ends writing",
    needs: ["halfClose"],
    async run(a, b) {
      const reading = markHandled(b.read(Buffer.alloc(8)));
      await nextTurn();
      await a.closeWrite();
      assert.equal(await reading, 0);
    },
  },
  {
    name: "a read times out with ETIMEDOUT and loses no byte",
    async run(a, b) {
      for (const timeout of [0, 1, 10]) {
        const error = await rejection(b.read(Buffer.alloc(8), { timeout }));
        assert.equal(error.code, "ETIMEDOUT");
        assert.equal(error.name, "SocketError");
      }
      await a.write("hello");
      assert.equal((await readFully(b, 5)).toString(), "hello");
    },
  },
  {
    name: "the timeout of a completed read does not end the next read",
    async run(a, b) {
      const timeout = 300;
      const reading = markHandled(b.read(Buffer.alloc(8), { timeout }));
      await a.write("x");
      assert.equal(await reading, 1);
      // The timeout of the first read passes while the second read waits without a timeout.
      const next = markHandled(b.read(Buffer.alloc(8)));
      await new Promise((resolve) => setTimeout(resolve, timeout + 20));
      await a.write("y");
      assert.equal(await next, 1);
      await assertRejects(b.read(Buffer.alloc(8), { timeout: 5 }), "ETIMEDOUT");
    },
  },
  {
    name: "a timeout outside 0 to 2147483647 rejects with a RangeError, and one of another type with a TypeError",
    async run(a, b) {
      await a.write("x");
      for (const timeout of [-1, NaN, Infinity, 0x8000_0000]) {
        assert.equal((await rejection(b.read(Buffer.alloc(8), { timeout }))).name, "RangeError");
        assert.equal((await rejection(b.write("x", { timeout }))).name, "RangeError");
      }
      const wrong = { timeout: "10" as unknown as number };
      assert.equal((await rejection(b.read(Buffer.alloc(8), wrong))).name, "TypeError");
      assert.equal((await readFully(b, 1)).toString(), "x");
    },
  },
  {
    name: "a signal ends a read with its reason, leaves no listener and loses no byte",
    async run(a, b) {
      const control = new AbortController();
      const reason = new Error("enough");
      const reading = markHandled(rejection(b.read(Buffer.alloc(8), { signal: control.signal })));
      await nextTurn();
      control.abort(reason);
      assert.equal(await reading, reason);
      assert.equal(await rejection(b.read(Buffer.alloc(8), { signal: control.signal })), reason);
      assert.equal(getEventListeners(control.signal, "abort").length, 0);
      await a.write("hello");
      assert.equal(await rejection(b.read(Buffer.alloc(8), { signal: control.signal })), reason);
      const unused = new AbortController();
      const buffer = Buffer.alloc(5);
      const count = await b.read(buffer, { signal: unused.signal });
      assert.equal(getEventListeners(unused.signal, "abort").length, 0);
      assert.equal(buffer.toString("utf8", 0, count) + (await readFully(b, 5 - count)).toString(), "hello");
    },
  },
  {
    name: "an abort at the moment at which bytes arrive loses no byte",
    async run(a, b) {
      const rounds = 200;
      const random = seededNumbers(3);
      let received = 0;
      const buffer = Buffer.alloc(64);
      for (let round = 0; round < rounds; round++) {
        const control = new AbortController();
        const reading = markHandled(
          b.read(buffer, { signal: control.signal }).then(
            (count) => {
              assert.equal(firstDifference(buffer.subarray(0, count), received), -1);
              received += count;
            },
            (error: unknown) => assert.equal(error, control.signal.reason),
          ),
        );
        const writing = markHandled(a.write(pattern(3, round * 3)));
        // Waits for up to five microtasks and turns of the event loop.
        for (let wait = Math.floor(random() * 6); wait > 0; wait--) await (wait % 2 === 0 ? nextTurn() : undefined);
        control.abort();
        await Promise.all([reading, writing]);
      }
      const rest = await readFully(b, rounds * 3 - received);
      assert.equal(firstDifference(rest, received), -1);
    },
  },
];
