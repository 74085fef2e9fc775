// serveWorkers(): the distribution of connections, limits, counters, errors of handlers, options, ends.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, type EndpointLike, listen, type Stream } from "berkeley";
import { serveWorkers, type WorkerConnection } from "berkeley/server";
import { turn, until } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { ask, connectTo, endOf, handlerModule, started } from "./workerSupport.js";

checkLeaks();

for (const processes of [false, true]) {
  const kind = processes ? "processes" : "threads";

  test(`60 connections are shared out evenly among three ${kind}`, async () => {
    const { server, events } = await started({ workers: 3, processes });
    await using _ = server;
    const clients: Stream[] = [];
    const answers: string[] = [];
    for (let count = 0; count < 60; count++) {
      const client = await connectTo(server);
      clients.push(client);
      answers.push((await ask(client, "who"))!);
    }
    const shares = [1, 2, 3].map((worker) => answers.filter((answer) => answer.startsWith(`${worker} `)).length);
    assert.deepEqual(shares, [20, 20, 20]);
    const ids = answers.map((answer) => Number(answer.split(" ")[1]));
    assert.deepEqual(
      ids.toSorted((a, b) => a - b),
      Array.from({ length: 60 }).map((_id, index) => index + 1),
    );
    assert.equal(events.length, 3, "no worker has ended");
    assert.deepEqual(
      server.stats().workers.map(({ accepted, connections }) => [accepted, connections]),
      [
        [20, 20],
        [20, 20],
        [20, 20],
      ],
    );
    for (const client of clients) await client.close();
    await until(() => server.stats().connections === 0);
  });

  test(`with ${kind}, a connection that ends makes room in its worker`, async () => {
    const { server } = await started({ workers: 2, processes });
    await using _ = server;
    const clients = [await connectTo(server), await connectTo(server), await connectTo(server)];
    const workers: string[] = [];
    for (const client of clients) workers.push((await ask(client, "who"))!.split(" ")[0]!);
    assert.deepEqual(workers.toSorted().join("").length, 3);
    // One worker has two connections, the other has one. Both of the first end.
    const fuller = workers.find((worker) => workers.filter((other) => other === worker).length === 2)!;
    for (const [index, client] of clients.entries()) if (workers[index] === fuller) await client.close();
    await until(() => server.stats().connections === 1);
    await using next = await connectTo(server);
    assert.equal((await ask(next, "who"))!.split(" ")[0], fuller);
    for (const client of clients) await client.close();
  });

  test(`with ${kind}, handlers see the addresses of both ends`, async () => {
    const { server } = await started({ workers: 1, processes });
    await using _ = server;
    await using client = await connectTo(server);
    assert.equal(await ask(client, "ends"), `${String(client.localAddress)} ${String(server.address)}`);
    const wild = await started({ workers: 1, processes }, "tcp://0.0.0.0:0");
    await using wildServer = wild.server;
    const { port } = wildServer.address as unknown as { port: number };
    await using other = await connect(["127.0.0.1", port]);
    assert.equal(await ask(other, "ends"), `${String(other.localAddress)} 127.0.0.1:${port}`);
  });

  test(`with ${kind}, the limits hold for all workers together`, async () => {
    const { server } = await started({ workers: 2, processes, maxConnectionsPerAddress: 3, maxConnections: 4 });
    await using _ = server;
    const clients = [await connectTo(server), await connectTo(server), await connectTo(server)];
    for (const client of clients) await ask(client, "who");
    await using refused = await connectTo(server);
    assert.equal(await endOf(refused), "ECONNRESET");
    await using fourth = await connectTo(server, "127.0.0.2");
    assert.equal(await ask(fourth, "hello"), "hello");
    await using waiting = await connectTo(server, "127.0.0.3");
    await waiting.write("late\n");
    for (let turns = 0; turns < 20; turns++) await turn();
    assert.equal(server.stats().accepted, 4);
    // A crash of a worker frees the places of its connections.
    await clients[0]!.write("exit\n");
    assert.equal(await waiting.readLine(), "late");
    await until(() => server.stats().connections <= 3);
    await until(() => server.stats().workers.every(({ state }) => state === "ready"));
    await using again = await connectTo(server);
    assert.equal(await ask(again, "again"), "again");
    for (const client of clients) await client.close();
  });

  test(`with ${kind}, an error of a handler is reported, and ends only its connection`, async () => {
    const errors: [Error & { code?: string }, WorkerConnection][] = [];
    const onError = (error: unknown, connection: WorkerConnection): void =>
      void errors.push([error as Error, connection]);
    const { server } = await started({ workers: 1, processes, onError });
    await using _ = server;
    await using other = await connectTo(server);
    assert.equal(await ask(other, "who"), "1 1");
    await using client = await connectTo(server);
    await client.write("throw\n");
    assert.equal(await endOf(client), "end");
    await until(() => errors.length > 0);
    const [[error, connection]] = errors as [[Error & { code?: string }, WorkerConnection]];
    assert.ok(error instanceof Error);
    assert.deepEqual([error.name, error.message, error.code], ["RangeError", "of the handler", "EHANDLER"]);
    assert.match(error.stack!, /workerHandler/);
    assert.deepEqual([connection.worker, connection.id, String(connection.peer)], [1, 2, String(client.localAddress)]);
    assert.equal(await ask(other, "still there"), "still there");
    await until(() => server.stats().failed === 1);
  });

  test(`with ${kind}, messages that the module itself sends to the server have no effect`, async () => {
    const { server, events } = await started({ workers: 1, processes, onError: () => undefined });
    await using _ = server;
    await using client = await connectTo(server);
    assert.equal(await ask(client, "send"), "sent");
    // These reach the server after the messages of the module.
    await assert.doesNotReject(client.write("throw\n"));
    await until(() => server.stats().failed === 1);
    await using other = await connectTo(server);
    assert.equal(await ask(other, "still there"), "still there");
    assert.deepEqual([server.stats().accepted, events.length], [2, 1], "the worker has not ended");
  });

  test(`with ${kind}, the counters of all workers are added`, async () => {
    const { server } = await started({ workers: 2, processes });
    await using _ = server;
    for (let count = 0; count < 4; count++) {
      await using client = await connectTo(server);
      assert.equal(await ask(client, "twelve bytes"), "twelve bytes");
    }
    await until(() => server.stats().connections === 0);
    const { accepted, bytesReceived, bytesSent, workers, lost } = server.stats();
    assert.deepEqual(
      { accepted, bytesReceived, bytesSent, lost },
      { accepted: 4, bytesReceived: 52, bytesSent: 52, lost: 0 },
    );
    assert.deepEqual(
      workers.map((worker) => [worker.accepted, worker.bytesReceived, worker.state]),
      [
        [2, 26, "ready"],
        [2, 26, "ready"],
      ],
    );
  });

  test(`with ${kind}, idleTimeout is checked in the workers`, async () => {
    const { server } = await started({ workers: 2, processes, idleTimeout: 40 });
    await using _ = server;
    await using client = await connectTo(server);
    assert.equal(await endOf(client), "ECONNRESET");
    await until(() => server.stats().idleTimeout === 1);
  });

  test(`with ${kind}, drain() aborts the signal of all handlers, and waits until they have finished`, async () => {
    const { server, events } = await started({ workers: 2, processes });
    await using _ = server;
    const clients = [await connectTo(server), await connectTo(server)];
    for (const client of clients) assert.equal(await ask(client, "draining"), "waiting");
    const { address } = server;
    const drained = server.drain({ timeout: null });
    assert.equal(server.stats().state, "draining");
    await assert.rejects(connect(address as EndpointLike), { code: "ECONNREFUSED" });
    for (const client of clients) {
      assert.equal(await client.readLine(), "drained");
      await client.close();
    }
    await drained;
    const { aborted, connections, state } = server.stats();
    assert.deepEqual({ aborted, connections, state }, { aborted: 0, connections: 0, state: "closed" });
    assert.deepEqual(
      events.filter((event) => event.state === "ended").map(({ code, lost, restartIn }) => [code, lost, restartIn]),
      [
        [0, 0, undefined],
        [0, 0, undefined],
      ],
    );
    await server.drain();
  });

  test(`with ${kind}, close() and the timeout of drain() cut connections, and end a worker in an endless loop`, async () => {
    for (const how of ["close", "drain"]) {
      const { server } = await started({ workers: 2, processes });
      await using _ = server;
      await using spinning = await connectTo(server);
      await using holding = await connectTo(server);
      assert.equal(await ask(holding, "hold"), "holding");
      assert.equal(await ask(spinning, "spin"), "spinning");
      const since = performance.now();
      await (how === "close" ? server.close() : server.drain({ timeout: 20 }));
      assert.ok(performance.now() - since < 10_000);
      assert.equal(await endOf(holding), "ECONNRESET");
      assert.match(await endOf(spinning), /^(?:end|ECONNRESET)$/);
      const { aborted, connections, lost } = server.stats();
      assert.deepEqual({ aborted, connections, lost }, { aborted: 2, connections: 0, lost: 0 });
    }
  });

  test(`with ${kind}, UNIX sockets and listeners are served, and the file is removed`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "workers-"));
    try {
      const { server } = await started({ workers: 2, processes }, `unix:${folder}/socket`);
      await using client = await connectTo(server);
      assert.match((await ask(client, "who"))!, /^[12] \d$/);
      await server.close();
      await assert.rejects(connect(`unix:${folder}/socket`), { code: "ENOENT" });
      const listener = await listen("unix:@workers-of-a-listener");
      await using given = await serveWorkers(listener, handlerModule, { workers: 1, processes });
      await using other = await connectTo(given);
      assert.equal(await ask(other, "who"), "1 1");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test(`with ${kind}, the process ends after SIGTERM, when the handlers have finished`, async () => {
    const source = `
      import { serveWorkers } from "berkeley/server";
      const opts = { workers: 2, processes: ${processes}, data: { farewell: "cleaned up" } };
      const server = await serveWorkers("tcp://127.0.0.1:0", new URL(${JSON.stringify(handlerModule.href)}), opts);
      server.shutdownOn(["SIGTERM"], { timeout: null });
      console.log("port", server.address.port);
      await server.closed;
      console.log("closed");`;
    const program = Program.node(["--input-type=module", "--eval", source]);
    await using _ = program;
    const [, port] = await program.line(/^port (\d+)$/);
    await using client = await connect(["127.0.0.1", Number(port)]);
    assert.equal(await ask(client, "draining"), "waiting");
    program.kill("SIGTERM");
    assert.equal(await client.readLine(), "drained");
    await client.close();
    const { status, stdout } = await program.ended;
    assert.equal(status, 0);
    assert.match(stdout, /^closed$/m);
    assert.equal(stdout.match(/^cleaned up [12]$/gm)?.length, 2);
  });

  test(`after unref(), ${kind} do not keep the process alive`, async () => {
    const source = `
      import { serveWorkers } from "berkeley/server";
      const module = new URL(${JSON.stringify(handlerModule.href)});
      const server = await serveWorkers("tcp://127.0.0.1:0", module, { workers: 2, processes: ${processes} });
      server.unref();
      console.log("ending");`;
    const program = Program.node(["--input-type=module", "--eval", source]);
    await using _ = program;
    const { status, stdout } = await program.ended;
    assert.deepEqual([status, stdout], [0, "ending\n"]);
  });
}

test("a worker process finishes its connections and ends when the server's process has ended", async () => {
  const source = `
    import { serveWorkers } from "berkeley/server";
    const opts = { workers: 1, processes: true, data: { farewell: "cleaned up" } };
    const server = await serveWorkers("tcp://127.0.0.1:0", new URL(${JSON.stringify(handlerModule.href)}), opts);
    console.log("port", server.address.port);`;
  const program = Program.node(["--input-type=module", "--eval", source]);
  await using _ = program;
  const [, port] = await program.line(/^port (\d+)$/);
  await using client = await connect(["127.0.0.1", Number(port)]);
  assert.equal(await ask(client, "draining"), "waiting");
  program.kill("SIGKILL");
  assert.equal(await client.readLine(), "drained");
  await client.close();
  // The worker has the same standard output, which ends with the worker.
  assert.match((await program.ended).stdout, /^cleaned up 1$/m);
});

test("arguments that are wrong, or that a worker can't get, are refused", async () => {
  const serve = (opts: object, module: unknown = handlerModule, endpoint: EndpointLike = "tcp://127.0.0.1:0") =>
    serveWorkers(endpoint, module as URL, opts);
  const cases: readonly [object, RegExp, unknown?, EndpointLike?][] = [
    [{}, /module is "\.\/handler\.js", required a URL/, "./handler.js"],
    [{}, /module is a function/i, () => undefined],
    [{ workers: 0 }, /workers is 0/],
    [{ workers: "all" }, /workers is "all"/],
    [{ worker: 2 }, /did you mean "workers"/],
    [{ data: () => undefined }, /data is .*structuredClone/],
    [{ processes: true, resourceLimits: { maxOldGenerationSizeMb: 64 } }, /resourceLimits are for threads/],
    [{ minRestartDelay: 10, maxRestartDelay: 5 }, /maxRestartDelay is 5/],
    [{ listen: { now: () => 0 } }, /listen\.now is/],
    [{ reusePort: true, maxConnectionsPerAddress: 5 }, /maxConnectionsPerAddress counts/],
    [{ reusePort: true, onRefused: () => undefined }, /onRefused is for a server that accepts itself/],
    [{ reusePort: true, onPressure: () => undefined }, /onPressure is for a server that accepts itself/],
    [{ reusePort: true, workers: 3, maxConnections: 2 }, /maxConnections is 2, required at least one for each of 3/],
    [{ reusePort: true, workers: 3, acceptRate: 2 }, /acceptRate is 2, required at least one for each of 3/],
    [{ reusePort: true }, /reusePort is for TCP/, handlerModule, "unix:@reuse-port"],
    [{ handshakeTimeout: 5 }, /handshakeTimeout is for TLS/],
    [{}, /a server has no certificate/, handlerModule, "tls://127.0.0.1:0"],
  ];
  for (const [opts, message, module, endpoint] of cases) {
    await assert.rejects(serve(opts, module, endpoint), (error: Error) => {
      assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
});
