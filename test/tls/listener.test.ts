// TlsListener: concurrent handshakes, their limit, and connections without TLS.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, listen, type Stream, TlsContext, type TlsConn, TlsError, TlsListener, wrapTls } from "berkeley";
import { readFully } from "berkeley/testing";
import { MemoryListener } from "berkeley/testing";
import { turn, until } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { certificates, serving, trusting } from "./support.js";

checkLeaks();

/** Connections in a handshake, and those that are ready. */
const handshakesOf = (listener: { stats(): { handshakes: number; ready: number } }): number[] => {
  const { handshakes, ready } = listener.stats();
  return [handshakes, ready];
};

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

test("a silent client of a TlsListener does not delay another", async () => {
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
  assert.deepEqual(handshakesOf(listener), [1, 0]);
  await assert.rejects(listener.accept({ timeout: 100 }), { code: "ETIMEDOUT" });
  assert.deepEqual(
    failures.map((error) => (error as { code?: string }).code),
    ["ETIMEDOUT"],
  );
  await Promise.all([silent.close(), client.close(), server.close()]);
});

test("TlsListener reports connections without TLS and continues", async () => {
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
  const listener = new TlsListener(below, { tls: serving(), maxHandshakes: 2, silenceTimeout: null });
  const accepting = assert.rejects(listener.accept(), { code: "ECANCELED" });
  const clients = await Promise.all([below.connect(), below.connect(), below.connect()]);
  for (let turns = 0; turns < 10; turns++) await turn();
  assert.equal(accepted, 2);
  assert.deepEqual(handshakesOf(listener), [2, 0]);
  await listener.close();
  await accepting;
  assert.deepEqual(handshakesOf(listener), [0, 0]);
  await Promise.all(clients.map((client) => client.close()));
});

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown }).code;

test("silent clients in all handshake places of a TLS listener delay no client: the oldest is closed first", async () => {
  const failures: [unknown, string][] = [];
  const tls = { ...serving(), maxHandshakes: 4, silenceTimeout: 20, handshakeTimeout: 60_000 };
  await using listener = await listen("tls://127.0.0.1:0", {
    tls: { ...tls, onHandshakeError: (error, address) => failures.push([error, String(address)]) },
  });
  const accepting = listener.accept();
  const target = `tcp://${String(listener.address)}`;
  const silent: Stream[] = [];
  while (silent.length < 4) {
    silent.push(await connect(target));
    await until(() => listener.stats().handshakes === silent.length);
  }
  const ends = silent.map((stream) => stream.read().catch((error: unknown) => error));
  const client = await wrapTls(await connect(target), trusting());
  const server = await accepting;
  assert.equal(failures.length, 1);
  const [error, address] = failures[0] as [TlsError, string];
  assert.ok(error instanceof TlsError);
  assert.equal(error.code, "ERR_TLS_SILENT");
  assert.match(error.message, /maxHandshakes is 4/);
  assert.equal(address, String(silent[0]?.localAddress));
  assert.equal(await ends[0], null);
  assert.equal(listener.stats().handshakes, 3);
  const second = listener.accept();
  await Promise.all([client.close(), server.close()]);
  const other = await wrapTls(await connect(target), trusting());
  await Promise.all([other.close(), (await second).close()]);
  await listener.close();
  await Promise.all([...ends, ...silent.map((stream) => stream.close())]);
});

test("256 silent clients leave room for the next one, over TCP and with every default", async () => {
  await using listener = await listen("tls://127.0.0.1:0", { tls: serving() });
  const accepting = listener.accept();
  const target = `tcp://${String(listener.address)}`;
  const silent = await Promise.all(Array.from({ length: 300 }, () => connect(target)));
  const client = await wrapTls(await connect(target), { ...trusting(), handshakeTimeout: 5000 });
  await using server = await accepting;
  assert.equal(String(server.remoteAddress), String(client.localAddress));
  assert.ok(listener.stats().handshakes <= 256);
  await Promise.all([client.close(), ...silent.map((stream) => stream.close())]);
});

test("a client that has sent something keeps its place, and the one that comes waits", async () => {
  const below = new MemoryListener();
  const failures: unknown[] = [];
  await using listener = new TlsListener(below, {
    tls: serving(),
    maxHandshakes: 1,
    silenceTimeout: 0,
    handshakeTimeout: 60_000,
    onHandshakeError: (error) => failures.push(error),
  });
  const accepting = listener.accept();
  const slow = await below.connect();
  await until(() => listener.stats().handshakes === 1);
  // The beginning of a record, and no more.
  await slow.write(Uint8Array.of(22, 3, 1));
  await until(() => slow.unread === 0);
  const client = wrapTls(await below.connect(), trusting());
  for (let turns = 0; turns < 20; turns++) await turn();
  assert.deepEqual(handshakesOf(listener), [1, 0]);
  assert.equal(failures.length, 0);
  await slow.close();
  const [one, other] = await Promise.all([client, accepting]);
  assert.deepEqual(failures.map(codeOf), ["ECONNRESET"]);
  await Promise.all([one.close(), other.close()]);
});

test("a connection that waits for a place is closed with the listener", async () => {
  const below = new MemoryListener();
  const listener = new TlsListener(below, { tls: serving(), maxHandshakes: 1, silenceTimeout: 0 });
  const accepting = assert.rejects(listener.accept(), { code: "ECANCELED" });
  const slow = await below.connect();
  await until(() => listener.stats().handshakes === 1);
  // accept() is called while this client is silent, and returns when it sends again.
  for (let turns = 0; turns < 5; turns++) await turn();
  await slow.write(Uint8Array.of(22, 3, 1));
  await until(() => slow.unread === 0);
  const waiting = await below.connect();
  for (let turns = 0; turns < 5; turns++) await turn();
  await listener.close();
  await accepting;
  await assert.rejects(waiting.read(Buffer.alloc(1)), { code: "ECONNRESET" });
  await Promise.all([slow.close(), waiting.close()]);
});

test("a connection that has come and is not looked at yet is closed with the listener", async () => {
  const below = new MemoryListener();
  const listener = new TlsListener(below, { tls: serving(), maxHandshakes: 1, silenceTimeout: 0 });
  const accepting = assert.rejects(listener.accept(), { code: "ECANCELED" });
  const slow = await below.connect();
  await until(() => listener.stats().handshakes === 1);
  for (let turns = 0; turns < 5; turns++) await turn();
  await slow.write(Uint8Array.of(22, 3, 1));
  await until(() => slow.unread === 0);
  // It is accepted below in microtasks, and looked at in the next turn.
  const waiting = await below.connect();
  await Promise.resolve();
  await listener.close();
  await accepting;
  await assert.rejects(waiting.read(Buffer.alloc(1), { timeout: 5_000 }), { code: "ECONNRESET" });
  await Promise.all([slow.close(), waiting.close()]);
});

test("a burst of more clients than there are places is served, and none is taken for silent", async () => {
  const failures: unknown[] = [];
  const tls = {
    ...serving(),
    maxHandshakes: 3,
    silenceTimeout: 0,
    onHandshakeError: (error: unknown) => failures.push(error),
  };
  await using listener = await listen("tls://127.0.0.1:0", { tls });
  const trust = new TlsContext({ ca: certificates().ca.cert });
  const dial = async (): Promise<TlsConn> => {
    const plain = await connect(`tcp://${String(listener.address)}`);
    return wrapTls(plain, { context: trust, servername: "localhost" });
  };
  const clients = Promise.all(Array.from({ length: 40 }, dial));
  const servers: Stream[] = [];
  for await (const stream of listener) if (servers.push(stream) === 40) break;
  await Promise.all([...(await clients), ...servers].map((conn) => conn.close()));
  assert.deepEqual(failures, []);
});

test("an interrupted accept() loses no connection, and leaves no call on the listener below", async () => {
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
  await using listener = new TlsListener(below, { tls: serving() });
  below.accept = () => Promise.reject(broken);
  await assert.rejects(listener.accept(), broken);
  below.accept = () => {
    throw broken;
  };
  await assert.rejects(listener.accept(), broken);
  for (const wrong of [undefined, null, 5, {}]) {
    assert.throws(() => new TlsListener(wrong as never, { tls: serving() }), /listener is .*, required a Listener/);
  }
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
  assert.throws(() => new TlsListener(below, { tls: serving(), silenceTimeout: -1 }), RangeError);
  for (const name of ["handshakeTimeout", "silenceTimeout", "closeTimeout"]) {
    assert.throws(() => new TlsListener(below, { tls: serving(), [name]: Infinity }), {
      name: "RangeError",
      message: `Cannot make a TlsListener: ${name} is Infinity, required milliseconds from 0 to 2147483647, or null for none`,
    });
  }
  assert.throws(() => new TlsListener(below, { tls: serving(), buffered: true as never }), TypeError);
  assert.throws(() => new TlsListener(below, { tls: { ...serving(), cert: "x" } }), TlsError);
});
