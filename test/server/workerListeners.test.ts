// Workers over TLS, with listening sockets of their own (SO_REUSEPORT), and without free descriptors.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { connect, type EndpointLike, type Stream, TlsContext } from "berkeley";
import { serveWorkers } from "berkeley/server";
import { turn, until } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { ask, connectTo, crashes, endOf, handlerModule, started } from "./workerSupport.js";

checkLeaks();

const made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout - -out -".split(
  " ",
);
const pem = execFileSync("openssl", [...made, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], {
  stdio: ["ignore", "pipe", "ignore"],
});

for (const processes of [false, true]) {
  const kind = processes ? "processes" : "threads";

  test(`with ${kind}, TLS is done in the workers`, async () => {
    const errors: [unknown, string][] = [];
    const onHandshakeError = (error: unknown, peer: unknown): void => void errors.push([error, String(peer)]);
    const tls = { cert: pem, key: pem, alpnProtocols: ["echo"], onHandshakeError };
    const opts = { workers: 2, processes, handshakeTimeout: 5000, maxConnectionsPerAddress: 3, listen: { tls } };
    const { server } = await started(opts, "tls://127.0.0.1:0");
    await using _ = server;
    const address = `tls://${String(server.address)}` as const;
    const clients = await Promise.all(
      [1, 2].map(() => connect(address, { tls: { ca: pem, alpnProtocols: ["echo"] } })),
    );
    const workers: string[] = [];
    for (const client of clients) workers.push((await ask(client, "who"))!.split(" ")[0]!);
    assert.deepEqual(workers.toSorted(), ["1", "2"]);
    assert.equal(await ask(clients[0]!, "ends"), `${String(clients[0]!.localAddress)} ${String(server.address)}`);
    await using stranger = await connect(server.address as EndpointLike);
    await stranger.write("GET / HTTP/1.1\r\n\r\n");
    await endOf(stranger);
    await until(() => errors.length === 1);
    const [[error, peer]] = errors as [[{ code: string }, string]];
    assert.deepEqual([error.code, peer], ["ERR_TLS_PLAINTEXT_PEER", String(stranger.localAddress)]);
    // The failed handshake does not count any more, so there is room for a third connection.
    await until(() => server.stats().connections === 2);
    await using third = await connect(address, { tls: { ca: pem } });
    assert.match((await ask(third, "who"))!, /^[12] \d$/);
    for (const client of clients) await client.close();
    await third.close();
    // Without a timeout, so that only the end of the connections ends it.
    await server.drain({ timeout: null });
    assert.equal(server.stats().aborted, 0);
  });

  test(`with ${kind} and reusePort, each worker has its own accept queue, which stays after the worker ends`, async () => {
    const { server, events } = await started({ workers: 2, processes, reusePort: true, maxConnections: 400 });
    await using _ = server;
    const clients = await Promise.all(Array.from({ length: 64 }, () => connectTo(server)));
    const answers = await Promise.all(clients.map((client) => ask(client, "who")));
    assert.deepEqual(new Set(answers.map((answer) => answer!.split(" ")[0])), new Set(["1", "2"]));
    assert.equal(new Set(answers).size, 64);
    await until(() => server.stats().connections === 64);
    assert.equal(server.stats().accepted, 64);
    for (const client of clients) await client.close();
    await until(() => server.stats().connections === 0);
    // Both workers end. Connections that come meanwhile wait in the queues.
    for (const { worker } of server.stats().workers) {
      for (;;) {
        await using client = await connectTo(server);
        if (!(await ask(client, "who"))!.startsWith(`${worker} `)) continue;
        await client.write("exit\n");
        await endOf(client);
        break;
      }
    }
    const waiting = await Promise.all(Array.from({ length: 20 }, () => connectTo(server)));
    assert.deepEqual(new Set(await Promise.all(waiting.map((client) => ask(client, "late")))), new Set(["late"]));
    assert.equal(crashes(events).length, 2);
    assert.equal(await ask(waiting[0]!, "draining"), "waiting");
    const drained = server.drain({ timeout: null });
    assert.equal(await waiting[0]!.readLine(), "drained");
    for (const client of waiting) await client.close();
    await drained;
    await assert.rejects(connect(server.address as EndpointLike), { code: "ECONNREFUSED" });
  });

  test(`with ${kind} and reusePort, TLS and the share of maxConnections work`, async () => {
    const opts = {
      workers: 1,
      processes,
      reusePort: true,
      maxConnections: 1,
      listen: { tls: { cert: pem, key: pem } },
    };
    await using server = await serveWorkers("tls://127.0.0.1:0", handlerModule, opts);
    const address = `tls://${String(server.address)}` as const;
    const first = await connect(address, { tls: { ca: pem } });
    assert.equal(await ask(first, "who"), "1 1");
    await until(() => server.stats().connections === 1);
    const connecting = connect(address, { tls: { ca: pem } });
    for (let turns = 0; turns < 20; turns++) await turn();
    assert.equal(server.stats().accepted, 1);
    await first.close();
    await using second = await connecting;
    assert.equal(await ask(second, "who"), "1 2");
  });
}

test("a certificate that is wrong, and a context, are refused before a worker starts", async () => {
  const serve = (tls: object) => serveWorkers("tls://127.0.0.1:0", handlerModule, { listen: { tls } });
  await assert.rejects(serve({ cert: pem.subarray(0, 40), key: pem }), { name: "TlsError" });
  await assert.rejects(serve({ context: new TlsContext({ cert: pem, key: pem }) }), /tls\.context can't be copied/);
  await assert.rejects(serve({ cert: pem, key: pem, sniCallback: () => undefined }), /tls\.sniCallback is/);
});

const limited = { skip: !new Set(readdirSync("/usr/bin")).has("prlimit") && "prlimit(1) is missing" };

test("a process without a free descriptor loses no connection that was handed to it", limited, async () => {
  const { server } = await started({ workers: 1, processes: true });
  await using _ = server;
  const { id } = server.stats().workers[0]!;
  const limit = (count: number): void => {
    execFileSync("prlimit", [`--pid=${id}`, `--nofile=${count}:`], { stdio: "ignore" });
  };
  await using first = await connectTo(server);
  assert.equal(await ask(first, "hello"), "hello");
  const before = execFileSync("prlimit", [`--pid=${id}`, "--nofile", "--noheadings", "--output=SOFT"]).toString();
  limit(Math.max(...readdirSync(`/proc/${id}/fd`).map(Number)) + 1);
  // Numbers below the limit that are free.
  const free = Math.max(...readdirSync(`/proc/${id}/fd`).map(Number)) + 1 - readdirSync(`/proc/${id}/fd`).length;
  const clients: Stream[] = [];
  for (let count = 0; count < free + 3; count++) clients.push(await connectTo(server));
  const answers = Promise.all(clients.map((client) => ask(client, "hello")));
  await until(() => server.stats().accepted === clients.length + 1);
  // The worker is there, and works on its connections.
  assert.equal(await ask(first, "still there"), "still there");
  limit(Number(before));
  assert.deepEqual(new Set(await answers), new Set(["hello"]));
  for (const client of clients) await client.close();
});
