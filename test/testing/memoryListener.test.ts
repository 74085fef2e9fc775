// The memory listener: accept() and connect() are matched in order, and close() settles both.

import assert from "node:assert/strict";
import { test } from "node:test";
import { InetAddress } from "berkeley";
import { readFully, rejection } from "berkeley/testing";
import { MemoryListener } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("accept() resolves with the other ends of the connections of connect(), in order", async () => {
  await using listener = new MemoryListener();
  const waiting = [listener.accept(), listener.accept()];
  const clients = [await listener.connect(), await listener.connect()];
  const servers = await Promise.all(waiting);
  for (const [index, client] of clients.entries()) {
    await client.write(`client ${index}`);
    assert.equal((await readFully(servers[index]!, 8)).toString(), `client ${index}`);
  }
});

test("a client may write before it is accepted", async () => {
  await using listener = new MemoryListener();
  const client = await listener.connect();
  await client.write("early");
  const server = await listener.accept();
  assert.equal((await readFully(server, 5)).toString(), "early");
});

test("connect() waits while the backlog is full", async () => {
  await using listener = new MemoryListener({ backlog: 1 });
  await listener.connect();
  assert.equal((await rejection(listener.connect({ timeout: 5 }))).code, "ETIMEDOUT");
  const third = listener.connect();
  await listener.accept();
  const client = await third;
  await client.write("3");
  assert.equal((await readFully(await listener.accept(), 1)).toString(), "3");
});

test("an accept() that was cancelled loses no connection", async () => {
  await using listener = new MemoryListener();
  assert.equal((await rejection(listener.accept({ timeout: 5 }))).code, "ETIMEDOUT");
  const control = new AbortController();
  const accepting = rejection(listener.accept({ signal: control.signal }));
  control.abort("enough");
  assert.equal(await accepting, "enough");
  const client = await listener.connect();
  await client.write("x");
  assert.equal((await readFully(await listener.accept(), 1)).toString(), "x");
});

test("`for await` yields connections until the listener is closed", async () => {
  const listener = new MemoryListener();
  const serving = (async () => {
    let count = 0;
    for await (const conn of listener) {
      count++;
      await conn.close();
    }
    return count;
  })();
  for (let index = 0; index < 3; index++) {
    const client = await listener.connect();
    assert.equal(await client.read(Buffer.alloc(1)), 0);
  }
  await listener.close();
  assert.equal(await serving, 3);
});

test("close() cancels accept(), refuses connect() and resets connections that were not accepted", async () => {
  const listener = new MemoryListener();
  const forgotten = await listener.connect();
  await listener.close();
  await listener.close();
  assert.equal((await rejection(forgotten.read(Buffer.alloc(1)))).code, "ECONNRESET");
  assert.equal((await rejection(listener.connect())).code, "ECONNREFUSED");
  assert.equal((await rejection(listener.accept())).code, "EBADF");
  const other = new MemoryListener();
  const accepting = rejection(other.accept());
  await other.close();
  assert.equal((await accepting).code, "ECANCELED");
});

test("the listener's address is the local address of accepted connections, and the remote address of clients", async () => {
  await using listener = new MemoryListener({ address: new InetAddress("127.0.0.1", 80) });
  const client = await listener.connect();
  const server = await listener.accept();
  assert.equal(String(listener.address), "127.0.0.1:80");
  assert.equal(String(client.remoteAddress), "127.0.0.1:80");
  assert.equal(String(server.localAddress), "127.0.0.1:80");
});
