// Failures of the handshake: each has a code, and none leaves a connection open.

import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { test } from "node:test";
import tls from "node:tls";
import { SocketError, TlsContext, TlsError, toDuplex, wrapTls } from "berkeley";
import { memoryPair } from "berkeley/testing";
import { fromNodeError } from "#berkeley/tls/nodeError.js";
import { checkLeaks } from "../support/leaks.js";
import { certificates, failing, inMemory, overTcp, serving, tlsPair, trusting, withoutDescriptor } from "./support.js";

checkLeaks();

// In memory an answer comes before Node has put away the write before it, and then Node drops its last alert: there the
// peer sees no more than that the connection ended.
const kinds = { inMemory, overTcp, "TCP without a descriptor": withoutDescriptor(overTcp) };

function isTls(error: unknown, code: string): void {
  assert.ok(error instanceof TlsError, `found ${String(error)}`);
  assert.equal(error.code, code);
  assert.ok(error.message.startsWith("TLS handshake failed: "), error.message);
  assert.ok(error.message.endsWith(`(${code})`), error.message);
  assert.ok(error.reason.length > 0);
}

test("an alert has one code, with any text of this Node's OpenSSL", () => {
  for (const [code, expected] of [
    ["ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE", "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE"],
    ["ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE", "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE"],
    ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"],
  ] as const) {
    isTls(fromNodeError(Object.assign(new Error("said"), { code }), "tls_handshake"), expected);
  }
});

for (const [name, pair] of Object.entries(kinds)) {
  const refuses = (what: string, code: string, run: () => Promise<unknown>): void =>
    void test(`a client refuses ${what}: ${name}`, async () => isTls(await run(), code));
  const ca = (): string => certificates().ca.cert;

  refuses("a certificate for another name", "ERR_TLS_CERT_ALTNAME_INVALID", async () => {
    const [error] = await failing(pair, trusting(), serving(certificates().other));
    assert.match((error as TlsError).reason, /localhost/);
    assert.ok((error as TlsError).cause instanceof Error);
    return error;
  });
  refuses("an expired certificate", "CERT_HAS_EXPIRED", async () => {
    return (await failing(pair, trusting(), serving(certificates().expired)))[0];
  });
  refuses("a certificate that is signed by itself", "DEPTH_ZERO_SELF_SIGNED_CERT", async () => {
    return (await failing(pair, trusting(), serving(certificates().selfSigned)))[0];
  });
  refuses("a certificate of an unknown authority", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", async () => {
    return (await failing(pair, { servername: "localhost" }, serving()))[0];
  });
  refuses("a chain up to an unknown authority", "SELF_SIGNED_CERT_IN_CHAIN", async () => {
    const { cert, key } = certificates().server;
    return (await failing(pair, { servername: "localhost" }, { cert: cert + ca(), key }))[0];
  });
  refuses("a server that has nothing newer than it wants", "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", async () => {
    const old = { ...serving(), maxVersion: "TLSv1.2" } as const;
    return (await failing(pair, { ...trusting(), minVersion: "TLSv1.3" }, old))[0];
  });
  refuses("a server that speaks none of its protocols", "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL", async () => {
    const client = { ...trusting(), alpnProtocols: ["a"] };
    return (await failing(pair, client, { ...serving(), alpnProtocols: ["b"] }))[0];
  });

  test(`a server refuses a client without a certificate: ${name}`, async () => {
    const settings = { ...serving(), requestCert: true, ca: ca(), maxVersion: "TLSv1.2" } as const;
    const [client, server] = await failing(pair, trusting(), settings);
    isTls(server, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE");
    if (pair === inMemory) assert.equal((client as SocketError).code, "ECONNRESET");
    else isTls(client, "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE");
  });

  test(`a server refuses a client's certificate that does not verify: ${name}`, async () => {
    const { cert, key } = certificates().selfSigned;
    const settings = { ...serving(), requestCert: true, ca: ca() };
    const [, server] = await failing(pair, { ...trusting(), cert, key }, settings);
    isTls(server, "DEPTH_ZERO_SELF_SIGNED_CERT");
  });

  test(`a client of TLS 1.3 gets its refusal in the first read: ${name}`, async () => {
    const [a, b] = await pair();
    const refused = wrapTls(b, { ...serving(), isServer: true, requestCert: true, ca: ca() });
    const client = await wrapTls(a, trusting());
    isTls(await refused.catch((error: unknown) => error), "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE");
    const code = pair === inMemory ? "ERR_TLS_TRUNCATED" : "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED";
    await assert.rejects(client.read(Buffer.alloc(8)), { code });
    await client.close();
  });

  for (const [what, text] of [
    ["a banner", "220 mail.example ESMTP ready\r\n"],
    ["HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n"],
  ] as const) {
    test(`a client that receives ${what} instead of TLS gets ERR_TLS_PLAINTEXT_PEER: ${name}`, async () => {
      const [a, b] = await pair();
      await b.write(text);
      const error = await wrapTls(a, trusting()).catch((reason: unknown) => reason);
      isTls(error, "ERR_TLS_PLAINTEXT_PEER");
      assert.equal(((error as TlsError).cause as { code?: string }).code, "ERR_SSL_WRONG_VERSION_NUMBER");
      await b.close();
    });
  }

  for (const [what, text] of [
    ["HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["a proxy's request", "CONNECT example.org:443 HTTP/1.1\r\n\r\n"],
    ["a line of text", "EHLO client.example\r\n"],
  ] as const) {
    test(`a server that receives ${what} instead of TLS gets ERR_TLS_PLAINTEXT_PEER: ${name}`, async () => {
      const [a, b] = await pair();
      await b.write(text);
      const error = await wrapTls(a, { ...serving(), isServer: true }).catch((reason: unknown) => reason);
      isTls(error, "ERR_TLS_PLAINTEXT_PEER");
      await b.close();
    });
  }

  for (const side of ["client", "server"] as const) {
    const options = side === "client" ? trusting : () => ({ ...serving(), isServer: true as const });

    test(`the ${side}'s handshake with a peer that says nothing times out: ${name}`, async () => {
      const [a, b] = await pair();
      const error = await wrapTls(a, { ...options(), handshakeTimeout: 20 }).catch((reason: unknown) => reason);
      assert.ok(error instanceof SocketError);
      assert.equal(error.code, "ETIMEDOUT");
      assert.equal(error.syscall, "tls_handshake");
      await assert.rejects(a.read(Buffer.alloc(1)), { code: "EBADF" });
      await b.close();
    });

    test(`the ${side}'s handshake ends with its signal: ${name}`, async () => {
      const [a, b] = await pair();
      const control = new AbortController();
      const reason = new Error("enough");
      const wrapping = assert.rejects(wrapTls(a, { ...options(), signal: control.signal }), reason);
      setImmediate(() => control.abort(reason));
      await wrapping;
      assert.equal(getEventListeners(control.signal, "abort").length, 0);
      await assert.rejects(a.read(Buffer.alloc(1)), { code: "EBADF" });
      await b.close();
    });

    test(`the ${side}'s handshake with a peer that goes away is ECONNRESET: ${name}`, async () => {
      for (const leave of ["close", "abort"] as const) {
        const [a, b] = await pair();
        const wrapping = wrapTls(a, options());
        setImmediate(() => void b[leave]());
        const error = await wrapping.catch((reason: unknown) => reason);
        assert.ok(error instanceof SocketError, `found ${String(error)}`);
        assert.equal(error.code, "ECONNRESET");
        await b.close();
      }
    });

    test(`the ${side}'s handshake on a connection that is closed is EBADF: ${name}`, async () => {
      const [a, b] = await pair();
      await a.close();
      await assert.rejects(wrapTls(a, options()), { code: "EBADF" });
      await b.close();
    });
  }
}

test("an error that a callback of the user throws is passed on unchanged", async () => {
  const own = new Error("no");
  const client = { ...trusting(), checkServerIdentity: (): Error => own };
  const [error] = await failing(inMemory, client, serving());
  assert.equal(error, own);
  const context = new TlsContext({
    ...serving(),
    sniCallback: () => {
      throw own;
    },
  });
  const [, refused] = await failing(inMemory, trusting(), { context });
  assert.equal(refused, own);
});

test("bytes that are changed on the way end reading with OpenSSL's code", async () => {
  const [a, b] = memoryPair();
  const [client, server] = await tlsPair(() => [a, b]);
  // A record of application data that no key has made.
  await a.write(Buffer.from([23, 3, 3, 0, 32, ...Array.from({ length: 32 }, () => 7)]));
  await assert.rejects(server.read(Buffer.alloc(8)), (error: unknown) => {
    assert.ok(error instanceof TlsError);
    assert.equal(error.code, "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC");
    return true;
  });
  await assert.rejects(server.write("x"), { code: "EPIPE" });
  await Promise.all([server.close(), client.close()]);
});

test("a client that tries to renegotiate is refused", async () => {
  const [a, b] = memoryPair();
  const wrapping = wrapTls(b, { ...serving(), isServer: true });
  const client = tls.connect({
    socket: toDuplex(a),
    ca: certificates().ca.cert,
    servername: "localhost",
    maxVersion: "TLSv1.2",
  });
  await once(client, "secureConnect");
  const server = await wrapping;
  const failed = once(client, "error");
  client.renegotiate({}, () => undefined);
  assert.equal(((await failed) as [{ code?: string }])[0].code, "ERR_SSL_NO_RENEGOTIATION");
  // The client then ends the handshake with an alert.
  await assert.rejects(server.read(Buffer.alloc(1)), { code: "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE" });
  await server.close();
  client.destroy();
  await a.close();
});
