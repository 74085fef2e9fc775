// A smoke test of each entry of the installed package. It runs outside of the repository, so it is plain JavaScript and
// imports only "berkeley" and Node's modules.
import assert from "node:assert/strict";
import { AF_INET, bindUdp, connect, connectUdp, listen, SOCK_STREAM, Socket, SocketError, TCP_NODELAY } from "berkeley";
import * as sync from "berkeley/sync";
import { Capture } from "berkeley/pcapng";
import { memoryPair } from "berkeley/testing";
import { sockets as inspected } from "berkeley/inspect";
import { connect as wintertcConnect } from "berkeley/wintertc";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

async function sockets() {
  const server = new Socket(AF_INET, SOCK_STREAM);
  await server.bind("127.0.0.1:0");
  server.listen(5);
  const client = new Socket(AF_INET, SOCK_STREAM);
  await client.connect(server.getsockname());
  client.setsockopt(TCP_NODELAY, true);
  const [conn] = await server.accept();
  await client.sendAll("Hello, Server");
  assert.equal((await conn.recv(1024)).toString(), "Hello, Server");
  await assert.rejects(
    conn.recv(10, { timeout: 5 }),
    (error) => error instanceof SocketError && error.code === "ETIMEDOUT",
  );
  for (const socket of [server, client, conn]) socket.close();
}

async function streams() {
  const listener = await listen("tcp://127.0.0.1:0");
  const accepted = listener.accept();
  const stream = await connect(`tcp://${listener.address}`);
  const peer = await accepted;
  await stream.write("one line\n");
  assert.equal(await peer.readLine(), "one line");
  for (const one of [stream, peer, listener]) await one.close();
}

async function datagrams() {
  const server = await bindUdp("udp://127.0.0.1:0");
  const client = await connectUdp(`udp://${server.address}`);
  await client.send("ping");
  const packet = await server.receive();
  assert.equal(packet.data.toString(), "ping");
  await server.close();
  await client.close();
}

function blocking() {
  const [left, right] = sync.socketpair();
  left.sendAll("no await");
  assert.equal(right.recv(100).toString(), "no await");
  left.close();
  right.close();
}

async function otherEntries() {
  const [near, far] = memoryPair();
  await near.write(Buffer.from("memory"));
  const bytes = Buffer.alloc(10);
  assert.equal(await far.read(bytes), 6);
  await near.close();
  await far.close();
  assert.equal(typeof wintertcConnect, "function");
  assert.throws(() => inspected(), /the inspector does not run/);
  let blocks = 0;
  new Capture({ write: () => blocks++ }).addInterface();
  assert.equal(blocks, 2);
}

function allMaps() {
  const chunks = new URL("./chunks/", import.meta.resolve("berkeley"));
  const names = readdirSync(chunks).filter((name) => name.endsWith(".map"));
  return names.map((name) => JSON.parse(readFileSync(new URL(name, chunks), "utf8")));
}

/** A stack trace leads to src/, and the map has its text. */
function maps() {
  const entry = fileURLToPath(import.meta.resolve("berkeley"));
  const chunk = /from\s*"(\.\/chunks\/[^"]+)"/.exec(readFileSync(entry, "utf8"))[1];
  const map = JSON.parse(readFileSync(new URL(`${chunk}.map`, import.meta.resolve("berkeley")), "utf8"));
  assert.ok(
    map.sources.every((source) => /^(\.\.\/)+src\/.*\.ts$/.test(source)),
    map.sources[0],
  );
  assert.equal(map.sourcesContent.length, map.sources.length);
  assert.ok(map.sourcesContent.every((text) => text.trim() !== ""));
  const program =
    'import("berkeley").then(({ listen }) => listen({ port: -1 })).catch(({ stack }) => process.stdout.write(stack))';
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const args = ["--enable-source-maps", "--input-type=module", "-e", program];
  const stack = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" }).stdout;
  const [, source, line] = /at listen \(.*\/(src\/.*\.ts):(\d+):/.exec(stack) ?? assert.fail(stack);
  const text = allMaps().find(({ sources }) => sources.some((path) => path.endsWith(source)));
  const content = text.sourcesContent[text.sources.findIndex((path) => path.endsWith(source))];
  assert.match(content.split("\n")[Number(line) - 1], /parseLocalEndpoint\(/);
}

async function worker() {
  const code = `
    import("berkeley").then(async ({ socketpair }) => {
      const [left, right] = socketpair();
      setImmediate(() => left.sendAll("from a worker"));
      require("node:worker_threads").parentPort.postMessage((await right.recv(100)).toString());
      left.close();
      right.close();
    });`;
  const thread = new Worker(code, { eval: true });
  const said = await new Promise((resolve, reject) => thread.once("message", resolve).once("error", reject));
  assert.equal(said, "from a worker");
  await thread.terminate();
}

maps();
await sockets();
await streams();
await datagrams();
blocking();
await otherEntries();
await worker();
console.log(`smoke: all entries work under ${process.version}`);
