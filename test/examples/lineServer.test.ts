// The example lineServer.ts: replies in order, limits, and the end of connections.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "berkeley";
import { LineClient, startLineServer } from "../../examples/lineServer.js";
import { checkLeaks } from "../support/leaks.js";
import { example, interrupted, portOf } from "./support.js";

checkLeaks();

test("the line server keeps, finds, counts and deletes", async () => {
  await using server = await startLineServer("tcp://127.0.0.1:0");
  await using client = await LineClient.connect(server.address);
  await using other = await LineClient.connect(server.address);
  assert.equal(await client.ask("GET tea"), "404");
  assert.equal(await client.ask("SET tea a cup of it"), "200");
  assert.equal(await other.ask("get tea"), "200 a cup of it");
  assert.equal(await other.ask("COUNT"), "200 1");
  assert.equal(await other.ask("DEL tea"), "200");
  assert.equal(await client.ask("DEL tea"), "404");
  assert.match(await client.ask("SET tea"), /^400 /);
  assert.match(await client.ask("BREW"), /^400 /);
  await assert.rejects(client.ask("GET a\nDEL b"), TypeError);
});

test("requests that are sent together are answered in their order", async () => {
  await using server = await startLineServer("unix:@berkeley-line-server-test");
  await using client = await LineClient.connect(server.address);
  const replies = await Promise.all(["SET a 1", "GET a", "SET a 2", "GET a", "QUIT"].map((line) => client.ask(line)));
  assert.deepEqual(replies, ["200", "200 1", "200", "200 2", "221"]);
  await assert.rejects(client.ask("COUNT"));
});

test("a line that is too long gets an error reply, and ends the connection", async () => {
  await using server = await startLineServer("tcp://127.0.0.1:0", { maxLine: 16 });
  await using stream = await connect(server.address);
  await stream.write(`COUNT\n${"x".repeat(17)}`);
  assert.equal(await stream.readLine(), "200 0");
  assert.equal(await stream.readLine(), "500 the line is too long");
  assert.equal(await stream.readLine(), null);
});

test("names beyond the limit are refused, those that are there can be changed", async () => {
  await using server = await startLineServer("tcp://127.0.0.1:0", { maxNames: 1 });
  await using client = await LineClient.connect(server.address);
  assert.equal(await client.ask("SET a 1"), "200");
  assert.match(await client.ask("SET b 1"), /^507 /);
  assert.equal(await client.ask("SET a 2"), "200");
});

test("a silent client is disconnected, and others wait meanwhile", async () => {
  await using server = await startLineServer("tcp://127.0.0.1:0", { idleTimeout: 50, maxClients: 1 });
  await using silent = await connect(server.address);
  await using next = await LineClient.connect(server.address);
  assert.equal(await next.ask("COUNT"), "200 0");
  assert.equal(await silent.readLine(), null);
});

test("lineServer.ts is a program that ends on Ctrl-C with open connections", async () => {
  await using server = example("lineServer", "0");
  await using client = await LineClient.connect(["127.0.0.1", await portOf(server)]);
  assert.equal(await client.ask("COUNT"), "200 0");
  await interrupted(server);
});
