// Nodes of examples/chat that share a nats-server: history, duplicates, a killed node, and a restart of NATS.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connect, type EndpointLike, type Stream } from "berkeley";
import { ChatClient } from "../../examples/chat/client.js";
import { ChatNode } from "../../examples/chat/node.js";
import { missing } from "../ecosystem/support.js";
import { checkLeaks } from "../support/leaks.js";
import { freePort } from "../support/freePort.js";
import { lineWith, Nats, NodeProgram, statusOf } from "./chatSupport.js";

checkLeaks();

const any = "tcp://127.0.0.1:0";

const start = (nats: Nats, name: string): Promise<ChatNode> =>
  ChatNode.start({ lines: any, health: any, nats: nats.url, name, session: { rate: 1_000_000 } });

async function enter(endpoint: EndpointLike, nick: string, join: string): Promise<Stream> {
  const stream = await connect(endpoint);
  await stream.write(`NICK ${nick} session-of-${nick}\nJOIN ${join}\n`);
  await lineWith(stream, "JOIN");
  return stream;
}

const readiness = (node: ChatNode): Promise<number> =>
  statusOf((node.healthAddress as { port: number }).port, "/readyz");

/** The texts of the next messages. */
async function texts(stream: Stream, count: number): Promise<string[]> {
  const found: string[] = [];
  while (found.length < count) found.push((await lineWith(stream, "MSG")).split(" ").slice(4).join(" "));
  return found;
}

const series = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `text ${from + index}`);

describe("the chat with NATS", { skip: missing("nats-server", "nats-server") }, () => {
  test("a message reaches the members of all nodes, and is stored once whichever node it is sent to", async () => {
    await using nats = await Nats.start();
    await using a = await start(nats, "a");
    await using b = await start(nats, "b");
    await using ann = await enter(a.address, "ann", "r");
    await using bob = await enter(b.address, "bob", "r");
    await using eve = await enter(b.address, "eve", "other");
    // Not UTF-8, and with the space that separates words.
    const bytes = Buffer.from([32, 0, 255, 13, 128, 32]);
    await ann.write(Buffer.concat([Buffer.from("SEND r 1 "), bytes, Buffer.from(" \n")]));
    const receipt = await lineWith(ann, "ACK");
    const number = Number(receipt.split(" ")[3]);
    const whole = Buffer.concat([Buffer.from(`MSG r ${number} ann `), bytes, Buffer.from(" \n")]);
    assert.deepEqual(await bob.readUntil("\n"), whole);
    // The same message by the other node, on another connection of the sender.
    await using again = await enter(b.address, "ann", "r");
    await again.write("SEND r 1 hello\n");
    assert.equal(await lineWith(again, "ACK"), receipt);
    await ann.write("SEND r 2 more\n");
    assert.match((await bob.readLine())!, /^MSG r \d+ ann more$/);
    await eve.write("PING\n");
    assert.equal(await eve.readLine(), "PONG");
  });

  test("a member that joins with a number gets the rest from JetStream, while new messages come", async () => {
    await using nats = await Nats.start();
    await using a = await start(nats, "a");
    await using b = await start(nats, "b");
    await using ann = new ChatClient(a.address, { nick: "ann", maxPending: 1000 });
    await ann.join("r");
    const numbers = await Promise.all(series(0, 900).map((text) => ann.send("r", text)));
    const heard: string[] = [];
    let last = 0;
    const more = Promise.all(series(900, 1800).map((text) => ann.send("r", text)));
    await using bob = new ChatClient(b.address, {
      nick: "bob",
      onMessage: ({ number, text }) => {
        assert.ok(number > last);
        last = number;
        heard.push(text.toString());
      },
      onGap: () => assert.fail("messages are lost"),
    });
    await bob.join("r", numbers[99]);
    await more;
    await bob.send("r", "the end");
    while (heard.at(-1) !== "the end") await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(heard, [...series(100, 1800), "the end"]);
    // A number that is no message of the room: everything that is kept.
    await using eve = await connect(b.address);
    await eve.write(`NICK eve\nJOIN r ${numbers[5]! + 1_000_000}\n`);
    assert.equal(await lineWith(eve, "JOIN"), `JOIN r ${numbers[0]! - 1}`);
    assert.deepEqual(await texts(eve, 3), series(0, 3));
  });

  test("NATS gone and back: nothing is acknowledged meanwhile, readyz shows it, nothing is lost or doubled", async () => {
    await using nats = await Nats.start();
    await using a = await start(nats, "a");
    await using b = await start(nats, "b");
    await using ann = await enter(a.address, "ann", "r");
    await using bob = await enter(b.address, "bob", "r");
    await using client = new ChatClient(a.address, { nick: "eve" });
    await client.join("r");
    await ann.write(
      series(0, 10)
        .map((text, id) => `SEND r ${id} ${text}\n`)
        .join(""),
    );
    for (let id = 0; id < 10; id++) assert.match(await lineWith(ann, "ACK"), new RegExp(`^ACK r ${id} `));
    assert.deepEqual(await texts(bob, 10), series(0, 10));

    // Some of these are on their way when NATS ends.
    const sent = series(0, 300).map((text) => client.send("r", text));
    await sent[20];
    await nats.kill();
    await lineWith(bob, "* store-lost ");
    await lineWith(ann, "* store-lost ");
    assert.deepEqual([await readiness(a), await readiness(b)], [503, 503]);
    await ann.write("SEND r 10 text 10\nSEND r 11 text 11\n");

    await nats.startAgain();
    // The first answer after the notice: there was none before it.
    const lines: string[] = [];
    while (!lines.includes("ACK")) {
      const line = (await ann.readLine({ timeout: 20_000 }))!;
      lines.push(/^(?:ACK|MSG|\* [\w-]+)/.exec(line)![0]);
    }
    assert.deepEqual(
      lines.filter((line) => line !== "MSG"),
      ["* store-back", "ACK"],
    );
    const numbers = await Promise.all(sent);
    assert.deepEqual(
      numbers,
      numbers.toSorted((x, y) => x - y),
    );
    assert.equal(await lineWith(ann, "ACK").then((line) => line.split(" ")[2]), "11");
    assert.deepEqual([await readiness(a), await readiness(b)], [200, 200]);
    await ann.write("SEND r 12 text 12\n");

    // What is stored, from the beginning, is what the member of the other node has got.
    await using late = await enter(b.address, "late", "r 0");
    const stored = await texts(late, 313);
    assert.deepEqual(
      stored.slice(10).filter((text) => /^text 1[0-2]$/.test(text)).length,
      6,
      "text 10 to 12 of both senders",
    );
    assert.equal(new Set(stored).size, 300);
    await lineWith(bob, "* store-back ");
  });

  test("a node that drains while NATS is away ends in time, and the message is sent again elsewhere", async () => {
    await using nats = await Nats.start();
    await using a = await start(nats, "a");
    await using b = await start(nats, "b");
    await using ann = await enter(a.address, "ann", "r");
    await using bob = await enter(b.address, "bob", "r");
    await nats.kill();
    await lineWith(ann, "* store-lost ");
    await ann.write("SEND r 1 kept\n");
    // A node answers commands in their order, so the SEND has begun when a client of the node has its answer.
    await using other = await connect(a.address);
    await other.write("PING\n");
    await lineWith(other, "PONG");
    const drained = a.drain({ timeout: 20_000 });
    assert.match((await ann.readLine())!, /^\* goaway /);
    assert.equal(await ann.readLine(), null);
    await Promise.all([ann.close(), other.close()]);
    await drained;
    await nats.startAgain();
    await using again = await connect(b.address);
    await again.write("NICK ann session-of-ann\nJOIN r\nSEND r 1 kept\nSEND r 2 next\n");
    assert.match(await lineWith(again, "ACK"), /^ACK r 1 /);
    assert.deepEqual(await texts(bob, 2), ["kept", "next"]);
  });

  test("a killed node: its acknowledged messages are stored, and its clients continue", async () => {
    await using nats = await Nats.start();
    const port = await freePort();
    const startNode = (name: string): Promise<NodeProgram> =>
      NodeProgram.start(name, "--nats", nats.url, "--listen", `tcp://127.0.0.1:${port}`);
    await using first = await startNode("first");
    const heard: string[] = [];
    const endpoint: EndpointLike = ["127.0.0.1", port];
    await using ann = new ChatClient(endpoint, { nick: "ann", retry: { minDelay: 5, maxDelay: 50 } });
    await using bob = new ChatClient(endpoint, {
      nick: "bob",
      retry: { minDelay: 5, maxDelay: 50 },
      onMessage: ({ text }) => heard.push(text.toString()),
      onGap: () => assert.fail("messages are lost"),
    });
    await Promise.all([ann.join("r"), bob.join("r")]);
    const sent = series(0, 200).map((text) => ann.send("r", text));
    await sent[50];
    first.program.kill("SIGKILL");
    await first.program.ended;
    await using second = await startNode("second");
    assert.equal(second.lines, port);
    const numbers = await Promise.all(sent);
    assert.deepEqual(
      numbers,
      numbers.toSorted((x, y) => x - y),
    );
    // The messages of bob come after all of ann, so they are the last that he gets.
    await bob.send("r", "the end");
    while (heard.at(-1) !== "the end") await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(heard, [...series(0, 200), "the end"]);
    assert.deepEqual([bob.stats().duplicates, ann.stats().connections], [0, 2]);
  });

  test("a node does not start without its NATS", async () => {
    const port = await freePort();
    await assert.rejects(ChatNode.start({ lines: any, nats: `nats://127.0.0.1:${port}` }), /refused/);
  });
});
