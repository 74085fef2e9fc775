// end(): the last bytes arrive while the peer still sends; within limits, and with a result that says how it ended.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BusyError,
  type Conn,
  END_MAX_BYTES,
  END_TIMEOUT,
  IncompleteReadError,
  LimitError,
  Stream,
  SocketError,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { everyKind } from "../tls/support.js";

checkLeaks();

const ANSWER = "413 too much\n";
const UPLOAD = Buffer.alloc(1 << 20, "x");

/** Uploads without a look at what comes, as HTTP clients do, and only then reads the answer. */
async function upload(conn: Conn, mebibytes: number): Promise<string> {
  const stream = new Stream(conn);
  try {
    for (let sent = 0; sent < mebibytes; sent++) await stream.write(UPLOAD);
    const line = await stream.readLine();
    await stream.end();
    return `${line}\n`;
  } catch (error) {
    await stream.close();
    return (error as SocketError).code;
  }
}

for (const [name, makePair] of Object.entries(everyKind)) {
  test(`a peer that still sends gets the answer before end(), ${name}`, async () => {
    for (let round = 0; round < (name.includes("TLS") ? 5 : 20); round++) {
      const [client, server] = await makePair();
      const uploading = upload(client, 4);
      const stream = new Stream(server);
      await stream.readExactly(10);
      await stream.write(ANSWER);
      const ended = await stream.end();
      assert.equal(await uploading, ANSWER);
      assert.deepEqual(ended, { how: "finished", dropped: (4 << 20) - 10 });
      await assert.rejects(stream.read(), { code: "EBADF" });
      await assert.rejects(server.write("more"), { code: "EBADF" });
    }
  });

  test(`end() closes a connection whose peer never finishes when the timeout has passed, ${name}`, async () => {
    const [client, server] = await makePair();
    const ended = await new Stream(server).end({ timeout: 20 });
    assert.deepEqual(ended, { how: "timeout", dropped: 0 });
    await client.close();
  });

  test(`end() closes a connection whose peer never stops sending after maxBytes, ${name}`, async () => {
    const [client, server] = await makePair();
    const sending = (async () => {
      for (;;) await client.write(UPLOAD);
    })();
    sending.catch(() => undefined);
    const ended = await new Stream(server).end({ maxBytes: 100_000 });
    assert.deepEqual(ended, { how: "maxBytes", dropped: 100_001 });
    await assert.rejects(sending, (error: SocketError) => ["EPIPE", "ECONNRESET"].includes(error.code));
    await client.close();
  });

  test(`end() aborts a connection whose peer neither reads nor sends when the timeout has passed, ${name}`, async () => {
    const [client, server] = await makePair();
    const written = server.write(Buffer.alloc(32 << 20));
    written.catch(() => undefined);
    const { how } = await new Stream(server).end({ timeout: 50 });
    assert.equal(how, "timeout");
    await assert.rejects(written, SocketError);
    await client.close();
  });

  test(`end() rejects while a read is pending, and leaves the connection as it is, ${name}`, async () => {
    const [client, server] = await makePair();
    const stream = new Stream(server);
    const reading = stream.readLine();
    await assert.rejects(stream.end(), BusyError);
    await client.write("still here\n");
    assert.equal(await reading, "still here");
    await stream.write("yes\n");
    assert.equal(await new Stream(client).readLine(), "yes");
    await client.close();
    await stream.close();
  });
}

test("bytes that were read ahead are dropped and counted", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b);
  await a.write("line\nand eleven more");
  assert.equal(await stream.readLine(), "line");
  await a.closeWrite();
  assert.deepEqual(await stream.end(), { how: "finished", dropped: 15 });
});

test("after the stream has read the end of its peer, end() makes no further read", async () => {
  const [a, b] = memoryPair();
  let reads = 0;
  const read = b.read.bind(b);
  b.read = (...args) => {
    reads++;
    return read(...args);
  };
  const stream = new Stream(b);
  await a.write("last");
  await a.closeWrite();
  assert.equal(String(await stream.read()), "last");
  assert.equal(await stream.read(), null);
  const before = reads;
  assert.deepEqual(await stream.end(), { how: "finished", dropped: 0 });
  assert.equal(reads, before);
  assert.ok(before > 0);
});

test("a peer that sends exactly maxBytes and ends is within the limit, with 0 too", async () => {
  for (const [size, maxBytes, how] of [
    [5, 5, "finished"],
    [6, 5, "maxBytes"],
    [0, 0, "finished"],
    [1, 0, "maxBytes"],
  ] as const) {
    const [a, b] = memoryPair();
    if (size > 0) await a.write(Buffer.alloc(size));
    await a.closeWrite();
    assert.deepEqual(await new Stream(b).end({ maxBytes }), { how, dropped: size });
  }
});

test("a second end() waits for the first, and returns another promise", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b);
  const first = stream.end();
  const second = stream.end({ timeout: 1 });
  assert.notEqual(first, second);
  await a.close();
  const ended = { how: "finished", dropped: 0 };
  assert.deepEqual([await first, await second, await stream.end()], [ended, ended, ended]);
});

test("close() and abort() end a pending end() at once", async () => {
  for (const cut of ["close", "abort"] as const) {
    const [a, b] = memoryPair();
    const stream = new Stream(b);
    const ending = stream.end({ timeout: null, maxBytes: Infinity });
    await stream[cut]();
    assert.deepEqual(await ending, { how: "closed", dropped: 0 });
    await a.close();
  }
  const [a, b] = memoryPair();
  await Promise.all([a.close(), b.close()]);
  const closed = new Stream(b);
  await closed.close();
  assert.deepEqual(await closed.end(), { how: "closed", dropped: 0 });
});

test("an aborted signal closes the connection and rejects with its reason, also if it was aborted before", async () => {
  for (const early of [true, false]) {
    const [a, b] = memoryPair();
    const stream = new Stream(b);
    const controller = new AbortController();
    const reason = new Error("enough");
    if (early) controller.abort(reason);
    const ending = stream.end({ signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(ending, reason);
    await assert.rejects(b.write("x"), { code: "EBADF" });
    await a.close();
  }
});

test("a connection that has failed is closed, and the result has the error", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b);
  const ending = stream.end();
  a.abort();
  const ended = await ending;
  assert.equal(ended.how, "failed");
  assert.equal((ended.error as SocketError).code, "ECONNRESET");
});

test("end() works on a stream whose reading has failed because of a long line", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b, { maxLine: 10 });
  await a.write("much longer than ten");
  await assert.rejects(stream.readLine(), LimitError);
  await stream.write("500\n");
  const ending = stream.end();
  assert.equal(await new Stream(a).readLine(), "500");
  await a.close();
  assert.equal((await ending).how, "finished");
});

test("end() refuses wrong options and leaves the connection as it is", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b);
  for (const [opts, kind] of [
    [{ maxBytes: -1 }, RangeError],
    [{ maxBytes: 1.5 }, RangeError],
    [{ maxBytes: "1" }, TypeError],
    [{ timeout: -1 }, RangeError],
    [{ timeout: "1" }, TypeError],
    [{ signal: 1 }, TypeError],
    [5, TypeError],
  ] as const) {
    await assert.rejects(stream.end(opts as never), kind);
  }
  await a.write("still open\n");
  assert.equal(await stream.readLine(), "still open");
  await assert.rejects(stream.readExactly(5, { timeout: 0 }), { code: "ETIMEDOUT" });
  await a.close();
  await assert.rejects(stream.readExactly(5), IncompleteReadError);
  await stream.close();
});

test("the default limits are exported constants", () => {
  assert.equal(END_TIMEOUT, 5_000);
  assert.equal(END_MAX_BYTES, 64 << 20);
});

test("end() refuses a wrong option even if its signal is already aborted", async () => {
  const [peer, conn] = memoryPair();
  const stream = new Stream(conn);
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(stream.end({ timeout: -1, signal }), RangeError);
  await assert.rejects(stream.end({ maxBytes: -1, signal }), RangeError);
  await peer.write("nothing was done\n");
  assert.equal(await stream.readLine(), "nothing was done");
  await assert.rejects(stream.end({ signal }), { message: "enough" });
  await peer.close();
});
