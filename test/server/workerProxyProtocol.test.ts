// serveWorkers() with the PROXY protocol: headers, limits by the client's address, wrong headers, drain.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { InetAddress, type Stream } from "berkeley";
import { encodeProxyHeader, type Refusal, type ServerEvent, serveWorkers } from "berkeley/server";
import { turn, until } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { ask, connectTo, crashes, endOf, handlerModule, started } from "./workerSupport.js";

checkLeaks();

const PROXIES = { from: ["127.0.0.0/8"] };
const destination = new InetAddress("198.51.100.2", 443);
const header = (host: string, version: 1 | 2 = 2): Buffer =>
  encodeProxyHeader({ version, source: new InetAddress(host, 51_000), destination });

for (const processes of [false, true]) {
  const kind = processes ? "processes" : "threads";

  test(`with ${kind}, a handler gets the client of the header, however the header comes`, async () => {
    const { server } = await started({ workers: 2, processes, proxyProtocol: PROXIES });
    await using _ = server;
    for (const version of [1, 2] as const) {
      const bytes = header("192.0.2.1", version);
      for (const cut of [0, 5, bytes.length - 1]) {
        await using proxy = await connectTo(server);
        if (cut > 0) {
          await proxy.write(bytes.subarray(0, cut));
          for (let turns = 0; turns < 20; turns++) await turn();
        }
        await proxy.write([bytes.subarray(cut), "client\n"]);
        assert.equal(await proxy.readLine(), `192.0.2.1:51000 ${String(proxy.localAddress)} 0`);
        assert.equal(await ask(proxy, "again"), "again");
      }
    }
    const { accepted, refused, proxyRefused } = server.stats();
    assert.deepEqual({ accepted, refused, proxyRefused }, { accepted: 6, refused: 0, proxyRefused: 0 });
  });

  test(`with ${kind}, the limit for each address counts the clients of headers, also after a crash`, async () => {
    const refusals: Refusal[] = [];
    const { server, events } = await started({
      workers: 1,
      processes,
      proxyProtocol: PROXIES,
      maxConnectionsPerAddress: 1,
      onRefused: (refusal) => void refusals.push(refusal),
    });
    await using _ = server;
    const through = async (host: string): Promise<Stream> => {
      const proxy = await connectTo(server);
      await proxy.write(header(host));
      return proxy;
    };
    const first = await through("192.0.2.1");
    assert.equal(await ask(first, "one"), "one");
    await using other = await through("192.0.2.2");
    assert.equal(await ask(other, "two"), "two");
    await using second = await through("192.0.2.1");
    assert.equal(await endOf(second), "ECONNRESET");
    await until(() => refusals.length === 1);
    const [{ reason, client, peer }] = refusals as [Refusal];
    assert.deepEqual(
      [reason, String(client), String(peer)],
      ["maxConnectionsPerAddress", "192.0.2.1:51000", String(second.localAddress)],
    );
    await first.write("exit\n");
    await endOf(first);
    await first.close();
    await until(() => crashes(events).length === 1 && server.stats().connections === 0);
    await using third = await through("192.0.2.1");
    assert.equal(await ask(third, "three"), "three");
  });
}

test("a header that is malformed, too late or too long, and a peer that is no proxy, are reset and counted", async () => {
  const reasons: string[] = [];
  const onRefused = ({ reason }: Refusal): void => void reasons.push(reason);
  const proxyProtocol = { from: ["127.0.0.1/32"], timeout: 300, maxBytes: 232 };
  const { server } = await started({ workers: 1, proxyProtocol, onRefused });
  await using _ = server;
  const bad = ["GET / HTTP/1.1\r\n\r\n", header("192.0.2.1").subarray(0, 20), ""];
  const tlvs = [{ type: 0xe0, value: Buffer.alloc(300) }];
  const long = encodeProxyHeader({ source: new InetAddress("192.0.2.1", 1), destination, tlvs });
  for (const bytes of [...bad, long]) {
    await using client = await connectTo(server);
    if (bytes.length > 0) await client.write(bytes);
    assert.equal(await endOf(client), "ECONNRESET");
  }
  await using stranger = await connectTo(server, "127.0.0.2");
  assert.equal(await endOf(stranger), "ECONNRESET");
  assert.deepEqual(reasons, Array(5).fill("proxyProtocol"));
  const { accepted, refused, proxyRefused } = server.stats();
  assert.deepEqual({ accepted, refused, proxyRefused }, { accepted: 0, refused: 5, proxyRefused: 5 });
});

test("a header that ends early is refused at once, also without a deadline", async () => {
  const refusals: Refusal[] = [];
  const onRefused = (refusal: Refusal): void => void refusals.push(refusal);
  const { server } = await started({ workers: 1, proxyProtocol: { ...PROXIES, timeout: null }, onRefused });
  await using _ = server;
  await using proxy = await connectTo(server);
  await proxy.write(header("192.0.2.1").subarray(0, 9));
  await proxy.closeWrite();
  await until(() => refusals.length === 1);
  await server.drain({ timeout: null });
});

test("drain() serves a connection whose header is pending, and close() resets it", async () => {
  for (const how of ["drain", "close"] as const) {
    const { server } = await started({ workers: 1, proxyProtocol: { ...PROXIES, timeout: null } });
    await using proxy = await connectTo(server);
    const bytes = header("192.0.2.1");
    await proxy.write(bytes.subarray(0, 20));
    await using marker = await connectTo(server);
    await marker.write([header("192.0.2.3"), "who\n"]);
    assert.equal(await marker.readLine(), "1 1");
    await marker.close();
    const end = how === "drain" ? server.drain() : server.close();
    if (how === "close") assert.equal(await endOf(proxy), "ECONNRESET");
    else {
      await proxy.write([bytes.subarray(20), "hello\n"]);
      assert.equal(await proxy.readLine(), "hello");
      await proxy.closeWrite();
    }
    await end;
    assert.equal(server.stats().connections, 0);
  }
});

test("records, UNIX sockets and reusePort have the client of the header", async () => {
  const path = join(tmpdir(), `workers-${process.pid}.sock`);
  rmSync(path, { force: true });
  for (const [endpoint, reusePort] of [
    ["tcp://127.0.0.1:0", true],
    [`unix:${path}`, false],
  ] as const) {
    const events: ServerEvent[] = [];
    const log = (event: ServerEvent): void => void events.push(event);
    const { server } = await started({ workers: 1, reusePort, proxyProtocol: PROXIES, log }, endpoint);
    await using _ = server;
    const proxy = await connectTo(server);
    await proxy.write([header("192.0.2.1"), "client\n"]);
    assert.match((await proxy.readLine())!, /^192\.0\.2\.1:51000 /);
    await proxy.close();
    await until(() => events.some(({ event }) => event === "closed"));
    const [closed] = events.filter(({ event }) => event === "closed");
    assert.equal((closed as { client: string }).client, "192.0.2.1:51000");
  }
});

test("proxyProtocol on a tls endpoint, and a BlockList with reusePort, are refused with the way out", async () => {
  const { BlockList } = await import("node:net");
  await assert.rejects(
    serveWorkers("tcp://127.0.0.1:0", handlerModule, { reusePort: true, proxyProtocol: { from: new BlockList() } }),
    /proxyProtocol\.from is a net\.BlockList, required an array of networks with reusePort/,
  );
  await assert.rejects(
    serveWorkers("tls://127.0.0.1:0", handlerModule, { proxyProtocol: PROXIES }),
    /proxyProtocol on a tls endpoint needs reusePort: true with workers/,
  );
});
