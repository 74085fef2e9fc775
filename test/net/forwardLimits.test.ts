// The limits and the drain of forward(), which are those of serve().

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { connect, forward, listen, type Refusal } from "berkeley";
import { TestClock } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const LOCAL = "tcp://127.0.0.1:0";
const from = (host: string): { localAddress: [string, number] } => ({ localAddress: [host, 0] });

test("forward() refuses clients by their address and by their number", async () => {
  await using target = await listen(LOCAL);
  const refusals: Refusal[] = [];
  await using forwarder = await forward(LOCAL, target.address, {
    maxConnectionsPerAddress: 1,
    deny: ["127.0.0.3"],
    allow: ["127.0.0.0/29"],
    onRefused: (refusal) => refusals.push(refusal),
  });
  const { address } = forwarder;
  const first = await connect(address, from("127.0.0.1"));
  const other = await connect(address, from("127.0.0.2"));
  const servers = [await target.accept(), await target.accept()];
  for (const host of ["127.0.0.1", "127.0.0.3", "127.0.0.9"]) {
    const refused = await connect(address, from(host));
    await assert.rejects(refused.read(), { code: "ECONNRESET" });
    await refused.close();
  }
  assert.deepEqual(
    refusals.map(({ reason }) => reason),
    ["maxConnectionsPerAddress", "deny", "allow"],
  );
  const { accepted, refused } = forwarder.stats();
  assert.deepEqual({ accepted, refused }, { accepted: 2, refused: 3 });
  for (const stream of [first, other, ...servers]) await stream.close();
});

test("forward() accepts at the rate, and resets connections after their lifetime", async () => {
  using clock = new TestClock();
  await using target = await listen(LOCAL);
  await using forwarder = await forward(LOCAL, target.address, { acceptRate: 2, maxLifetime: 5000 });
  const clients = await Promise.all([1, 2, 3].map(() => connect(forwarder.address)));
  const servers = [await target.accept(), await target.accept()];
  assert.equal(forwarder.stats().accepted, 2);
  await clock.advance(500);
  servers.push(await target.accept());
  await clock.advance(4_600);
  await assert.rejects(clients[0]!.read(), { code: "ECONNRESET" });
  assert.equal(forwarder.stats().connections, 1);
  for (const stream of [...clients, ...servers]) await stream.close();
});

test("drain() of a forwarder waits for connections to finish, and resets those that do not", async () => {
  await using target = await listen(LOCAL);
  for (const finishes of [true, false]) {
    await using forwarder = await forward(LOCAL, target.address);
    const client = await connect(forwarder.address);
    const server = await target.accept();
    const draining = forwarder.drain({ timeout: finishes ? null : 20 });
    await assert.rejects(connect(forwarder.address), { code: "ECONNREFUSED" });
    if (finishes) {
      await client.write("last words\n");
      assert.equal(await server.readLine(), "last words");
      await server.close();
      assert.equal(await client.read(), null);
      await client.close();
    } else {
      await assert.rejects(client.read(), { code: "ECONNRESET" });
      await client.close();
      await server.close();
    }
    await draining;
    await forwarder.closed;
    assert.equal(forwarder.stats().failed, finishes ? 0 : 1);
    await forwarder.drain();
  }
  await turn();
});
