// The example websocket.ts: the package ws on our listener and over our streams.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket } from "ws";
import { openWebSocket, startWebSocketServer } from "../../examples/websocket.js";
import { checkLeaks } from "../support/leaks.js";
import { example, interrupted, portOf } from "./support.js";

checkLeaks();

/** The next message, as text. */
async function message(client: WebSocket): Promise<string> {
  const [data] = (await once(client, "message")) as [Buffer];
  return data.toString();
}

async function ended(client: WebSocket): Promise<number> {
  const [code] = (await once(client, "close")) as [number];
  return code;
}

test("ws on both sides, over our connection and our listener", async () => {
  await using server = await startWebSocketServer("unix:@berkeley-websocket-test");
  const ada = await openWebSocket(server.address);
  const bob = await openWebSocket(server.address);
  const received = [message(ada), message(bob)];
  ada.send("to all");
  assert.deepEqual(await Promise.all(received), ["to all", "to all"]);

  // More than any buffer on the way holds at once, and as binary.
  const large = Buffer.alloc(60_000, 7);
  const back = once(bob, "message") as Promise<[Buffer, boolean]>;
  ada.send(large);
  assert.deepEqual(await back, [large, true]);

  const pong = once(ada, "pong");
  ada.ping("still there?");
  await pong;
  const over = [ended(ada), ended(bob)];
  ada.close(1000);
  bob.close(1000);
  assert.deepEqual(await Promise.all(over), [1000, 1000]);
});

test("ws over its own connection is served by our listener", async () => {
  await using server = await startWebSocketServer("tcp://127.0.0.1:0");
  const client = new WebSocket(`ws://${String(server.address)}/`);
  await once(client, "open");
  const received = message(client);
  client.send("hello");
  assert.equal(await received, "hello");
  const over = ended(client);
  client.terminate();
  await over;
});

test("a message over the limit ends that client with 1009", async () => {
  await using server = await startWebSocketServer("tcp://127.0.0.1:0", { maxPayload: 100 });
  const client = await openWebSocket(server.address);
  const over = ended(client);
  client.send("x".repeat(101));
  assert.equal(await over, 1009);
});

test("clients over the limit, and clients that use plain HTTP, get an error response", async () => {
  await using server = await startWebSocketServer("tcp://127.0.0.1:0", { maxClients: 1 });
  const first = await openWebSocket(server.address);
  await assert.rejects(openWebSocket(server.address), /Unexpected server response: 503/);
  const response = await fetch(`http://${String(server.address)}/`, { headers: { connection: "close" } });
  assert.deepEqual([response.status, await response.text()], [426, "WebSocket only\n"]);
  const over = ended(first);
  first.terminate();
  await over;
});

test("websocket.ts is a program", async () => {
  await using server = example("websocket", "0");
  const client = await openWebSocket(["127.0.0.1", await portOf(server)]);
  const received = message(client);
  client.send("hello");
  assert.equal(await received, "hello");
  const over = ended(client);
  await interrupted(server);
  assert.equal(await over, 1006);
});
