// The findings of the inspector. This file has each fault on purpose, and the inspector reports its name and line.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setImmediate as immediate, setTimeout as after } from "node:timers/promises";
import { AF_INET, connect, listen, MSG_DONTWAIT, Socket, socketpair } from "berkeley";
import { type Finding, type Inspector, type SocketReport, startInspector } from "berkeley/inspect";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const HERE = /findings\.test\.(js|ts):\d+:\d+$/;

/** Asks until a socket has a finding of this kind. */
async function found(
  inspector: Inspector,
  kind: Finding["kind"],
): Promise<{ readonly row: SocketReport; readonly text: string }> {
  for (let turn = 0; turn < 300; turn++) {
    for (const row of inspector.sockets()) {
      const finding = row.findings.find((one) => one.kind === kind);
      if (finding !== undefined) return { row, text: finding.text };
    }
    await after(20);
  }
  return assert.fail(`nothing is flagged as ${kind}: ${JSON.stringify(inspector.sockets())}`);
}

test("a socket that the program has lost is flagged as a leak, with the line that made it", async () => {
  await using inspector = await startInspector();
  let warned = false;
  process.once("warning", () => (warned = true));
  ((): void => void new Socket())();
  // Sockets that were made a moment ago are still in the list of new sockets (sys/leakDetection.ts).
  for (let turn = 0; !warned && turn < 300; turn++) {
    await after(20);
    globalThis.gc!();
  }
  const { row, text } = await found(inspector, "leak");
  assert.equal(row.state, "closed");
  assert.match(row.line ?? "", HERE);
  assert.match(text, /^The program lost its last reference to this socket .*findings\.test\.(js|ts):\d+:\d+$/);
});

test("many open sockets of one line that nothing waits on are flagged as a leak", async () => {
  await using inspector = await startInspector({ closeAfter: 50 });
  const sockets = Array.from({ length: 20 }, () => new Socket());
  const { row, text } = await found(inspector, "leak");
  assert.match(text, /^At least 16 sockets of one line are open and idle, and no call waits on them; made at /);
  assert.match(row.line ?? "", HERE);
  for (const socket of sockets) socket.close();
  assert.deepEqual(inspector.sockets(), []);
});

test("a socket whose peer has closed, and that the program keeps, is flagged as a leak", async () => {
  await using inspector = await startInspector({ closeAfter: 50 });
  await using listener = await listen("tcp://127.0.0.1:0");
  const client = await connect(listener.address);
  const server = await listener.accept();
  await client.close();
  const { row, text } = await found(inspector, "leak");
  assert.equal(row.state, "CLOSE_WAIT");
  assert.match(text, /^The peer closed the connection more than .* ago, and the program has not closed this socket/);
  await server.close();
});

test("a peer that does not read is flagged as stalled, with the bytes in the queue", async () => {
  await using inspector = await startInspector({ stalledAfter: 100 });
  await using listener = await listen("tcp://127.0.0.1:0");
  const client = await connect(listener.address);
  const server = await listener.accept();
  const written = client.write(Buffer.alloc(16 << 20)).catch(() => undefined);
  const { row, text } = await found(inspector, "stalled");
  assert.ok(row.sendQueue! > 0);
  assert.deepEqual(
    row.pending.map(({ call }) => call),
    ["send"],
  );
  assert.match(row.pending[0]!.line ?? "", HERE);
  assert.match(
    text,
    /^[\d.]+ [kM]B in the send queue have not moved for more than .*: the peer does not read; made at /,
  );
  await client.close();
  await server.close();
  await written;
});

test("a listener whose accept queue overflows is flagged, with its figures", async () => {
  await using inspector = await startInspector();
  using listener = new Socket(AF_INET);
  await listener.bind(["127.0.0.1", 0]);
  listener.listen(1);
  const clients = Array.from({ length: 6 }, () => new Socket());
  const address = listener.getsockname();
  const waits = clients.map((client) => client.connect(address).catch(() => undefined));
  const { row, text } = await found(inspector, "overflow");
  assert.deepEqual(row.acceptQueue, { length: 2, limit: 1 });
  assert.equal(row.state, "LISTEN");
  assert.match(row.line ?? "", HERE);
  assert.match(text, /^The queue is full: 2 connections wait in the accept queue, whose limit is 1/);
  for (const client of clients) client.close();
  await Promise.all(waits);
});

test("a loop of calls that find nothing is flagged as busy, with the call and its line", async () => {
  await using inspector = await startInspector();
  const [left, right] = socketpair();
  inspector.sockets();
  const end = performance.now() + 400;
  while (performance.now() < end) {
    for (let turn = 0; turn < 100; turn++) await left.recv(1, { flags: MSG_DONTWAIT }).catch(() => undefined);
    await immediate();
  }
  const { text } = await found(inspector, "busy");
  assert.match(
    text,
    /^\d+ calls in a second moved no bytes \(such as recv at .*findings\.test\.(js|ts):\d+:\d+\), and 0 moved bytes: /,
  );
  left.close();
  right.close();
});

test("a socket that has moved nothing for long is idle, and says nothing wrong before", async () => {
  await using inspector = await startInspector({ idleAfter: 100 });
  const [left, right] = socketpair();
  const received = left.recv(1);
  assert.deepEqual(
    inspector.sockets().map(({ findings }) => findings),
    [[], []],
  );
  const { text } = await found(inspector, "idle");
  assert.match(text, /^No call has moved a byte for more than \d+ ms; made at /);
  right.close();
  await received;
  left.close();
});

test("a program with a leak prints it by the inspector of --import, without a change of its code", async () => {
  const program = `
    import { Socket } from "berkeley";
    import { sockets } from "berkeley/inspect";
    globalThis.kept = Array.from({ length: 3 }, () => new Socket());
    console.log(JSON.stringify(sockets().map(({ line, state }) => [line !== null, state])));
  `;
  const child = spawn(process.execPath, ["--import", "berkeley/inspect", "--input-type=module", "--eval", program], {
    cwd: new URL("../..", import.meta.url),
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  });
  const output = { out: "", err: "" };
  child.stdout.on("data", (chunk) => (output.out += String(chunk)));
  child.stderr.on("data", (chunk) => (output.err += String(chunk)));
  const [status] = (await once(child, "close")) as [number];
  assert.equal(status, 0, output.err);
  assert.equal(JSON.parse(output.out).length, 3);
  assert.match(
    output.err,
    /^berkeley: the inspector of process \d+ is at http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{32}\n/,
  );
});
