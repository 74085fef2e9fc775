// The package's JavaScript evaluated several times in one process: two copies in node_modules, a test runner that
// resets its modules, workers. Copies of the compiled files play the other evaluations: with the same addon, as after a
// reset, or with an addon of their own.

import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import * as first from "berkeley";
import * as firstSync from "berkeley/sync";
import { checkLeaks, openDescriptors } from "../support/leaks.js";

type Package = typeof first;

const folder = mkdtempSync(join(tmpdir(), "berkeley-evaluations-"));
after(() => rmSync(folder, { recursive: true }));

// Each evaluation opens a poller.
checkLeaks({ pollers: 3 });

const entry = fileURLToPath(import.meta.resolve("berkeley"));
const compiled = dirname(entry);

/** The file of the addon that the first evaluation has loaded. */
function loadedAddon(): string {
  const found = /\/\S+\.node$/m.exec(readFileSync("/proc/self/maps", "utf8"));
  assert.ok(found, "no addon is loaded");
  return found[0];
}

/** A package of the same JavaScript; its addon is a copy, or a link to the one that is loaded. */
function copy(addon: "same addon" | "own addon"): { index: string; sync: string } {
  const place = join(folder, addon);
  const built = join(place, "build", "Release");
  cpSync(compiled, join(place, "lib"), { recursive: true, filter: (path) => !/\.(d\.ts|map)$/.test(path) });
  mkdirSync(built, { recursive: true });
  if (addon === "own addon") cpSync(loadedAddon(), join(built, "berkeley.node"));
  else symlinkSync(loadedAddon(), join(built, "berkeley.node"));
  writeFileSync(join(place, "package.json"), '{ "name": "berkeley", "type": "module" }');
  return { index: join(place, "lib", "index.js"), sync: join(place, "lib", "sync", "index.js") };
}

const copies = { "same addon": copy("same addon"), "own addon": copy("own addon") };

async function evaluate(path: string): Promise<Package> {
  return (await import(pathToFileURL(path).href)) as Package;
}

const descriptors = (): string[] => [...openDescriptors()].map(([fd, target]) => `${fd} ${target}`).sort();

/** Both ends echo while others do: returns what came. */
async function exchange(berkeley: Package, text: string): Promise<string> {
  const [left, right] = berkeley.socketpair();
  const received = right.recv(100);
  await left.sendAll(text);
  const data = await received;
  left.close();
  right.close();
  return data.toString();
}

for (const addon of ["same addon", "own addon"] as const) {
  test(`two evaluations wait side by side (${addon}), over TCP and on each other`, async () => {
    const second = await evaluate(copies[addon].index);
    assert.notEqual(second.Socket, first.Socket);
    const servers = [first, second].map((berkeley) => {
      const server = berkeley.create_server(["127.0.0.1", 0]);
      return { berkeley, server, accepted: server.then((socket) => socket.accept()) };
    });
    const [one, other] = await Promise.all(servers.map(({ server }) => server));
    // Each is the client of the other, so neither gets on without the other's events.
    const clients = [
      await second.create_connection(one!.getsockname()),
      await first.create_connection(other!.getsockname()),
    ];
    const accepted = await Promise.all(servers.map(({ accepted: conn }) => conn));
    const answers = clients.map((client) => client.recv(100));
    for (const [index, [conn]] of accepted.entries()) {
      const receiving = conn.recv(100);
      await clients[index]!.sendAll(`question ${index}`);
      await conn.sendAll(`answer to ${(await receiving).toString()}`);
    }
    assert.deepEqual((await Promise.all(answers)).map(String), ["answer to question 0", "answer to question 1"]);
    for (const socket of [one!, other!, ...clients, ...accepted.map(([conn]) => conn)]) socket.close();
  });

  test(`an evaluation accepts descriptors and addresses of objects of another one (${addon})`, async () => {
    const { index, sync } = copies[addon];
    const second = await evaluate(index);
    const secondSync = (await import(pathToFileURL(sync).href)) as typeof firstSync;
    const [left, right] = second.socketpair();

    const [sender, receiver] = first.socketpair();
    await first.send_fds(sender, "x", [left]);
    const [, received] = await first.recv_fds(receiver, 10, 1);
    const copied = first.Socket.fromfd(received.take()[0]!);
    await copied.sendAll("through a duplicate");
    assert.equal((await right.recv(100)).toString(), "through a duplicate");

    const server = await second.create_server(["127.0.0.1", 0]);
    const client = await first.create_connection(server.getsockname());
    assert.ok(first.isAddress(client.getpeername()));

    // Calls that use the queues of a socket require a socket of their own evaluation.
    const required = /is a Socket of another copy or entry of berkeley, required a Socket/;
    await assert.rejects(first.poll([{ socket: left, events: first.POLLIN }], { timeout: 0 }), required);
    // Only methods of the sender are called, so one of another evaluation is as good.
    await first.send_fds(left, "x", [sender]);
    (await second.recv_fds(right, 10, 1))[1].close();
    await assert.rejects(
      Promise.resolve().then(() => first.pump(copied, left)),
      required,
    );
    await assert.rejects(
      Promise.resolve().then(() => first.splice(left, copied)),
      required,
    );
    const [blocking, blockingPeer] = secondSync.socketpair();
    assert.throws(() => firstSync.poll([{ socket: blocking, events: first.POLLIN }], { timeout: 0 }), required);
    assert.throws(() => firstSync.splice(blocking, blockingPeer), required);
    assert.equal(firstSync.send_fds(blocking, "x", [sender]), 1);
    secondSync.recv_fds(blockingPeer, 10, 1)[1].close();
    // And its number is enough for poll.
    const ready = await first.poll([{ fd: left.fileno(), events: first.POLLOUT }]);
    assert.equal(ready[0]?.revents, first.POLLOUT);

    // Handed over, it works in the other evaluation.
    const taken = first.Socket.fromfd(left.detach());
    const waiting = taken.recv(100);
    await right.sendAll("to its new owner");
    assert.equal((await waiting).toString(), "to its new owner");
    for (const socket of [taken, right, sender, receiver, copied, server, client, blocking, blockingPeer])
      socket.close();
  });
}

test("evaluations in a worker wait side by side, and the end of the worker closes all of their pollers", async () => {
  const before = descriptors();
  const paths = [entry, copies["same addon"].index, copies["own addon"].index];
  for (const way of ["by itself", "terminated"]) {
    const worker = new Worker(
      `const { parentPort, workerData } = require("node:worker_threads");
       Promise.all(workerData.paths.map((path) => import(path))).then(async (packages) => {
         const pairs = packages.map(({ socketpair }) => socketpair());
         const received = pairs.map(([, right]) => right.recv(100));
         await Promise.all(pairs.map(([left], index) => left.sendAll("message " + index)));
         const texts = (await Promise.all(received)).map(String);
         const waiting = workerData.way === "terminated" ? pairs.map(([, right]) => right.recv(100)) : [];
         parentPort.postMessage(texts);
         await Promise.all(waiting);
       });`,
      { eval: true, workerData: { paths, way } },
    );
    // The last message of a worker may come in one turn with its end.
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    const texts = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
    assert.deepEqual(texts, ["message 0", "message 1", "message 2"]);
    if (way === "terminated") await worker.terminate();
    await ended;
    assert.deepEqual(descriptors(), before, way);
  }
});

test("a waiting call of one evaluation keeps the process alive, independently of the others", async () => {
  const second = await evaluate(copies["same addon"].index);
  assert.equal(await exchange(first, "first"), "first");
  assert.equal(await exchange(second, "second"), "second");
  const [left, right] = second.socketpair();
  const waiting = right.recv(100);
  // The poller of the first one is unreferenced in these turns.
  for (let turn = 0; turn < 5; turn++) {
    assert.equal(await exchange(first, `turn ${turn}`), `turn ${turn}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await left.sendAll("late");
  assert.equal((await waiting).toString(), "late");
  left.close();
  right.close();
});
