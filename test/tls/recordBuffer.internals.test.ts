// The record buffer into which Node decrypts: it is used if possible, all connections share it, and no caller gets it.

import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { TLSSocket } from "node:tls";
import { readFully } from "berkeley/testing";
import { pattern } from "berkeley/testing";
import { useRecordBuffer } from "#berkeley/tls/recordBuffer.js";
import { checkLeaks } from "../support/leaks.js";
import { overTcp, tlsPair } from "./support.js";

checkLeaks();

test("this version of Node can decrypt into memory of ours", () => {
  const socket = new TLSSocket(new Socket());
  assert.equal(
    useRecordBuffer(socket, () => true),
    true,
  );
  assert.equal(
    useRecordBuffer(socket, () => true),
    false,
    "it is in use",
  );
  socket.destroy();
});

test("a socket that reads into other memory is not changed", () => {
  const mine: string[] = [];
  const onread = { buffer: Buffer.alloc(4), callback: () => mine.push("called") > 0 };
  const socket = new TLSSocket(undefined as never, { onread } as object);
  assert.equal(
    useRecordBuffer(socket, () => true),
    false,
  );
  socket.destroy();
});

test("a socket that is closed is left alone", () => {
  const socket = new TLSSocket(new Socket());
  socket.destroy();
  Object.defineProperty(socket, "_handle", { value: null });
  assert.equal(
    useRecordBuffer(socket, () => true),
    false,
  );
});

test("the bytes of connections that read at the same time do not mix, for all sizes", async () => {
  const pairs = await Promise.all(Array.from({ length: 8 }, () => tlsPair(overTcp)));
  const size = 300_000;
  await Promise.all(
    pairs.map(async ([client, server], index) => {
      const sent = pattern(size, index * 7919);
      const writing = (async () => {
        let step = 1 + index;
        for (let at = 0; at < size; at += step, step = ((step * 5) % 40_000) + 1) {
          await client.write(sent.subarray(at, at + step));
        }
        await client.closeWrite();
      })();
      // Buffers that are smaller than a record, larger, and none at all, where the bytes have to stay what they were.
      const parts: Buffer[] = [];
      for (let turn = 0; ; turn++) {
        if (turn % 3 === 0) {
          const chunk = await server.readChunk();
          if (chunk === null) break;
          parts.push(chunk);
        } else {
          const target = Buffer.alloc(turn % 3 === 1 ? 1000 : 65_536);
          const count = await server.read(target);
          if (count === 0) break;
          parts.push(target.subarray(0, count));
        }
      }
      await writing;
      assert.ok(Buffer.concat(parts).equals(sent));
      await Promise.all([client.close(), server.close()]);
    }),
  );
});

test("a read whose buffer was taken away meanwhile is refused, and takes nothing", async () => {
  const [client, server] = await tlsPair(overTcp);
  const target = new Uint8Array(100);
  const reading = assert.rejects(server.read(target), { code: "EFAULT", syscall: "read" });
  structuredClone(target, { transfer: [target.buffer] });
  await client.write("still there");
  await reading;
  assert.equal(String(await readFully(server, 11)), "still there");
  await Promise.all([client.close(), server.close()]);
});

test("bytes that arrived without a waiting read are kept unchanged", async () => {
  const [client, server] = await tlsPair(overTcp);
  const [other, peer] = await tlsPair(overTcp);
  await client.write("first");
  // By the time that this has come and gone the first message has, too.
  await other.write("second, into the same memory");
  assert.equal(String(await readFully(peer, 28)), "second, into the same memory");
  assert.equal(String(await readFully(server, 5)), "first");
  await Promise.all([client, server, other, peer].map((conn) => conn.close()));
});

test("a reader with another kind of array gets no more bytes than it requested", async () => {
  const [client, server] = await tlsPair(overTcp);
  const seen: unknown[] = [];
  class Mine extends Uint8Array {
    override set(from: ArrayLike<number>, at?: number): void {
      seen.push(from);
      super.set(from, at);
    }
  }
  const target = new Mine(5);
  const reading = server.read(target);
  await client.write("hello");
  assert.equal(await reading, 5);
  assert.equal(Buffer.from(target).toString(), "hello");
  assert.deepEqual(seen, []);
  await Promise.all([client.close(), server.close()]);
});
