// The forms of an endpoint, for each call that accepts one.

import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mkdtempSync, rmSync } from "node:fs";
import { test } from "node:test";
import { bindUdp, connect, connectUdp, type EndpointLike, forward, Inet6Address, InetAddress, listen } from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

function portOf(address: object): number {
  assert.ok(address instanceof InetAddress || address instanceof Inet6Address);
  return address.port;
}

async function meet(at: EndpointLike, to: (port: number) => EndpointLike): Promise<string> {
  const listener = await listen(at);
  const client = await connect(to("port" in listener.address ? listener.address.port : 0));
  const peer = await listener.accept();
  await client.write("hello\n");
  assert.equal(await peer.readLine(), "hello");
  const text = String(listener.address);
  for (const one of [client, peer, listener]) await one.close();
  return text;
}

test("listen(0) is reached at every address of this machine, connect(port) at localhost", async () => {
  assert.match(await meet(0, (port) => port), /^(\[::\]|0\.0\.0\.0):/);
  await meet(0, (port) => ["127.0.0.1", port]);
  await meet({ port: 0 }, (port) => ({ port }));
});

test("{ port, host }, { path } and a URL are taken by listen and connect", async () => {
  assert.match(await meet({ host: "127.0.0.1", port: 0 }, (port) => ({ host: "127.0.0.1", port })), /^127\./);
  await meet(new URL("tcp://127.0.0.1:0"), (port) => new URL(`tcp://127.0.0.1:${port}`));
  const folder = mkdtempSync(join(tmpdir(), "berkeley-"));
  try {
    const path = join(folder, "a socket");
    await meet({ path }, () => new URL(`unix:${path}`));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("tcp4 and tcp6 use one family", async () => {
  assert.match(await meet("tcp4://localhost:0", (port) => `tcp4://localhost:${port}`), /^127\./);
  assert.match(await meet({ scheme: "tcp4", port: 0 }, (port) => ({ scheme: "tcp4", port })), /^0\.0\.0\.0:/);
  assert.match(await meet({ scheme: "tcp6", port: 0 }, (port) => `tcp6://[::1]:${port}`), /^\[::\]:/);
  await using listener = await listen("tcp6://[::1]:0");
  const port = portOf(listener.address);
  await assert.rejects(connect(`tcp4://localhost:${port}`), { code: "ECONNREFUSED" });
  await assert.rejects(
    connect(`tcp4://localhost:${port}`, { family: 10 }),
    /family is 10, required that of the endpoint, 2/,
  );
});

test("forward and UDP take the same forms", async () => {
  await using target = await listen(0);
  await using forwarder = await forward(0, portOf(target.address));
  await using client = await connect(portOf(forwarder.address));
  await using peer = await target.accept();
  await client.write("through\n");
  assert.equal(await peer.readLine(), "through");
  await using receiver = await bindUdp(0);
  await using sender = await connectUdp({ port: portOf(receiver.address) });
  assert.equal(portOf(sender.remoteAddress as object), portOf(receiver.address));
});

test("a wrong endpoint is refused by each call before any socket exists", async () => {
  for (const wrong of [65_536, -1, null, undefined, true, {}, { port: -1 }, new URL("http://localhost/")]) {
    const at = wrong as EndpointLike;
    for (const call of [() => listen(at), () => connect(at), () => bindUdp(at), () => connectUdp(at)]) {
      const error = await (call() as Promise<unknown>).then(
        () => assert.fail("it was taken"),
        (refusal: unknown) => refusal,
      );
      assert.ok(error instanceof TypeError || error instanceof RangeError);
      assert.match(error.message, /^Cannot .*required|^Cannot .*missing/);
    }
  }
});
