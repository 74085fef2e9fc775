// The address of the client in the events of servers, with the PROXY protocol.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type EndpointLike, forward, listen } from "berkeley";
import { serve, type ServerEvent } from "berkeley/server";
import { checkLeaks } from "../support/leaks.js";
import { deferred } from "./support.js";

checkLeaks();

const LOCAL = "tcp://127.0.0.1:0";
const HEADER = "PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n";
const proxyProtocol = { from: ["127.0.0.1"] };

function log(): {
  log: (event: ServerEvent) => void;
  events: ServerEvent[];
  closed: Promise<void>;
  refused: Promise<void>;
} {
  const closed = deferred();
  const refused = deferred();
  const events: ServerEvent[] = [];
  const add = (event: ServerEvent): void => {
    events.push(event);
    if (event.event === "closed") closed.resolve();
    if (event.event === "refused") refused.resolve();
  };
  return { log: add, events, closed: closed.promise, refused: refused.promise };
}

test("with a PROXY header, the events of serve() have the client of the header and the peer of the socket", async () => {
  const { log: add, closed, events, refused } = log();
  await using server = await serve(LOCAL, () => Promise.reject(new Error("no")), {
    proxyProtocol,
    log: add,
    onError: () => undefined,
  });
  await using client = await connect(server.address as EndpointLike);
  await client.write(`${HEADER}hello`);
  await closed;
  const peer = String(client.localAddress);
  const found = events.filter(({ event }) => event === "error" || event === "closed");
  assert.equal(found.length, 2);
  for (const event of found) {
    assert.ok("client" in event);
    assert.deepEqual([event.client, event.peer], ["203.0.113.9:4711", peer]);
  }
  await using wrong = await connect(server.address as EndpointLike);
  await wrong.write("GET / HTTP/1.1\r\n\r\n");
  await refused;
  const refusal = events.find(({ event }) => event === "refused") as ServerEvent & { event: "refused" };
  assert.deepEqual([refusal.reason, refusal.client], ["proxyProtocol", String(wrong.localAddress)]);
  assert.equal(typeof refusal.error?.code, "string");
});

test("with a PROXY header, the events of forward() have the client of the header", async () => {
  const { log: add, closed, events } = log();
  await using target = await listen(LOCAL);
  await using forwarder = await forward(LOCAL, target.address, { proxyProtocol, log: add });
  await using client = await connect(forwarder.address);
  await client.write(`${HEADER}hello`);
  await using served = await target.accept();
  assert.equal(String(await served.readExactly(5)), "hello");
  await Promise.all([client.end(), served.end()]);
  await closed;
  const event = events.find((one) => one.event === "closed") as ServerEvent & { event: "closed" };
  assert.deepEqual([event.client, event.peer, event.reason], ["203.0.113.9:4711", null, "ended"]);
});
