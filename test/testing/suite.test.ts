// The conformance suite itself: a Conn with one defect fails the check for that defect.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Conn, Data, IoOptions } from "berkeley";
import { connConformance, memoryPair, type MemoryConn } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

type Defect = (conn: MemoryConn) => Partial<Conn>;

/** A memory pair of which both ends have the defect. */
function defective(defect: Defect): () => [Conn, Conn] {
  return () => {
    const pair = memoryPair();
    for (const conn of pair) Object.assign(conn, defect(conn));
    return pair;
  };
}

const defects: Record<string, { defect: Defect; fails: string }> = {
  "loses the bytes of a read that times out": {
    defect: (conn) => {
      const read = conn.read.bind(conn);
      return {
        read: (buffer: Uint8Array, opts?: IoOptions) => {
          if (opts?.timeout === undefined || opts.timeout === null) return read(buffer);
          void read(Buffer.alloc(64)).catch(() => undefined);
          return new Promise((_, reject) =>
            setTimeout(reject, opts.timeout ?? undefined, Object.assign(new Error(), { code: "ETIMEDOUT" })),
          );
        },
      };
    },
    fails: "a read times out with ETIMEDOUT and loses no byte",
  },
  "ignores signals": {
    defect: (conn) => {
      const read = conn.read.bind(conn);
      return { read: (buffer: Uint8Array) => read(buffer) };
    },
    fails: "a signal ends a read with its reason, leaves no listener and loses no byte",
  },
  "resolves a write before it was taken": {
    defect: (conn) => {
      const write = conn.write.bind(conn);
      return {
        write: (data: Data) => {
          void write(data).catch(() => undefined);
          return Promise.resolve();
        },
      };
    },
    fails: "writes wait while the peer does not read, and all bytes that were taken arrive",
  },
  "lets writes overtake each other": {
    defect: (conn) => {
      const write = conn.write.bind(conn);
      return {
        write: async (data: Data, opts?: IoOptions) => {
          if (data.length > 50_000) await new Promise((resolve) => setImmediate(resolve));
          return write(data, opts);
        },
      };
    },
    fails: "pending writes arrive whole and in the order of the calls",
  },
  "gives data again": {
    defect: (conn) => {
      const read = conn.read.bind(conn);
      let last: Buffer | undefined;
      return {
        read: async (buffer: Uint8Array, opts?: IoOptions) => {
          const count = await read(buffer, opts);
          if (last?.length === count && count > 1000) buffer.set(last);
          last = Buffer.from(buffer.subarray(0, count));
          return count;
        },
      };
    },
    fails: "both directions carry many bytes at the same time",
  },
  "takes an abort for an end": {
    defect: (conn) => ({ abort: () => void conn.close() }),
    fails: "a waiting read rejects with ECONNRESET when the peer aborts",
  },
  "ends both directions with one": {
    defect: (conn) => ({ closeWrite: () => conn.close() }),
    fails: "after closeWrite() the peer reads the end and can still write",
  },
  "lets two read": {
    defect: (conn) => {
      const read = conn.read.bind(conn);
      return {
        read: (buffer: Uint8Array, opts?: IoOptions) =>
          read(buffer, opts).catch((error: { code?: string }) => {
            if (error.code !== "ERR_BUSY") throw error;
            return 1;
          }),
      };
    },
    fails: "a second read while one is pending rejects with ERR_BUSY and takes no byte",
  },
  "keeps the caller's buffer": {
    defect: (conn) => {
      const write = conn.write.bind(conn);
      return {
        write: (data: Data, opts?: IoOptions) => {
          setImmediate(() => void write(data, opts).catch(() => undefined));
          return Promise.resolve();
        },
      };
    },
    fails: "the caller may change a buffer when its write has resolved",
  },
  "never settles on close": {
    defect: () => ({ close: () => Promise.resolve() }),
    fails: "close() rejects pending calls with ECANCELED and later calls with EBADF",
  },
};

for (const [name, { defect, fails }] of Object.entries(defects)) {
  test(`connConformance() catches a connection that ${name}`, async () => {
    const checks = connConformance("x", defective(defect), {
      maxHeld: 1_000_000,
      patience: 5,
      bulk: 500_000,
      deadline: 200,
    });
    const check = checks.find((candidate) => candidate.name === `x: ${fails}`);
    assert.ok(check, `no check "${fails}"`);
    await assert.rejects(check.run());
  });
}

test("connConformance() leaves out checks of properties that the connection lacks", () => {
  const names = (traits: object): string[] => connConformance("x", () => memoryPair(), traits).map(({ name }) => name);
  const all = names({});
  assert.equal(new Set(all).size, all.length);
  assert.ok(names({ reset: false }).length < all.length);
  assert.ok(names({ halfClose: false }).every((name) => !name.includes("closeWrite")));
});

test("connConformance() cleans up after a check that fails", async () => {
  let cleaned = 0;
  const makePair = (): [Conn, Conn, () => void] => {
    const [a, b] = memoryPair();
    a.read = () => Promise.resolve(0);
    b.read = () => Promise.resolve(0);
    return [a, b, () => void cleaned++];
  };
  const [check] = connConformance("x", makePair);
  await assert.rejects(check!.run());
  assert.equal(cleaned, 1);
});
