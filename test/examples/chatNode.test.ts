// A node of examples/chat with messages in memory: the protocol over lines and WebSocket, and misbehaving clients.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect, type EndpointLike, InetAddress, type Stream } from "berkeley";
import { encodeProxyHeader } from "berkeley/server";
import { WebSocket } from "ws";
import { ChatClient } from "../../examples/chat/client.js";
import { ChatNode, type ChatOptions, type LogEvent } from "../../examples/chat/node.js";
import { MAX_LINE } from "../../examples/chat/protocol.js";
import { checkLeaks } from "../support/leaks.js";
import { readToEnd } from "../server/support.js";
import { lineWith, NodeProgram, statusOf } from "./chatSupport.js";

checkLeaks();

const any = "tcp://127.0.0.1:0";
const start = (opts: Partial<ChatOptions> = {}): Promise<ChatNode> => ChatNode.start({ lines: any, ...opts });

/** A client with a nickname, in rooms. */
async function enter(endpoint: EndpointLike, nick: string, ...joins: string[]): Promise<Stream> {
  const stream = await connect(endpoint);
  await stream.write(`NICK ${nick} session-of-${nick}\n`);
  assert.equal(await stream.readLine(), "* welcome chat");
  assert.equal(await stream.readLine(), `NICK ${nick} session-of-${nick}`);
  for (const join of joins) {
    await stream.write(`JOIN ${join}\n`);
    await lineWith(stream, "JOIN");
  }
  return stream;
}

/** A client over WebSocket; the welcome may come with the answer to its handshake. */
function webClient(node: ChatNode): {
  client: WebSocket;
  received: [Buffer, boolean][];
  until(count: number): Promise<void>;
} {
  const client = new WebSocket(`ws://${String(node.webSocketAddress)}/`);
  const received: [Buffer, boolean][] = [];
  client.on("message", (data: Buffer, binary: boolean) => received.push([data, binary]));
  const until = async (count: number): Promise<void> => {
    while (received.length < count) await once(client, "message");
  };
  return { client, received, until };
}

/**
 * Sends commands, and returns as many lines: first the answers, then the messages. A message and its acknowledgement
 * have no order between them.
 */
async function exchange(stream: Stream, count: number, ...commands: string[]): Promise<(string | null)[]> {
  await stream.write(commands.map((command) => `${command}\n`).join(""));
  const lines: (string | null)[] = [];
  while (lines.length < count) lines.push(await stream.readLine({ timeout: 10_000 }));
  const isMessage = (line: string | null): boolean => line?.startsWith("MSG ") === true;
  return [...lines.filter((line) => !isMessage(line)), ...lines.filter(isMessage)];
}

test("each room has numbers of its own, and each member gets its messages in their order", async () => {
  await using node = await start();
  await using ann = await enter(node.address, "ann", "tea", "jam");
  await using bob = await enter(node.address, "bob", "tea");
  const answerLines = await exchange(ann, 6, "SEND tea 1 hot", "SEND jam 2 red", "SEND tea 3 and green");
  assert.deepEqual(
    answerLines.filter((line) => line!.startsWith("ACK")),
    ["ACK tea 1 1", "ACK jam 2 1", "ACK tea 3 2"],
  );
  const received = ["MSG tea 1 ann hot", "MSG jam 1 ann red", "MSG tea 2 ann and green"];
  // There is no order between rooms.
  for (const room of ["tea", "jam"]) {
    const of = (lines: readonly (string | null)[]): unknown => lines.filter((line) => line!.startsWith(`MSG ${room} `));
    assert.deepEqual(of(answerLines), of(received));
  }
  assert.deepEqual(await exchange(bob, 3, "PING x"), ["PONG x", received[0], received[2]]);
  assert.deepEqual(await exchange(bob, 1, "LEAVE tea"), ["LEAVE tea"]);
  await exchange(ann, 2, "SEND tea 4 alone");
  assert.deepEqual(await exchange(bob, 1, "PING"), ["PONG"]);
  assert.equal(await (bob.write("QUIT\n"), bob.readLine()), null);
});

test("JOIN with a number gives the rest; the answer shows a gap, and numbers that began again", async () => {
  await using node = await start({ memory: { maxMessages: 3 } });
  await using ann = await enter(node.address, "ann", "r");
  for (let index = 1; index <= 5; index++) await exchange(ann, 2, `SEND r ${index} text ${index}`);
  const rest = ["MSG r 3 ann text 3", "MSG r 4 ann text 4", "MSG r 5 ann text 5"];
  await using bob = await enter(node.address, "bob");
  assert.deepEqual(await exchange(bob, 2, "JOIN r 4"), ["JOIN r 4", rest[2]]);
  assert.deepEqual(await exchange(bob, 2, "LEAVE r", "JOIN r"), ["LEAVE r", "JOIN r 5"]);
  assert.deepEqual(await exchange(bob, 2, "LEAVE r", "JOIN r 5"), ["LEAVE r", "JOIN r 5"]);
  // The room stays when its last member has left.
  await exchange(ann, 1, "LEAVE r");
  assert.deepEqual(await exchange(bob, 5, "LEAVE r", "JOIN r 0"), ["LEAVE r", "JOIN r 2", ...rest]);
  assert.deepEqual(await exchange(bob, 5, "LEAVE r", "JOIN r 99"), ["LEAVE r", "JOIN r 2", ...rest]);
  assert.deepEqual(await exchange(bob, 1, "JOIN other 7"), ["JOIN other 0"]);
});

test("a message that is sent again with its id is stored once, and acknowledged with its number", async () => {
  await using node = await start();
  await using ann = await enter(node.address, "ann", "r");
  await using bob = await enter(node.address, "bob", "r");
  await exchange(ann, 2, "SEND r 1 hello");
  assert.deepEqual(await exchange(ann, 1, "SEND r 1 hello"), ["ACK r 1 1"]);
  // On another connection of the same session too, but not for another client with this id.
  const again = await enter(node.address, "ann", "r");
  assert.deepEqual(await exchange(again, 1, "SEND r 1 hello"), ["ACK r 1 1"]);
  await again.close();
  const other = await exchange(bob, 3, "SEND r 1 mine");
  assert.deepEqual(other, ["ACK r 1 2", "MSG r 1 ann hello", "MSG r 2 bob mine"]);
  assert.equal(node.counters().duplicates, 2);
});

test("a text has any bytes, over lines and over WebSocket", async () => {
  await using node = await start({ webSocket: any });
  await using ann = await enter(node.address, "ann", "r");
  const { client: bob, received, until } = webClient(node);
  await until(1);
  bob.send("NICK bob s");
  bob.send(Buffer.from("JOIN r"));
  await until(3);
  assert.deepEqual(
    received.splice(0).map(([data, binary]) => [data.toString(), binary]),
    [
      ["* welcome chat", false],
      ["NICK bob s", false],
      ["JOIN r 0", false],
    ],
  );
  // Each byte but LF; a CR before the LF of a line belongs to the end of the line.
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => byte !== 10));
  await ann.write(Buffer.concat([Buffer.from("SEND r 1 "), bytes, Buffer.from("\r\n")]));
  await until(1);
  assert.deepEqual(received.splice(0), [[Buffer.concat([Buffer.from("MSG r 1 ann "), bytes]), true]]);
  assert.equal(await ann.readLine(), "ACK r 1 1");
  assert.deepEqual(await ann.readUntil("\n"), Buffer.concat([Buffer.from("MSG r 1 ann "), bytes, Buffer.from("\n")]));
  bob.send(Buffer.concat([Buffer.from("SEND r 1 "), bytes, Buffer.from("\r")]));
  const line = await ann.readUntil("\n");
  assert.deepEqual(line, Buffer.concat([Buffer.from("MSG r 2 bob "), bytes, Buffer.from("\r\n")]));
  await until(2);
  received.splice(0);
  bob.send("SEND r 2 caf\u00e9");
  assert.equal(await ann.readLine(), "MSG r 3 bob caf\u00e9");
  bob.send("SEND r 3 two\nlines");
  bob.send("QUIT");
  const [code] = (await once(bob, "close")) as [number];
  assert.equal(code, 1000);
  assert.deepEqual(
    received.map(([data, binary]) => [data.toString(), binary]),
    [
      ["ACK r 2 3", false],
      ["MSG r 3 bob caf\u00e9", false],
      ["ERR malformed a command is one line", false],
    ],
  );
});

test("a malformed line is answered with ERR, and the client goes on", async () => {
  await using node = await start({ maxRooms: 3, session: { maxRooms: 2 } });
  await using stream = await connect(node.address);
  assert.equal(await stream.readLine(), "* welcome chat");
  const answers: [string, RegExp][] = [
    ["", /^ERR unknown /],
    ["HELLO", /^ERR unknown /],
    ["nick ann", /^ERR unknown /],
    [" NICK ann", /^ERR unknown /],
    ["\u0000\u0001\u00ff", /^ERR unknown /],
    ["JOIN r", /^ERR no-nick /],
    ["SEND r 1 text", /^ERR no-nick /],
    ["NICK", /^ERR malformed .*nickname/],
    ["NICK ", /^ERR malformed .*nickname/],
    ["NICK two words more", /^ERR malformed .*too many/],
    ["NICK \u00e4", /^ERR malformed .*nickname/],
    [`NICK ${"x".repeat(33)}`, /^ERR malformed .*nickname/],
    ["NICK ann a.b", /^ERR malformed .*session/],
    ["NICK ann  s", /^ERR malformed /],
    ["NICK ann", /^NICK ann [0-9a-f]{24}$/],
    ["NICK bob", /^ERR nick-known /],
    ["JOIN", /^ERR malformed .*room/],
    ["JOIN a.b", /^ERR malformed .*room/],
    ["JOIN *", /^ERR malformed .*room/],
    ["JOIN >", /^ERR malformed .*room/],
    ["JOIN r -1", /^ERR malformed .*number/],
    ["JOIN r 01", /^ERR malformed .*number/],
    ["JOIN r 1e3", /^ERR malformed .*number/],
    ["JOIN r 9999999999999999", /^ERR malformed .*number/],
    ["JOIN r 1 2", /^ERR malformed .*too many/],
    ["SEND r 1 text", /^ERR not-joined /],
    ["LEAVE r", /^ERR not-joined /],
    ["JOIN r", /^JOIN r 0$/],
    ["JOIN r", /^ERR joined /],
    ["JOIN s", /^JOIN s 0$/],
    ["JOIN t", /^ERR too-many-rooms /],
    ["SEND", /^ERR malformed /],
    ["SEND r", /^ERR malformed /],
    ["SEND r 1", /^ERR malformed /],
    ["SEND r 1 ", /^ERR malformed /],
    ["SEND r  text", /^ERR malformed /],
    ["SEND r a.b text", /^ERR malformed .*id/],
    [`SEND r ${"1".repeat(65)} text`, /^ERR malformed .*id/],
    ["QUIT now", /^ERR malformed /],
    ["PING", /^PONG$/],
  ];
  for (const [command, answer] of answers) {
    const [line] = await exchange(stream, 1, command);
    assert.match(line!, answer, `the answer to ${JSON.stringify(command)}`);
  }
  assert.equal(node.counters().messages, 0);
  await using other = await enter(node.address, "other", "t");
  assert.match((await exchange(other, 1, "JOIN u"))[0]!, /^ERR full /);
});

test("a line that is too long ends the connection, over WebSocket with 1009", async () => {
  await using node = await start({ webSocket: any });
  const longest = `SEND r 1 ${"x".repeat(MAX_LINE - 9)}`;
  await using ann = await enter(node.address, "ann", "r");
  assert.match((await exchange(ann, 2, longest))[0]!, /^ACK r 1 1/);
  await ann.write(`${longest}x\n`);
  assert.equal(await readToEnd(ann), `end:ERR too-long a line has at most ${MAX_LINE} bytes\n`);
  // Without an end, and much longer.
  await using bob = await enter(node.address, "bob");
  await bob.write("x".repeat(100_000));
  assert.equal(await readToEnd(bob), `end:ERR too-long a line has at most ${MAX_LINE} bytes\n`);
  const { client: eve, until } = webClient(node);
  await until(1);
  eve.send(`${longest}x`);
  assert.equal(((await once(eve, "close")) as [number])[0], 1009);
  // A request that does not ask for WebSocket.
  await using http = await connect(node.webSocketAddress!);
  await http.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.match((await http.readLine())!, /^HTTP\/1\.1 426 /);
});

test("a client that ends in the middle of a line, or resets, is removed, and the node continues", async () => {
  const events: LogEvent[] = [];
  await using node = await start({ log: (event) => events.push(event) });
  await using ann = await enter(node.address, "ann", "r");
  const half = await enter(node.address, "half", "r");
  await half.write("SEND r 1 hal");
  await half.closeWrite();
  assert.equal(await half.readLine(), null);
  await half.close();
  const reset = await enter(node.address, "reset", "r");
  reset.abort();
  const gone = (): number => events.filter(({ event }) => event === "disconnected").length;
  while (gone() < 2) await exchange(ann, 1, "PING");
  assert.deepEqual(await exchange(ann, 2, "SEND r 1 still here"), ["ACK r 1 1", "MSG r 1 ann still here"]);
  assert.equal(node.counters().clients, 1);
});

test("a flood is read no faster than its rate, and the others are served meanwhile", async () => {
  const rate = 200;
  await using node = await start({ session: { rate } });
  await using ann = await enter(node.address, "ann", "quiet");
  await using flooder = await enter(node.address, "eve", "loud");
  const began = performance.now();
  // More than all buffers on the way hold, so the write waits until the node reads.
  const commands: string[] = [];
  for (let id = 0; id < 4000; id++) commands.push(`SEND loud ${id} ${"x".repeat(4000)}\n`);
  const flood = flooder.write(commands.join("")).catch(() => undefined);
  void (async () => {
    for await (const chunk of flooder) void chunk;
  })().catch(() => undefined);
  for (let turn = 1; turn <= 50; turn++) {
    const [receipt, message] = await exchange(ann, 2, `SEND quiet ${turn} x`);
    assert.deepEqual([message, receipt], [`MSG quiet ${turn} ann x`, `ACK quiet ${turn} ${turn}`]);
  }
  const taken = node.counters().messages - 50;
  const allowed = rate + ((performance.now() - began) * rate) / 1000;
  assert.ok(taken > 0 && taken <= allowed + 1, `${taken} messages, allowed ${allowed}`);
  assert.ok(flooder.outbox.bytes > 1_000_000, "the flood does not wait");
  flooder.abort();
  await flood;
});

test("a client that never reads is cut; the others get all, and it goes on after its last message", async () => {
  const events: LogEvent[] = [];
  await using node = await start({
    maxOutbox: 100_000,
    memory: { maxBytes: 1 << 26, maxMessages: 100_000 },
    session: { rate: 1_000_000 },
    log: (event) => events.push(event),
    webSocket: any,
  });
  await using ann = await enter(node.address, "ann", "r");
  await using slow = await enter(node.address, "slow", "r");
  const { client: slowSocket, until } = webClient(node);
  await until(1);
  slowSocket.send("NICK slow-ws");
  slowSocket.send("JOIN r");
  await until(3);
  slowSocket.pause();
  await using reader = await enter(node.address, "reader", "r");
  const cut = (): number => events.filter(({ event }) => event === "slow").length;
  let sent = 0;
  while (cut() < 2) {
    sent++;
    const answer = await exchange(ann, 2, `SEND r ${sent} ${"x".repeat(4000)}`);
    assert.equal(answer[0], `ACK r ${sent} ${sent}`);
    assert.match((await reader.readLine())!, new RegExp(`^MSG r ${sent} ann x+$`));
  }
  assert.equal(node.counters().slow, 2);
  // It reads what is in its buffers, and then the reset.
  let last = 0;
  await assert.rejects(
    async () => {
      for await (const line of slow.lines()) last = Number(/^MSG r (\d+) /.exec(line)?.[1] ?? last);
    },
    { code: "ECONNRESET" },
  );
  assert.ok(last < sent);
  slowSocket.terminate();
  await using back = await enter(node.address, "slow");
  await back.write(`JOIN r ${last}\n`);
  assert.equal(await back.readLine(), `JOIN r ${last}`);
  for (let number = last + 1; number <= sent; number++) {
    assert.match((await back.readLine())!, new RegExp(`^MSG r ${number} `));
  }
});

test("a drain finishes the running command, sends the notice, and appears in /readyz", async () => {
  await using node = await start({ webSocket: any, health: any });
  const { port } = node.healthAddress as { port: number };
  assert.deepEqual([await statusOf(port, "/readyz"), await statusOf(port, "/healthz")], [200, 200]);
  await using ann = await enter(node.address, "ann", "r");
  const { client: bob, until } = webClient(node);
  await until(1);
  await using idle = await connect(node.webSocketAddress!);
  await idle.write("GET / HTTP/1.1\r\n");
  const notice = once(bob, "message") as Promise<[Buffer]>;
  const closed = once(bob, "close") as Promise<[number]>;
  const drained = node.drain({ delay: 300 });
  assert.deepEqual([await statusOf(port, "/readyz"), await statusOf(port, "/healthz")], [503, 200]);
  // New clients are served until the delay is over.
  assert.equal((await exchange(ann, 2, "SEND r 1 last"))[0], "ACK r 1 1");
  assert.match((await ann.readLine())!, /^\* goaway /);
  assert.equal(await ann.readLine(), null);
  await ann.close();
  assert.match((await notice)[0].toString(), /^\* goaway /);
  assert.equal((await closed)[0], 1001);
  await drained;
  await assert.rejects(connect(node.address), { code: "ECONNREFUSED" });
});

test("with a proxy, the log has the address of the header; other connections are refused", async () => {
  const events: LogEvent[] = [];
  await using node = await start({ proxies: ["127.0.0.1/32"], webSocket: any, log: (event) => events.push(event) });
  const [source, destination] = [new InetAddress("192.0.2.7", 4242), new InetAddress("192.0.2.1", 8888)];
  const header = encodeProxyHeader({ version: 2, source, destination });
  await using proxied = await connect(node.address);
  await proxied.write(Buffer.concat([header, Buffer.from("NICK ann s\n")]));
  assert.deepEqual([await proxied.readLine(), await proxied.readLine()], ["* welcome chat", "NICK ann s"]);
  assert.equal(events.find(({ event }) => event === "connected")!["client"], "192.0.2.7:4242");
  await using bare = await connect(node.address);
  await bare.write("NICK ann s\n");
  assert.match(await readToEnd(bare), /^ECONNRESET$/);
  await using foreign = await connect(node.address, { localAddress: ["127.0.0.2", 0] });
  assert.match(await readToEnd(foreign), /^ECONNRESET$/);
  await using web = await connect(node.webSocketAddress!);
  await web.write(Buffer.concat([header, Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")]));
  assert.match((await web.readLine())!, /^HTTP\/1\.1 426 /);
  assert.deepEqual(
    events.filter(({ event }) => event === "refused").map(({ reason }) => reason),
    ["proxyProtocol", "proxyProtocol"],
  );
});

test("ChatClient goes on after its node has ended", async () => {
  const received: string[] = [];
  const gaps: unknown[] = [];
  let node = await start();
  const endpoint = node.address;
  await using client = new ChatClient(endpoint, {
    nick: "ann",
    retry: { minDelay: 5, maxDelay: 20 },
    onMessage: ({ number, text }) => received.push(`${number} ${text.toString()}`),
    onGap: (...gap) => gaps.push(gap),
  });
  await client.join("r");
  await assert.rejects(client.join("r"), /joined r already/);
  await assert.rejects(client.send("r", "two\nlines"), RangeError);
  await assert.rejects(client.send("other", "text"), /not-joined/);
  assert.equal(await client.send("r", "one"), 1);
  await node.drain();
  const waiting = client.send("r", "two");
  assert.equal(client.stats().pending, 1);
  node = await start({ lines: endpoint });
  // The memory of the new node begins again, and the client gets to know.
  assert.equal(await waiting, 1);
  while (received.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(received, ["1 one", "1 two"]);
  assert.deepEqual(gaps, [["r", 1, 0]]);
  const pending = client.send("r", "three");
  await client.close();
  await assert.rejects(pending, /closed/);
  await node.close();
});

test("ChatClient fails when its nickname is refused, and limits the messages that wait", async () => {
  await using node = await start();
  const wrong = new ChatClient(node.address, { nick: "two words more" });
  await assert.rejects(wrong.join("r"), /NICK has too many words \(malformed\)/);
  await assert.rejects(wrong.send("r", "text"), /NICK has too many words/);
  await assert.rejects(wrong.close(), /NICK has too many words/);
  await using ann = new ChatClient(node.address, { nick: "ann", maxPending: 2 });
  await ann.join("r");
  const sent = [ann.send("r", "1"), ann.send("r", "2")];
  await assert.rejects(ann.send("r", "3"), /2 messages wait/);
  assert.deepEqual(await Promise.all(sent), [1, 2]);
});

test("main.js is a node: SIGTERM drains it, and it ends with status 0", async () => {
  await using node = await NodeProgram.start("one", "--drain-delay", "0");
  await using ann = await connect(["127.0.0.1", node.lines]);
  assert.equal(await ann.readLine(), "* welcome one");
  assert.equal(await statusOf(node.health, "/readyz"), 200);
  const page = await fetch(`http://127.0.0.1:${node.health}/metrics`);
  const text = await page.text();
  for (const line of ["chat_clients 1", "chat_messages_total 0", `berkeley_server_connections{server="lines"} 1`]) {
    assert.ok(text.includes(`${line}\n`), line);
  }
  const web = new WebSocket(`ws://127.0.0.1:${node.webSocket}/`);
  await once(web, "message");
  const closed = once(web, "close");
  node.program.kill("SIGTERM");
  assert.match(await readToEnd(ann), /^end:\* goaway /);
  await ann.close();
  await closed;
  const { status, stderr } = await node.program.ended;
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

test(
  "a WebSocket connection whose PROXY header comes after the begin of a drain ends at once",
  { timeout: 10_000 },
  async () => {
    const node = await start({ proxies: ["127.0.0.1/32"], webSocket: any });
    const [source, destination] = [new InetAddress("192.0.2.7", 4242), new InetAddress("192.0.2.1", 8888)];
    const header = encodeProxyHeader({ version: 2, source, destination });
    await using late = await connect(node.webSocketAddress!);
    await late.write(header.subarray(0, 5));
    // A connection that came after it is served, so it was accepted.
    await using other = await connect(node.webSocketAddress!);
    await other.write(Buffer.concat([header, Buffer.from("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")]));
    assert.match((await other.readLine())!, /^HTTP\/1\.1 426 /);
    await other.close();
    const drained = node.drain({ timeout: 60_000 });
    await late.write(header.subarray(5));
    assert.match(await readToEnd(late), /^(?:end:|ECONNRESET)$/);
    await late.close();
    await drained;
  },
);
