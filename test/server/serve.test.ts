// serve(): handlers, their errors and their end, limits, drain and close.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { BlockList } from "node:net";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { connect, Inet6Address, InetAddress, listen, type Stream } from "berkeley";
import { type ConnectionContext, type Refusal, serve } from "berkeley/server";
import { MemoryListener } from "berkeley/testing";
import { TestClock } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { connectTo, deferred, readToEnd } from "./support.js";

checkLeaks();

const LOCAL = "tcp://127.0.0.1:0";
const echo = async (stream: Stream): Promise<void> => {
  for await (const line of stream.lines()) await stream.write(`${line}\n`);
};
const forever = (): Promise<never> => new Promise(() => undefined);

test("a handler gets the stream and the context of its connection", async () => {
  const seen = deferred<ConnectionContext>();
  await using server = await serve(LOCAL, async (stream, context) => {
    seen.resolve(context);
    await echo(stream);
  });
  await using client = await connectTo(server);
  await client.write("hello\n");
  assert.equal(await client.readLine(), "hello");
  const context = await seen.promise;
  assert.equal(context.id, 1);
  assert.equal(String(context.peer), String(client.localAddress));
  assert.equal(String(context.local), String(server.address));
  assert.equal(context.signal.aborted, false);
  assert.equal(context.draining.aborted, false);
  const { connections, bytesReceived, bytesSent } = server.stats();
  assert.deepEqual({ connections, bytesReceived, bytesSent }, { connections: 1, bytesReceived: 6, bytesSent: 6 });
  assert.match(String(server), /^Server \{ state: listening, local: 127\.0\.0\.1:\d+, connections: 1 \}$/);
});

test("the connection of a handler that returns is ended without losing bytes, even if some are unread", async () => {
  const answer = "x".repeat(1 << 20);
  await using server = await serve(LOCAL, async (stream) => {
    await stream.readLine();
    await stream.write(answer);
  });
  await using client = await connectTo(server);
  await client.write("request\nand bytes that the handler does not read");
  const text = await readToEnd(client);
  assert.equal(text.length, "end:".length + answer.length);
  await client.close();
  await server.drain();
  assert.equal(server.stats().connections, 0);
});

test("a handler that is no async function may return at once", async () => {
  await using server = await serve(LOCAL, () => undefined);
  await using client = await connectTo(server);
  assert.equal(await readToEnd(client), "end:");
});

test("errors of handlers close their connections, are reported, and never end the server", async () => {
  const errors: unknown[] = [];
  const failures = [new Error("rejected"), new Error("thrown"), "no error", undefined];
  await using server = await serve(
    LOCAL,
    (stream, { id }) => {
      // oxlint-disable-next-line typescript/only-throw-error -- any value can be thrown
      if (id === 2) throw failures[1];
      if (id > failures.length) return echo(stream);
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- any value can be a reason
      return Promise.reject(failures[id - 1]);
    },
    { onError: (error, { id }) => errors.push([id, error]) },
  );
  for (const _ of failures) {
    await using client = await connectTo(server);
    assert.equal(await readToEnd(client), "end:");
  }
  assert.deepEqual(
    errors,
    failures.map((error, index) => [index + 1, error]),
  );
  await using client = await connectTo(server);
  await client.write("still there\n");
  assert.equal(await client.readLine(), "still there");
  assert.equal(server.stats().failed, failures.length);
});

test("a result of a handler that fails when it is looked at is an error of the handler", async () => {
  const errors: unknown[] = [];
  // oxlint-disable-next-line unicorn/no-thenable -- on purpose
  const strange = Object.defineProperty({}, "then", {
    get: () => {
      throw new Error("strange");
    },
  });
  await using server = await serve("tcp://127.0.0.1:0", () => strange, { onError: (error) => errors.push(error) });
  for (let visits = 1; visits <= 2; visits++) {
    await using client = await connectTo(server);
    assert.equal(await readToEnd(client), "end:");
    assert.equal(server.stats().failed, visits);
  }
  assert.match(String(errors), /strange.*strange/);
});

test("without onError, and if onError throws, the process emits a warning", async () => {
  const warnings: Error[] = [];
  const listener = (warning: Error): void => void warnings.push(warning);
  process.on("warning", listener);
  const fails = (): never => {
    throw new Error("of the handler");
  };
  const onError = (): never => {
    throw new Error("of onError");
  };
  for (const opts of [{}, { onError }]) {
    await using server = await serve(LOCAL, fails, opts);
    await using client = await connectTo(server);
    await readToEnd(client);
  }
  await turn();
  process.off("warning", listener);
  assert.deepEqual(
    warnings.map(({ name, cause }) => [name, (cause as Error).message]),
    [
      ["CallbackWarning", "of the handler"],
      ["CallbackWarning", "of onError"],
    ],
  );
});

test("drain() stops accepting, aborts `draining` of the handlers, and waits until they have finished", async () => {
  const began = deferred();
  await using server = await serve(LOCAL, async (stream, { draining }) => {
    began.resolve();
    await new Promise((resolve) => draining.addEventListener("abort", resolve));
    await stream.write("bye\n");
  });
  await using client = await connectTo(server);
  await began.promise;
  const { address } = server;
  const draining = server.drain({ timeout: null });
  assert.equal(server.stats().state, "draining");
  await assert.rejects(connect(address as InetAddress), { code: "ECONNREFUSED" });
  assert.equal(await readToEnd(client), "end:bye\n");
  await client.close();
  await draining;
  await server.closed;
  const { aborted, state } = server.stats();
  assert.deepEqual({ aborted, state }, { aborted: 0, state: "closed" });
  await server.drain();
});

test("after its timeout, drain() aborts the handlers that have not finished", async () => {
  const reasons: unknown[] = [];
  const errors: unknown[] = [];
  const started = [deferred(), deferred()];
  await using server = await serve(
    LOCAL,
    async (stream, { id, signal }) => {
      started[id - 1]!.resolve();
      signal.addEventListener("abort", () => reasons.push(signal.reason));
      if (id === 1) await forever();
      // Fails because of the abort, which is no error of the handler.
      await stream.readLine();
    },
    { onError: (error) => errors.push(error) },
  );
  await using first = await connectTo(server);
  await started[0]!.promise;
  await using second = await connectTo(server);
  await started[1]!.promise;
  await server.drain({ timeout: 20 });
  assert.deepEqual([await readToEnd(first), await readToEnd(second)], ["ECONNRESET", "ECONNRESET"]);
  assert.deepEqual(
    reasons.map((reason) => (reason as { code: string }).code),
    ["ECANCELED", "ECANCELED"],
  );
  await turn();
  assert.deepEqual(errors, []);
  assert.equal(server.stats().aborted, 2);
});

test("close() and the signal cut all connections", async () => {
  for (const how of ["close", "signal"]) {
    const controller = new AbortController();
    await using server = await serve(LOCAL, forever, { signal: controller.signal });
    await using client = await connectTo(server);
    while (server.stats().connections === 0) await turn();
    if (how === "close") await server.close();
    else controller.abort();
    assert.equal(await readToEnd(client), "ECONNRESET");
    await server.closed;
  }
  await assert.rejects(serve(LOCAL, echo, { signal: AbortSignal.abort(new Error("before")) }), { message: "before" });
});

test("with maxConnections open, further connections wait in the accept queue, or are refused", async () => {
  const release = deferred();
  const handler = (): Promise<void> => release.promise;
  await using queuing = await serve(LOCAL, handler, { maxConnections: 2 });
  const clients = await Promise.all([1, 2, 3].map(() => connectTo(queuing)));
  while (queuing.stats().accepted < 2) await turn();
  for (let turns = 0; turns < 10; turns++) await turn();
  assert.equal(queuing.stats().accepted, 2);
  release.resolve();
  for (const client of clients) await client.end();
  while (queuing.stats().accepted < 3) await turn();

  const refusals: Refusal[] = [];
  const onRefused = (refusal: Refusal): void => void refusals.push(refusal);
  await using refusing = await serve(LOCAL, forever, { maxConnections: 1, whenFull: "refuse", onRefused });
  await using one = await connectTo(refusing);
  while (refusing.stats().accepted < 1) await turn();
  await using two = await connectTo(refusing);
  assert.equal(await readToEnd(two), "ECONNRESET");
  assert.deepEqual(
    refusals.map(({ reason, peer }) => [reason, String(peer)]),
    [["maxConnections", String(two.localAddress)]],
  );
  assert.equal(refusing.stats().refused, 1);
  one.abort();
});

test("a flood from one address leaves the other addresses their connections", async () => {
  await using server = await serve(LOCAL, echo, { maxConnectionsPerAddress: 3 });
  const flood = await Promise.all(Array.from({ length: 20 }, () => connectTo(server)));
  while (server.stats().refused < 17) await turn();
  await using honest = await connectTo(server, { localAddress: "127.0.0.2" });
  await honest.write("hello\n");
  assert.equal(await honest.readLine(), "hello");
  for (const client of flood) await client.close();
  while (server.stats().connections > 1) await turn();
  await using again = await connectTo(server);
  await again.write("again\n");
  assert.equal(await again.readLine(), "again", "the count goes down again");
});

test("IPv6 clients count by their /64, and mapped IPv4 clients as IPv4", async () => {
  const cases: readonly [readonly string[], number][] = [
    [["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"], 2],
    [["::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"], 2],
  ];
  for (const [hosts, accepted] of cases) {
    const addresses = hosts.map((host) => (host.includes(":") ? new Inet6Address(host, 1) : new InetAddress(host, 1)));
    await using listener = new MemoryListener();
    // A connection in memory has no address of the internet, so it gets one here.
    const accept = listener.accept.bind(listener);
    listener.accept = async (opts) => {
      const conn = await accept(opts);
      Object.defineProperty(conn, "remoteAddress", { value: addresses.shift() });
      return conn;
    };
    await using server = await serve(listener, forever, { maxConnectionsPerAddress: 1 });
    for (const _ of hosts) await listener.connect();
    while (server.stats().accepted + server.stats().refused < hosts.length) await turn();
    assert.equal(server.stats().accepted, accepted);
  }
});

test("allow and deny take networks as text or a net.BlockList", async () => {
  const list = new BlockList();
  list.addAddress("127.0.0.2");
  const cases: readonly [object, string, boolean][] = [
    [{ deny: ["127.0.0.0/30"] }, "127.0.0.3", false],
    [{ deny: ["127.0.0.0/30"] }, "127.0.0.4", true],
    [{ allow: ["127.0.0.2", "::1"] }, "127.0.0.2", true],
    [{ allow: ["127.0.0.2", "::1"] }, "127.0.0.3", false],
    [{ allow: ["127.0.0.0/8"], deny: ["127.0.0.3"] }, "127.0.0.3", false],
    [{ allow: ["::ffff:127.0.0.0/104"] }, "127.0.0.9", true],
    [{ allow: [] }, "127.0.0.1", false],
    [{ deny: list }, "127.0.0.2", false],
    [{ allow: list }, "127.0.0.2", true],
  ];
  // Clients of IPv4 have mapped addresses at the second endpoint.
  for (const endpoint of [LOCAL, "tcp://[::]:0"]) {
    for (const [opts, localAddress, welcome] of cases) {
      await using server = await serve(endpoint, (stream) => stream.write("welcome"), opts);
      const port = (server.address as InetAddress).port;
      await using client = await connect(["127.0.0.1", port], { localAddress: [localAddress, 0] });
      assert.equal(
        await readToEnd(client),
        welcome ? "end:welcome" : "ECONNRESET",
        JSON.stringify([opts, localAddress]),
      );
    }
  }
});

test("acceptRate allows a burst, and then one connection per interval", async () => {
  using clock = new TestClock();
  await using server = await serve(LOCAL, echo, { acceptRate: 10 });
  const clients = await Promise.all(Array.from({ length: 15 }, () => connectTo(server)));
  await clock.advance(1);
  assert.equal(server.stats().accepted, 10);
  await clock.advance(99);
  assert.equal(server.stats().accepted, 11);
  await clock.advance(1000);
  assert.equal(server.stats().accepted, 15);
  for (const client of clients) await client.close();
});

test("idleTimeout ends silent connections and those that read nothing, and no busy ones", async () => {
  using clock = new TestClock();
  const reasons: string[] = [];
  await using server = await serve(
    LOCAL,
    async (stream, { id, signal }) => {
      signal.addEventListener("abort", () => reasons.push(`${id} ${(signal.reason as Error).cause as string}`));
      if (id === 2) for (;;) await stream.write(Buffer.alloc(1 << 20));
      await echo(stream);
    },
    { idleTimeout: 4000 },
  );
  await using silent = await connectTo(server);
  while (server.stats().accepted < 1) await turn();
  await using deaf = await connectTo(server);
  while (server.stats().accepted < 2) await turn();
  await using busy = await connectTo(server);
  for (let second = 0; second < 8; second++) {
    await busy.write("x\n");
    assert.equal(await busy.readLine(), "x");
    await clock.advance(1000);
  }
  assert.equal(await readToEnd(silent), "ECONNRESET");
  assert.deepEqual(reasons.sort(), [
    "1 Error: idleTimeout of the server is 4000 ms",
    "2 Error: idleTimeout of the server is 4000 ms",
  ]);
  const { connections, idleTimeout } = server.stats();
  assert.deepEqual({ connections, idleTimeout }, { connections: 1, idleTimeout: 2 });
  deaf.abort();
});

test("the ends of many connections at once are spread, so that others are served meanwhile", async () => {
  using clock = new TestClock();
  await using server = await serve(LOCAL, echo, { idleTimeout: 1000 });
  const silent = await Promise.all(Array.from({ length: 80 }, () => connectTo(server)));
  while (server.stats().accepted < silent.length) await turn();
  const counts = new Set<number>();
  for (let time = 0; time < 1500; time += 5) {
    await clock.advance(5);
    counts.add(server.stats().idleTimeout);
  }
  assert.deepEqual([...counts], [0, 32, 64, 80]);
  for (const stream of silent) {
    assert.equal(await readToEnd(stream), "ECONNRESET");
    await stream.close();
  }
});

test("maxLifetime ends any connection, even if its handler never returns", async () => {
  using clock = new TestClock();
  await using server = await serve(LOCAL, forever, { maxLifetime: 10_000, maxConnections: 1 });
  await using client = await connectTo(server);
  while (server.stats().accepted < 1) await turn();
  await clock.advance(9_000);
  assert.equal(server.stats().connections, 1);
  await clock.advance(2_000);
  assert.equal(await readToEnd(client), "ECONNRESET");
  assert.equal(server.stats().maxLifetime, 1);
  await using next = await connectTo(server);
  while (server.stats().accepted < 2) await turn();
  next.abort();
});

test("minReadRate ends clients that send a request byte by byte, and no normal ones", async () => {
  using clock = new TestClock();
  await using server = await serve(LOCAL, async (stream, { id }) => {
    // A protocol that reads chunks, and one that reads lines. The third one is silent for long.
    if (id === 2) for await (const _ of stream) continue;
    else for await (const line of stream.lines()) if (line !== "work") await stream.write(`${line}\n`);
  });
  const clients: Stream[] = [];
  for (let count = 0; count < 5; count++) {
    clients.push(await connectTo(server));
    while (server.stats().accepted < clients.length) await turn();
  }
  const [slowLine, slowChunk, talker, worker, silent] = clients as [Stream, Stream, Stream, Stream, Stream];
  await worker.write("work\n");
  for (let tens = 0; tens < 6; tens++) {
    for (const slow of [slowLine, slowChunk]) await slow.write("x").catch(() => undefined);
    await talker.write("x\n");
    assert.equal(await talker.readLine(), "x");
    await clock.advance(10_000);
  }
  // Their writes have got the error of the reset.
  assert.deepEqual([await readToEnd(slowLine), await readToEnd(slowChunk)], ["end:", "end:"]);
  assert.equal(server.stats().minReadRate, 2);
  for (const honest of [talker, worker, silent]) {
    await honest.write("hello\n");
    assert.equal(await honest.readLine(), "hello");
  }
  for (const client of clients) await client.close();
});

test("null switches the limits of connections off", async () => {
  using clock = new TestClock();
  await using server = await serve(LOCAL, echo, { idleTimeout: null, minReadRate: null, maxLifetime: null });
  await using client = await connectTo(server);
  await client.write("x");
  while (server.stats().accepted < 1) await turn();
  await clock.advance(3_600_000);
  await client.write("y\n");
  assert.equal(await client.readLine(), "xy");
});

test("it serves a listener in memory", async () => {
  const listener = new MemoryListener();
  await using server = await serve(listener, echo);
  const client = await listener.connect();
  await client.write("hello\n");
  const buffer = Buffer.alloc(16);
  assert.equal(await client.read(buffer), 6);
  await client.closeWrite();
  await client.close();
  await server.drain();
  await assert.rejects(listener.connect(), { code: "ECONNREFUSED" });
});

test("it serves TLS, and handshakeTimeout ends silent clients", async () => {
  const made =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout - -out -".split(" ");
  const pem = execFileSync("openssl", [...made, "-addext", "subjectAltName=DNS:localhost"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const failed = deferred<unknown>();
  await using server = await serve("tls://127.0.0.1:0", echo, {
    handshakeTimeout: 500,
    listen: { tls: { cert: pem, key: pem, onHandshakeError: failed.resolve } },
  });
  const { port } = server.address as InetAddress;
  await using silent = await connect(["127.0.0.1", port]);
  assert.equal(((await failed.promise) as { code: string }).code, "ETIMEDOUT");
  assert.match(await readToEnd(silent), /^(end:|ECONNRESET)/);
  await using client = await connect(`tls://localhost:${port}`, { tls: { ca: pem }, family: 2 });
  await client.write("hello\n");
  assert.equal(await client.readLine(), "hello");
  await client.close();
  await server.drain({ timeout: 1000 });
});

test("a listener that fails ends the server with its error", async () => {
  const listener = new MemoryListener();
  listener.accept = () => Promise.reject(new Error("broken"));
  await using server = await serve(listener, echo);
  await assert.rejects(server.closed, { message: "broken" });
});

test("wrong arguments are refused before there is a socket", async () => {
  const wrong: readonly [unknown, unknown, object, RegExp][] = [
    [LOCAL, "echo", {}, /handler is "echo", required a function/],
    [LOCAL, echo, { maxConnection: 1 }, /option "maxConnection" is unknown for serve/],
    [LOCAL, echo, { maxConnections: 0 }, /maxConnections is 0, required a whole number from 1/],
    [LOCAL, echo, { maxConnectionsPerAddress: 1.5 }, /maxConnectionsPerAddress is 1\.5/],
    [LOCAL, echo, { acceptRate: -1 }, /acceptRate is -1/],
    [LOCAL, echo, { minReadRate: 0 }, /minReadRate is 0, required bytes per second above 0/],
    [LOCAL, echo, { minReadRate: "1" }, /minReadRate is "1"/],
    [LOCAL, echo, { idleTimeout: -1 }, /idleTimeout is -1/],
    [LOCAL, echo, { whenFull: "drop" }, /whenFull is "drop", required "queue" or "refuse"/],
    [LOCAL, echo, { allow: ["10.0.0.0/33"] }, /allow has "10\.0\.0\.0\/33", required a network/],
    [LOCAL, echo, { deny: ["example.org"] }, /deny has "example\.org"/],
    [LOCAL, echo, { deny: "10.0.0.0/8" }, /deny is "10\.0\.0\.0\/8", required an array of networks/],
    [LOCAL, echo, { onError: 1 }, /onError is 1, required a function/],
    [LOCAL, echo, { handshakeTimeout: 10 }, /handshakeTimeout is for TLS/],
    [new MemoryListener(), echo, { listen: {} }, /listen is {}, required an endpoint instead of a listener/],
    ["udp://127.0.0.1:0", echo, {}, /UDP has no connections/],
  ];
  for (const [from, handler, opts, message] of wrong) {
    await assert.rejects(serve(from as string, handler as () => void, opts), { message }, String(message));
  }
  await using server = await serve(LOCAL, echo);
  await assert.rejects(server.drain({ timeout: -1 }), RangeError);
  assert.throws(() => server.shutdownOn("SIGTERM" as never), TypeError);
  await using listener = await listen(LOCAL);
  void listener;
});
