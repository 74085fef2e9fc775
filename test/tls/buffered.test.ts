// TLS on a stream with buffered bytes: refused after STARTTLS, and accepted if the bytes are the beginning of TLS.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, openSync } from "node:fs";
import { test } from "node:test";
import { connect, listen, type Socket, Stream, TlsContext, TlsListener, wrapTls } from "berkeley";
import type { Conn, Listener, TlsConn } from "berkeley";
import { memoryPair } from "berkeley/testing";
import { MemoryListener } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { certificates, inMemory, overTcp, overUnix, serving, tlsPair, trusting, withoutDescriptor } from "./support.js";

checkLeaks();

const kinds = { inMemory, overTcp, overUnix, "TCP without a descriptor": withoutDescriptor(overTcp) };
const HEADER = "PROXY TCP4 192.0.2.1 192.0.2.2 4242 443\r\n";

async function talk(client: Conn, server: Conn): Promise<void> {
  const [a, b] = [new Stream(client), new Stream(server)];
  await Promise.all([a.write("from the client\n"), b.write("from the server\n")]);
  assert.equal(await b.readLine(), "from the client");
  assert.equal(await a.readLine(), "from the server");
  await a.closeWrite();
  assert.equal(await b.read(), null);
  await Promise.all([a.close(), b.close()]);
}

for (const [name, pair] of Object.entries(kinds)) {
  test(`a server goes on with what peek() has read: ${name}`, async () => {
    const [a, b] = await pair();
    const stream = new Stream(b);
    const client = wrapTls(a, trusting());
    assert.equal((await stream.peek(1))?.[0], 22);
    assert.ok(stream.buffered > 100);
    const server = await wrapTls(stream, { ...serving(), isServer: true, buffered: "tls" });
    await talk(await client, server);
    await assert.rejects(stream.read(), { code: "EBADF" });
  });

  test(`a server continues after a PROXY header, in pieces of any size: ${name}`, async () => {
    for (const readSize of [1, 100, 65_536]) {
      const [a, b] = await pair();
      const stream = new Stream(b, { readSize });
      await a.write(HEADER);
      const client = wrapTls(a, trusting());
      if (readSize > 1) await stream.peek(HEADER.length + 1);
      assert.equal(String(await stream.readUntil("\r\n")), HEADER);
      const server = await wrapTls(stream, { ...serving(), isServer: true, buffered: "tls" });
      await talk(await client, server);
    }
  });

  test(`without the option the stream is left alone, bytes and all: ${name}`, async () => {
    for (const buffered of [undefined, "refuse"] as const) {
      const [a, b] = await pair();
      const stream = new Stream(b);
      await a.write("bytes\n");
      await stream.peek(1);
      const wrapping = wrapTls(stream, { ...serving(), isServer: true, buffered });
      await assert.rejects(wrapping, { code: "ERR_TLS_BUFFERED", message: /has 6 bytes/ });
      assert.equal(await stream.readLine(), "bytes");
      await Promise.all([a.close(), stream.close()]);
    }
  });

  test(`a client goes on with what its stream has read: ${name}`, async () => {
    const [a, b] = await pair();
    // A fatal alert: handshake_failure. It is all that a server may say before its client has begun.
    await b.write(Uint8Array.of(21, 3, 3, 0, 2, 2, 40));
    const stream = new Stream(a);
    await stream.peek(7);
    const wrapping = wrapTls(stream, { ...trusting(), buffered: "tls" });
    await assert.rejects(wrapping, { code: "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE" });
    await b.close();
  });

  test(`buffered bytes that are no TLS are refused as such: ${name}`, async () => {
    const [a, b] = await pair();
    await a.write("GET / HTTP/1.1\r\n\r\n");
    const stream = new Stream(b);
    await stream.peek(1);
    const wrapping = wrapTls(stream, { ...serving(), isServer: true, buffered: "tls" });
    await assert.rejects(wrapping, { code: "ERR_TLS_PLAINTEXT_PEER" });
    await a.close();
  });

  test(`wrapTls() while a read is pending is refused at once, and the read goes on: ${name}`, async () => {
    for (const dress of [
      (conn: Conn) => conn,
      (conn: Conn) => new Stream(conn),
      (conn: Conn) => new Stream(new Stream(conn)),
    ]) {
      const [a, b] = await pair();
      const conn = dress(b);
      const buffer = Buffer.alloc(8);
      const reading = conn.read(buffer);
      for (const options of [
        { ...serving(), isServer: true as const },
        { ...trusting(), buffered: "tls" as const },
      ]) {
        await assert.rejects(wrapTls(conn, options), { name: "BusyError", code: "ERR_BUSY", operation: "read" });
      }
      await a.write("here");
      assert.equal(await reading, 4);
      await conn.write("and there");
      assert.equal(await a.read(buffer), 8);
      await Promise.all([a.close(), conn.close()]);
    }
  });
}

test("TLS over TLS begins with the bytes that the stream between them has read", async () => {
  const [outerClient, outerServer] = await tlsPair(overTcp);
  const between = new Stream(outerServer);
  const client = wrapTls(new Stream(outerClient), trusting());
  await between.peek(1);
  const server = await wrapTls(between, { ...serving(certificates().renewed), isServer: true, buffered: "tls" });
  const inner = await client;
  assert.equal(inner.peerCertificate?.subject, "CN=renewed");
  await talk(inner, server);
});

test("TLS over TLS while the outer one is read from is refused at once", async () => {
  const [client, server] = await tlsPair(overTcp);
  const reading = server.read(Buffer.alloc(8));
  await assert.rejects(wrapTls(server, { ...serving(), isServer: true }), { code: "ERR_BUSY" });
  await client.write("x");
  assert.equal(await reading, 1);
  await Promise.all([client.close(), server.close()]);
});

test("bytes of nested streams go to TLS in their order", async () => {
  const [a, b] = memoryPair();
  const inner = new Stream(b);
  const client = wrapTls(a, trusting());
  await inner.peek(200);
  const outer = new Stream(inner, { readSize: 50 });
  await outer.peek(20);
  assert.ok(outer.buffered > 0 && inner.buffered > 0);
  const server = await wrapTls(outer, { ...serving(), isServer: true, buffered: "tls" });
  await talk(await client, server);
});

test("more bytes than a record, and data after the handshake, are not lost", async () => {
  const context = new TlsContext(serving());
  const [client, server] = await tlsPair(overTcp, trusting(), { context });
  const session = await client.nextSession();
  await Promise.all([client.close(), server.close()]);
  const [a, b] = await overTcp();
  const stream = new Stream(b);
  const again = wrapTls(a, { ...trusting(), session });
  await stream.peek(100);
  const other = await wrapTls(stream, { isServer: true, context, buffered: "tls" });
  assert.equal(other.sessionReused, true);
  await talk(await again, other);
});

test("openssl s_client is served after peek()", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { port } = listener.address as unknown as { readonly port: number };
  const args = [
    "s_client",
    "-connect",
    `127.0.0.1:${port}`,
    "-CAfile",
    certificates().ca.certFile,
    "-quiet",
    "-no_ign_eof",
  ];
  const client = spawn("openssl", args, { stdio: ["pipe", "pipe", "ignore"] });
  const stream = await listener.accept();
  await stream.peek(5);
  await using server = new Stream(await wrapTls(stream, { ...serving(), isServer: true, buffered: "tls" }));
  client.stdin.write("a line\n");
  assert.equal(await server.readLine(), "a line");
  await server.write("an answer\n");
  const [answer] = (await once(client.stdout, "data")) as [Buffer];
  assert.equal(answer.toString(), "an answer\n");
  client.stdin.end();
  await Promise.all([once(client, "close"), server.read()]);
});

test("a TlsListener takes streams from which a header was read", async () => {
  const plain = await listen("tcp://127.0.0.1:0");
  const headers: string[] = [];
  const below: Listener = {
    address: plain.address,
    async accept(opts) {
      const stream = await plain.accept(opts);
      headers.push(String(await stream.readUntil("\r\n")));
      return stream;
    },
    close: () => plain.close(),
    [Symbol.asyncIterator]: () => assert.fail("not used"),
    [Symbol.asyncDispose]: () => plain.close(),
  };
  const failures: unknown[] = [];
  await using listener = new TlsListener(below, {
    tls: serving(),
    buffered: "tls",
    onHandshakeError: (error) => failures.push(error),
  });
  const accepting = listener.accept();
  const stream = await connect(`tcp://${String(plain.address)}`);
  await stream.write(HEADER);
  const both: TlsConn[] = await Promise.all([wrapTls(stream, trusting()), accepting]);
  await talk(both[0] as TlsConn, both[1] as TlsConn);
  assert.deepEqual([headers, failures], [[HEADER], []]);
});

test("a client whose first bytes were read before is not silent", async () => {
  const below = new MemoryListener();
  const accept = below.accept.bind(below);
  below.accept = async (opts) => {
    const stream = new Stream(await accept(opts));
    await stream.peek(1);
    return stream as never;
  };
  const failures: unknown[] = [];
  const opts = { maxHandshakes: 1, silenceTimeout: 0, buffered: "tls", handshakeTimeout: 60_000 } as const;
  const listener = new TlsListener(below, {
    tls: serving(),
    ...opts,
    onHandshakeError: (error) => failures.push(error),
  });
  const accepting = assert.rejects(listener.accept(), { code: "ECANCELED" });
  const [slow, next] = await Promise.all([below.connect(), below.connect()]);
  await slow.write(Uint8Array.of(22, 3, 1));
  await next.write(Uint8Array.of(22, 3, 1));
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([listener.stats().handshakes, failures.length], [1, 0]);
  await listener.close();
  await accepting;
  await Promise.all([slow.close(), next.close()]);
});

test("buffered is refused where it has no use, and when it is none of its values", async () => {
  const [a] = memoryPair();
  for (const buffered of [true, "yes", null, 1]) {
    await assert.rejects(
      wrapTls(a, { ...trusting(), buffered } as never),
      /buffered is .*, required "refuse" or "tls"/,
    );
  }
  await assert.rejects(connect("tls://localhost:1", { tls: { buffered: "tls" } as object }), /"?buffered"?/);
  await assert.rejects(
    listen("tls://127.0.0.1:0", { tls: { ...serving(), buffered: "tls" } as object }),
    /"?buffered"?/,
  );
  for (const conn of [undefined, null, 5, {}, "tcp://localhost:1"]) {
    await assert.rejects(wrapTls(conn as never, trusting()), {
      name: "TypeError",
      message: /conn is .*, required a Conn/,
    });
  }
});

test("a stream whose reading is over can't be wrapped", async () => {
  const [a, b] = await overTcp();
  await a.write("a line that is too long\n");
  const stream = new Stream(b, { maxLine: 4 });
  await assert.rejects(stream.readLine(), { code: "ERR_LIMIT" });
  await assert.rejects(wrapTls(stream, { ...serving(), isServer: true, buffered: "tls" }), { code: "ERR_LIMIT" });
  await Promise.all([a.close(), stream.close()]);
});

test("a descriptor that other code has closed is EBADF, and the new owner of its number is not affected", async () => {
  for (const reuse of [false, true]) {
    for (const options of [trusting(), { ...serving(), isServer: true as const }]) {
      const [a, b] = await overTcp();
      const fd = (a as Conn & { readonly socket: Socket }).socket.fileno();
      closeSync(fd);
      const files: number[] = [];
      while (reuse && !files.includes(fd)) files.push(openSync("/dev/null", "r"));
      await assert.rejects(wrapTls(a, options), {
        name: "SocketError",
        code: "EBADF",
        syscall: "tls_handshake",
      });
      if (reuse) assert.ok(fstatSync(fd).isCharacterDevice());
      for (const file of files) closeSync(file);
      await b.close();
    }
  }
});
