// Three nodes of the chat behind HAProxy, with NATS: 200 clients in 10 rooms, 20,000 messages. Meanwhile one node is
// drained and one node is killed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { ChatClient, type ChatMessage } from "../../examples/chat/client.js";
import { missing } from "../ecosystem/support.js";
import { checkLeaks } from "../support/leaks.js";
import { Nats, NodeProgram, startHaproxy } from "./chatSupport.js";

checkLeaks();

const ROOMS = 10;
const CLIENTS = 200;
const EACH = 100;
const TOTAL = CLIENTS * EACH;
/** Messages of a client that wait for their acknowledgement at a time. */
const WINDOW = 4;

interface Talker {
  readonly client: ChatClient;
  readonly name: string;
  readonly room: string;
  readonly address: string;
  readonly received: ChatMessage[];
  readonly notices: string[];
  /** The nodes that it was connected to. */
  readonly nodes: string[];
}

/** The messages of a room from the first one on. */
async function readHistory(port: number, room: string, count: number): Promise<string[]> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/`);
  const found: string[] = [];
  await new Promise<void>((resolve, reject) => {
    client.on("error", reject);
    client.on("close", () => reject(new Error("the node has closed the connection")));
    client.on("open", () => {
      client.send("NICK reader");
      client.send(`JOIN ${room} 0`);
    });
    client.on("message", (data: Buffer) => {
      const line = data.toString();
      if (line.startsWith("MSG ") && found.push(line) === count) resolve();
    });
  });
  client.terminate();
  return found;
}

test(
  "200 clients, 20,000 messages, a drained node and a killed node: nothing is lost, nothing comes twice",
  { skip: missing("haproxy nats-server", "haproxy", "nats-server") },
  async () => {
    await using nats = await Nats.start();
    const began = performance.now();
    const args = ["--nats", nats.url, "--proxy", "127.0.0.0/8", "--drain-delay", "1000"];
    await using a = await NodeProgram.start("a", ...args);
    await using b = await NodeProgram.start("b", ...args);
    await using c = await NodeProgram.start("c", ...args);
    await using haproxy = await startHaproxy([a, b, c]);

    const messageNumbers = new Map<string, number>();
    let done = (): void => undefined;
    const all = new Promise<void>((resolve) => (done = resolve));
    let deliveries = 0;

    const talkers: Talker[] = [];
    for (let index = 0; index < CLIENTS; index++) {
      const name = `client${index}`;
      const received: ChatMessage[] = [];
      const notices: string[] = [];
      const nodes: string[] = [];
      const address = `127.0.${1 + (index % ROOMS)}.${1 + Math.floor(index / ROOMS)}`;
      const client = new ChatClient(["127.0.0.1", haproxy.lines], {
        nick: name,
        localAddress: [address, 0],
        retry: { minDelay: 20, maxDelay: 500, tryTimeout: 10_000 },
        onMessage: (message) => {
          received.push(message);
          if (++deliveries === TOTAL * (CLIENTS / ROOMS)) done();
        },
        onNotice: (code, text) => {
          notices.push(code);
          if (code === "welcome") nodes.push(text);
        },
        onGap: (room, after, next) => assert.fail(`${name} lacks messages of ${room} from ${after} to ${next}`),
      });
      talkers.push({ client, name, room: `room${index % ROOMS}`, address, received, notices, nodes });
    }
    await Promise.all(talkers.map(({ client, room }) => client.join(room)));
    const joinedAt = performance.now();
    const connectedTo = (name: string): Talker[] => talkers.filter(({ client }) => client.node === name);
    for (const node of ["a", "b", "c"]) assert.ok(connectedTo(node).length > 20, `node ${node} has few clients`);

    // What happens when so many messages are acknowledged.
    let acknowledged = 0;
    let drained: Talker[] = [];
    let killed: Talker[] = [];
    let latest: NodeJS.Timeout | undefined;
    let ofKilled = new Map<string, number>();
    const drain = (): void => {
      drained = connectedTo("b");
      b.program.kill("SIGTERM");
    };
    // It stops for a moment first, so messages that it has published are stored, and it does not acknowledge them.
    const stop = (): void => {
      killed = connectedTo("c");
      c.program.kill("SIGSTOP");
      // If only its own clients have something to say.
      latest = setTimeout(kill, 5_000);
    };
    const kill = (): void => {
      clearTimeout(latest);
      if (ofKilled.size > 0) return;
      const names = new Set(killed.map(({ name }) => name));
      ofKilled = new Map([...messageNumbers].filter(([text]) => names.has(text.split(" ")[0]!)));
      c.program.kill("SIGKILL");
    };
    const acts = new Map([
      [TOTAL / 4, drain],
      [TOTAL / 2, stop],
      [TOTAL / 2 + 500, kill],
    ]);
    await Promise.all(
      talkers.map(async ({ client, name, room }) => {
        let next = 0;
        const talk = async (): Promise<void> => {
          while (next < EACH) {
            const text = `${name} ${next++}`;
            messageNumbers.set(text, await client.send(room, text));
            acts.get(++acknowledged)?.();
          }
        };
        await Promise.all(Array.from({ length: WINDOW }, talk));
      }),
    );
    assert.equal((await b.program.ended).status, 0, b.program.stderr);
    assert.equal((await c.program.ended).status, "SIGKILL");
    await all;
    const finished = performance.now();

    for (const { client, name, room, received } of talkers) {
      assert.equal(client.stats().duplicates, 0);
      assert.equal(received.length, (CLIENTS / ROOMS) * EACH, `messages of ${name}`);
      const numbers = received.map(({ number }) => number);
      assert.deepEqual(
        numbers,
        [...new Set(numbers)].sort((x, y) => x - y),
      );
      // Each sender's messages, once and in order.
      const bySender = new Map<string, string[]>();
      for (const { nick, text } of received) {
        const sentTexts = bySender.get(nick) ?? [];
        bySender.set(nick, sentTexts);
        sentTexts.push(text.toString());
      }
      const senders = talkers.filter((other) => other.room === room).map((other) => other.name);
      assert.deepEqual([...bySender.keys()].sort(), senders.sort());
      for (const [nick, sentTexts] of bySender) {
        assert.deepEqual(
          sentTexts,
          Array.from({ length: EACH }, (_, index) => `${nick} ${index}`),
        );
      }
      // The number in the acknowledgement is that of the message.
      for (const { number, text } of received) assert.equal(messageNumbers.get(text.toString()), number);
    }
    // What the killed node had acknowledged is there, under the number of the acknowledgement.
    assert.ok(ofKilled.size > 100);
    const numbers = new Map(
      talkers.flatMap(({ received }) => received.map(({ number, text }) => [String(text), number])),
    );
    for (const [text, number] of ofKilled) assert.equal(numbers.get(text), number);
    for (const { client } of killed) assert.ok(client.stats().connections >= 2 && client.node === "a");

    // A client that was not on the two nodes has stayed connected.
    const stayed = talkers.filter(({ client, nodes }) => client.stats().connections === 1 && nodes[0] === "a");
    assert.ok(stayed.length > 20);
    assert.ok(drained.length > 20);
    for (const { client, name, nodes, notices } of drained) {
      assert.ok(notices.includes("goaway"), `${name} got no notice`);
      assert.ok(client.stats().connections >= 2 && nodes.at(-1) !== "b");
    }
    // The true address of each client is in the log of its node.
    const logs = new Map([a, b, c].map((node) => [node.name, node.log]));
    for (const { address, nodes } of talkers) {
      for (const node of nodes) {
        assert.ok(
          logs.get(node)!.some(({ client, event }) => event === "connected" && client!.startsWith(`${address}:`)),
        );
      }
    }
    for (const { client } of talkers) await client.close();
    // The whole history of a room, over WebSocket.
    const history = await readHistory(haproxy.webSocket, "room0", (CLIENTS / ROOMS) * EACH);
    assert.deepEqual(
      history,
      talkers[0]!.received.map(({ number, nick, text }) => `MSG room0 ${number} ${nick} ${text.toString()}`),
    );
    const metrics = await (await fetch(`http://127.0.0.1:${a.health}/metrics`)).text();
    const [, again] = /^chat_duplicates_total (\d+)$/m.exec(metrics)!;
    assert.equal(a.program.stderr, "");
    assert.equal(b.program.stderr, "");
    const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(1);
    console.log(
      `${acknowledged} messages acknowledged, ${deliveries} delivered in ${seconds(joinedAt, finished)} s` +
        ` (${seconds(began, joinedAt)} s to start); stayed ${stayed.length}, drained ${drained.length}, killed ${killed.length}; ` +
        `node a dropped ${again} messages that were stored already`,
    );
  },
);
