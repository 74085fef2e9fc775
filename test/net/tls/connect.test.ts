// connect("tls://…"): the certificates that it accepts, its messages to the server, and its errors.

import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { createServer } from "node:tls";
import { test } from "node:test";
import { connect, type ConnectOptions, listen, SocketError, Stream } from "berkeley";
import { TlsConn, type TlsConnectOptions, TlsContext, TlsError } from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { certificates, type Credentials, serving } from "../../tls/support.js";
import { bytes, expectBytes, FakeProxy, join } from "../proxy/fakeProxy.js";
import { rejection } from "../support.js";
import { portOf, serve, tlsStreams, visit } from "./support.js";

checkLeaks();

test("connect() returns a stream over TLS, verifies the server, and sends its name", async () => {
  await using listener = await serve({ ...serving(), alpnProtocols: ["imap", "smtp"] });
  const accepting = listener.accept();
  await using client = await visit(listener, { alpnProtocols: ["pop3", "smtp"] });
  await using server = await accepting;
  assert.ok(client instanceof Stream);
  assert.ok(client.conn instanceof TlsConn);
  assert.equal(client.conn.authorized, true);
  assert.equal(client.conn.protocol, "TLSv1.3");
  assert.equal(client.conn.alpnProtocol, "smtp");
  assert.equal(client.conn.peerCertificate?.subject, "CN=server");
  assert.equal(server.conn.servername, "localhost");
  assert.equal(String(client.remoteAddress), String(listener.address));
  assert.equal(String(client.localAddress), String(server.remoteAddress));
  await client.write(["a line\n", "another\n"]);
  assert.equal(await server.readLine(), "a line");
  assert.equal(await server.readLine(), "another");
  await server.closeWrite();
  assert.equal(await client.read(), null);
});

test("connect() verifies an address, and sends no server name for it", async () => {
  await using listener = await serve();
  const accepting = listener.accept();
  await using client = await connect(`tls://127.0.0.1:${portOf(listener)}`, { tls: { ca: certificates().ca.cert } });
  await using server = await accepting;
  assert.equal(client.conn.authorized, true);
  assert.equal(server.conn.servername, undefined);
});

test("connect() takes an endpoint that is an object, and an international name", async () => {
  await using listener = await serve();
  const endpoint = { scheme: "tls", host: "bücher.site.test", port: portOf(listener) } as const;
  const accepting = listener.accept();
  await using client = await connect(endpoint, { resolver: here, tls: { ca: certificates().ca.cert } });
  await using server = await accepting;
  assert.equal(server.conn.servername, "xn--bcher-kva.site.test");
  assert.equal(client.conn.servername, "xn--bcher-kva.site.test");
});

const here: NonNullable<ConnectOptions["resolver"]> = (_, family) => Promise.resolve(family === 2 ? ["127.0.0.1"] : []);

const doubtful: readonly [
  what: string,
  credentials: (all: ReturnType<typeof certificates>) => Credentials,
  code: string,
][] = [
  ["is for another name", ({ other }) => other, "ERR_TLS_CERT_ALTNAME_INVALID"],
  ["has expired", ({ expired }) => expired, "CERT_HAS_EXPIRED"],
  ["is signed by itself", ({ selfSigned }) => selfSigned, "DEPTH_ZERO_SELF_SIGNED_CERT"],
];

for (const [what, credentials, code] of doubtful) {
  test(`connect() refuses a certificate that ${what}, except with rejectUnauthorized: false`, async () => {
    await using listener = await serve(serving(credentials(certificates())));
    const accepting = listener.accept();
    const error = await rejection(visit(listener));
    assert.ok(error instanceof TlsError);
    assert.equal(error.code, code);
    const place = `TLS handshake with localhost:${portOf(listener)} failed: `;
    assert.ok(error.message.startsWith(place), error.message);
    await using client = await visit(listener, { rejectUnauthorized: false });
    assert.equal(client.conn.authorized, false);
    assert.equal(client.conn.authorizationError, code);
    await (await accepting).close();
  });
}

test("connect() refuses a certificate of an unknown authority", async () => {
  await using listener = await serve();
  const refused = assert.rejects(listener.accept({ timeout: 5000 }), { code: "ECANCELED" });
  const error = await rejection(connect(`tls://localhost:${portOf(listener)}`));
  assert.equal(error.code, "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  await listener.close();
  await refused;
});

test("connect() reports that a peer does not use TLS, and closes the connection", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const greeting = (async () => {
    await using server = await listener.accept();
    await server.write("220 mail.example ready\r\n");
    while ((await server.read().catch(() => null)) !== null);
  })();
  const error = await rejection(visit(listener));
  assert.equal(error.code, "ERR_TLS_PLAINTEXT_PEER");
  await greeting;
});

test("connect() can verify and send another name than that of the endpoint", async () => {
  await using listener = await serve(serving(certificates().other));
  const accepting = listener.accept();
  await using client = await visit(listener, { servername: "other.test" });
  await using server = await accepting;
  assert.equal(server.conn.servername, "other.test");
  assert.equal(client.conn.servername, "other.test");
});

test("connect() sends a certificate to a server that requests one", async () => {
  const { ca, client: shown } = certificates();
  const [client, server] = await tlsStreams(
    { cert: shown.cert, key: shown.key },
    { ...serving(), requestCert: true, ca: ca.cert },
  );
  assert.equal(server.conn.authorized, true);
  assert.equal(server.conn.peerCertificate?.subject, "CN=client");
  await Promise.all([client.close(), server.close()]);
});

test("connect() resumes a session, with a context that is shared", async () => {
  await using listener = await serve();
  const context = new TlsContext({ ca: certificates().ca.cert });
  const endpoint = `tls://localhost:${portOf(listener)}` as const;
  let session: Uint8Array | undefined;
  for (const reused of [false, true]) {
    const accepting = listener.accept();
    await using client = await connect(endpoint, { tls: { context, session } });
    await using server = await accepting;
    assert.equal(client.conn.sessionReused, reused);
    assert.equal(server.conn.sessionReused, reused);
    assert.equal(client.conn.peerCertificate?.subject, "CN=server");
    session ??= await client.conn.nextSession({ timeout: 5000 });
  }
});

test("connect() works with node:tls", async () => {
  const { cert, key } = certificates().server;
  const server = createServer({ cert, key }, (socket) => socket.pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = await visit({ address: server.address() });
  await client.write("there and back");
  assert.equal((await client.readExactly(14)).toString(), "there and back");
  await client.closeWrite();
  assert.equal(await client.read(), null);
  await client.close();
  server.close();
  await once(server, "close");
});

test("both the timeout of connect() and that of the handshake limit the handshake", async () => {
  await using silent = await listen("tcp://127.0.0.1:0");
  const limits: readonly [TlsConnectOptions, ConnectOptions][] = [
    // Long enough for a busy machine to come to the handshake.
    [{}, { timeout: 400 }],
    [{ handshakeTimeout: 50 }, {}],
    [{ handshakeTimeout: 50 }, { timeout: 60_000 }],
    [{ handshakeTimeout: null }, { timeout: 400 }],
  ];
  for (const [tls, opts] of limits) {
    // An address, so that no lookup uses a part of the time.
    const error = await rejection(connect(`tls://127.0.0.1:${portOf(silent)}`, { ...opts, tls }));
    assert.ok(error instanceof SocketError);
    assert.deepEqual([error.code, error.syscall], ["ETIMEDOUT", "tls_handshake"]);
    assert.deepEqual([error.address, error.port], ["127.0.0.1", portOf(silent)]);
    await using server = await silent.accept();
    while ((await server.read().catch(() => null)) !== null); // the client's first message, then its end
  }
});

test("the signal of connect() ends the handshake with its reason, and no listener is left on it", async () => {
  await using silent = await listen("tcp://127.0.0.1:0");
  const control = new AbortController();
  const reason = new SocketError("EINTR", -4, "mine");
  const connecting = rejection(visit(silent, {}, { signal: control.signal }));
  await using server = await silent.accept();
  assert.equal((await server.readExactly(1))[0], 22, "the handshake has begun: a record of its type");
  control.abort(reason);
  assert.equal(await connecting, reason);
  while ((await server.read().catch(() => null)) !== null);
});

test("many that connect under one signal have one listener for it", async () => {
  await using silent = await listen("tcp://127.0.0.1:0");
  const control = new AbortController();
  const reason = new Error("enough");
  const connecting = Array.from({ length: 12 }, () => rejection(visit(silent, {}, { signal: control.signal })));
  const servers: Stream[] = [];
  while (servers.length < connecting.length) {
    const server = await silent.accept();
    servers.push(server);
    assert.equal((await server.readExactly(1))[0], 22, "its handshake has begun");
  }
  assert.equal(getEventListeners(control.signal, "abort").length, 1);
  control.abort(reason);
  assert.deepEqual(new Set(await Promise.all(connecting)), new Set([reason]));
  assert.equal(getEventListeners(control.signal, "abort").length, 0);
  await Promise.all(servers.map((server) => server.close()));
});

test("connect() says that the server went away during the handshake", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const leaving = listener.accept().then((server) => server.close());
  const error = await rejection(visit(listener));
  assert.ok(error instanceof SocketError);
  assert.deepEqual([error.code, error.syscall, error.address], ["ECONNRESET", "tls_handshake", "localhost"]);
  await leaving;
});

test("connect() rejects with ECONNREFUSED if no server listens", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  await listener.close();
  const error = await rejection(connect(`tls://127.0.0.1:${portOf(listener)}`));
  assert.deepEqual([error.code, (error as SocketError).syscall], ["ECONNREFUSED", "connect"]);
});

test("connect() does its handshake with the destination, through a SOCKS proxy", async () => {
  await using listener = await serve();
  await using proxy = await FakeProxy.open(async (client) => {
    await expectBytes(client, 5, 1, 0);
    await client.write(bytes(5, 0));
    await expectBytes(client, 5, 1, 0, 3, 14, "www.site.test.", 0x01, 0xbb);
    await client.write(bytes(5, 0, 0, 1, 10, 0, 0, 1, 0x1f, 0x90));
    await join(client, listener.address);
  });
  const accepting = listener.accept();
  const client = await connect("tls://www.site.test.:443", {
    via: `socks5://127.0.0.1:${proxy.port}`,
    tls: { ca: certificates().ca.cert },
  });
  const server = await accepting;
  assert.equal(server.conn.servername, "www.site.test");
  await server.write("through the tunnel");
  assert.equal((await client.readExactly(18)).toString(), "through the tunnel");
  await Promise.all([client.close(), server.close()]);
});

test("connect() does its handshake with the destination, through an HTTP proxy", async () => {
  await using listener = await serve();
  await using proxy = await FakeProxy.open(async (client) => {
    assert.match(String(await client.readUntil("\r\n\r\n")), /^CONNECT www\.site\.test:443 HTTP\/1\.1\r\n/);
    await client.write("HTTP/1.1 200 OK\r\n\r\n");
    await join(client, listener.address);
  });
  const accepting = listener.accept();
  const client = await connect("tls://www.site.test:443", {
    via: `http://127.0.0.1:${proxy.port}`,
    tls: { ca: certificates().ca.cert },
  });
  const server = await accepting;
  assert.equal(client.conn.authorized, true);
  await Promise.all([client.close(), server.close()]);
});

test("a destination after a proxy that sends first does not use TLS", async () => {
  await using proxy = await FakeProxy.open(async (client) => {
    await client.readUntil("\r\n\r\n");
    await client.write("HTTP/1.1 200 OK\r\n\r\n220 mail.example ready\r\n");
    while ((await client.read().catch(() => null)) !== null);
  });
  const error = await rejection(connect("tls://mail.example:25", { via: `http://127.0.0.1:${proxy.port}` }));
  assert.equal(error.code, "ERR_TLS_PLAINTEXT_PEER");
  assert.match(error.message, /^TLS handshake with mail\.example:25 failed: /);
});

test("connect() refuses TLS where there is none, and options that are wrong, before it does anything", async () => {
  const asked: string[] = [];
  const resolver: ConnectOptions["resolver"] = (host) => {
    asked.push(host);
    return Promise.resolve([]);
  };
  for (const endpoint of ["tcp://some.example:1", "unix:@x", "vsock://1:2", "fd:0"]) {
    const error = await rejection(connect(endpoint, { tls: {} }));
    assert.ok(error instanceof TypeError);
    assert.match(error.message, /option "tls" is unknown for /);
  }
  const wrong: readonly [tls: unknown, pattern: RegExp][] = [
    [true, /^Cannot connect to "tls:\/\/some\.example:1": tls is true, required an object$/],
    [[], /tls is \[\], required an object$/],
    [{ host: "x" }, /option "host" is unknown for tls/],
    [{ signal: new AbortController().signal }, /option "signal" is unknown for tls/],
    [{ isServer: true }, /option "isServer" is unknown for tls/],
    [{ requestCert: true }, /option "requestCert" is unknown for tls/],
    [{ servername: 5 }, /servername is 5, required a string/],
    [{ servername: "x".repeat(254) }, /servername is .*, required 1 to 253 bytes/],
    [{ handshakeTimeout: -1 }, /handshakeTimeout is -1/],
    [{ alpnProtocols: "h2" }, /alpnProtocols is "h2"/],
    [{ minVersion: "TLSv1.1" }, /minVersion is "TLSv1.1"/],
    [{ context: {} }, /context is .*, required a TlsContext/],
    [{ session: new Uint8Array(4) }, /session is .*, required a result of nextSession\(\)/],
    [{ context: new TlsContext(), ca: certificates().ca.cert }, /ca belongs to the context/],
  ];
  for (const [tls, pattern] of wrong) {
    const error = await rejection(connect("tls://some.example:1", { resolver, tls: tls as object }));
    assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
    assert.match(error.message, pattern);
  }
  const unusable = await rejection(connect("tls://some.example:1", { resolver, tls: { cert: "no certificate" } }));
  assert.ok(unusable instanceof TlsError, String(unusable));
  assert.deepEqual(asked, []);
});
