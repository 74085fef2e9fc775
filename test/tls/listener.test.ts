// TlsListener: handshakes beside each other, bounded, and none of a stranger's mistakes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, listen, TlsContext, type TlsConn, TlsError, TlsListener, wrapTls } from "berkeley";
import { readFully } from "berkeley/testing";
import { MemoryListener } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { certificates, serving, trusting } from "./support.js";

checkLeaks();

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("TlsListener accepts over TCP, and its address is that of the listener below", async () => {
  await using listener = new TlsListener(await listen("tcp://127.0.0.1:0"), { tls: serving() });
  assert.match(String(listener.address), /^127\.0\.0\.1:\d+$/);
  const accepting = listener.accept();
  await using client = await wrapTls(await connect(`tcp://${String(listener.address)}`), trusting());
  await using server = await accepting;
  assert.equal(server.isServer, true);
  assert.equal(String(server.remoteAddress), String(client.localAddress));
  await client.write("hello");
  assert.equal((await readFully(server, 5)).toString(), "hello");
});

test("TlsListener does not let a silent client hold up another", async () => {
  const below = new MemoryListener();
  const failures: unknown[] = [];
  await using listener = new TlsListener(below, {
    tls: serving(),
    handshakeTimeout: 50,
    onHandshakeError: (error) => failures.push(error),
  });
  const accepting = listener.accept();
  const silent = await below.connect();
  const [client, server] = await Promise.all([wrapTls(await below.connect(), trusting()), accepting]);
  assert.deepEqual(listener.pending, { handshakes: 1, ready: 0 });
  await assert.rejects(listener.accept({ timeout: 100 }), { code: "ETIMEDOUT" });
  assert.deepEqual(
    failures.map((error) => (error as { code?: string }).code),
    ["ETIMEDOUT"],
  );
  await Promise.all([silent.close(), client.close(), server.close()]);
});

test("TlsListener tells of strangers and goes on", async () => {
  const below = new MemoryListener();
  const failures: unknown[] = [];
  await using listener = new TlsListener(below, { tls: serving(), onHandshakeError: (error) => failures.push(error) });
  const accepting = listener.accept();
  const stranger = await below.connect();
  await stranger.write("GET / HTTP/1.1\r\n\r\n");
  while (failures.length === 0) await turn();
  assert.ok(failures[0] instanceof TlsError);
  assert.equal(failures[0].code, "ERR_TLS_PLAINTEXT_PEER");
  const [client, server] = await Promise.all([wrapTls(await below.connect(), trusting()), accepting]);
  await Promise.all([stranger.close(), client.close(), server.close()]);
});

test("TlsListener runs no more handshakes than maxHandshakes", async () => {
  const below = new MemoryListener();
  let accepted = 0;
  const accept = below.accept.bind(below);
  below.accept = (opts) =>
    accept(opts).then((conn) => {
      accepted++;
      return conn;
    });
  const listener = new TlsListener(below, { tls: serving(), maxHandshakes: 2 });
  const accepting = assert.rejects(listener.accept(), { code: "ECANCELED" });
  const clients = await Promise.all([below.connect(), below.connect(), below.connect()]);
  for (let turns = 0; turns < 10; turns++) await turn();
  assert.equal(accepted, 2);
  assert.deepEqual(listener.pending, { handshakes: 2, ready: 0 });
  await listener.close();
  await accepting;
  assert.deepEqual(listener.pending, { handshakes: 0, ready: 0 });
  await Promise.all(clients.map((client) => client.close()));
});

test("accept() that is cut loses no connection, and lets the listener below go", async () => {
  const below = new MemoryListener();
  await using listener = new TlsListener(below, { tls: serving() });
  const control = new AbortController();
  const reason = new Error("enough");
  const cut = assert.rejects(listener.accept({ signal: control.signal }), reason);
  const client = wrapTls(await below.connect(), trusting());
  control.abort(reason);
  await cut;
  const server = await listener.accept();
  await Promise.all([(await client).close(), server.close()]);
  await assert.rejects(listener.accept({ timeout: 0 }), { code: "ETIMEDOUT" });
});

test("several accept() calls are served in order", async () => {
  const below = new MemoryListener();
  await using listener = new TlsListener(below, { tls: serving() });
  const order: number[] = [];
  const calls = [0, 1, 2].map((index) => listener.accept().finally(() => order.push(index)));
  const clients: TlsConn[] = [];
  for (let index = 0; index < 3; index++) clients.push(await wrapTls(await below.connect(), trusting()));
  const servers = await Promise.all(calls);
  assert.deepEqual(order, [0, 1, 2]);
  await Promise.all([...clients, ...servers].map((conn) => conn.close()));
});

test("close() settles accept() with ECANCELED, ends loops and refuses later calls with EBADF", async () => {
  const listener = new TlsListener(new MemoryListener(), { tls: serving() });
  const accepting = assert.rejects(listener.accept(), { code: "ECANCELED" });
  const loop = (async () => {
    for await (const conn of listener) await conn.close();
  })();
  await Promise.all([listener.close(), listener.close()]);
  await accepting;
  await loop;
  await assert.rejects(listener.accept(), { code: "EBADF" });
});

test("an error of the listener below is accept()'s", async () => {
  const below = new MemoryListener();
  const broken = new Error("broken");
  below.accept = () => Promise.reject(broken);
  await using listener = new TlsListener(below, { tls: serving() });
  await assert.rejects(listener.accept(), broken);
});

test("TlsListener serves many at a time from one context, which can be reloaded", async () => {
  const context = new TlsContext(serving());
  await using listener = new TlsListener(await listen("tcp://127.0.0.1:0"), { tls: context });
  assert.equal(listener.context, context);
  const echo = (async () => {
    for await (const conn of listener) {
      const buffer = Buffer.alloc(64);
      void (async () => {
        for (let count = await conn.read(buffer); count > 0; count = await conn.read(buffer)) {
          await conn.write(buffer.subarray(0, count));
        }
        await conn.close();
      })();
    }
  })();
  const trust = new TlsContext({ ca: certificates().ca.cert });
  const visit = async (index: number): Promise<string | undefined> => {
    const plain = await connect(`tcp://${String(listener.address)}`);
    await using client = await wrapTls(plain, { context: trust, servername: "localhost" });
    await client.write(`client ${index}`);
    assert.equal((await readFully(client, `client ${index}`.length)).toString(), `client ${index}`);
    return client.peerCertificate?.subject;
  };
  const visits = (): Promise<(string | undefined)[]> =>
    Promise.all(Array.from({ length: 20 }, (_, index) => visit(index)));
  assert.deepEqual(new Set(await visits()), new Set(["CN=server"]));
  const { cert, key } = certificates().renewed;
  listener.context.reload({ cert, key });
  assert.deepEqual(new Set(await visits()), new Set(["CN=renewed"]));
  await listener.close();
  await echo;
});

test("TlsListener refuses options that are wrong", () => {
  const below = new MemoryListener();
  assert.throws(() => new TlsListener(below, { tls: serving(), maxHandshakes: 0 }), RangeError);
  assert.throws(() => new TlsListener(below, { tls: serving(), handshakeTimeout: -1 }), RangeError);
  assert.throws(() => new TlsListener(below, { tls: { ...serving(), cert: "x" } }), TlsError);
});
