// pending(): the calls that wait, and the lines that made them while tracing is on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { Worker } from "node:worker_threads";
import {
  AF_INET,
  bindUdp,
  connect,
  forward,
  getaddrinfo,
  isTracing,
  listen,
  pending,
  poll,
  POLLIN,
  pump,
  setTracing,
  SHUT_WR,
  SOCK_STREAM,
  Socket,
  socketpair,
  type WaitingCall,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { everyKind, serving, tlsPair, trusting } from "../tls/support.js";

checkLeaks();

const names = (calls: readonly WaitingCall[] = pending()): string[] =>
  calls.map(({ call, object }) => `${call} ${object.kind}`);

test("pending() lists the calls of each queue with object, age and whether they keep the process alive", async () => {
  assert.deepEqual(pending(), []);
  const before = Date.now();
  const [left, right] = socketpair();
  const received = left.recv(10);
  const [call] = pending();
  assert.ok(call !== undefined && pending().length === 1);
  assert.deepEqual([call.call, call.keepsAlive, call.line], ["recv", true, undefined]);
  // Neither side notices a millisecond of rounding.
  assert.ok(call.since >= before - 2 && call.since <= Date.now() + 2 && call.waited >= 0);
  assert.deepEqual(call.object, left.toJSON());
  assert.deepEqual(JSON.parse(JSON.stringify(call)), JSON.parse(JSON.stringify(call.toJSON())));
  assert.match(inspect(call), /^WaitingCall \{ call: recv, object: Socket \{ fd: \d+, .*\}, since: \d+, waited: \d+, /);
  left.unref();
  assert.equal(pending()[0]?.keepsAlive, false);
  left.ref();
  await right.sendAll("x");
  await received;
  assert.deepEqual(pending(), []);
  left.close();
  right.close();
});

test("a call that ends in any way leaves the list: deadline, abort, close, error", async () => {
  const [left, right] = socketpair();
  const control = new AbortController();
  const calls = [left.recv(1, { timeout: 1 }), left.recv(1, { signal: control.signal }), left.recv(1)];
  assert.equal(pending().length, 3);
  await assert.rejects(calls[0]!, { code: "ETIMEDOUT" });
  assert.equal(pending().length, 2);
  control.abort();
  await assert.rejects(calls[1]!);
  assert.equal(pending().length, 1);
  left.close();
  await assert.rejects(calls[2]!, { code: "ECANCELED" });
  assert.deepEqual(pending(), []);
  right.close();
});

test("pending() lists listeners, streams, UDP sockets, forwarders, poll(), pump() and lookups", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const accepting = listener.accept();
  assert.deepEqual(names(), ["accept Socket"]);
  const client = await connect(`tcp://${String(listener.address)}`);
  const server = await accepting;
  const line = server.readLine();
  const broken = client.whenBroken();
  // Calls of one millisecond are listed in any order.
  assert.deepEqual(names().sort(), ["poll Descriptor", "recv Socket"]);
  for (const { call, keepsAlive } of pending()) {
    assert.equal(keepsAlive, call === "recv", "whenBroken() keeps nothing alive");
  }
  await client.write("\n");
  await line;

  const udp = await bindUdp("udp://127.0.0.1:0");
  const packet = udp.receive();
  const [left, right] = socketpair();
  const polled = poll([{ socket: left, events: POLLIN }]);
  const forwarder = await forward("tcp://127.0.0.1:0", "tcp://127.0.0.1:1");
  const lookup = getaddrinfo("127.0.0.1", 80);
  const expected = ["accept Socket", "getaddrinfo Lookup", "poll Descriptor", "poll Pollset", "recvfrom Socket"];
  assert.deepEqual(names().sort(), expected);
  const found = pending().find(({ call }) => call === "getaddrinfo");
  assert.deepEqual(found?.object, { kind: "Lookup", host: "127.0.0.1", callers: 1 });
  await lookup;
  await forwarder.close();
  await right.sendAll("x");
  await polled;
  await left.recv(1);
  await udp.close();
  await assert.rejects(packet);

  const [a, b] = socketpair();
  const moving = pump(left, a);
  assert.equal(names().filter((name) => name === "splice Socket").length, 2);
  right.shutdown(SHUT_WR);
  b.shutdown(SHUT_WR);
  await moving;
  for (const one of [left, right, a, b]) one.close();
  await client.close();
  await assert.rejects(broken);
  await server.close();
  await listener.close();
  assert.deepEqual(pending(), []);
});

test("pending() lists a connect that waits, and a call that waits only for its turn", async () => {
  const listener = new Socket(AF_INET, SOCK_STREAM);
  await listener.bind("127.0.0.1:0");
  listener.listen(0);
  // The accept queue of a backlog of 0 holds one connection. The next one waits for its handshake.
  const clients = Array.from({ length: 4 }, () => new Socket(AF_INET, SOCK_STREAM));
  const connecting = clients.map((client) => client.connect(listener.getsockname()).catch(() => undefined));
  assert.ok(names().includes("connect Socket"));
  for (const client of clients) client.close();
  await Promise.all(connecting);
  listener.close();

  const [left, right] = socketpair();
  const sends: Promise<number>[] = [];
  // More calls than the budget of a turn.
  for (let i = 0; i < 2000 && pending().length === 0; i++) sends.push(left.send("x"));
  assert.equal(names()[0], "send Socket");
  await Promise.all(sends);
  left.close();
  right.close();
  assert.deepEqual(pending(), []);
});

for (const [name, pair] of Object.entries(everyKind)) {
  test(`pending() lists the read of a TLS connection ${name}`, async () => {
    const [client, server] = await tlsPair(pair, trusting(), serving());
    const read = client.read(new Uint8Array(9));
    // The layers below TLS have calls of their own.
    assert.ok(names().includes("read TlsConn"));
    await server.write("x");
    await read;
    await Promise.all([client.close(), server.close()]);
    assert.deepEqual(pending(), []);
  });
}

test("a connection in JavaScript is listed while a timer holds it, and only then", async () => {
  const [a, b] = memoryPair();
  const untimed = a.read(new Uint8Array(1));
  assert.deepEqual(pending(), []);
  const timed = b.read(new Uint8Array(1), { timeout: 60_000 });
  assert.deepEqual(names(), ["read Conn"]);
  b.unref();
  assert.equal(pending()[0]?.keepsAlive, false);
  await a.close();
  await assert.rejects(untimed);
  assert.equal(await timed, 0);
  assert.deepEqual(pending(), []);
  await b.close();
});

test("with tracing a call has the line that made it; calls that were there before have none", async () => {
  assert.equal(isTracing(), false);
  const [left, right] = socketpair();
  const before = left.recv(1);
  assert.equal(setTracing(true), false);
  assert.equal(isTracing(), true);
  const [near, far] = socketpair();
  const stream = near.stream();
  const traced = stream.readLine();
  const after = right.recv(1);
  const lineOf = (socket: Socket): string | undefined => {
    const { fd } = socket.toJSON();
    return pending().find(({ object }) => "fd" in object && object.fd === fd)?.line;
  };
  assert.equal(pending().length, 3);
  assert.equal(lineOf(left), undefined);
  const lines = pending().flatMap(({ line }) => line ?? []);
  assert.equal(lines.length, 2);
  for (const line of lines) assert.match(line, /test\/registry\/pending\.test\.(js|ts):\d+:\d+$/);
  assert.notEqual(lines[0], lines[1]);
  assert.equal(setTracing(false), true);
  assert.ok(
    pending().every(({ line }) => line === undefined),
    "off, the registry has forgotten the lines",
  );
  await stream.close();
  far.close();
  await assert.rejects(traced);
  left.close();
  right.close();
  await assert.rejects(before);
  await assert.rejects(after);
});

test("setTracing() refuses a value that is not a boolean", () => {
  assert.throws(() => setTracing(1 as unknown as boolean), {
    name: "TypeError",
    message: "Cannot set tracing: on is 1, required true or false",
  });
});

test("the line of an async caller is found through an await in the package", async () => {
  setTracing(true);
  const listener = await listen("tcp://127.0.0.1:0");
  const loop = (async () => {
    for await (const stream of listener) await stream.close();
  })();
  await Promise.resolve();
  assert.match(pending()[0]?.line ?? "", /pending\.test\.(js|ts):\d+:\d+$/);
  setTracing(false);
  await listener.close();
  await loop;
});

const waitingProgram = `
  import { pending, socketpair } from "berkeley";
  const [left, right] = socketpair();
  const received = left.recv(1);
  const [call] = pending();
  console.log(call.call, String(call.line).replace(/:\\d+:\\d+$/, ""));
  right.close();
  await received;
  left.close();
`;

test("BERKELEY_TRACE=1 turns tracing on from the start", async () => {
  for (const [value, expected] of [
    ["1", /^recv \S+$/],
    ["0", /^recv undefined$/],
  ] as const) {
    await using program = new Program(process.execPath, ["--input-type=module", "--eval", waitingProgram], {
      env: { BERKELEY_TRACE: value },
    });
    const { status, stdout, stderr } = await program.ended;
    assert.deepEqual([status, stderr], [0, ""]);
    assert.match(stdout.trim(), expected);
    if (value === "1") assert.notEqual(stdout.trim(), "recv undefined");
  }
});

test("a worker thread has a list and a tracing of its own", async () => {
  const [left, right] = socketpair();
  const received = left.recv(1);
  const source = `
    const { parentPort } = require("node:worker_threads");
    import("berkeley").then(async ({ isTracing, pending, socketpair }) => {
      const before = pending().length;
      const [left, right] = socketpair();
      const received = left.recv(1);
      parentPort.postMessage([before, isTracing(), pending().map(({ call }) => call)]);
      right.close();
      await received;
      left.close();
    });
  `;
  setTracing(true);
  const worker = new Worker(source, { eval: true });
  const message = new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  // The last message of a worker may come in one turn with its end.
  const ended = new Promise((resolve) => worker.once("exit", resolve));
  assert.deepEqual(await message, [0, false, ["recv"]]);
  await ended;
  setTracing(false);
  assert.deepEqual(names(), ["recv Socket"]);
  right.close();
  await received;
  left.close();
});
