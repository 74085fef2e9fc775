// toDuplex() and fromDuplex(), each separately.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { type AddressInfo, createServer, connect as netConnect, type Socket } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { fromDuplex, Stream, toDuplex } from "berkeley";
import { firstDifference, pattern, readFully, readToEnd, rejection } from "berkeley/testing";
import { connConformance, memoryPair, type ConnPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("toDuplex() carries bytes both ways and closes the connection when both have ended", async () => {
  const [a, b] = memoryPair({ chunking: 1000 });
  const duplex = toDuplex(a);
  duplex.end(pattern(100_000));
  assert.equal(firstDifference(await readToEnd(b)), -1);
  await b.write("answer");
  await b.closeWrite();
  let text = "";
  for await (const chunk of duplex.setEncoding("utf8")) text += String(chunk);
  assert.equal(text, "answer");
  assert.equal(duplex.destroyed, true);
  assert.equal(a.closed, true);
});

test("toDuplex() without allowHalfOpen ends and closes when the peer has finished", async () => {
  const [a, b] = memoryPair();
  const duplex = toDuplex(a, { allowHalfOpen: false });
  duplex.write("last words");
  await b.closeWrite();
  duplex.resume();
  await once(duplex, "close");
  assert.equal((await readToEnd(b)).toString(), "last words");
  assert.equal(a.closed, true);
  await b.close();
});

test("toDuplex() reads no further ahead than its high water mark", async () => {
  const [a, b] = memoryPair();
  const duplex = toDuplex(a, { readableHighWaterMark: 1000 });
  const writing = b.write(pattern(50_000));
  duplex.once("readable", () => undefined);
  await once(duplex, "readable");
  await writing;
  assert.ok(b.unread >= 48_000, `found ${b.unread}`);
  duplex.destroy();
});

test("toDuplex() holds back its writer while the peer does not read", async () => {
  const [a, b] = memoryPair({ capacity: 1000 });
  const duplex = toDuplex(a, { writableHighWaterMark: 5000 });
  assert.equal(duplex.write(pattern(4000)), true);
  assert.equal(duplex.write(pattern(4000, 4000)), false);
  const drained = once(duplex, "drain");
  assert.equal(firstDifference(await readFully(b, 8000)), -1);
  await drained;
  duplex.destroy();
});

test("toDuplex() joins the waiting writes to one write", async () => {
  const [a, b] = memoryPair();
  const sizes: number[] = [];
  const write = a.write.bind(a);
  a.write = (data, opts) => {
    sizes.push(Array.isArray(data) ? data.length : 1);
    return write(data, opts);
  };
  const duplex = toDuplex(a);
  for (const text of ["1", "2", "3", "4"]) duplex.write(text);
  assert.equal((await readFully(b, 4)).toString(), "1234");
  assert.deepEqual(sizes, [1, 3]);
  duplex.destroy();
});

test("toDuplex() destroyed closes the connection, destroyed with an error aborts it", async () => {
  const [a, b] = memoryPair();
  toDuplex(a).destroy();
  assert.equal(await b.read(Buffer.alloc(1)), 0);
  const [c, d] = memoryPair();
  const duplex = toDuplex(c);
  const failed = once(duplex, "error");
  duplex.destroy(new Error("broken"));
  assert.equal((await rejection(d.read(Buffer.alloc(1)))).code, "ECONNRESET");
  assert.match(String((await failed)[0]), /broken/);
});

test("toDuplex() emits the error of the connection", async () => {
  const [a, b] = memoryPair();
  const duplex = toDuplex(a).resume();
  b.abort();
  const [error] = (await once(duplex, "error")) as [{ code?: string }];
  assert.equal(error.code, "ECONNRESET");
});

test("toDuplex() takes part in a pipeline", async () => {
  const [a, b] = memoryPair();
  const echo = toDuplex(b);
  const echoing = pipeline(echo, new PassThrough(), echo);
  const duplex = toDuplex(a);
  duplex.end(pattern(300_000));
  const chunks: Buffer[] = [];
  for await (const chunk of duplex) chunks.push(chunk as Buffer);
  assert.equal(Buffer.concat(chunks).length, 300_000);
  assert.equal(firstDifference(Buffer.concat(chunks)), -1);
  await echoing;
});

test("a server and a client of node:http work over toDuplex()", async () => {
  const [a, b] = memoryPair();
  const server = http.createServer((request, response) => {
    request.pipe(response);
  });
  server.emit("connection", toDuplex(b));
  const request = http.request({ method: "POST", createConnection: () => toDuplex(a) });
  request.end(pattern(100_000));
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  assert.equal(firstDifference(Buffer.concat(chunks)), -1);
  assert.equal(Buffer.concat(chunks).length, 100_000);
});

test("fromDuplex() keeps a chunk that arrives after its read was cancelled", async () => {
  const through = new PassThrough();
  const conn = fromDuplex(through);
  await assert.rejects(conn.read(Buffer.alloc(4), { timeout: 1 }), { code: "ETIMEDOUT" });
  await conn.write("abcdef");
  const target = Buffer.alloc(4);
  assert.equal(await conn.read(target), 4);
  assert.equal(String(target), "abcd");
  assert.equal(await conn.read(target), 2);
  await conn.close();
});

test("fromDuplex() hands over at most one piece while the Duplex takes none", async () => {
  let taken = 0;
  const stuck = new Duplex({
    read() {},
    write(chunk: Buffer) {
      taken += chunk.length;
    },
  });
  const conn = fromDuplex(stuck, { closeTimeout: 1 });
  for (let round = 0; round < 5; round++) {
    const error = (await rejection(conn.write(pattern(500_000), { timeout: 2 }))) as {
      code?: string;
      transferred?: number;
    };
    assert.equal(error.code, "ETIMEDOUT");
    assert.equal(error.transferred, round === 0 ? 65_536 : 0);
  }
  assert.equal(taken, 65_536);
  assert.equal(stuck.writableLength, 65_536);
  await conn.close();
  assert.equal(stuck.destroyed, true);
});

test("fromDuplex() rejects with the error of the Duplex, which never becomes an uncaught exception", async () => {
  const through = new PassThrough();
  const conn = fromDuplex(through);
  const reading = rejection(conn.read(Buffer.alloc(4)));
  const broken = new Error("broken");
  through.destroy(broken);
  assert.equal(await reading, broken);
  assert.equal(await rejection(conn.read(Buffer.alloc(4))), broken);
  assert.equal(await rejection(conn.write("x")), broken);
});

test("fromDuplex() rejects with ECONNRESET when the Duplex is destroyed without an end", async () => {
  const through = new PassThrough();
  const conn = fromDuplex(through);
  const reading = rejection(conn.read(Buffer.alloc(4)));
  through.destroy();
  assert.equal((await reading).code, "ECONNRESET");
});

test("fromDuplex() rejects a pending write with the error of its Duplex, and not with ECANCELED of the closed handle", async () => {
  // As node:net of version 22 and later, when a read is reset while a write waits.
  let finish: ((error: Error) => void) | undefined;
  const socket = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => (finish = done),
    destroy: (error, done) => {
      finish?.(Object.assign(new Error("write ECANCELED: operation canceled"), { code: "ECANCELED" }));
      done(error);
    },
  });
  const conn = fromDuplex(socket);
  const writing = rejection(conn.write("x"));
  const reset = Object.assign(new Error("read ECONNRESET: connection reset by peer"), { code: "ECONNRESET" });
  socket.destroy(reset);
  assert.equal(await writing, reset);
});

test("fromDuplex() refuses a Duplex that does not carry bytes", () => {
  assert.throws(() => fromDuplex(new PassThrough({ objectMode: true })), TypeError);
  assert.throws(() => fromDuplex(new PassThrough().setEncoding("utf8")), TypeError);
});

test("Stream.fromDuplex() reads lines from any Duplex", async () => {
  const through = new PassThrough();
  const stream = Stream.fromDuplex(through, { maxLine: 100 });
  await stream.write("one\ntwo\n");
  await stream.closeWrite();
  const lines: string[] = [];
  for await (const line of stream.lines()) lines.push(line);
  assert.deepEqual(lines, ["one", "two"]);
  await stream.close();
  assert.equal(through.destroyed, true);
});

async function netPair(): Promise<ConnPair> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const client = netConnect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(client, "connect");
  const [peer] = await accepted;
  return [fromDuplex(client), fromDuplex(peer), () => void server.close()];
}

// After a partial read libuv takes POLLHUP for the end and never reads the error of the socket. So node:net reports a
// regular end after a reset. A Conn over a net.Socket can't find out.
const impossible = "later reads reject with ECONNRESET after the peer has aborted, and never return 0";

for (const { name, run } of connConformance("net.Socket over loopback", netPair, { bulk: 2_000_000 })) {
  if (!name.endsWith(impossible)) test(name, run);
}
