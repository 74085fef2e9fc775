// The members of net.Socket that toDuplex() has, compared with a real net.Socket where possible.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket as NetSocket } from "node:net";
import { test } from "node:test";
import {
  connect,
  InetAddress,
  Inet6Address,
  listen,
  SO_KEEPALIVE,
  type SecureConnDuplex,
  type Stream,
  TCP_KEEPIDLE,
  TCP_NODELAY,
  toDuplex,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import type { SocketConn } from "berkeley";
import { readFully } from "berkeley/testing";
import { tlsStreams } from "../net/tls/support.js";
import { TestClock } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { certificates, serving } from "../tls/support.js";

checkLeaks();

async function tcp(): Promise<[Stream<SocketConn>, Stream<SocketConn>]> {
  await using listener = await listen("tcp://127.0.0.1:0");
  const pair = await Promise.all([connect(`tcp://${String(listener.address)}`), listener.accept()]);
  return pair;
}

async function gone(...duplexes: readonly { destroy(): unknown; readonly closed: boolean }[]): Promise<void> {
  for (const duplex of duplexes) {
    duplex.destroy();
    if (!duplex.closed) await once(duplex as never, "close");
  }
}

test("addresses are those of a net.Socket", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { readonly port: number };
  const accepted = once(server, "connection") as Promise<[NetSocket]>;
  const duplex = (await connect(`tcp://127.0.0.1:${port}`)).toDuplex();
  const [peer] = await accepted;
  assert.equal(duplex.remoteAddress, peer.localAddress);
  assert.equal(duplex.remotePort, peer.localPort);
  assert.equal(duplex.remoteFamily, peer.localFamily);
  assert.equal(duplex.localAddress, peer.remoteAddress);
  assert.equal(duplex.localPort, peer.remotePort);
  assert.equal(duplex.localFamily, peer.remoteFamily);
  assert.deepEqual(duplex.address(), { address: "127.0.0.1", family: "IPv4", port: peer.remotePort });
  peer.destroy();
  await gone(duplex);
  server.close();
});

test("addresses of IPv6 have the family IPv6, and a connection without ports has no addresses", async () => {
  const addresses = [new Inet6Address("::1", 5), new InetAddress("192.0.2.1", 6)] as const;
  const [a, b] = memoryPair({ addresses });
  const six = toDuplex(a);
  assert.deepEqual([six.localAddress, six.localPort, six.localFamily], ["::1", 5, "IPv6"]);
  assert.deepEqual([six.remoteAddress, six.remotePort, six.remoteFamily], ["192.0.2.1", 6, "IPv4"]);
  const [c, d] = memoryPair();
  const none = toDuplex(c);
  assert.deepEqual(
    [none.remoteAddress, none.remotePort, none.remoteFamily, none.address()],
    [undefined, undefined, undefined, {}],
  );
  await gone(six, none);
  await Promise.all([b.close(), d.close()]);
});

test("bytesRead and bytesWritten count all bytes, including those under way", async () => {
  const [a, b] = memoryPair({ capacity: 10 });
  const duplex = toDuplex(a);
  assert.deepEqual([duplex.bytesRead, duplex.bytesWritten], [0, 0]);
  duplex.write("12345");
  duplex.write("1234567890");
  duplex.write("12345");
  assert.equal(duplex.bytesWritten, 20);
  await readFully(b, 20);
  const written = new Promise((resolve) => duplex.write("x", resolve));
  assert.equal(duplex.bytesWritten, 21);
  await readFully(b, 1);
  await written;
  assert.equal(duplex.bytesWritten, 21);
  await b.write("answer");
  await once(duplex, "readable");
  assert.equal(duplex.bytesRead, 6);
  await gone(duplex);
  await b.close();
});

test("readyState, connecting and pending are those of a net.Socket", async () => {
  const [a, b] = memoryPair();
  const duplex = toDuplex(a);
  assert.deepEqual([duplex.connecting, duplex.pending, duplex.readyState], [false, false, "open"]);
  duplex.end();
  await once(duplex, "finish");
  assert.equal(duplex.readyState, "readOnly");
  await b.close();
  duplex.resume();
  await once(duplex, "close");
  assert.equal(duplex.readyState, "closed");
  const [c, d] = memoryPair();
  const other = toDuplex(c);
  await d.closeWrite();
  other.resume();
  await once(other, "end");
  assert.equal(other.readyState, "writeOnly");
  await gone(other);
  await d.close();
});

test("setTimeout() emits 'timeout' when no byte moves, again after the next byte, and leaves the connection open", async () => {
  const [a, b] = await tcp();
  const duplex = toDuplex(a);
  duplex.resume();
  assert.equal(duplex.timeout, undefined);
  let called = 0;
  assert.equal(
    duplex.setTimeout(20, () => called++),
    duplex,
  );
  assert.equal(duplex.timeout, 20);
  await once(duplex, "timeout");
  assert.equal(called, 1);
  assert.equal(duplex.destroyed, false);
  await b.write("x");
  await once(duplex, "timeout");
  // The listener is called only once.
  assert.equal(called, 1);
  duplex.write("y");
  await once(duplex, "timeout");
  await gone(duplex);
  await b.close();
});

test("setTimeout(0) ends the timeout and removes its listener", async () => {
  const [a, b] = memoryPair();
  const duplex = toDuplex(a);
  using clock = new TestClock();
  const listener = (): void => assert.fail("timeout");
  duplex.setTimeout(10, listener);
  assert.equal(duplex.listenerCount("timeout"), 1);
  duplex.setTimeout(0, listener);
  assert.equal(duplex.listenerCount("timeout"), 0);
  assert.equal(duplex.timeout, 0);
  await clock.advance(30);
  duplex.setTimeout(10, listener);
  duplex.destroy();
  await clock.advance(30);
  assert.equal(duplex.setTimeout(10, listener), duplex);
  await b.close();
});

test("setTimeout() refuses values that are no time, and listeners that are no function", async () => {
  const [a, b] = memoryPair();
  const duplex = toDuplex(a);
  for (const value of [-1, Number.NaN, Infinity]) assert.throws(() => duplex.setTimeout(value), RangeError);
  for (const value of ["1", undefined, null]) assert.throws(() => duplex.setTimeout(value as never), TypeError);
  assert.throws(() => duplex.setTimeout(1, 5 as never), TypeError);
  await gone(duplex);
  await b.close();
});

test("a long write to a slow peer does not cause a timeout", async () => {
  const [a, b] = memoryPair();
  const duplex = toDuplex(a);
  using clock = new TestClock();
  let timeouts = 0;
  duplex.setTimeout(200, () => timeouts++);
  const size = 4_000_000;
  for (const write of [() => duplex.write(Buffer.alloc(size, 1)), () => duplex.write(Buffer.alloc(size, 2))]) write();
  const ended = new Promise<void>((resolve) => duplex.end(resolve));
  const chunk = Buffer.alloc(262_144);
  let got = 0;
  for (let count = await b.read(chunk); count > 0; count = await b.read(chunk)) {
    assert.equal(chunk[count - 1], got + count > size ? 2 : 1);
    got += count;
    // Slower in all than the timeout is.
    if (Math.floor(got / 400_000) > Math.floor((got - count) / 400_000)) await clock.advance(20);
  }
  await ended;
  assert.equal(got, 2 * size);
  assert.equal(timeouts, 0);
  await gone(duplex);
  await b.close();
});

test("setNoDelay() and setKeepAlive() set the options of the socket below", async () => {
  const [a, b] = await tcp();
  const { socket } = a.conn;
  const duplex = a.toDuplex();
  assert.equal(duplex.setNoDelay(), duplex);
  assert.equal(socket.getsockopt(TCP_NODELAY), true);
  duplex.setNoDelay(false);
  assert.equal(socket.getsockopt(TCP_NODELAY), false);
  assert.equal(duplex.setKeepAlive(true, 5500), duplex);
  assert.deepEqual([socket.getsockopt(SO_KEEPALIVE), socket.getsockopt(TCP_KEEPIDLE)], [true, 5]);
  duplex.setKeepAlive(true, 1e12);
  assert.equal(socket.getsockopt(TCP_KEEPIDLE), 32_767);
  duplex.setKeepAlive();
  assert.equal(socket.getsockopt(SO_KEEPALIVE), false);
  await gone(duplex);
  // As in a net.Socket, setting an option after the close does nothing.
  duplex.setNoDelay(true).setKeepAlive(true, 1000);
  await b.close();
});

test("options, ref() and unref() do nothing if the connection has none", async () => {
  const [a, b] = memoryPair();
  const duplex = toDuplex(a);
  assert.equal(duplex.setNoDelay().setKeepAlive(true, 1000).ref().unref().ref(), duplex);
  await gone(duplex);
  await b.close();
  await using listener = await listen("unix:@berkeley-duplex-test");
  const [client, server] = await Promise.all([connect("unix:@berkeley-duplex-test"), listener.accept()]);
  const unix = client.toDuplex().setNoDelay(true).setKeepAlive(true, 1000);
  assert.deepEqual([unix.remoteAddress, unix.address()], [undefined, {}]);
  await gone(unix);
  await server.close();
});

test("destroySoon() closes when all bytes are written", async () => {
  for (const ended of [false, true]) {
    const [a, b] = memoryPair({ capacity: 10 });
    const duplex = toDuplex(a);
    duplex.write("0123456789 0123456789");
    if (ended) duplex.end();
    duplex.destroySoon();
    assert.equal(duplex.destroyed, false);
    assert.equal(String(await readFully(b, 21)), "0123456789 0123456789");
    await once(duplex, "close");
    assert.equal(await b.read(Buffer.alloc(1)), 0);
    duplex.destroySoon();
    await b.close();
  }
});

test("resetAndDestroy() resets the connection", async () => {
  const [a, b] = await tcp();
  const duplex = a.toDuplex();
  assert.equal(duplex.resetAndDestroy(), duplex);
  await once(duplex, "close");
  await assert.rejects(b.read(), { code: "ECONNRESET" });
  await b.close();
});

test("over TLS it has the members of a TLSSocket, and without TLS it has none of them", async () => {
  const { client, ca } = certificates();
  const [a, b] = await tlsStreams(
    { cert: client.cert, key: client.key, alpnProtocols: ["echo"] },
    { ...serving(), requestCert: true, ca: ca.cert, alpnProtocols: ["echo"] },
  );
  const server = b.toDuplex() as SecureConnDuplex;
  assert.deepEqual(
    [server.encrypted, server.authorized, server.authorizationError, server.alpnProtocol, server.servername],
    [true, true, null, "echo", "localhost"],
  );
  assert.equal(server.getPeerCertificate().subject.CN, "client");
  assert.equal(server.getPeerX509Certificate()?.subject, "CN=client");
  const detailed = server.getPeerCertificate(true) as { readonly issuerCertificate?: unknown };
  assert.ok(typeof detailed.issuerCertificate === "object");
  assert.deepEqual(
    [server.getProtocol(), server.getCipher().version, server.isSessionReused()],
    ["TLSv1.3", "TLSv1.3", false],
  );
  const duplex = a.toDuplex() as SecureConnDuplex;
  assert.deepEqual(duplex.exportKeyingMaterial(16, "label"), server.exportKeyingMaterial(16, "label"));
  assert.equal(duplex.setNoDelay(true).setKeepAlive(true, 3000).getPeerCertificate().subject.CN, "server");
  assert.equal(a.conn.socket?.getsockopt(TCP_KEEPIDLE), 3);
  await gone(duplex, server);
  const [c, d] = await tlsStreams();
  const bare = d.toDuplex() as SecureConnDuplex;
  assert.deepEqual(bare.getPeerCertificate(), {});
  assert.deepEqual([bare.authorized, bare.alpnProtocol], [false, false]);
  await gone(bare, c.toDuplex());
  const [e, f] = memoryPair();
  const plain = toDuplex(e) as object as Record<string, unknown>;
  for (const name of ["authorized", "encrypted", "getPeerCertificate", "getCipher", "alpnProtocol"]) {
    assert.equal(plain[name], undefined, name);
  }
  await Promise.all([e.close(), f.close()]);
});

test("toDuplex() refuses options that are no object", async () => {
  const [a, b] = memoryPair();
  assert.throws(() => toDuplex(a, 5 as never), /Cannot toDuplex: options are 5, required an object/);
  await Promise.all([a.close(), b.close()]);
});
