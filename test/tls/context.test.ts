// TlsContext: reloading a certificate, choosing one by name.

import assert from "node:assert/strict";
import { test } from "node:test";
import { TlsContext, TlsError } from "berkeley";
import type { TlsConn } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { readFully } from "berkeley/testing";
import { certificates, failing, inMemory, overTcp, serving, tlsPair, trusting } from "./support.js";

checkLeaks();

async function shown(context: TlsContext, servername = "localhost"): Promise<string | undefined> {
  const [client, server] = await tlsPair(inMemory, { ...trusting(), servername }, { context });
  const subject = client.peerCertificate?.subject;
  await Promise.all([client.close(), server.close()]);
  return subject;
}

test("reload() changes the certificate of later handshakes and leaves connections alone", async () => {
  const context = new TlsContext(serving());
  const [client, server] = await tlsPair(overTcp, trusting(), { context });
  assert.equal(await shown(context), "CN=server");
  const { cert, key } = certificates().renewed;
  context.reload({ cert, key });
  assert.equal(await shown(context), "CN=renewed");
  await client.write("still here");
  assert.equal((await readFully(server, 10)).toString(), "still here");
  await Promise.all([client.close(), server.close()]);
});

test("reload() keeps the sessions of before, and the other settings", async () => {
  const context = new TlsContext({ ...serving(), alpnProtocols: ["echo"] });
  const client = { ...trusting(), alpnProtocols: ["echo"] };
  const [first, peer] = await tlsPair(overTcp, client, { context });
  const session = await first.nextSession();
  await Promise.all([first.close(), peer.close()]);
  const { cert, key } = certificates().renewed;
  context.reload({ cert, key });
  const [again, other] = await tlsPair(overTcp, { ...client, session }, { context });
  assert.equal(again.sessionReused, true);
  assert.equal(again.alpnProtocol, "echo");
  await Promise.all([again.close(), other.close()]);
});

test("reload() with an unusable certificate throws, and the old certificate stays", async () => {
  const context = new TlsContext(serving());
  const { renewed, other } = certificates();
  const wrong: [string, () => void][] = [
    ["ERR_OSSL_X509_KEY_VALUES_MISMATCH", () => context.reload({ cert: renewed.cert, key: other.key })],
    ["ERR_OSSL_PEM_NO_START_LINE", () => context.reload({ cert: "nonsense", key: renewed.key })],
  ];
  for (const [code, reload] of wrong) {
    assert.throws(reload, (error: unknown) => {
      assert.ok(error instanceof TlsError);
      assert.equal(error.code, code);
      assert.ok(error.message.startsWith("Cannot reload a TlsContext: "));
      return true;
    });
    assert.equal(await shown(context), "CN=server");
  }
  assert.throws(() => context.reload({ minVersion: "TLSv1.3" } as object), {
    message: /option "minVersion" is unknown/,
  });
});

test("a context of a client can be reloaded too", async () => {
  const { ca, selfSigned } = certificates();
  const context = new TlsContext({ ca: selfSigned.cert });
  const settings = { context, servername: "localhost" };
  const [error] = await failing(inMemory, settings, serving());
  assert.equal((error as TlsError).code, "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  context.reload({ ca: ca.cert });
  const [client, server] = await tlsPair(inMemory, settings);
  assert.equal(client.authorized, true);
  await Promise.all([client.close(), server.close()]);
});

test("sniCallback chooses a context by the name, at once or later", async () => {
  const other = new TlsContext(serving(certificates().other));
  const names: string[] = [];
  for (const later of [false, true]) {
    const context = new TlsContext({
      ...serving(),
      sniCallback: (name) => {
        names.push(name);
        const chosen = name === "other.test" ? other : undefined;
        return later ? new Promise((resolve) => setImmediate(resolve, chosen)) : chosen;
      },
    });
    assert.equal(await shown(context, "other.test"), "CN=other");
    assert.equal(await shown(context, "localhost"), "CN=server");
  }
  assert.deepEqual(names, ["other.test", "localhost", "other.test", "localhost"]);
});

test("a context chosen by sniCallback can be reloaded", async () => {
  const chosen = new TlsContext(serving());
  const context = new TlsContext({ ...serving(certificates().other), sniCallback: () => chosen });
  assert.equal(await shown(context), "CN=server");
  const { cert, key } = certificates().renewed;
  chosen.reload({ cert, key });
  assert.equal(await shown(context), "CN=renewed");
});

test("sniCallback that rejects ends the handshake", async () => {
  const own = new Error("no such site");
  const context = new TlsContext({ ...serving(), sniCallback: () => Promise.reject(own) });
  const [client, server] = await failing(inMemory, trusting(), { context });
  assert.equal(server, own);
  assert.equal((client as { code?: string }).code, "ECONNRESET");
});

test("one context serves many handshakes at a time, each its own", async () => {
  const context = new TlsContext(serving());
  const client = new TlsContext({ ca: certificates().ca.cert });
  const names = Array.from({ length: 30 }, (_, index) => `host${index}.site.test`);
  const pairs = await Promise.all(
    names.map((servername) => tlsPair(overTcp, { context: client, servername }, { context })),
  );
  const all: TlsConn[] = pairs.flat();
  assert.deepEqual(
    pairs.map(([, server]) => server.servername),
    names,
  );
  await Promise.all(all.map((conn) => conn.close()));
});
