// The records of connections that end in workers: `log` and the channels of the server's thread get them.

import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import type { ClosedEvent, ServerEvent } from "berkeley/server";
import { until } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { ask, connectTo, endOf, started } from "./workerSupport.js";

checkLeaks();

for (const processes of [false, true]) {
  const kind = processes ? "processes" : "threads";

  test(`with ${kind}, log gets a record of each connection that has ended, before the end`, async () => {
    const events: ServerEvent[] = [];
    const log = (event: ServerEvent): void => void events.push(event);
    const onError = (): void => undefined;
    const { server } = await started({ workers: 2, processes, log, onError });
    const local = String(server.address);
    const ends: string[] = [];
    for (let count = 0; count < 3; count++) {
      const client = await connectTo(server);
      ends.push(String(client.localAddress));
      assert.equal(await ask(client, "twelve bytes"), "twelve bytes");
      await client.close();
    }
    const failing = await connectTo(server);
    ends.push(String(failing.localAddress));
    await failing.write("throw\n");
    await endOf(failing);
    await failing.close();
    await until(() => server.stats().connections === 0);
    await server.drain();
    await until(() => events.at(-1)?.event === "end");
    const closed = events.filter((event) => event.event === "closed");
    closed.sort((one, other) => one.id - other.id);
    const bytes = { bytesReceived: 13, bytesSent: 13 };
    assert.deepEqual(
      closed.map(({ client, reason, bytesReceived, bytesSent }) => ({ client, reason, bytesReceived, bytesSent })),
      closed.map(({ client }) => {
        const failed = client === ends[3];
        return {
          client,
          reason: failed ? "failed" : "ended",
          ...(failed ? { bytesReceived: 6, bytesSent: 0 } : bytes),
        };
      }),
    );
    assert.deepEqual(new Set(closed.map(({ client }) => client)), new Set(ends));
    assert.equal(closed.length, ends.length);
    for (const { call, duration, local: at, peer, client, time, worker } of closed) {
      assert.deepEqual([call, at, peer], ["serveWorkers", local, client]);
      assert.ok(worker === 1 || worker === 2);
      assert.ok(duration >= 0 && duration < 60_000 && Math.abs(time - Date.now()) < 60_000);
    }
  });

  test(`with ${kind}, a subscriber that comes later gets the records of later connections`, async () => {
    const { server } = await started({ workers: 1, processes });
    await using _ = server;
    const first = await connectTo(server);
    assert.equal(await ask(first, "hello"), "hello");
    await first.close();
    await until(() => server.stats().connections === 0);
    const closed: ClosedEvent[] = [];
    const receiver = (message: unknown): void => void closed.push(message as ClosedEvent);
    subscribe("berkeley:server:closed", receiver);
    try {
      const second = await connectTo(server);
      assert.equal(await ask(second, "hello"), "hello");
      const client = String(second.localAddress);
      await second.close();
      await until(() => closed.some(({ call }) => call === "serveWorkers"));
      const records = closed.filter(({ call }) => call === "serveWorkers");
      assert.deepEqual(
        records.map((record) => [record.client, record.id, record.worker, record.reason]),
        [[client, 2, 1, "ended"]],
      );
    } finally {
      unsubscribe("berkeley:server:closed", receiver);
    }
  });
}

test("with reusePort, log gets the records too", async () => {
  const closed: ServerEvent[] = [];
  const log = (event: ServerEvent): void => void closed.push(event);
  const { server } = await started({ workers: 2, reusePort: true, log });
  await using _ = server;
  const client = await connectTo(server);
  assert.equal(await ask(client, "hello"), "hello");
  await client.close();
  await until(() => closed.some(({ event }) => event === "closed"));
  const [record] = closed.filter(({ event }) => event === "closed") as [ClosedEvent];
  assert.deepEqual(
    [record.call, record.client, record.bytesReceived],
    ["serveWorkers", String(client.localAddress), 6],
  );
});
