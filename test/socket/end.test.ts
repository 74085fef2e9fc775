// end() of a Socket, awaitable and blocking, with peers that are not ours.

import assert from "node:assert/strict";
import { test } from "node:test";
import { BusyError, SO_LINGER, Socket, SOCK_DGRAM, SOCK_STREAM, AF_UNIX, socketpair } from "berkeley";
import * as sync from "berkeley/sync";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";

checkLeaks();

/** Uploads more than the kernel holds, then reads: prints the answer, or the errno. */
const UPLOADER = `
import socket, sys, os
for _ in range(20):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    try:
        for _ in range(16): s.sendall(b"x" * (1 << 20))
        print(s.recv(100).decode().strip())
    except OSError as e:
        print(e.errno)
    s.close()
`;

async function answersTo(serve: (conn: Socket) => Promise<void> | void): Promise<string[]> {
  using server = new Socket();
  await server.bind("127.0.0.1:0");
  server.listen();
  await using python = new Program("python3", ["-c", UPLOADER, String(server.getsockname().port)]);
  for (let round = 0; round < 20; round++) {
    const [conn] = await server.accept();
    await conn.recv(10);
    await conn.sendAll("413 too much\n");
    await serve(conn);
  }
  const { stdout, stderr } = await python.ended;
  assert.equal(stderr, "");
  return stdout.trim().split("\n");
}

const ALL = Array.from({ length: 20 }, () => "413 too much");

test("a Python client that uploads without a look gets the answer 20 times of 20", async () => {
  const how: string[] = [];
  const answers = await answersTo(async (conn) => {
    how.push((await conn.end()).how);
    assert.equal(conn.closed, true);
  });
  assert.deepEqual(answers, ALL);
  assert.deepEqual(
    how,
    Array.from({ length: 20 }, () => "finished"),
  );
});

test("the same from a blocking socket", async () => {
  const answers = await answersTo((conn) => {
    using blocking = sync.Socket.fromfd(conn.detach());
    assert.equal(blocking.end().how, "finished");
    assert.equal(blocking.closed, true);
  });
  assert.deepEqual(answers, ALL);
});

test("close() loses it, which is what end() is for", async () => {
  const answers = await answersTo((conn) => conn.close());
  assert.notDeepEqual(answers, ALL);
});

test("end() sends what waits before it, refuses a pending read, and is done once", async () => {
  const [a, b] = socketpair();
  const reading = a.recv(10);
  await assert.rejects(a.end(), BusyError);
  await b.sendAll("x");
  await reading;
  const sending = a.sendAll(Buffer.alloc(4 << 20));
  const ending = a.end();
  let count = 0;
  for (let piece = await b.recv(65_536); piece.length > 0; piece = await b.recv(65_536)) count += piece.length;
  await sending;
  assert.equal(count, 4 << 20);
  b.close();
  assert.deepEqual(await ending, { how: "finished", dropped: 0 });
  assert.deepEqual(await a.end(), { how: "finished", dropped: 0 });
  const [c, d] = socketpair();
  c.close();
  assert.deepEqual(await c.end(), { how: "closed", dropped: 0 });
  d.close();
});

test("end() of a socket that is not connected, or no stream socket", async () => {
  const fresh = new Socket();
  const ended = await fresh.end();
  assert.equal(ended.how, "failed");
  assert.equal((ended.error as { code: string }).code, "ENOTCONN");
  assert.equal(fresh.closed, true);
  const [a, b] = socketpair(AF_UNIX, SOCK_DGRAM);
  await assert.rejects(a.end(), TypeError);
  assert.equal(a.closed, false);
  a.close();
  b.close();
});

test("the blocking end() has the same bounds", async () => {
  const pair = (): [sync.Socket, sync.Socket] => sync.socketpair(AF_UNIX, SOCK_STREAM);
  {
    const [a, b] = pair();
    assert.deepEqual(a.end({ timeout: 20 }), { how: "timeout", dropped: 0 });
    assert.deepEqual(a.end(), { how: "closed", dropped: 0 });
    b.close();
  }
  {
    const [a, b] = pair();
    b.sendAll("123456");
    assert.deepEqual(a.end({ maxBytes: 5 }), { how: "maxBytes", dropped: 6 });
    b.close();
  }
  {
    const [a, b] = pair();
    assert.throws(() => a.end({ maxBytes: -1 }), RangeError);
    assert.throws(() => a.end({ maxBytes: "1" as never }), TypeError);
    assert.throws(() => a.end({ signal: new AbortController().signal } as never), TypeError);
    assert.equal(a.closed, false);
    a.close();
    b.close();
  }
  {
    const fresh = new sync.Socket();
    assert.equal(fresh.end().how, "failed");
    assert.equal(fresh.closed, true);
  }
});

test("a reset while end() discards bytes is its error", async () => {
  using server = new Socket();
  await server.bind("127.0.0.1:0");
  server.listen();
  const client = new Socket();
  await client.connect(server.getsockname());
  const [conn] = await server.accept();
  const ending = conn.end();
  client.setsockopt(SO_LINGER, 0);
  client.close();
  const ended = await ending;
  assert.equal(ended.how, "failed");
  assert.equal((ended.error as { code: string }).code, "ECONNRESET");
});
