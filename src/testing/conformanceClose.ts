// Conformance checks of close() and abort(), and of their effect on the calls of both ends.

import assert from "node:assert/strict";
import type { Conn } from "../io.js";
import {
  assertRejects,
  fillUntilBlocked,
  firstDifference,
  markHandled,
  nextTurn,
  pattern,
  readToEnd,
  rejection,
} from "./testBytes.js";
import type { Check } from "./conformance.js";

/** Asserts that the code is one with which a write fails after the peer has closed or aborted the connection. */
function assertBrokenCode(code: unknown): void {
  assert.ok(code === "EPIPE" || code === "ECONNRESET", `the code is ${String(code)}, required EPIPE or ECONNRESET`);
}

/** Writes until a write fails, because the peer has closed or aborted. Resolves with the code of the error. */
async function writeErrorCode(conn: Conn): Promise<unknown> {
  for (let round = 0; round < 1000; round++) {
    try {
      await conn.write(pattern(1000), { timeout: 5000 });
    } catch (error) {
      return (error as { code?: unknown }).code;
    }
    await nextTurn();
  }
  throw new Error("1000 writes have succeeded although the peer has ended the connection, required an error");
}

/** Asserts that the calls of a closed connection reject with EBADF. */
async function assertClosed(conn: Conn): Promise<void> {
  await assertRejects(conn.read(Buffer.alloc(8)), "EBADF");
  await assertRejects(conn.write("x"), "EBADF");
  await assertRejects(conn.closeWrite(), "EBADF");
}

export const closeChecks: readonly Check[] = [
  {
    name: "close() rejects pending calls with ECANCELED and later calls with EBADF",
    async run(a, b, { maxHeld, patience }) {
      await fillUntilBlocked(a, maxHeld, patience);
      const reading = markHandled(rejection(a.read(Buffer.alloc(8))));
      const writing = markHandled(rejection(a.write(pattern(1000))));
      const writingBehind = markHandled(rejection(a.write("x")));
      await nextTurn();
      const closing = markHandled(a.close());
      assert.equal((await reading).code, "ECANCELED");
      assert.equal((await writing).code, "ECANCELED");
      assert.equal((await writingBehind).code, "ECANCELED");
      await assertClosed(a);
      b.abort();
      await closing;
    },
  },
  {
    name: "abort() rejects pending calls with ECANCELED and later calls with EBADF",
    async run(a, _, { maxHeld, patience }) {
      await fillUntilBlocked(a, maxHeld, patience);
      const reading = markHandled(rejection(a.read(Buffer.alloc(8))));
      const writing = markHandled(rejection(a.write(pattern(1000))));
      await nextTurn();
      a.abort();
      assert.equal((await reading).code, "ECANCELED");
      assert.equal((await writing).code, "ECANCELED");
      await assertClosed(a);
    },
  },
  {
    name: "close() and abort() can be called again, in any order",
    async run(a, b) {
      await Promise.all([a.close(), a.close()]);
      a.abort();
      await a.close();
      b.abort();
      b.abort();
      await b.close();
      await assertClosed(a);
      await assertClosed(b);
    },
  },
  {
    name: "the peer reads the bytes written before close(), and then the end",
    async run(a, b) {
      await a.write(pattern(1000));
      const [all] = await Promise.all([readToEnd(b), a.close()]);
      assert.equal(all.length, 1000);
      assert.equal(firstDifference(all), -1);
      assert.equal(await b.read(Buffer.alloc(8)), 0);
    },
  },
  {
    name: "a waiting read returns 0 when the peer closes",
    async run(a, b) {
      const reading = markHandled(b.read(Buffer.alloc(8)));
      await nextTurn();
      await a.close();
      assert.equal(await reading, 0);
    },
  },
  {
    name: "writes fail with EPIPE or ECONNRESET after the peer has closed",
    async run(a, b) {
      await a.close();
      assertBrokenCode(await writeErrorCode(b));
    },
  },
  {
    name: "writes fail with EPIPE or ECONNRESET after the peer has aborted",
    async run(a, b) {
      a.abort();
      assertBrokenCode(await writeErrorCode(b));
    },
  },
  {
    name: "a waiting write fails with EPIPE or ECONNRESET when the peer aborts",
    async run(a, b, { maxHeld, patience }) {
      await fillUntilBlocked(b, maxHeld, patience);
      const writing = markHandled(rejection(b.write(pattern(100_000))));
      await nextTurn();
      a.abort();
      assertBrokenCode((await writing).code);
    },
  },
  {
    name: "a waiting read rejects with ECONNRESET when the peer aborts",
    needs: ["reset"],
    async run(a, b) {
      const reading = markHandled(rejection(b.read(Buffer.alloc(8))));
      await nextTurn();
      a.abort();
      assert.equal((await reading).code, "ECONNRESET");
    },
  },
  {
    name: "later reads reject with ECONNRESET after the peer has aborted, and never return 0",
    needs: ["reset"],
    async run(a, b) {
      await a.write("x");
      a.abort();
      await assertRejects(readToEnd(b), "ECONNRESET");
    },
  },
  {
    name: "whenBroken(), if there is one, keeps waiting when the peer has only ended writing",
    needs: ["reset", "halfClose"],
    async run(a, b) {
      if (b.whenBroken === undefined) return;
      await assertRejects(b.whenBroken({ timeout: 1 }), "ETIMEDOUT");
      await a.closeWrite();
      assert.equal(await b.read(Buffer.alloc(1)), 0);
      await assertRejects(b.whenBroken({ timeout: 1 }), "ETIMEDOUT");
      await b.write("still");
      assert.equal(await a.read(Buffer.alloc(5)), 5);
    },
  },
  {
    name: "whenBroken(), if there is one, resolves when the peer aborts",
    needs: ["reset"],
    async run(a, b) {
      if (b.whenBroken === undefined) return;
      const broken = markHandled(b.whenBroken({ timeout: 10_000 }));
      await nextTurn();
      a.abort();
      assertBrokenCode(((await broken) as { code?: unknown }).code);
    },
  },
  {
    name: "whenBroken(), if there is one, rejects when its own end closes",
    async run(a, b) {
      if (b.whenBroken === undefined) return;
      const broken = markHandled(rejection(b.whenBroken()));
      await nextTurn();
      await b.close();
      assert.equal((await broken).code, "ECANCELED");
      await assertRejects(b.whenBroken(), "EBADF");
      await a.close();
    },
  },
  {
    name: "`await using` closes the connection",
    async run(a, b) {
      {
        await using conn = a;
        await conn.write("x");
      }
      assert.equal((await readToEnd(b)).toString(), "x");
      await assertClosed(a);
    },
  },
  {
    name: "the addresses stay readable after close()",
    async run(a) {
      const before = [String(a.localAddress), String(a.remoteAddress)];
      await a.close();
      assert.deepEqual([String(a.localAddress), String(a.remoteAddress)], before);
    },
  },
];
