// After a connection, poll(2) says whether more wait. So no accept(2) that finds nothing is made. On the real kernel.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { AF_INET, SOCK_STREAM, Socket } from "berkeley";
import { Socket as BlockingSocket } from "berkeley/sync";
import { calls } from "#berkeley/sys/calls.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const { accept } = calls;
const results: number[] = [];
const looks: (number | undefined)[] = [];
calls.accept = (fd, addressBuffer, look) => {
  const result = look === undefined ? accept(fd, addressBuffer) : accept(fd, addressBuffer, look);
  results.push(result);
  looks.push(look);
  return result;
};
after(() => {
  calls.accept = accept;
});

const refusals = (): number => results.filter((result) => result < 0).length;

async function listening(): Promise<Socket> {
  const server = new Socket(AF_INET, SOCK_STREAM);
  await server.bind(["127.0.0.1", 0]);
  server.listen(64);
  results.length = looks.length = 0;
  return server;
}

async function connected(server: Socket): Promise<Socket> {
  const client = new Socket(AF_INET, SOCK_STREAM);
  await client.connect(server.getsockname());
  return client;
}

test("a loop over connections that come one by one makes no accept(2) that finds nothing after its first", async () => {
  using server = await listening();
  const connections = server[Symbol.asyncIterator]();
  for (let i = 0; i < 100; i++) {
    const next = connections.next();
    using client = await connected(server);
    const { done, value } = await next;
    assert.ok(done !== true);
    const [conn, address] = value;
    assert.deepEqual(address, client.getsockname());
    conn.close();
  }
  assert.equal(results.length - refusals(), 100);
  assert.equal(refusals(), 1);
});

test("connections that wait together are all accepted, and only the first accept(2) of a crowd looks", async () => {
  using server = await listening();
  for (let round = 0; round < 3; round++) {
    results.length = looks.length = 0;
    const clients = [];
    for (let i = 0; i < 8; i++) clients.push(await connected(server));
    const last = round === 2;
    let accepted = 0;
    for (; accepted < 8; accepted++) (await server.accept())[0].close();
    // In the last round another call finds the queue empty.
    if (last) await assert.rejects(server.accept({ timeout: 10 }), { code: "ETIMEDOUT" });
    for (const client of clients) client.close();
    assert.equal(results.length - refusals(), 8);
    assert.equal(refusals(), last ? 1 : 0);
    assert.deepEqual(looks.filter(Boolean).length, round === 0 ? 1 : 0);
  }
  results.length = looks.length = 0;
  using client = await connected(server);
  const [conn, address] = await server.accept();
  assert.deepEqual(address, client.getsockname());
  conn.close();
  assert.deepEqual(looks, [1], "the crowd is over");
});

test("a blocking socket never looks", async () => {
  using server = new BlockingSocket(AF_INET, SOCK_STREAM);
  server.bind(["127.0.0.1", 0]);
  server.listen();
  results.length = looks.length = 0;
  using client = new Socket(AF_INET, SOCK_STREAM);
  await client.connect(server.getsockname());
  server.accept()[0].close();
  assert.deepEqual(looks, [undefined]);
});
