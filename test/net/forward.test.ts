// forward(): the forwarded bytes, the ends, and the limits.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  connect,
  type EndpointLike,
  forward,
  type Forwarded,
  type Forwarder,
  type ForwardOptions,
  InetAddress,
  listen,
  type SocketListener,
  type Stream,
} from "berkeley";
import { TestClock, until } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { Folder, rejection } from "./support.js";

checkLeaks();

/** A forwarder whose ends are kept, and can be waited for. */
async function started(
  to: EndpointLike,
  opts: ForwardOptions = {},
  from: EndpointLike = "tcp://127.0.0.1:0",
): Promise<{ forwarder: Forwarder; next: () => Promise<Forwarded> } & AsyncDisposable> {
  const ends: Forwarded[] = [];
  let wake: (() => void) | undefined;
  const onEnd = (forwarded: Forwarded): void => {
    ends.push(forwarded);
    wake?.();
  };
  const forwarder = await forward(from, to, { onEnd, ...opts });
  const next = async (): Promise<Forwarded> => {
    while (ends.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return ends.shift()!;
  };
  return { forwarder, next, [Symbol.asyncDispose]: () => forwarder.close() };
}

const codeOf = ({ error }: Forwarded): unknown => (error as { code?: string } | undefined)?.code;

/** A client that connects and reads. Either call may fail with a reset. */
async function visit(address: EndpointLike): Promise<Buffer | null> {
  await using client = await connect(address);
  return await client.read();
}

/** Both ends of a connection that goes through a forwarder. */
async function through(forwarder: Forwarder, target: SocketListener): Promise<[client: Stream, server: Stream]> {
  return Promise.all([connect(forwarder.address), target.accept()]);
}

async function closeAll(...streams: readonly Stream[]): Promise<void> {
  for (const stream of streams) await stream.close();
}

const kinds: readonly [from: string, to: string][] = [
  ["tcp://127.0.0.1:0", "tcp://127.0.0.1:0"],
  ["tcp://[::1]:0", "unix:@berkeley-forward-target"],
  ["unix:@berkeley-forward-front", "tcp://[::1]:0"],
  ["unix:@berkeley-forward-front", "unix:@berkeley-forward-target"],
];

for (const [from, to] of kinds) {
  test(`bytes, ends and counts go through: ${from} to ${to}`, async () => {
    await using target = await listen(to);
    await using run = await started(target.address, {}, from);
    const { forwarder, next } = run;
    const [client, server] = await through(forwarder, target);
    assert.equal(forwarder.stats().connections, 1);
    await client.write("question");
    assert.equal(String(await server.readExactly(8)), "question");
    const answer = Buffer.from(Array.from({ length: 1 << 20 }, (_, index) => (index * 7) % 251));
    const writing = server.write(answer).then(() => server.closeWrite());
    assert.ok((await client.readExactly(answer.length)).equals(answer));
    assert.equal(await client.read(), null, "the target has ended");
    await writing;
    // The other direction stays open.
    await client.write("and more");
    await client.closeWrite();
    assert.equal(String(await server.readExactly(8)), "and more");
    assert.equal(await server.read(), null);
    const end = await next();
    assert.deepEqual([end.toTarget, end.toClient, "error" in end], [16, answer.length, false]);
    assert.equal(String(end.client), String(client.localAddress));
    assert.equal(forwarder.stats().connections, 0);
    await closeAll(client, server);
  });
}

test("many short connections at the same time each get their own bytes", async () => {
  await using target = await listen("tcp://127.0.0.1:0", { backlog: 128 });
  await using run = await started(target.address, { maxConnections: 7 });
  const { forwarder, next } = run;
  const count = 100;
  const serve = async (): Promise<void> => {
    for (let served = 0; served < count; served++) {
      const stream = await target.accept();
      void stream.readLine().then(async (line) => {
        await stream.write(`${line}!`);
        await stream.close();
      });
    }
  };
  const ask = async (index: number): Promise<void> => {
    await using client = await connect(forwarder.address);
    await client.write(`${index}\n`);
    assert.equal(String(await client.readExactly(`${index}!`.length)), `${index}!`);
    assert.equal(await client.read(), null);
  };
  await Promise.all([serve(), ...Array.from({ length: count }, (_, index) => ask(index))]);
  for (let ended = 0; ended < count; ended++) assert.equal(codeOf(await next()), undefined);
  assert.equal(forwarder.stats().connections, 0);
});

test("a target that refuses is a reset for the client, and an end with the reason", async () => {
  const gone = await listen("tcp://127.0.0.1:0");
  const { address } = gone;
  await gone.close();
  await using run = await started(address);
  const { forwarder, next } = run;
  assert.equal((await rejection(visit(forwarder.address))).code, "ECONNRESET");
  const end = await next();
  assert.equal(codeOf(end), "ECONNREFUSED");
  assert.deepEqual([end.toTarget, end.toClient], [0, 0]);
});

test("a target with a name is resolved for each connection, and its addresses race", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  assert.ok(target.address instanceof InetAddress);
  const { port } = target.address;
  const asked: string[] = [];
  const resolver = async (host: string, family: number): Promise<string[]> => {
    asked.push(`${host} ${family}`);
    return family === AF_INET ? ["127.0.0.2", "127.0.0.1"] : [];
  };
  await using run = await started(["target.test", port], { connect: { resolver, family: AF_INET } });
  const { forwarder, next } = run;
  for (let i = 1; i <= 2; i++) {
    const [client, server] = await through(forwarder, target);
    await client.write("x");
    await client.closeWrite();
    assert.equal(String(await server.readExactly(1)), "x");
    await closeAll(server, client);
    assert.equal((await next()).toTarget, 1);
    assert.deepEqual(
      asked,
      Array.from({ length: i }, () => `target.test ${AF_INET}`),
    );
  }
  await using vain = await started(["target.test", port], { connect: { resolver: () => Promise.resolve([]) } });
  assert.equal((await rejection(visit(vain.forwarder.address))).code, "ECONNRESET");
  assert.equal(codeOf(await vain.next()), "EAI_NODATA");
});

test("if a resolver closes the forwarder, no connection is made", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  assert.ok(target.address instanceof InetAddress);
  const closing: { forwarder?: Forwarder } = {};
  const resolver = (): Promise<string[]> => {
    void closing.forwarder!.close();
    return Promise.resolve(["127.0.0.1"]);
  };
  await using run = await started(["target.test", target.address.port], { connect: { resolver } });
  const { forwarder } = run;
  closing.forwarder = forwarder;
  assert.equal((await rejection(visit(forwarder.address))).code, "ECONNRESET");
  assert.equal(codeOf(await run.next()), "ECANCELED");
  await forwarder.closed;
  await assert.rejects(target.accept({ timeout: 50 }), { code: "ETIMEDOUT" });
});

test("a connection that is reset as soon as it stands is an error, whenever that is noticed", async () => {
  await using run = await started("unix:@berkeley-forward-nobody");
  const { port } = run.forwarder.address as InetAddress;
  for (let i = 0; i < 50; i++) {
    // By the wildcard the peer's address is asked for, which there may be none of any more.
    const { code } = await rejection(visit(["0.0.0.0", port]));
    assert.ok(code === "ECONNRESET" || code === "ENOTCONN", code);
    assert.equal(codeOf(await run.next()), "ECONNREFUSED");
  }
});

test("never cutting the silent is an option", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  await using run = await started(target.address, { idleTimeout: null });
  const [client, server] = await through(run.forwarder, target);
  await client.write("x");
  assert.equal(String(await server.readExactly(1)), "x");
  await closeAll(client, server);
  assert.equal(codeOf(await run.next()), undefined);
});

test("a side that is cut cuts the other, whichever it is", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  await using run = await started(target.address);
  const { forwarder, next } = run;
  for (const cut of ["client", "server"]) {
    const [client, server] = await through(forwarder, target);
    await client.write("x");
    await server.readExactly(1);
    const [one, other] = cut === "client" ? [client, server] : [server, client];
    one.abort();
    assert.equal((await rejection(other.read())).code, "ECONNRESET");
    const end = await next();
    assert.equal(codeOf(end), "ECONNRESET");
    assert.equal(end.toTarget, 1);
    await closeAll(client, server);
  }
});

test("an idle connection is closed on both sides; a busy one stays open", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  using clock = new TestClock();
  await using run = await started(target.address, { idleTimeout: 300 });
  const { forwarder, next } = run;
  const [silent, silentServer] = await through(forwarder, target);
  const [busy, busyServer] = await through(forwarder, target);
  const reading = Promise.all([rejection(silent.read()), rejection(silentServer.read())]);
  let over = false;
  const ended = next().finally(() => (over = true));
  const talk = async (): Promise<void> => {
    await busy.write("x");
    await busyServer.readExactly(1);
  };
  await talk();
  await clock.advance(200);
  await talk();
  await clock.advance(90);
  assert.equal(over, false, "300 ms have not passed");
  await talk();
  await clock.advance(20);
  assert.equal(codeOf(await ended), "ETIMEDOUT");
  for (const error of await reading) assert.equal(error.code, "ECONNRESET");
  assert.equal(forwarder.stats().connections, 1, "the other one lives");
  await closeAll(silent, silentServer, busy, busyServer);
  assert.equal(codeOf(await next()), undefined);
});

/** A listener with a full accept queue, so that connect() waits. */
async function crowded(name: string): Promise<{ target: SocketListener; [Symbol.asyncDispose](): Promise<void> }> {
  const target = await listen(name, { backlog: 0 });
  const first = await connect(name);
  return {
    target,
    [Symbol.asyncDispose]: async () => {
      await first.close();
      await target.close();
    },
  };
}

test("a target that does not answer in time is a reset for the client", async () => {
  await using full = await crowded("unix:@berkeley-forward-crowd");
  await using run = await started(full.target.address, { connectTimeout: 50 });
  const { forwarder, next } = run;
  assert.equal((await rejection(visit(forwarder.address))).code, "ECONNRESET");
  const end = await next();
  assert.equal(codeOf(end), "ETIMEDOUT");
  assert.equal((end.error as { syscall?: string }).syscall, "connect");
});

test("connections over the limit wait until one is over", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  await using run = await started(target.address, { maxConnections: 2 });
  const { forwarder, next } = run;
  const first = await through(forwarder, target);
  const second = await through(forwarder, target);
  const client = await connect(forwarder.address);
  await client.write("third");
  const accepting = target.accept();
  assert.equal(forwarder.stats().connections, 2);
  await closeAll(...first);
  await next();
  const server = await accepting;
  assert.equal(String(await server.readExactly(5)), "third");
  assert.equal(forwarder.stats().connections, 2);
  await closeAll(...second, client, server);
  await next();
  await next();
});

test("close() closes connections in every state, and reports them", async () => {
  await using full = await crowded("unix:@berkeley-forward-crowd");
  const { forwarder: connecting, next: nextConnecting } = await started(full.target.address);
  const waiting = rejection(visit(connecting.address));
  await until(() => connecting.stats().connections > 0);

  await using target = await listen("tcp://127.0.0.1:0");
  const { forwarder: pumping, next: nextPumping } = await started(target.address);
  const [client, server] = await through(pumping, target);

  let answer!: (addresses: string[]) => void;
  const resolver = (): Promise<string[]> => new Promise((resolve) => (answer = resolve));
  const { forwarder: resolving, next: nextResolving } = await started("tcp://nowhere.test:9", {
    connect: { resolver, family: AF_INET },
  });
  const asking = rejection(visit(resolving.address));
  await until(() => resolving.stats().connections > 0);

  for (const forwarder of [connecting, pumping, resolving]) {
    await forwarder.close();
    await forwarder.close();
    await forwarder.closed;
    assert.equal(forwarder.stats().connections, 0);
  }
  for (const next of [nextConnecting, nextPumping, nextResolving]) assert.equal(codeOf(await next()), "ECANCELED");
  assert.equal((await rejection(client.read())).code, "ECONNRESET");
  assert.equal((await rejection(server.read())).code, "ECONNRESET");
  for (const error of [await waiting, await asking]) assert.equal(error.code, "ECONNRESET");
  answer(["127.0.0.1"]);
  await closeAll(client, server);
  assert.equal((await rejection(connect(pumping.address))).code, "ECONNREFUSED");
});

test("a signal ends it; one that is aborted before is the reason not to begin", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  const abort = new AbortController();
  await using run = await started(target.address, { signal: abort.signal });
  const { forwarder, next } = run;
  const [client, server] = await through(forwarder, target);
  abort.abort(new Error("enough"));
  await forwarder.closed;
  assert.equal(codeOf(await next()), "ECANCELED");
  assert.equal(forwarder.stats().connections, 0);
  await closeAll(client, server);
  const reason = new Error("before");
  assert.equal(
    await rejection(forward("tcp://127.0.0.1:0", target.address, { signal: AbortSignal.abort(reason) })),
    reason,
  );
});

test("options of both sides are applied", async () => {
  await using folder = new Folder();
  await using target = await listen("tcp://127.0.0.1:0");
  await using run = await started(
    target.address,
    { listen: { mode: 0o600, backlog: 5 }, connect: { localAddress: "127.0.0.5:0", noDelay: false } },
    `unix:${folder.join("front")}`,
  );
  const { forwarder } = run;
  const [client, server] = await through(forwarder, target);
  assert.ok(server.remoteAddress instanceof InetAddress);
  assert.equal(server.remoteAddress.host, "127.0.0.5");
  await closeAll(client, server);
});

test("wrong arguments are refused before the forwarder listens", async () => {
  const from = "tcp://127.0.0.1:0";
  const to = "tcp://127.0.0.1:9";
  const wrong: [from: unknown, to: unknown, opts: unknown, kind: string, text: RegExp][] = [
    [
      "tls://127.0.0.1:0",
      to,
      {},
      "TypeError",
      /the source is a tls endpoint, required tcp, unix, vsock, fd or systemd/,
    ],
    ["udp://127.0.0.1:0", to, {}, "TypeError", /the source is a udp endpoint/],
    [from, "tls://127.0.0.1:9", {}, "TypeError", /the target is a tls endpoint, required tcp, unix or vsock/],
    [from, "fd:3", {}, "TypeError", /the target is a fd endpoint/],
    [from, ["", 9], {}, "TypeError", /the wildcard is no destination/],
    [from, to, { maxConnections: 0 }, "RangeError", /maxConnections/],
    [from, to, { connectTimeout: -1 }, "RangeError", /connectTimeout is -1/],
    [from, to, { connectTimeout: Infinity }, "RangeError", /connectTimeout is Infinity/],
    [from, to, { connectTimeout: 2 ** 31 }, "RangeError", /connectTimeout is 2147483648, required milliseconds from 0/],
    [
      from,
      to,
      { connect: { attemptDelay: 9 } },
      "RangeError",
      /attemptDelay is 9, required milliseconds from 10 to 2000/,
    ],
    [from, to, { idleTimeout: "x" }, "TypeError", /idleTimeout is "x"/],
    [from, to, { pipeSize: 1 }, "RangeError", /pipeSize/],
    [from, to, { onEnd: 1 }, "TypeError", /onEnd is 1, required a function/],
    [from, to, { onend: 1 }, "TypeError", /option "onend" is unknown/],
    [from, to, { signal: 1 }, "TypeError", /signal/],
    [from, to, { idleTimeout: Infinity }, "RangeError", /idleTimeout is Infinity/],
    [from, to, { listen: { tls: {} } }, "TypeError", /forward .*option "tls" is unknown/],
    [from, to, { listen: { readSize: 7 } }, "TypeError", /forward .*option "readSize" is unknown/],
    ["unix:@x", to, { listen: { reuseAddr: true } }, "TypeError", /option "reuseAddr" is unknown/],
    [from, to, { listen: 1 }, "TypeError", /options are 1/],
    [from, to, { connect: { via: "socks5://127.0.0.1:1" } }, "TypeError", /option "via" is unknown/],
    [from, to, { connect: { timeout: 1 } }, "TypeError", /option "timeout" is unknown/],
    [
      from,
      to,
      { connect: { localAddress: "[::1]:0" } },
      "TypeError",
      /family or localAddress excludes the family of the target/,
    ],
    [from, "unix:@x", { connect: { noDelay: true } }, "TypeError", /option "noDelay" is unknown for a unix endpoint/],
    [
      from,
      to,
      { connect: { localAddress: "127.0.0.1:9" } },
      "TypeError",
      /localAddress is 127.0.0.1:9, required port 0/,
    ],
    [
      from,
      "unix:@x",
      { connect: { localAddress: "unix:/x" } },
      "TypeError",
      /option "localAddress" is unknown for a unix endpoint/,
    ],
  ];
  for (const [source, target, opts, kind, text] of wrong) {
    const error = await rejection(forward(source as EndpointLike, target as EndpointLike, opts as ForwardOptions));
    assert.equal(error.name, kind, `${String(source)} ${String(target)} ${JSON.stringify(opts)}: ${error.message}`);
    assert.match(error.message, text);
  }
  await using target = await listen("tcp://127.0.0.1:0");
  assert.equal((await rejection(forward(target.address, to, { listen: { reuseAddr: false } }))).code, "EADDRINUSE");
});
