// connect() with a header of the PROXY protocol.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect, InetAddress, listen, wrapTls } from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { certificates } from "../../tls/support.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-pp-"));
after(() => rmSync(folder, { recursive: true }));

const source = new InetAddress("192.0.2.1", 51_000);
const destination = new InetAddress("198.51.100.2", 443);
const LINE = "PROXY TCP4 192.0.2.1 198.51.100.2 51000 443";

for (const endpoint of ["tcp://127.0.0.1:0", `unix:${join(folder, "s")}`]) {
  test(`the header comes before the data: ${endpoint.slice(0, 4)}`, async () => {
    await using listener = await listen(endpoint);
    await using client = await connect(listener.address, { proxyProtocol: { version: 1, source, destination } });
    await client.write("hello\n");
    await using stream = await listener.accept();
    assert.equal(await stream.readLine(), LINE);
    assert.equal(await stream.readLine(), "hello");
  });
}

test("the header comes before the TLS handshake", async () => {
  const { key, cert } = certificates().server;
  await using listener = await listen("tcp://127.0.0.1:0");
  const connecting = connect(`tls://localhost:${listener.address.port}`, {
    tls: { ca: certificates().ca.cert },
    proxyProtocol: { version: 1, source, destination },
  });
  const plain = await listener.accept();
  assert.equal(await plain.readLine(), LINE);
  const serving = wrapTls(plain, { isServer: true, key, cert, buffered: "tls" });
  const [client, server] = await Promise.all([connecting, serving]);
  await client.close();
  await server.close();
});

test("without addresses the header says that they are not known", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  await using client = await connect(listener.address, { proxyProtocol: { version: 1 } });
  await using stream = await listener.accept();
  assert.equal(await stream.readLine(), "PROXY UNKNOWN");
  await client.close();
});

test("a header that can't be sent, and an endpoint that has none, are refused before any connection", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const wrong: [object, RegExp][] = [
    [{ version: 3 }, /version is 3, required 1 or 2/],
    [{ source }, /destination is undefined/],
    [{ sorce: source }, /option "sorce" is unknown, .*did you mean "source"/],
  ];
  for (const [proxyProtocol, message] of wrong) {
    await assert.rejects(connect(listener.address, { proxyProtocol, retry: {} }), { message });
  }
  await assert.rejects(connect("fd:0", { proxyProtocol: {} }), /option "proxyProtocol" is unknown for a fd endpoint/);
  assert.equal(listener.stats().queued, 0);
});
