// wrapTls(): the properties of both ends after the handshake, and the refusals before it.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { type SocketConn, Stream, TlsContext, TlsError, type TlsOptions, wrapTls } from "berkeley";
import { readFully, readToEnd } from "berkeley/testing";
import { memoryPair } from "berkeley/testing";
import { isCurrent, packSession, unpackSession } from "#berkeley/tls/session.js";
import { checkLeaks } from "../support/leaks.js";
import {
  certificates,
  failing,
  inMemory,
  type MakePair,
  overTcp,
  overUnix,
  serving,
  tlsPair,
  trusting,
  withoutDescriptor,
} from "./support.js";

checkLeaks();

/** A pair in memory that delivers only the handshake: bytes that the server sends after it never arrive. */
function withoutTickets(): MakePair {
  let flights = 0;
  return () => {
    const [a, b] = memoryPair();
    const write = b.write.bind(b);
    b.write = (data, opts) => (++flights > 1 ? new Promise(() => undefined) : write(data, opts));
    return [a, b];
  };
}

const kinds = { inMemory, overTcp, overUnix, "TCP without a descriptor": withoutDescriptor(overTcp) };

for (const [name, pair] of Object.entries(kinds)) {
  test(`wrapTls() carries bytes both ways and both ends: ${name}`, async () => {
    const [client, server] = await tlsPair(pair);
    await using a = client;
    await using b = server;
    assert.equal(a.isServer, false);
    assert.equal(b.isServer, true);
    for (const conn of [a, b]) {
      assert.equal(conn.protocol, "TLSv1.3");
      assert.match(conn.cipher.standardName, /^TLS_/);
      assert.equal(conn.alpnProtocol, undefined);
      assert.equal(conn.servername, "localhost");
      assert.equal(conn.sessionReused, false);
    }
    assert.equal(a.authorized, true);
    assert.equal(a.authorizationError, undefined);
    assert.equal(a.peerCertificate?.subject, "CN=server");
    assert.equal(b.authorized, false);
    assert.equal(b.peerCertificate, undefined);
    await a.write("question");
    assert.equal((await readFully(b, 8)).toString(), "question");
    await b.write("answer");
    await b.closeWrite();
    assert.equal((await readToEnd(a)).toString(), "answer");
    await a.closeWrite();
    assert.equal((await readToEnd(b)).length, 0);
  });
}

test("wrapTls() takes the descriptor of a socket, and the addresses stay", async () => {
  const [a, b] = (await overTcp()) as [SocketConn, SocketConn];
  const [local, remote] = [String(a.localAddress), String(a.remoteAddress)];
  const [client, server] = await tlsPair(() => [a, b]);
  assert.equal(a.socket.fileno(), -1);
  assert.equal(client.conn, a);
  assert.deepEqual([String(client.localAddress), String(client.remoteAddress)], [local, remote]);
  await Promise.all([client.close(), server.close()]);
});

test("detachNative() gives nothing while a call is pending, or after the end", async () => {
  const [a, b] = (await overTcp()) as [SocketConn, SocketConn];
  const reading = a.read(Buffer.alloc(1));
  assert.equal(a.detachNative(), undefined);
  await b.write("x");
  assert.equal(await reading, 1);
  await a.close();
  assert.equal(a.detachNative(), undefined);
  await b.close();
});

test("wrapTls() uses TLS 1.2 if one end has no newer version", async () => {
  for (const who of ["client", "server"] as const) {
    const old = { maxVersion: "TLSv1.2" } as const;
    const [client, server] = await tlsPair(
      overTcp,
      { ...trusting(), ...(who === "client" ? old : {}) },
      { ...serving(), ...(who === "server" ? old : {}) },
    );
    assert.equal(client.protocol, "TLSv1.2");
    assert.equal(server.protocol, "TLSv1.2");
    await Promise.all([client.close(), server.close()]);
  }
});

test("wrapTls() agrees on the protocol that the server prefers", async () => {
  const [client, server] = await tlsPair(
    inMemory,
    { ...trusting(), alpnProtocols: ["http/1.1", "h2"] },
    { ...serving(), alpnProtocols: ["h2", "http/1.1"] },
  );
  assert.equal(client.alpnProtocol, "h2");
  assert.equal(server.alpnProtocol, "h2");
  await Promise.all([client.close(), server.close()]);
});

test("wrapTls() verifies an IP address and sends no server name for it", async () => {
  const [client, server] = await tlsPair(inMemory, { ca: certificates().ca.cert, host: "127.0.0.1" });
  assert.equal(client.authorized, true);
  assert.equal(client.servername, "127.0.0.1");
  assert.equal(server.servername, undefined);
  await Promise.all([client.close(), server.close()]);
});

test("wrapTls() sends a server name without the dot at its end, and uses `host` if there is no servername", async () => {
  const [client, server] = await tlsPair(inMemory, { ca: certificates().ca.cert, host: "a.site.test." });
  assert.equal(server.servername, "a.site.test");
  assert.equal(client.authorized, true);
  await Promise.all([client.close(), server.close()]);
});

test("wrapTls() without verification says what would have been wrong", async () => {
  const [client, server] = await tlsPair(
    inMemory,
    { rejectUnauthorized: false, servername: "localhost" },
    serving(certificates().selfSigned),
  );
  assert.equal(client.authorized, false);
  assert.equal(client.authorizationError, "DEPTH_ZERO_SELF_SIGNED_CERT");
  await Promise.all([client.close(), server.close()]);
});

test("wrapTls() without a name is not authorized, however good the certificate", async () => {
  const [client, server] = await tlsPair(inMemory, { rejectUnauthorized: false, ca: certificates().ca.cert });
  assert.equal(client.authorized, false);
  assert.notEqual(client.authorizationError, undefined);
  await Promise.all([client.close(), server.close()]);
});

test("wrapTls() lets checkServerIdentity decide about the name", async () => {
  const seen: string[] = [];
  const [client, server] = await tlsPair(inMemory, {
    ca: certificates().ca.cert,
    servername: "elsewhere.example",
    checkServerIdentity: (name, certificate) => void seen.push(name, certificate.subject),
  });
  assert.deepEqual(seen, ["elsewhere.example", "CN=server"]);
  assert.equal(client.authorized, true);
  await Promise.all([client.close(), server.close()]);
});

test("wrapTls() sends the client's certificate to a server that requests it", async () => {
  const { ca, client: shown } = certificates();
  const [client, server] = await tlsPair(
    overTcp,
    { ...trusting(), cert: shown.cert, key: shown.key },
    { ...serving(), requestCert: true, ca: ca.cert },
  );
  assert.equal(server.authorized, true);
  assert.equal(server.peerCertificate?.subject, "CN=client");
  await Promise.all([client.close(), server.close()]);
});

test("wrapTls() without rejectUnauthorized lets a server see clients without a certificate", async () => {
  const settings = { ...serving(), requestCert: true, rejectUnauthorized: false };
  const [client, server] = await tlsPair(inMemory, trusting(), settings);
  assert.equal(server.authorized, false);
  assert.equal(server.peerCertificate, undefined);
  await Promise.all([client.close(), server.close()]);
});

for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`nextSession() gives a session that a later connection resumes: ${maxVersion}`, async () => {
    const context = new TlsContext({ ...serving(), maxVersion });
    const [first, peer] = await tlsPair(overTcp, trusting(), { context });
    const session = await first.nextSession({ timeout: 5000 });
    assert.ok(session.length > 0);
    assert.deepEqual(first.session, session);
    assert.deepEqual(await first.nextSession(), session);
    await Promise.all([first.close(), peer.close()]);

    const [again, other] = await tlsPair(overTcp, { ...trusting(), session }, { context });
    assert.equal(again.sessionReused, true);
    assert.equal(other.sessionReused, true);
    assert.equal(again.authorized, true);
    assert.equal(again.peerCertificate?.subject, "CN=server");
    await again.write("x");
    assert.equal((await readFully(other, 1)).toString(), "x");
    await Promise.all([again.close(), other.close()]);
  });
}

test("a session is not offered for a name that its certificate does not have", async () => {
  const context = new TlsContext({ ...serving(), sniCallback: () => undefined });
  const [first, peer] = await tlsPair(overTcp, trusting(), { context });
  const session = await first.nextSession();
  await Promise.all([first.close(), peer.close()]);
  const mixed = { ...trusting(), servername: "mixed.example", session };
  const [error] = await failing(overTcp, mixed, { context });
  assert.equal((error as TlsError).code, "ERR_TLS_CERT_ALTNAME_INVALID");
  const [again, other] = await tlsPair(overTcp, { ...trusting(), servername: "a.site.test", session }, { context });
  assert.equal(again.authorized, true);
  await Promise.all([again.close(), other.close()]);
});

test("unpackSession() takes back what packSession() made, and nothing else", () => {
  const certificate = new X509Certificate(certificates().server.cert);
  const packed = packSession(certificate, Buffer.from("ticket"));
  const session = unpackSession(packed);
  assert.equal(session?.ticket.toString(), "ticket");
  assert.equal(session?.certificate.fingerprint256, certificate.fingerprint256);
  for (const wrong of [
    Buffer.alloc(0),
    Buffer.from("x"),
    packed.subarray(1),
    packed.subarray(0, 40),
    packed.subarray(0, -6),
  ]) {
    assert.equal(unpackSession(wrong), undefined);
  }
  packed.fill(0, 20, 60);
  assert.equal(unpackSession(packed), undefined);
});

test("isCurrent() is false for an expired certificate", () => {
  assert.equal(isCurrent(new X509Certificate(certificates().server.cert)), true);
  assert.equal(isCurrent(new X509Certificate(certificates().expired.cert)), false);
});

test("nextSession() ends with its time, with the connection, and is a client's", async () => {
  const context = new TlsContext(serving());
  const [client, server] = await tlsPair(withoutTickets(), trusting(), { context });
  await assert.rejects(server.nextSession(), TypeError);
  await assert.rejects(client.nextSession({ timeout: 1 }), { code: "ETIMEDOUT" });
  const waiting = assert.rejects(client.nextSession(), { code: "ECANCELED" });
  const closing = client.close();
  await waiting;
  await assert.rejects(client.nextSession(), { code: "EBADF" });
  server.abort();
  await Promise.all([closing, server.close()]);

  const [other, peer] = await tlsPair(withoutTickets(), trusting(), { context });
  const lost = assert.rejects(other.nextSession(), { code: "ECONNRESET" });
  peer.abort();
  await lost;
  await Promise.all([other.close(), peer.close()]);
});

test("exportKeyingMaterial() is the same at both ends", async () => {
  const [client, server] = await tlsPair();
  const label = "EXPORTER-test";
  assert.deepEqual(client.exportKeyingMaterial(32, label), server.exportKeyingMaterial(32, label));
  await Promise.all([client.close(), server.close()]);
  assert.throws(() => client.exportKeyingMaterial(32, label), { code: "EBADF" });
});

test("exportKeyingMaterial() refuses wrong arguments, and a refusal of OpenSSL is a TlsError", async () => {
  const [client, server] = await tlsPair(overTcp);
  for (const [length, label, context, message] of [
    [0, "a", undefined, /length is 0, required a whole number from 1 to 65535/],
    [1.5, "a", undefined, /length is 1.5/],
    ["32", "a", undefined, /length is "32"/],
    [32, 5, undefined, /label is 5, required a string/],
    [32, "", undefined, /label is ""/],
    [32, "a", "text", /context is "text", required a Uint8Array/],
  ] as [number, string, Uint8Array | undefined, RegExp][]) {
    assert.throws(
      () => client.exportKeyingMaterial(length, label, context),
      (error) => error instanceof Error && message.test(error.message) && !("code" in error),
    );
  }
  assert.throws(() => client.exportKeyingMaterial(65_535, "a"), { name: "TlsError" });
  await Promise.all([client.close(), server.close()]);
});

test("a session that is cut off is refused, not passed over", async () => {
  const context = new TlsContext(serving());
  const [client, server] = await tlsPair(overTcp, trusting(), { context });
  const session = await client.nextSession();
  await Promise.all([client.close(), server.close()]);
  for (const cut of [session.subarray(0, -1), session.subarray(0, 20), Buffer.concat([session, session])]) {
    const [a, b] = await overTcp();
    await assert.rejects(wrapTls(a, { ...trusting(), session: cut }), /required a result of nextSession\(\)/);
    await Promise.all([a.close(), b.close()]);
  }
});

test("wrapTls() over a Stream is in place", async () => {
  const [a, b] = await overTcp();
  const [plain, peer] = [new Stream(a), new Stream(b)];
  await peer.write("ready\n");
  assert.equal(await plain.readLine(), "ready");
  const [client, server] = await tlsPair(() => [plain, peer]);
  assert.equal(client.conn, a);
  await server.write("over TLS\n");
  assert.equal(await new Stream(client).readLine(), "over TLS");
  await Promise.all([client.close(), server.close()]);
});

test("wrapTls() refuses a Stream that has bytes, and leaves it alone", async () => {
  for (const options of [trusting(), { ...serving(), isServer: true as const }]) {
    const [a, b] = memoryPair();
    const stream = new Stream(a);
    await b.write("STARTTLS\r\nMAIL FROM:<mallory>\r\n");
    assert.equal(await stream.readLine(), "STARTTLS");
    const error = await wrapTls(stream, options).catch((reason: unknown) => reason);
    assert.ok(error instanceof TlsError);
    assert.equal(error.code, "ERR_TLS_BUFFERED");
    assert.match(error.message, /has 21 bytes/);
    assert.equal(await stream.readLine(), "MAIL FROM:<mallory>");
    await stream.close();
  }
});

const wrong: readonly [string, unknown, RegExp][] = [
  ["a minVersion below 1.2", { servername: "a", minVersion: "TLSv1.1" }, /minVersion is "TLSv1.1", required "TLSv1.2"/],
  ["a maxVersion below 1.2", { servername: "a", maxVersion: "TLSv1" }, /maxVersion is "TLSv1"/],
  [
    "versions the wrong way round",
    { servername: "a", minVersion: "TLSv1.3", maxVersion: "TLSv1.2" },
    /minVersion is "TLSv1.3", required at most maxVersion, which is "TLSv1.2"/,
  ],
  ["no name", {}, /required servername or host/],
  ["a name with NUL", { servername: "a\0b" }, /required 1 to 253 bytes without NUL/],
  ["a name of 254 bytes", { servername: "a".repeat(254) }, /required 1 to 253 bytes/],
  ["an empty name", { servername: "" }, /required 1 to 253 bytes/],
  ["a name of another type", { servername: 1 }, /servername is 1, required a string/],
  ["options of another library", { servername: "a", ALPNProtocols: ["h2"] }, /option "ALPNProtocols" is unknown/],
  ["a server's option", { servername: "a", requestCert: true }, /option "requestCert" is unknown/],
  ["a client's option", { isServer: true, cert: "x", servername: "a" }, /option "servername" is unknown/],
  ["protocols that are none", { servername: "a", alpnProtocols: [""] }, /alpnProtocols is/],
  ["a negative time", { servername: "a", handshakeTimeout: -1 }, /handshakeTimeout is -1/],
  ["a time of another type", { servername: "a", handshakeTimeout: "1" }, /handshakeTimeout is "1"/],
  [
    "a handshake time without end",
    { servername: "a", handshakeTimeout: Infinity },
    /handshakeTimeout is Infinity, required milliseconds from 0 to 2147483647, or null for none/,
  ],
  [
    "a closing time without end",
    { servername: "a", closeTimeout: Infinity },
    /closeTimeout is Infinity, required milli/,
  ],
  ["a server without a certificate", { isServer: true }, /a server has no certificate/],
  [
    "a context and its options",
    { isServer: true, context: new TlsContext(), cert: "x" },
    /cert belongs to the context/,
  ],
  ["a context that is none", { servername: "a", context: {} }, /required a TlsContext/],
  [
    "a session of another type",
    { servername: "a", session: "x" },
    /session is "x", required a result of nextSession\(\)/,
  ],
  ["a key that is none", { servername: "a", key: "x", cert: "y" }, /Cannot make a TlsContext/],
  ["no options", undefined, /options are undefined/],
];

for (const [name, options, message] of wrong) {
  test(`wrapTls() refuses ${name}, and leaves the connection alone`, async () => {
    const [a, b] = memoryPair();
    await assert.rejects(wrapTls(a, options as TlsOptions), { message });
    assert.equal(a.closed, false);
    await a.write("x");
    assert.equal(await b.read(Buffer.alloc(8)), 1);
  });
}

test("wrapTls() with an aborted signal leaves the connection alone", async () => {
  const [a] = memoryPair();
  const reason = new Error("enough");
  await assert.rejects(wrapTls(a, { ...trusting(), signal: AbortSignal.abort(reason) }), reason);
  assert.equal(a.closed, false);
});
