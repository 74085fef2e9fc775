// listen("tls://…"): a listener like the others. Its connections have finished their handshakes.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as tlsConnect } from "node:tls";
import { test } from "node:test";
import { connect, listen, type ListenOptions, SocketListener, TlsContext, TlsError, TlsSocketListener } from "berkeley";
import { until } from "../../support/clock.js";
import { checkLeaks } from "../../support/leaks.js";
import { certificates, serving } from "../../tls/support.js";
import { rejection } from "../support.js";
import { portOf, serve, visit } from "./support.js";

checkLeaks();

/** Connections in a handshake, and those that are ready. */
const handshakesOf = (listener: { stats(): { handshakes: number; ready: number } }): number[] => {
  const { handshakes, ready } = listener.stats();
  return [handshakes, ready];
};

test("listen() gives a listener with an address, a socket and streams, as for TCP", async () => {
  await using listener = await listen("tls://[::]:0", { backlog: 16, maxLine: 5, tls: serving() });
  assert.ok(listener instanceof TlsSocketListener);
  assert.ok(listener instanceof SocketListener);
  assert.equal(String(listener.socket.getsockname()), String(listener.address));
  assert.deepEqual(handshakesOf(listener), [0, 0]);
  const accepting = listener.accept();
  await using client = await connect(`tls://127.0.0.1:${portOf(listener)}`, { tls: { ca: certificates().ca.cert } });
  await using server = await accepting;
  assert.equal(String(server.remoteAddress).startsWith("[::ffff:127.0.0.1]:"), true, "both families");
  await client.write("longer than five\n");
  await assert.rejects(server.readLine(), { code: "ERR_LIMIT" });
});

test("listen() of an endpoint that is only known at run time gives the same", async () => {
  const endpoint: string = "tls://127.0.0.1:0";
  await using listener: SocketListener = await listen(endpoint, { tls: serving() });
  assert.ok(listener instanceof TlsSocketListener);
});

test("a loop over the listener ends when it is closed, and calls are refused from then on", async () => {
  const listener = await serve();
  const names: (string | undefined)[] = [];
  const loop = (async () => {
    for await (const stream of listener) {
      names.push(stream.conn.servername);
      await stream.close();
    }
  })();
  for (let index = 0; index < 3; index++) {
    await using client = await visit(listener);
    assert.equal(await client.read(), null);
  }
  await Promise.all([listener.close(), listener.close()]);
  await loop;
  assert.deepEqual(names, ["localhost", "localhost", "localhost"]);
  await assert.rejects(listener.accept(), { code: "EBADF" });
  assert.equal(listener.socket.closed, true);
});

test("close() settles accept() with ECANCELED and cuts handshakes", async () => {
  const listener = await serve();
  const accepting = assert.rejects(listener.accept(), { code: "ECANCELED" });
  const silent = await connect(`tcp://127.0.0.1:${portOf(listener)}`);
  await until(() => listener.stats().handshakes === 1);
  await listener.close();
  await accepting;
  assert.deepEqual(handshakesOf(listener), [0, 0]);
  await silent.read().catch(() => null);
  await silent.close();
});

test("accept() takes a timeout and a signal, which lose no connection", async () => {
  await using listener = await serve();
  await assert.rejects(listener.accept({ timeout: 0 }), { code: "ETIMEDOUT" });
  const reason = new Error("enough");
  await assert.rejects(listener.accept({ signal: AbortSignal.abort(reason) }), reason);
  const connecting = visit(listener);
  await using server = await listener.accept();
  await using client = await connecting;
  await server.write("x");
  assert.equal(String(await client.read()), "x");
});

test("a certificate is replaced while the listener goes on", async () => {
  await using listener = await serve();
  const subject = async (): Promise<string | undefined> => {
    const accepting = listener.accept();
    await using client = await visit(listener);
    await (await accepting).close();
    return client.conn.peerCertificate?.subject;
  };
  assert.equal(await subject(), "CN=server");
  const { cert, key } = certificates().renewed;
  listener.context.reload({ cert, key });
  assert.equal(await subject(), "CN=renewed");
  assert.throws(() => listener.context.reload({ cert: "no certificate" }), TlsError);
  assert.equal(await subject(), "CN=renewed");
});

test("connections without TLS delay no other client and are no errors of accept(): onHandshakeError reports them", async () => {
  const failures: [code: string | undefined, from: string][] = [];
  await using listener = await serve({
    ...serving(),
    handshakeTimeout: 300,
    onHandshakeError: (error, from) => failures.push([(error as { code?: string }).code, String(from)]),
  });
  const accepting = listener.accept();
  await using plain = await connect(`tcp://127.0.0.1:${portOf(listener)}`);
  await plain.write("GET / HTTP/1.1\r\n\r\n");
  await until(() => failures.length === 1);
  await using silent = await connect(`tcp://127.0.0.1:${portOf(listener)}`);
  await until(() => failures.length === 2);
  assert.deepEqual(failures, [
    ["ERR_TLS_PLAINTEXT_PEER", String(plain.localAddress)],
    ["ETIMEDOUT", String(silent.localAddress)],
  ]);
  await using client = await visit(listener);
  await using server = await accepting;
  assert.equal(String(server.remoteAddress), String(client.localAddress));
});

test("clients without the required certificate are refused", async () => {
  const failures: unknown[] = [];
  const { ca, selfSigned } = certificates();
  await using listener = await serve({
    ...serving(),
    ca: ca.cert,
    requestCert: true,
    onHandshakeError: (error) => failures.push((error as { code?: unknown }).code),
  });
  const accepting = assert.rejects(listener.accept(), { code: "ECANCELED" });
  await using nobody = await visit(listener);
  // With TLS 1.3 the client has finished before the server looks at its certificate.
  assert.equal((await rejection(nobody.read())).code, "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED");
  await using stranger = await visit(listener, { cert: selfSigned.cert, key: selfSigned.key });
  await rejection(stranger.read());
  await until(() => failures.length === 2);
  assert.deepEqual(failures, ["ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE", "DEPTH_ZERO_SELF_SIGNED_CERT"]);
  await listener.close();
  await accepting;
});

test("the context is chosen by the server name that the client sends", async () => {
  const other = new TlsContext(serving(certificates().other));
  const sniCallback = (name: string): TlsContext | undefined => (name === "other.test" ? other : undefined);
  await using listener = await serve({ ...serving(), sniCallback });
  for (const [servername, subject] of [
    ["other.test", "CN=other"],
    ["localhost", "CN=server"],
  ] as const) {
    const accepting = listener.accept();
    await using client = await visit(listener, { servername });
    await (await accepting).close();
    assert.equal(client.conn.peerCertificate?.subject, subject);
  }
});

test("node:tls works with listen()", async () => {
  await using listener = await serve({ context: new TlsContext(serving()) });
  const accepting = listener.accept();
  const client = tlsConnect({ port: portOf(listener), host: "127.0.0.1", ca: certificates().ca.cert });
  await once(client, "secureConnect");
  const server = await accepting;
  client.end("from node");
  assert.equal(String(await server.readExactly(9)), "from node");
  assert.equal(await server.read(), null);
  client.resume();
  await server.close();
  await once(client, "close");
});

test("listen() refuses TLS where there is none, and options that are wrong, before it listens", async () => {
  // At a port that is taken: what is wrong with the options comes first.
  await using taken = await listen("tcp://127.0.0.1:0");
  const endpoint = `tls://127.0.0.1:${portOf(taken)}` as const;
  for (const plain of ["tcp://127.0.0.1:0", "unix:@x", "vsock://1:2", "fd:0", "systemd:x"]) {
    const error = await rejection(listen(plain, { tls: serving() }));
    assert.ok(error instanceof TypeError);
    assert.match(error.message, /option "tls" is unknown for /);
  }
  const context = new TlsContext(serving());
  const wrong: readonly [tls: unknown, pattern: RegExp][] = [
    [undefined, /a server has no certificate, required tls: \{ cert, key \} or \{ context \}$/],
    [{}, /a server has no certificate, required cert and key/],
    [{ context: new TlsContext() }, /a server has no certificate, required cert and key/],
    ["cert", /tls is "cert", required an object/],
    [{ ...serving(), servername: "x" }, /option "servername" is unknown for tls/],
    [{ context, cert: serving().cert }, /cert belongs to the context/],
    [{ context: {} }, /context/],
    [{ context, maxHandshakes: 0 }, /maxHandshakes is 0/],
    [{ context, handshakeTimeout: -1 }, /handshakeTimeout is -1/],
    [{ context, closeTimeout: "1" }, /closeTimeout is "1"/],
    [{ context, allowTruncation: 1 }, /allowTruncation is 1/],
    [{ context, onHandshakeError: "log" }, /onHandshakeError is "log"/],
  ];
  for (const [tls, pattern] of wrong) {
    const error = await rejection(listen(endpoint, { tls } as ListenOptions));
    assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
    assert.match(error.message, pattern);
  }
  const unusable = await rejection(listen(endpoint, { tls: { ...serving(), key: "no key" } }));
  assert.ok(unusable instanceof TlsError);
  assert.equal((await rejection(listen(endpoint, { tls: serving() }))).code, "EADDRINUSE");
});
