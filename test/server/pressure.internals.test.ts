// Errors of accept(2) and of calls that open descriptors, on replaced calls.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { connect, forward, listen, type Stream } from "berkeley";
import { serve } from "berkeley/server";
import { calls } from "#berkeley/sys/calls.js";
import { ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM } from "#berkeley/sys/errno.js";
import { TestClock } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { connectTo } from "./support.js";

checkLeaks();

const LOCAL = "tcp://127.0.0.1:0";
const echo = async (stream: Stream): Promise<void> => {
  for await (const line of stream.lines()) await stream.write(`${line}\n`);
};

/** Makes a call return an error, for as long as `failing` is true, and counts the calls. */
function replaced(name: "accept" | "socket" | "pipe", errno: number): { failing: boolean; count: number } & Disposable {
  const real = calls[name] as (...args: unknown[]) => number;
  const state = {
    failing: true,
    count: 0,
    [Symbol.dispose]: (): void => void Object.assign(calls, { [name]: real }),
  };
  const fake = (...args: unknown[]): number => {
    if (!state.failing) return real(...args);
    state.count++;
    return errno;
  };
  Object.assign(calls, { [name]: fake });
  return state;
}

for (const [name, errno] of Object.entries({ EMFILE, ENFILE, ENOBUFS, ENOMEM })) {
  for (const kind of ["serve", "forward"]) {
    test(`${kind}() backs off after ${name} of accept(2), with an event, and loses no connection`, async () => {
      using clock = new TestClock();
      await using target = await listen(LOCAL);
      const echoing = (async () => {
        for await (const stream of target) {
          const close = (): Promise<void> => stream.close();
          echo(stream).then(close, close);
        }
      })();
      const events: string[] = [];
      const onPressure = ({ state, code }: { state: string; code: string }): void =>
        void events.push(`${state} ${code}`);
      await using server = await (kind === "serve"
        ? serve(LOCAL, echo, { onPressure })
        : forward(LOCAL, target.address, { onPressure }));
      const first = await connect(server.address as typeof target.address);
      await first.write("before\n");
      assert.equal(await first.readLine(), "before");
      const accepting = replaced("accept", errno);
      using _ = accepting;
      const second = await connect(server.address as typeof target.address);
      while (events.length === 0) await turn();
      await clock.advance(10_000);
      // Pauses of 100 ms, and each leads to an attempt and to a check.
      assert.ok(accepting.count <= 110, `${accepting.count} attempts in 10 s`);
      assert.deepEqual(events, [`begin ${name}`]);
      await first.write("meanwhile\n");
      assert.equal(await first.readLine(), "meanwhile");
      accepting.failing = false;
      await clock.advance(1000);
      await second.write("after\n");
      assert.equal(await second.readLine(), "after");
      assert.deepEqual(events, [`begin ${name}`, `end ${name}`]);
      assert.equal(server.stats().shortages, 1);
      for (const client of [first, second]) await client.close();
      await server.close();
      await target.close();
      await echoing;
    });
  }
}

for (const [name, errno] of Object.entries({ ECONNABORTED, EPERM })) {
  test(`${name} of accept(2) is passed over without an event`, async () => {
    const events: unknown[] = [];
    await using server = await serve(LOCAL, echo, { onPressure: (event) => events.push(event) });
    const real = calls.accept;
    let left = 5;
    calls.accept = (...args) => (left-- > 0 ? errno : real(...args));
    try {
      await using client = await connectTo(server);
      await client.write("hello\n");
      assert.equal(await client.readLine(), "hello");
    } finally {
      calls.accept = real;
    }
    assert.deepEqual(events, []);
  });
}

test("an error of accept(2) that does not end with time ends the server with this error", async () => {
  await using server = await serve(LOCAL, echo);
  const accepting = replaced("accept", -22);
  using _ = accepting;
  await using client = await connectTo(server);
  void client;
  await assert.rejects(server.closed, { code: "EINVAL" });
});

test("a handler that closes its server during a shortage ends the shortage", async () => {
  // With this reserve, descriptors are always short.
  await using server = await serve(LOCAL, () => void server.close(), { reserve: 1_000_000 });
  await using client = await connectTo(server);
  await assert.rejects(client.read(), { code: "ECONNRESET" });
  await using next = await serve(LOCAL, echo);
  await using other = await connectTo(next);
  await other.write("hello\n");
  assert.equal(await other.readLine(), "hello");
});

test("a server that starts during a shortage reports its begin, too", async () => {
  using clock = new TestClock();
  const log: string[] = [];
  const onPressure = ({ state, code }: { state: string; code: string }): void => void log.push(`${state} ${code}`);
  await using first = await serve(LOCAL, echo);
  const accepting = replaced("accept", EMFILE);
  using _ = accepting;
  await using client = await connectTo(first);
  while (first.stats().shortages === 0) await turn();
  await using second = await serve(LOCAL, echo, { onPressure });
  accepting.failing = false;
  await clock.advance(1000);
  assert.deepEqual(log, ["begin EMFILE", "end EMFILE"]);
  assert.equal(second.stats().shortages, 1);
  await client.close();
});

test("a server whose reserve is larger than the limit serves one connection after the other", async () => {
  await using server = await serve(LOCAL, echo, { reserve: 1_000_000 });
  const clients = await Promise.all([1, 2, 3].map(() => connectTo(server)));
  const answered = clients.map(async (client) => {
    await client.write("hello\n");
    assert.equal(await client.readLine(), "hello");
    await client.end();
  });
  await Promise.all(answered);
});

for (const call of ["socket", "pipe"] as const) {
  test(`forward() keeps a client whose target gets no descriptor from ${call}(2)`, async () => {
    using clock = new TestClock();
    await using target = await listen(LOCAL);
    const events: string[] = [];
    await using forwarder = await forward(LOCAL, target.address, { onPressure: ({ state }) => events.push(state) });
    const clients = [await connect(forwarder.address), await connect(forwarder.address)];
    for (const _ of clients) await target.accept().then((stream) => stream.abort());
    while (forwarder.stats().connections > 0) await turn();
    const waiting = await connect(forwarder.address, { family: 2 });
    const opening = replaced(call, EMFILE);
    using _ = opening;
    while (events.length === 0 && forwarder.stats().accepted < 3) await turn();
    await clock.advance(5000);
    opening.failing = false;
    await clock.advance(1000);
    await using server = await target.accept();
    await waiting.write("hello\n");
    assert.equal(await server.readLine(), "hello");
    assert.equal(forwarder.stats().accepted, 3);
    assert.deepEqual(events, ["begin", "end"]);
    for (const client of [...clients, waiting]) await client.close();
  });
}
