// Worker threads: the addon in several at once, and the cleanup at every kind of end of a worker.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { socketpair } from "berkeley";
import { checkLeaks, openDescriptors, POLLER_SIZE } from "../support/leaks.js";
import { Program } from "../support/program.js";

checkLeaks();

const start = (task: string, more: object = {}): Worker =>
  new Worker(new URL("./worker.js", import.meta.url), { workerData: { task, ...more } });

/** The sockets of this process. Node's own threads have none. */
function sockets(): string[] {
  return [...openDescriptors().values()].filter((target) => target.startsWith("socket:")).sort();
}

/** Everything but the descriptors that Node makes and ends when it likes. */
function descriptors(): string[] {
  return [...openDescriptors()].map(([fd, target]) => `${fd} ${target}`).sort();
}

const ended = (worker: Worker): Promise<number> => new Promise((resolve) => worker.once("exit", resolve));

test("several workers and the main thread echo over TCP at the same time", async () => {
  const before = descriptors();
  const rounds = 300;
  const workers = Array.from({ length: 6 }, () => start("echo", { rounds }));
  const results = Promise.all(workers.map(async (worker) => ((await once(worker, "message")) as [number])[0]));
  const exits = Promise.all(workers.map(ended));
  const [left, right] = socketpair();
  for (let i = 0; i < rounds; i++) {
    await left.sendAll(`${i}`);
    assert.equal((await right.recv(10)).toString(), `${i}`);
  }
  left.close();
  right.close();
  assert.deepEqual(
    await results,
    workers.map(() => rounds),
  );
  assert.deepEqual(
    await exits,
    workers.map(() => 0),
  );
  assert.ok(descriptors().length - before.length <= POLLER_SIZE, "at most the main thread's poller is new");
});

test("a worker that is terminated while it holds sockets, waits on them and on the resolver leaves no descriptor", async () => {
  const before = descriptors();
  for (let round = 0; round < 10; round++) {
    const worker = start("hold");
    await once(worker, "message");
    assert.ok(sockets().length >= 30, `${sockets().length} sockets`);
    await worker.terminate();
    assert.deepEqual(descriptors(), before, `round ${round}`);
  }
});

for (const task of ["spin", "churn", "flood"] as const) {
  test(`a worker that is terminated in the middle of its calls (${task}) leaves no descriptor`, async () => {
    const before = descriptors();
    for (let round = 0; round < 15; round++) {
      const worker = start(task);
      await once(worker, "message");
      // Somewhere in the middle: a few turns of this thread, another number of them each time.
      for (let turn = 0; turn < round * 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      await worker.terminate();
      assert.deepEqual(descriptors(), before, `round ${round}`);
    }
  });
}

test("workers that are terminated together leave no descriptor", async () => {
  const before = descriptors();
  const workers = ["hold", "spin", "churn", "hold", "churn"].map((task) => start(task));
  await Promise.all(workers.map((worker) => once(worker, "message")));
  await Promise.all(workers.map((worker) => worker.terminate()));
  assert.deepEqual(descriptors(), before);
});

test("a worker that ends by itself, exits or throws leaves no descriptor", async () => {
  const before = descriptors();
  for (const [task, status] of [
    ["finish", 0],
    ["exit", 0],
    ["throw", 1],
  ] as const) {
    const worker = start(task);
    const errors: Error[] = [];
    worker.on("error", (error: Error) => errors.push(error));
    assert.equal(await ended(worker), status, task);
    assert.deepEqual(
      errors.map(({ message }) => message),
      task === "throw" ? ["thrown in a worker"] : [],
    );
    assert.deepEqual(descriptors(), before, task);
  }
});

test("a connection can be handed to a worker by its descriptor", async () => {
  const [left, right] = socketpair();
  await left.sendAll("a message");
  const worker = start("adopt", { fd: right.detach() });
  const exit = ended(worker);
  assert.equal((await left.recv(100)).toString(), "worker had a message");
  assert.equal((await left.recv(100)).length, 0, "closed by the worker");
  assert.equal(await exit, 0);
  left.close();
});

test("workers that accept from a listener which is blocking use one signal, though the last of them unloads the addon", async () => {
  const worker = JSON.stringify(new URL("./worker.js", import.meta.url));
  // This program does not load the addon itself.
  const body = `
    import { once } from "node:events";
    import { readFileSync } from "node:fs";
    import { Worker } from "node:worker_threads";
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(new URL(${worker}), { execArgv: [], workerData: { task: "alarm" } });
      const exit = once(worker, "exit");
      console.log((await once(worker, "message"))[0]);
      await exit;
    }
    const [, caught] = /^SigCgt:\\s*(\\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
    // Bit 34 is signal 35, the first that every C library leaves to programs.
    console.log((BigInt("0x" + caught) >> 34n).toString(2).replaceAll("0", "").length);`;
  await using program = Program.node(["--input-type=module", "--eval", body]);
  const { status, stdout, stderr } = await program.ended;
  assert.deepEqual([status, stderr], [0, ""]);
  assert.equal(stdout, "accepted\naccepted\naccepted\n1\n");
});
