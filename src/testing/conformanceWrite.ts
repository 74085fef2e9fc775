// Conformance checks of writing: the order of writes, backpressure, the end of one direction.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import type { Data } from "../io.js";
import {
  assertRejects,
  fillUntilBlocked,
  firstDifference,
  markHandled,
  nextTurn,
  pattern,
  readFully,
  readToEnd,
  rejection,
} from "./testBytes.js";
import type { Check } from "./conformance.js";

export const writeChecks: readonly Check[] = [
  {
    name: "text, bytes and lists of these arrive as they were written",
    async run(a, b) {
      await a.write("grüße ");
      await a.write(Uint8Array.of(0, 255));
      await a.write(["one ", Buffer.from("two"), "", new Uint8Array(0), " €"]);
      const expected = Buffer.concat([Buffer.from("grüße "), Buffer.of(0, 255), Buffer.from("one two €")]);
      assert.deepEqual(await readFully(b, expected.length), expected);
    },
  },
  {
    name: "a write without bytes resolves and sends nothing",
    async run(a, b) {
      for (const nothing of ["", new Uint8Array(0), [], ["", new Uint8Array(0)]]) await a.write(nothing);
      await a.write("x");
      assert.equal((await readFully(b, 1)).toString(), "x");
      await assertRejects(b.read(Buffer.alloc(8), { timeout: 5 }), "ETIMEDOUT");
    },
  },
  {
    name: "a write of a value that is no data rejects with a TypeError and sends nothing",
    async run(a, b) {
      for (const wrong of [1, null, undefined, {}, ["x", 1], new ArrayBuffer(4)]) {
        assert.equal((await rejection(a.write(wrong as Data))).name, "TypeError");
      }
      await a.write("y");
      assert.equal((await readFully(b, 1)).toString(), "y");
    },
  },
  {
    name: "the caller may change a buffer when its write has resolved",
    async run(a, b) {
      const buffer = pattern(50_000);
      const reading = markHandled(readFully(b, 100_000));
      await a.write(buffer);
      pattern(50_000, 50_000).copy(buffer);
      await a.write([buffer]);
      buffer.fill(0);
      assert.equal(firstDifference(await reading), -1);
    },
  },
  {
    name: "pending writes arrive whole and in the order of the calls",
    async run(a, b) {
      const sizes = [100_000, 1, 0, 70_000, 30_001];
      let position = 0;
      const order: number[] = [];
      const writes = sizes.map((size, index) => {
        const write = markHandled(a.write(pattern(size, position)).then(() => order.push(index)));
        position += size;
        return write;
      });
      assert.equal(firstDifference(await readFully(b, position)), -1);
      await Promise.all(writes);
      assert.deepEqual(order, [0, 1, 2, 3, 4]);
    },
  },
  {
    name: "tryWrite(), if there is one, takes bytes from the start, does not wait, and overtakes no pending write",
    async run(a, b, { maxHeld }) {
      if (a.tryWrite === undefined) return;
      const size = 65_536;
      let position = 0;
      for (let taken = -1; taken !== 0;) {
        taken = a.tryWrite(pattern(size, position));
        // If the layer below has no tryWrite(), this call may always return 0.
        if (taken === 0 && position === 0) return;
        assert.ok(
          Number.isInteger(taken) && taken >= 0 && taken <= size,
          `tryWrite() is ${taken}, required 0 to ${size}, the size of its data`,
        );
        position += taken;
        assert.ok(
          position <= maxHeld + size,
          `${position} bytes were taken although the peer does not read, required at most ${maxHeld}`,
        );
      }
      const waiting = markHandled(a.write(pattern(size, position)));
      position += size;
      const overtaking = a.tryWrite(pattern(1, position));
      position += overtaking;
      // If the layers below have taken the whole waiting write in the meantime, they may also take this byte.
      assert.equal(firstDifference(await readFully(b, position)), -1);
      await waiting;
      await a.closeWrite();
      assert.throws(() => a.tryWrite?.(pattern(1)), { code: "EPIPE" });
      await a.close();
      assert.throws(() => a.tryWrite?.(pattern(1)), { code: "EBADF" });
    },
  },
  {
    name: "both directions carry many bytes at the same time",
    async run(a, b, { bulk }) {
      const send = async (conn: typeof a): Promise<void> => {
        for (let sent = 0; sent < bulk; sent += 65_536) await conn.write(pattern(Math.min(65_536, bulk - sent), sent));
      };
      const receive = async (conn: typeof a): Promise<void> => {
        const buffer = Buffer.alloc(100_000);
        for (let received = 0; received < bulk;) {
          const count = await conn.read(buffer);
          assert.notEqual(count, 0, `the end came after ${received} bytes, required ${bulk}`);
          assert.equal(firstDifference(buffer.subarray(0, count), received), -1);
          received += count;
        }
      };
      await Promise.all([send(a), send(b), receive(a), receive(b)]);
    },
  },
  {
    name: "writes wait while the peer does not read, and all bytes that were taken arrive",
    async run(a, b, { maxHeld, patience }) {
      const taken = await fillUntilBlocked(a, maxHeld, patience);
      assert.ok(taken > 0);
      const writing = markHandled(a.write(pattern(1000, taken)));
      assert.equal(firstDifference(await readFully(b, taken + 1000)), -1);
      await writing;
      await assertRejects(b.read(Buffer.alloc(8), { timeout: 5 }), "ETIMEDOUT");
    },
  },
  {
    name: "a waiting write continues when the peer reads",
    async run(a, b, { maxHeld, patience }) {
      const taken = await fillUntilBlocked(a, maxHeld, patience);
      let done = false;
      const writing = markHandled(a.write(pattern(500_000, taken)).then(() => (done = true)));
      for (let index = 0; index < 5; index++) await nextTurn();
      assert.equal(done, false);
      assert.equal(firstDifference(await readFully(b, taken + 500_000)), -1);
      await writing;
    },
  },
  {
    name: "writeProgress, if the connection has it, counts the bytes of the first pending write, and is -1 without one",
    async run(a, b, { maxHeld, patience }) {
      if (a.writeProgress === undefined) return;
      assert.equal(a.writeProgress, -1);
      const taken = await fillUntilBlocked(a, maxHeld, patience);
      assert.equal(a.writeProgress, -1);
      const size = 8_000_000;
      const writing = markHandled(Promise.all([a.write(pattern(size, taken)), a.write("last")]));
      const before = a.writeProgress;
      assert.ok(before >= 0 && before < size, String(before));
      const firstBytes = await readFully(b, taken + 4_000_000);
      await nextTurn();
      // The layer below may have taken the rest already. Then the progress is -1.
      const after = a.writeProgress;
      assert.ok(after === -1 || (after >= before && after < size), `${before}, ${after}`);
      assert.equal(firstDifference(Buffer.concat([firstBytes, await readFully(b, size - 4_000_000)])), -1);
      assert.equal((await readFully(b, 4)).toString(), "last");
      await writing;
      assert.equal(a.writeProgress, -1);
    },
  },
  {
    name: "a signal ends a waiting write with its reason, counts the taken bytes and leaves no listener",
    async run(a, b, { maxHeld, patience }) {
      const taken = await fillUntilBlocked(a, maxHeld, patience);
      const control = new AbortController();
      const reason = new Error("enough");
      const writing = markHandled(rejection(a.write(pattern(8_000_000, taken), { signal: control.signal })));
      const firstBytes = await readFully(b, Math.min(taken, 300_000));
      await nextTurn();
      control.abort(reason);
      assert.equal(await writing, reason);
      assert.equal(getEventListeners(control.signal, "abort").length, 0);
      assert.equal(await rejection(a.write("x", { signal: control.signal })), reason);
      const { transferred = 0 } = reason as { transferred?: number };
      const rest = taken + transferred - firstBytes.length;
      assert.equal(firstDifference(Buffer.concat([firstBytes, await readFully(b, rest)])), -1);
      await assertRejects(b.read(Buffer.alloc(8), { timeout: 5 }), "ETIMEDOUT");
    },
  },
  {
    name: "a write that waits behind another one can time out without an effect on it",
    async run(a, b, { maxHeld, patience }) {
      const taken = await fillUntilBlocked(a, maxHeld, patience);
      const first = markHandled(a.write(pattern(200_000, taken)));
      const error = await rejection(a.write("lost", { timeout: 5 }));
      assert.equal(error.code, "ETIMEDOUT");
      assert.equal((error as { transferred?: number }).transferred, 0);
      const last = markHandled(a.write(pattern(10, taken + 200_000)));
      assert.equal(firstDifference(await readFully(b, taken + 200_010)), -1);
      await Promise.all([first, last]);
    },
  },
  {
    name: "after closeWrite() the peer reads the end and can still write",
    needs: ["halfClose"],
    async run(a, b) {
      await a.write("question");
      await a.closeWrite();
      assert.equal((await readToEnd(b)).toString(), "question");
      await b.write("answer");
      await b.closeWrite();
      assert.equal((await readToEnd(a)).toString(), "answer");
    },
  },
  {
    name: "closeWrite() ends writing after the pending writes",
    needs: ["halfClose"],
    async run(a, b) {
      const writing = markHandled(a.write(pattern(400_000)));
      const ending = markHandled(a.closeWrite());
      await assertRejects(a.write("late"), "EPIPE");
      const all = await readToEnd(b);
      assert.equal(all.length, 400_000);
      assert.equal(firstDifference(all), -1);
      await Promise.all([writing, ending]);
    },
  },
  {
    name: "a second closeWrite() resolves, and a later write rejects with EPIPE",
    needs: ["halfClose"],
    async run(a, b) {
      await a.closeWrite();
      await a.closeWrite();
      await assertRejects(a.write("x"), "EPIPE");
      await assertRejects(a.write(""), "EPIPE");
      assert.equal(await b.read(Buffer.alloc(8)), 0);
    },
  },
];
