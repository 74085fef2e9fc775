// The events of serveUdp(): records for `log` and for the channels of node:diagnostics_channel.

import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { connectUdp } from "berkeley";
import { type ServerEvent, serveUdp } from "berkeley/server";
import { until } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const LOCAL = "udp://127.0.0.1:0";

test("log gets the life of the server, one record of all dropped datagrams, and the end with the totals", async () => {
  const events: ServerEvent[] = [];
  const onError = (): void => undefined;
  const options = { log: (event: ServerEvent): void => void events.push(event), maxSize: 4, onError };
  const server = await serveUdp(LOCAL, ({ data }, reply) => void reply(data), options);
  const local = String(server.address);
  await using udp = await connectUdp(server.address);
  for (let sent = 0; sent < 20; sent++) await udp.send("too long");
  await until(() => server.stats().refused === 20);
  await udp.send("ok");
  assert.equal(String((await udp.receive({ timeout: 5000 })).data), "ok");
  await server.drain();
  await until(() => events.at(-1)?.event === "end");
  const client = String(udp.address);
  const plain = events.map(({ time, ...rest }) => (assert.ok(Math.abs(time - Date.now()) < 60_000), rest));
  const life = plain.filter(({ event }) => event !== "dropped");
  assert.deepEqual(life, [
    { event: "listening", call: "serveUdp", local },
    { event: "drain", call: "serveUdp", local, connections: 0 },
    { event: "end", call: "serveUdp", local, accepted: 1, refused: 20 },
  ]);
  const dropped = plain.filter((event) => event.event === "dropped");
  // This can take several seconds on a slow machine.
  assert.ok(dropped.length > 0 && dropped.length < 20);
  const datagrams = dropped.reduce((sum, event) => sum + event.datagrams, 0);
  const [{ datagrams: _, ...first }] = dropped as [(typeof dropped)[0]];
  assert.deepEqual(
    [datagrams, first],
    [20, { event: "dropped", call: "serveUdp", local, reason: "maxSize", client, peer: client }],
  );
});

test("of 50 handlers that fail at once, one is reported, with its client; onError gets them all", async () => {
  const errors: ServerEvent[] = [];
  let failures = 0;
  const receiver = (message: unknown): void => void errors.push(message as ServerEvent);
  subscribe("berkeley:server:error", receiver);
  try {
    const fail = (): never => {
      throw new RangeError("of the handler");
    };
    await using server = await serveUdp(LOCAL, fail, { onError: () => void failures++ });
    await using udp = await connectUdp(server.address);
    for (let sent = 0; sent < 50; sent++) await udp.send("x");
    await until(() => failures === 50);
    const [first, ...others] = errors;
    assert.ok(others.length <= 5, "one a second");
    const { event, call, error, id, client } = first as Extract<ServerEvent, { readonly event: "error" }>;
    assert.deepEqual(
      [event, call, error, id, client],
      ["error", "serveUdp", { name: "RangeError", message: "of the handler" }, 1, String(udp.address)],
    );
  } finally {
    unsubscribe("berkeley:server:error", receiver);
  }
});

test("the channel of dropped datagrams gets a record while the server runs", async () => {
  const dropped: ServerEvent[] = [];
  const receiver = (message: unknown): void => void dropped.push(message as ServerEvent);
  subscribe("berkeley:server:dropped", receiver);
  try {
    await using server = await serveUdp(LOCAL, () => undefined, { deny: ["127.0.0.2/32"] });
    await using udp = await connectUdp(server.address, { localAddress: ["127.0.0.2", 0] });
    await udp.send("x");
    await until(() => dropped.length > 0);
    const [{ event, ...rest }] = dropped as [Extract<ServerEvent, { readonly event: "dropped" }>];
    assert.deepEqual([event, rest.reason, rest.datagrams, rest.client], ["dropped", "deny", 1, String(udp.address)]);
    assert.equal(server.stats().state, "listening");
  } finally {
    unsubscribe("berkeley:server:dropped", receiver);
  }
});
