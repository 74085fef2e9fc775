// Conformance of reading: order, ends of waits without loss, one reader at a time.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { firstDifference, later, pattern, readFully, readToEnd, rejection } from "./testBytes.js";
import type { Check } from "./conformance.js";
import { seededNumbers } from "./seededNumbers.js";

/** A macrotask: whatever could have been done by now was. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const readChecks: readonly Check[] = [
  {
    name: "bytes come in order, each once, whatever the sizes of writes and reads",
    async run(a, b) {
      const random = seededNumbers(1);
      const size = 300_000;
      const send = async (): Promise<void> => {
        for (let sent = 0; sent < size;) {
          const count = Math.min(size - sent, 1 + Math.floor(random() ** 4 * 40_000));
          await a.write(pattern(count, sent));
          sent += count;
        }
      };
      const writing = later(send());
      const sizes = seededNumbers(2);
      for (let got = 0; got < size;) {
        const buffer = Buffer.alloc(1 + Math.floor(sizes() ** 3 * 20_000));
        const count = await b.read(buffer);
        assert.ok(count >= 1 && count <= buffer.length, `read gave ${count} for a buffer of ${buffer.length}`);
        assert.equal(firstDifference(buffer.subarray(0, count), got), -1);
        got += count;
      }
      await writing;
    },
  },
  {
    name: "a read takes no more than its buffer holds and leaves the rest",
    async run(a, b) {
      await a.write("0123456789");
      assert.equal((await readFully(b, 4)).toString(), "0123");
      assert.equal((await readFully(b, 6)).toString(), "456789");
    },
  },
  {
    name: "a read writes to nothing but what it counts",
    async run(a, b) {
      await a.write("xy");
      const memory = Buffer.alloc(64, 1);
      const count = await b.read(memory.subarray(8, 40));
      assert.ok(count === 1 || count === 2);
      assert.ok(memory.subarray(0, 8).every((byte) => byte === 1));
      assert.ok(memory.subarray(8 + 2).every((byte) => byte === 1));
    },
  },
  {
    name: "a read waits while there is nothing",
    async run(a, b) {
      let settled = false;
      const buffer = Buffer.alloc(8);
      const reading = later(b.read(buffer).finally(() => (settled = true)));
      for (let index = 0; index < 5; index++) await turn();
      assert.equal(settled, false);
      await a.write("x");
      assert.equal(await reading, 1);
      assert.equal(buffer.toString("utf8", 0, 1), "x");
    },
  },
  {
    name: "a read refuses an empty buffer",
    async run(a, b) {
      await a.write("x");
      assert.equal((await rejection(b.read(new Uint8Array(0)))).name, "RangeError");
      assert.equal((await readFully(b, 1)).toString(), "x");
    },
  },
  {
    name: "a second read meanwhile is refused as busy and takes nothing from the first",
    async run(a, b) {
      const first = Buffer.alloc(8);
      const reading = later(b.read(first));
      assert.equal((await rejection(b.read(Buffer.alloc(8)))).code, "ERR_BUSY");
      await a.write("x");
      assert.equal(await reading, 1);
      assert.equal(first.toString("utf8", 0, 1), "x");
      await a.write("y");
      assert.equal((await readFully(b, 1)).toString(), "y");
    },
  },
  {
    name: "the end is 0 and stays 0",
    needs: ["halfClose"],
    async run(a, b) {
      await a.write("x");
      await a.closeWrite();
      assert.equal((await readToEnd(b)).toString(), "x");
      for (let index = 0; index < 3; index++) assert.equal(await b.read(Buffer.alloc(8)), 0);
    },
  },
  {
    name: "a read that waits gets the end",
    needs: ["halfClose"],
    async run(a, b) {
      const reading = later(b.read(Buffer.alloc(8)));
      await turn();
      await a.closeWrite();
      assert.equal(await reading, 0);
    },
  },
  {
    name: "a read times out with ETIMEDOUT and loses nothing",
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
    name: "a read in time is not cut later, nor is the one after it",
    async run(a, b) {
      const timeout = 300;
      const reading = later(b.read(Buffer.alloc(8), { timeout }));
      await a.write("x");
      assert.equal(await reading, 1);
      // What is left of the first one's timeout runs out under the second, which has none.
      const next = later(b.read(Buffer.alloc(8)));
      await new Promise((resolve) => setTimeout(resolve, timeout + 20));
      await a.write("y");
      assert.equal(await next, 1);
      assert.equal((await rejection(b.read(Buffer.alloc(8), { timeout: 5 }))).code, "ETIMEDOUT");
    },
  },
  {
    name: "a timeout that is no number of milliseconds is refused",
    async run(a, b) {
      await a.write("x");
      for (const timeout of [-1, NaN]) {
        assert.equal((await rejection(b.read(Buffer.alloc(8), { timeout }))).name, "RangeError");
        assert.equal((await rejection(b.write("x", { timeout }))).name, "RangeError");
      }
      const wrong = { timeout: "10" as unknown as number };
      assert.equal((await rejection(b.read(Buffer.alloc(8), wrong))).name, "TypeError");
      assert.equal((await readFully(b, 1)).toString(), "x");
    },
  },
  {
    name: "a signal ends a read with its reason, leaves no listener and loses nothing",
    async run(a, b) {
      const control = new AbortController();
      const reason = new Error("enough");
      const reading = later(rejection(b.read(Buffer.alloc(8), { signal: control.signal })));
      await turn();
      control.abort(reason);
      assert.equal(await reading, reason);
      assert.equal(await rejection(b.read(Buffer.alloc(8), { signal: control.signal })), reason);
      assert.equal(getEventListeners(control.signal, "abort").length, 0);
      await a.write("hello");
      assert.equal(await rejection(b.read(Buffer.alloc(8), { signal: control.signal })), reason);
      const kept = new AbortController();
      const buffer = Buffer.alloc(5);
      const count = await b.read(buffer, { signal: kept.signal });
      assert.equal(getEventListeners(kept.signal, "abort").length, 0);
      assert.equal(buffer.toString("utf8", 0, count) + (await readFully(b, 5 - count)).toString(), "hello");
    },
  },
  {
    name: "an abort at the moment when bytes come loses none",
    async run(a, b) {
      const rounds = 200;
      const random = seededNumbers(3);
      let got = 0;
      const buffer = Buffer.alloc(64);
      for (let round = 0; round < rounds; round++) {
        const control = new AbortController();
        const reading = later(
          b.read(buffer, { signal: control.signal }).then(
            (count) => {
              assert.equal(firstDifference(buffer.subarray(0, count), got), -1);
              got += count;
            },
            (error: unknown) => assert.equal(error, control.signal.reason),
          ),
        );
        const writing = later(a.write(pattern(3, round * 3)));
        for (let wait = Math.floor(random() * 6); wait > 0; wait--) await (wait % 2 === 0 ? turn() : undefined);
        control.abort();
        await Promise.all([reading, writing]);
      }
      const rest = await readFully(b, rounds * 3 - got);
      assert.equal(firstDifference(rest, got), -1);
    },
  },
];
