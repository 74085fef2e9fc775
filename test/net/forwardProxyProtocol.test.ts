// The PROXY protocol in forward(): on accept, and towards the target.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  connect,
  forward,
  type ForwardOptions,
  type Forwarded,
  InetAddress,
  listen,
  type Refusal,
  type SocketListener,
  type Stream,
} from "berkeley";
import { encodeProxyHeader, PP2_TYPE_AUTHORITY, PP2_TYPE_UNIQUE_ID, readProxyHeader } from "berkeley/server";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const LOCAL = "tcp://127.0.0.1:0";
const proxyProtocol = { from: ["127.0.0.1"] };
const client = new InetAddress("192.0.2.1", 51_000);
const destination = new InetAddress("198.51.100.2", 443);
const HEADER = encodeProxyHeader({ source: client, destination });

/** Connects through a forwarder and sends bytes. Returns both ends. */
async function through(
  target: SocketListener,
  opts: ForwardOptions,
  bytes: (string | Uint8Array)[],
): Promise<{ near: Stream; far: Stream; forwarder: Awaited<ReturnType<typeof forward>> }> {
  const forwarder = await forward(LOCAL, target.address, opts);
  const near = await connect(forwarder.address);
  if (bytes.length > 0) await near.write(bytes);
  return { near, far: await target.accept(), forwarder };
}

test("forward() takes the header off, and forwards the bytes after it", async () => {
  await using target = await listen(LOCAL);
  const ended: Forwarded[] = [];
  const { near, far, forwarder } = await through(target, { proxyProtocol, onEnd: (one) => ended.push(one) }, [
    HEADER,
    "with the header\n",
  ]);
  assert.equal(await far.readLine(), "with the header");
  await near.write("later\n");
  assert.equal(await far.readLine(), "later");
  await far.write("answer\n");
  assert.equal(await near.readLine(), "answer");
  await near.close();
  await far.close();
  await forwarder.drain();
  assert.equal(String(ended[0]!.client), String(client));
  assert.deepEqual([ended[0]!.toTarget, ended[0]!.toClient], ["with the header\nlater\n".length, 7]);
});

test("forward() refuses what serve() refuses: other proxies, wrong headers, and clients over the limits and on the lists", async () => {
  await using target = await listen(LOCAL);
  const refusals: Refusal[] = [];
  await using forwarder = await forward(LOCAL, target.address, {
    proxyProtocol: { ...proxyProtocol, maxPending: 1 },
    deny: ["192.0.2.9"],
    maxConnectionsPerAddress: 1,
    onRefused: (refusal) => refusals.push(refusal),
  });
  const denied = encodeProxyHeader({ source: new InetAddress("192.0.2.9", 1), destination });
  const refused = async (host: string, bytes: Uint8Array): Promise<void> => {
    await using stream = await connect(forwarder.address, { localAddress: [host, 0] });
    if (bytes.length > 0) await stream.write(bytes);
    await assert.rejects(stream.read(), { code: "ECONNRESET" });
  };
  await refused("127.0.0.2", Buffer.alloc(0));
  await refused("127.0.0.1", Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  await refused("127.0.0.1", denied);
  await using first = await connect(forwarder.address);
  await first.write(HEADER);
  await using served = await target.accept();
  await refused("127.0.0.1", HEADER);
  await using silent = await connect(forwarder.address);
  await refused("127.0.0.1", denied);
  await assert.rejects(silent.read(), { code: "ECONNRESET" });
  assert.deepEqual(
    refusals.map(({ reason, error }) => `${reason}${error === undefined ? "" : " with an error"}`).toSorted(),
    [
      "deny",
      "deny",
      "maxConnectionsPerAddress",
      "proxyProtocol",
      "proxyProtocol with an error",
      "proxyProtocol with an error",
    ],
  );
  const { accepted, proxyRefused, refused: count } = forwarder.stats();
  assert.deepEqual({ accepted, proxyRefused, count }, { accepted: 1, proxyRefused: 3, count: 6 });
  await served.close();
});

test("forward() sends the client's address to the target, in version 1 and 2", async () => {
  for (const version of [1, 2, undefined] as const) {
    await using target = await listen(LOCAL);
    const { near, far, forwarder } = await through(target, { sendProxyProtocol: { version } }, ["hello\n"]);
    const header = await readProxyHeader(far);
    assert.equal(header.version, version ?? 2);
    assert.equal(String(header.source), String(near.localAddress));
    assert.equal(String(header.destination), String(forwarder.address));
    assert.equal(await far.readLine(), "hello");
    await near.close();
    await far.close();
    await forwarder.close();
  }
});

test("a target that sends first gets the header before the client has sent anything", async () => {
  await using target = await listen(LOCAL);
  const { near, far, forwarder } = await through(target, { sendProxyProtocol: {} }, []);
  assert.equal(String((await readProxyHeader(far)).source), String(near.localAddress));
  await far.write("220 hello\n");
  assert.equal(await near.readLine(), "220 hello");
  await near.close();
  await far.close();
  await forwarder.close();
});

test("a chain of proxies passes the first client's address and the TLVs on", async () => {
  const received = { type: PP2_TYPE_AUTHORITY, value: Uint8Array.from(Buffer.from("a.example")) };
  const added = { type: PP2_TYPE_UNIQUE_ID, value: Uint8Array.of(7) };
  await using target = await listen(LOCAL);
  const opts = { proxyProtocol, sendProxyProtocol: { tlvs: [added], crc32c: true } };
  const first = encodeProxyHeader({ source: client, destination, tlvs: [received] });
  const { near, far, forwarder } = await through(target, opts, [first, "hello\n"]);
  const header = await readProxyHeader(far);
  assert.equal(String(header.source), String(client));
  assert.equal(String(header.destination), String(destination));
  assert.deepEqual(header.tlvs, [received, added]);
  assert.equal(await far.readLine(), "hello");
  await near.close();
  await far.close();
  await forwarder.close();
});

test("for a client that is the proxy itself (LOCAL), the target gets the proxy's address", async () => {
  await using target = await listen(LOCAL);
  const opts = { proxyProtocol, sendProxyProtocol: {} };
  const { near, far, forwarder } = await through(target, opts, [encodeProxyHeader({ local: true })]);
  const header = await readProxyHeader(far);
  assert.equal(String(header.source), String(near.localAddress));
  assert.equal(String(header.destination), String(forwarder.address));
  await near.close();
  await far.close();
  await forwarder.close();
});

test("a header of 64 KB reaches a target that reads slowly, before the client's bytes", async () => {
  await using target = await listen(LOCAL);
  const tlvs = [{ type: 0xee, value: new Uint8Array(65_000).fill(7) }];
  const first = encodeProxyHeader({ source: client, destination, tlvs });
  const opts = { proxyProtocol: { ...proxyProtocol, maxBytes: 65_551 }, sendProxyProtocol: {} };
  const { near, far, forwarder } = await through(target, opts, [first, "hello\n"]);
  const header = await readProxyHeader(far, { maxBytes: 65_551 });
  assert.deepEqual(header.tlvs, tlvs);
  assert.equal(await far.readLine(), "hello");
  await near.close();
  await far.close();
  await forwarder.close();
});

test("a header that can't be sent ends the connection, with its error", async () => {
  await using target = await listen(LOCAL);
  let onEnd!: (forwarded: Forwarded) => void;
  const ended = new Promise<Forwarded>((resolve) => (onEnd = resolve));
  // Together, the TLVs are too long for a header.
  const tlvs = [{ type: 0xee, value: new Uint8Array(33_000) }];
  await using forwarder = await forward(LOCAL, target.address, {
    proxyProtocol: { ...proxyProtocol, maxBytes: 65_551 },
    sendProxyProtocol: { tlvs },
    onEnd,
  });
  await using near = await connect(forwarder.address);
  await near.write(encodeProxyHeader({ source: client, destination, tlvs }));
  assert.match(String((await ended).error), /required at most 65535/);
  await assert.rejects(near.read(), { code: "ECONNRESET" });
  await (await target.accept()).close();
});

test("wrong options of sendProxyProtocol are refused", async () => {
  for (const [value, message] of [
    [{ version: 3 }, /version is 3, required 1 or 2/],
    [{ version: 1, crc32c: true }, /crc32c is given with version 1/],
    [{ version: 1, tlvs: [{ type: 2, value: new Uint8Array(1) }] }, /tlvs is given with version 1/],
    [{ source: client }, /source/],
    [2, /sendProxyProtocol/],
  ] as const) {
    const opts = { sendProxyProtocol: value as unknown as ForwardOptions["sendProxyProtocol"] };
    await assert.rejects(forward(LOCAL, LOCAL, opts), { message });
  }
});
