// Workers that crash: under load, while they are blocked, repeatedly, and without memory.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, type EndpointLike, type InetAddress, listen, SHUT_RD, type Stream } from "berkeley";
import { serveWorkers, type ServeWorkersOptions, type WorkerEvent } from "berkeley/server";
import { turn, until } from "../support/clock.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";
import { ask, connectTo, crashes, endOf, handlerModule, started } from "./workerSupport.js";

checkLeaks();

/** A request on a connection of its own. Returns the code of the failure; undefined if it was answered. */
async function request(address: EndpointLike): Promise<string | undefined> {
  let step = "connect";
  try {
    await using client = await connect(address);
    step = "answer";
    const answer = await ask(client, "request");
    return answer === "request" ? undefined : `${step}: ${String(answer)}`;
  } catch (error) {
    return `${step}: ${(error as { code: string }).code}`;
  }
}

/** Sends a line on a connection of its own, and waits until that connection has ended. */
async function order(address: EndpointLike, line: string): Promise<void> {
  await using client = await connect(address);
  await client.write(`${line}\n`);
  await endOf(client);
}

for (const processes of [false, true]) {
  const kind = processes ? "processes" : "threads";

  test(`under load, only the requests that crashed ${kind} were serving are lost`, async () => {
    const { server, events } = await started({ workers: 2, processes });
    await using _ = server;
    const address = server.address as EndpointLike;
    const deaths = ["exit", "crash", "exit", "crash"];
    let requests = 0;
    let running = true;
    const failures: string[] = [];
    const client = async (): Promise<void> => {
      while (running) {
        const failure = await request(address);
        requests++;
        if (failure !== undefined) failures.push(failure);
      }
    };
    const clients = Array.from({ length: 20 }, client);
    for (const [index, line] of deaths.entries()) {
      const from = requests;
      await until(() => requests > from + 50);
      await order(address, line);
      await until(() => crashes(events).length > index);
      if (processes && index === 1) {
        await until(() => server.stats().workers.every(({ state }) => state === "ready"));
        process.kill(server.stats().workers[0]!.id!, "SIGKILL");
      }
    }
    const expected = deaths.length + (processes ? 1 : 0);
    await until(() => crashes(events).length >= expected);
    const from = requests;
    await until(() => requests > from + 50);
    running = false;
    await Promise.all(clients);
    const lost = crashes(events).reduce((sum, event) => sum + event.lost, 0);
    // A lost connection may have been answered already. Those of the orders are among the lost ones.
    assert.ok(failures.length <= lost, `${failures.length} requests failed, ${lost} connections were lost`);
    assert.deepEqual(
      failures.filter((failure) => failure.startsWith("connect")),
      [],
      "no connection is refused",
    );
    await server.drain();
    const stats = server.stats();
    assert.deepEqual(
      { lost: stats.lost, connections: stats.connections, aborted: stats.aborted },
      { lost, connections: 0, aborted: 0 },
    );
    assert.equal(
      stats.workers.reduce((sum, { accepted }) => sum + accepted, 0),
      stats.accepted,
    );
  });

  test(`${kind} in an endless loop are replaced, and others serve the connections that they had not taken`, async () => {
    const { server, events } = await started({ workers: 1, processes, responseTimeout: 1000 });
    await using _ = server;
    const spinning = await connectTo(server);
    assert.equal(await ask(spinning, "spin"), "spinning");
    // More than the channel of a worker can hold: the others wait in the accept queue.
    const clients = await Promise.all(Array.from({ length: 200 }, () => connectTo(server)));
    const answers = await Promise.all(clients.map((client) => ask(client, "hello")));
    assert.deepEqual(new Set(answers), new Set(["hello"]));
    const [crash] = crashes(events);
    assert.match(String(crash!.error), /worker 1 has not answered for 1000 ms/);
    assert.equal(crash!.lost, 1);
    assert.match(await endOf(spinning), /^(?:end|ECONNRESET)$/);
    assert.equal(server.stats().accepted, 201);
    for (const client of [spinning, ...clients]) await client.close();
  });

  test(`while it drains, a server replaces ${kind} that crash before they have taken all connections`, async () => {
    const { server } = await started({ workers: 1, processes, responseTimeout: 1000 });
    await using _ = server;
    const spinning = await connectTo(server);
    assert.equal(await ask(spinning, "spin"), "spinning");
    const clients = await Promise.all(Array.from({ length: 5 }, () => connectTo(server)));
    await until(() => server.stats().accepted === 6);
    const drained = server.drain({ timeout: null });
    assert.deepEqual(await Promise.all(clients.map((client) => ask(client, "hello"))), Array(5).fill("hello"));
    for (const client of clients) await client.close();
    await drained;
    const { lost, connections } = server.stats();
    assert.deepEqual({ lost, connections }, { lost: 1, connections: 0 });
    await spinning.close();
  });

  test(`${kind} that can't start are tried again after pauses that double, while connections wait`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "workers-"));
    const broken = join(folder, "broken");
    try {
      const opts: ServeWorkersOptions = { workers: 1, processes, data: { broken }, maxRestartDelay: 10 };
      const { server, events } = await started(opts);
      await using _ = server;
      writeFileSync(broken, "");
      await order(server.address as EndpointLike, "exit");
      await until(() => crashes(events).length >= 6);
      await using waiting = await connectTo(server);
      await waiting.write("late\n");
      assert.deepEqual(
        crashes(events)
          .slice(0, 6)
          .map(({ restartIn }) => restartIn),
        [1, 2, 4, 8, 10, 10],
      );
      const { error } = crashes(events)[1]! as { error: Error & { code: string } };
      assert.deepEqual([error.message, error.code], ["still broken", "EBROKEN"]);
      rmSync(broken);
      assert.equal(await waiting.readLine(), "late");
      assert.equal(server.stats().workers[0]!.state, "ready");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test(`if ${kind} can't start at first, serveWorkers() rejects with their error, and leaves nothing`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "workers-"));
    const broken = join(folder, "broken");
    const first = await listen("tcp://127.0.0.1:0");
    const { port } = first.address as InetAddress;
    await first.close();
    try {
      writeFileSync(broken, "");
      const before = openDescriptors().size;
      await assert.rejects(started({ workers: 2, processes, data: { broken } }, `tcp://127.0.0.1:${port}`), {
        message: "still broken",
      });
      await assert.rejects(connect(["127.0.0.1", port]), { code: "ECONNREFUSED" });
      await until(() => openDescriptors().size <= before + 1);
      const missing = new URL("./no-such-module.js", import.meta.url);
      await assert.rejects(serveWorkers("tcp://127.0.0.1:0", missing, { workers: 1, processes }), /no-such-module/);
      const wrong = new URL("data:text/javascript,export default 7");
      await assert.rejects(
        serveWorkers("tcp://127.0.0.1:0", wrong, { workers: 1, processes }),
        /exports 7 as its handler, required a function/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test(`the descriptors of crashed ${kind} are closed, and their clients read the end`, async () => {
    const { server, events } = await started({ workers: 1, processes });
    await using _ = server;
    const clients: Stream[] = [];
    for (let count = 0; count < 20; count++) {
      const client = await connectTo(server);
      assert.equal(await ask(client, "hello"), "hello");
      clients.push(client);
    }
    await order(server.address as EndpointLike, "exit");
    for (const client of clients) assert.match(await endOf(client), /^(?:end|ECONNRESET)$/);
    await until(() => crashes(events).length === 1);
    assert.equal(crashes(events)[0]!.lost, 21);
    for (const client of clients) await client.close();
    await until(() => server.stats().connections === 0);
  });
}

test("a thread that exceeds its limit of memory ends alone", async () => {
  const { server, events } = await started({ workers: 2, resourceLimits: { maxOldGenerationSizeMb: 16 } });
  await using _ = server;
  await using other = await connectTo(server);
  assert.equal(await ask(other, "hello"), "hello");
  await order(server.address as EndpointLike, "grow");
  await until(() => crashes(events).length === 1);
  assert.equal((crashes(events)[0]!.error as { code: string }).code, "ERR_WORKER_OUT_OF_MEMORY");
  assert.equal(await ask(other, "still there"), "still there");
});

test("without onWorker, the process emits a warning when a worker crashes", async () => {
  const warnings: Error[] = [];
  const listener = (warning: Error): void => void warnings.push(warning);
  process.on("warning", listener);
  const server = await serveWorkers("tcp://127.0.0.1:0", handlerModule, { workers: 1, minRestartDelay: 1 });
  await order(server.address as EndpointLike, "exit");
  await until(() => warnings.length > 0);
  process.off("warning", listener);
  assert.deepEqual(
    warnings.map(({ name, cause }) => [name, (cause as Error).message]),
    [["CallbackWarning", "worker 1 has ended with status 3"]],
  );
  await server.close();
});

test("an abort of the signal closes the server, and its workers end", async () => {
  const controller = new AbortController();
  const { server, events } = await started({ workers: 2, signal: controller.signal });
  await using client = await connectTo(server);
  assert.equal(await ask(client, "hold"), "holding");
  controller.abort();
  assert.equal(await endOf(client), "ECONNRESET");
  await server.closed;
  assert.equal(events.filter(({ state }: WorkerEvent) => state === "ended").length, 2);
  await turn();
  const aborted = AbortSignal.abort(new Error("before"));
  await assert.rejects(serveWorkers("tcp://127.0.0.1:0", handlerModule, { signal: aborted }), { message: "before" });
});

for (const processes of [false, true]) {
  test(`an abort while ${processes ? "processes" : "threads"} start rejects with the reason, and leaves nothing`, async () => {
    const controller = new AbortController();
    const starting = started({ workers: 2, processes, signal: controller.signal });
    // The workers are started, and load their module.
    await turn();
    await turn();
    controller.abort(new Error("not any more"));
    await assert.rejects(starting, { message: "not any more" });
  });
}

test("a listener that fails ends the server with its error, and no other promise rejects", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const server = await serveWorkers(listener, handlerModule, { workers: 1, onWorker: () => undefined });
  // accept(2) of a socket that was shut down fails with EINVAL.
  listener.socket.shutdown(SHUT_RD);
  await assert.rejects(server.closed, { code: "EINVAL" });
  await server.close();
  await server.drain();
  assert.equal(server.stats().state, "closed");
});

test("a listener that the program closes ends the server without an error", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const server = await serveWorkers(listener, handlerModule, { workers: 1, onWorker: () => undefined });
  await listener.close();
  await server.closed;
});

test("close() of a server with workers is no drain in its log", async () => {
  const log: string[] = [];
  const { server } = await started({ workers: 1, log: ({ event }) => void log.push(event) });
  await server.close();
  const { server: other } = await started({ workers: 1, log: ({ event }) => void log.push(event) });
  await other.drain();
  await turn();
  assert.deepEqual(log, ["listening", "end", "listening", "drain", "end"]);
});
