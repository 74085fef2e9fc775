// Conformance of the end of a connection: close, abort, and what they do to calls on both sides.

import assert from "node:assert/strict";
import type { Conn } from "../io.js";
import { fill, firstDifference, later, pattern, readToEnd, rejection } from "./testBytes.js";
import type { Check } from "./conformance.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What writes to a peer that is gone fail with, sooner or later. */
async function writeFailure(conn: Conn): Promise<unknown> {
  for (let round = 0; round < 1000; round++) {
    try {
      await conn.write(pattern(1000), { timeout: 5000 });
    } catch (error) {
      return (error as { code?: unknown }).code;
    }
    await turn();
  }
  throw new Error("1000 writes to a peer that is gone must not all be taken");
}

async function refusesAll(conn: Conn): Promise<void> {
  assert.equal((await rejection(conn.read(Buffer.alloc(8)))).code, "EBADF");
  assert.equal((await rejection(conn.write("x"))).code, "EBADF");
  assert.equal((await rejection(conn.closeWrite())).code, "EBADF");
}

export const closeChecks: readonly Check[] = [
  {
    name: "close() settles pending calls with ECANCELED and refuses later ones with EBADF",
    async run(a, b, { maxHeld, patience }) {
      await fill(a, maxHeld, patience);
      const reading = later(rejection(a.read(Buffer.alloc(8))));
      const writing = later(rejection(a.write(pattern(1000))));
      const behind = later(rejection(a.write("x")));
      await turn();
      const closing = later(a.close());
      assert.equal((await reading).code, "ECANCELED");
      assert.equal((await writing).code, "ECANCELED");
      assert.equal((await behind).code, "ECANCELED");
      await refusesAll(a);
      b.abort();
      await closing;
    },
  },
  {
    name: "abort() settles pending calls with ECANCELED and refuses later ones with EBADF",
    async run(a, _, { maxHeld, patience }) {
      await fill(a, maxHeld, patience);
      const reading = later(rejection(a.read(Buffer.alloc(8))));
      const writing = later(rejection(a.write(pattern(1000))));
      await turn();
      a.abort();
      assert.equal((await reading).code, "ECANCELED");
      assert.equal((await writing).code, "ECANCELED");
      await refusesAll(a);
    },
  },
  {
    name: "close() and abort() may come again, in any order",
    async run(a, b) {
      await Promise.all([a.close(), a.close()]);
      a.abort();
      await a.close();
      b.abort();
      b.abort();
      await b.close();
      await refusesAll(a);
      await refusesAll(b);
    },
  },
  {
    name: "what was written before close() arrives, then the end",
    async run(a, b) {
      await a.write(pattern(1000));
      const [all] = await Promise.all([readToEnd(b), a.close()]);
      assert.equal(all.length, 1000);
      assert.equal(firstDifference(all), -1);
      assert.equal(await b.read(Buffer.alloc(8)), 0);
    },
  },
  {
    name: "a read that waits gets the end when the peer closes",
    async run(a, b) {
      const reading = later(b.read(Buffer.alloc(8)));
      await turn();
      await a.close();
      assert.equal(await reading, 0);
    },
  },
  {
    name: "writes to a peer that closed fail with EPIPE or ECONNRESET",
    async run(a, b) {
      await a.close();
      const code = await writeFailure(b);
      assert.ok(code === "EPIPE" || code === "ECONNRESET", `found ${String(code)}`);
    },
  },
  {
    name: "writes to a peer that aborted fail with EPIPE or ECONNRESET",
    async run(a, b) {
      a.abort();
      const code = await writeFailure(b);
      assert.ok(code === "EPIPE" || code === "ECONNRESET", `found ${String(code)}`);
    },
  },
  {
    name: "abort() ends a write of the peer that waits",
    async run(a, b, { maxHeld, patience }) {
      await fill(b, maxHeld, patience);
      const writing = later(rejection(b.write(pattern(100_000))));
      await turn();
      a.abort();
      const { code } = await writing;
      assert.ok(code === "EPIPE" || code === "ECONNRESET", `found ${String(code)}`);
    },
  },
  {
    name: "abort() gives the peer ECONNRESET, in a read that waits",
    needs: ["reset"],
    async run(a, b) {
      const reading = later(rejection(b.read(Buffer.alloc(8))));
      await turn();
      a.abort();
      assert.equal((await reading).code, "ECONNRESET");
    },
  },
  {
    name: "abort() gives the peer ECONNRESET and never the end, in later reads",
    needs: ["reset"],
    async run(a, b) {
      await a.write("x");
      a.abort();
      assert.equal((await rejection(readToEnd(b))).code, "ECONNRESET");
    },
  },
  {
    name: "whenBroken(), where there is one, waits on when the peer has only finished",
    needs: ["reset", "halfClose"],
    async run(a, b) {
      if (b.whenBroken === undefined) return;
      assert.equal((await rejection(b.whenBroken({ timeout: 1 }))).code, "ETIMEDOUT");
      await a.closeWrite();
      assert.equal(await b.read(Buffer.alloc(1)), 0);
      assert.equal((await rejection(b.whenBroken({ timeout: 1 }))).code, "ETIMEDOUT");
      await b.write("still");
      assert.equal(await a.read(Buffer.alloc(5)), 5);
    },
  },
  {
    name: "whenBroken(), where there is one, resolves when the peer cuts the connection",
    needs: ["reset"],
    async run(a, b) {
      if (b.whenBroken === undefined) return;
      const broken = later(b.whenBroken({ timeout: 10_000 }));
      await turn();
      a.abort();
      assert.ok(["ECONNRESET", "EPIPE"].includes(((await broken) as { code?: string }).code ?? ""));
    },
  },
  {
    name: "whenBroken(), where there is one, settles with close()",
    async run(a, b) {
      if (b.whenBroken === undefined) return;
      const broken = later(rejection(b.whenBroken()));
      await turn();
      await b.close();
      assert.equal((await broken).code, "ECANCELED");
      assert.equal((await rejection(b.whenBroken())).code, "EBADF");
      await a.close();
    },
  },
  {
    name: "`await using` closes",
    async run(a, b) {
      {
        await using conn = a;
        await conn.write("x");
      }
      assert.equal((await readToEnd(b)).toString(), "x");
      await refusesAll(a);
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
