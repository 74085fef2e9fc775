// The diagnostics channels of connect() and listen(): messages of calls that succeed, fail, and are tried again.

import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { type CallEndEvent, type CallErrorEvent, type CallStartEvent, connect, listen } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";

checkLeaks();

type Message = CallStartEvent & Partial<CallEndEvent> & Partial<CallErrorEvent>;

/** Subscribes to both calls. */
function listenToCalls(): { readonly got: (readonly [string, Message])[] } & Disposable {
  const got: (readonly [string, Message])[] = [];
  const names = ["connect", "listen"].flatMap((call) => ["start", "end", "error"].map((part) => `${call}:${part}`));
  const receivers = names.map((name) => {
    const receiver = (message: unknown): void => void got.push([name, message as Message]);
    subscribe(`berkeley:${name}`, receiver);
    return [name, receiver] as const;
  });
  return {
    got,
    [Symbol.dispose]: () => receivers.forEach(([name, receiver]) => unsubscribe(`berkeley:${name}`, receiver)),
  };
}

test("connect() and listen() publish their start and their end, with endpoint, addresses and duration", async () => {
  using calls = listenToCalls();
  await using listener = await listen("tcp://127.0.0.1:0");
  await using client = await connect(listener.address);
  await using server = await listener.accept();
  const [listening, listened, connecting, connected, ...rest] = calls.got;
  assert.deepEqual(rest, []);
  const { time, id, ...first } = listening![1];
  assert.ok(Math.abs(time - Date.now()) < 60_000);
  assert.deepEqual([listening![0], first], ["listen:start", { call: "listen", endpoint: "tcp://127.0.0.1:0" }]);
  assert.deepEqual(
    [listened![0], listened![1].id, listened![1].local, listened![1].peer],
    ["listen:end", id, String(listener.address), null],
  );
  const endpoint = `tcp://${listener.address}`;
  assert.deepEqual(
    [connecting![0], connecting![1].call, connecting![1].endpoint, connecting![1].id],
    ["connect:start", "connect", endpoint, id + 1],
  );
  const { duration, local, peer } = connected![1];
  assert.deepEqual(
    [connected![0], connected![1].id, connected![1].endpoint, local, peer],
    ["connect:end", id + 1, endpoint, String(server.remoteAddress), String(client.remoteAddress)],
  );
  assert.ok(duration! >= 0 && duration! < 60_000);
});

test("a call that fails publishes its error, and each try of `retry` is a call", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const { address } = listener;
  await using second = await listen("tcp://127.0.0.1:0");
  await listener.close();
  using calls = listenToCalls();
  await assert.rejects(listen(second.address), { code: "EADDRINUSE" });
  await assert.rejects(connect(address), { code: "ECONNREFUSED" });
  const retry = { maxTries: 2, minDelay: 1, maxDelay: 1 };
  await assert.rejects(connect(address, { retry }), { code: "ECONNREFUSED" });
  const names = calls.got.map(([name, { error }]) => [name, error?.code]);
  const failed = [
    ["connect:start", undefined],
    ["connect:error", "ECONNREFUSED"],
  ];
  assert.deepEqual(names, [
    ["listen:start", undefined],
    ["listen:error", "EADDRINUSE"],
    ...failed,
    ...failed,
    ...failed,
  ]);
  const { error } = calls.got.at(-1)![1];
  assert.equal(error!.name, "SocketError");
  assert.match(error!.message, /ECONNREFUSED/);
});

test("a subscriber that aborts the signal of the call ends it, and the next call is observed", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  subscribe("berkeley:connect:start", abort);
  try {
    await assert.rejects(connect(listener.address, { signal: controller.signal }), { name: "AbortError" });
  } finally {
    unsubscribe("berkeley:connect:start", abort);
  }
  using calls = listenToCalls();
  await using client = await connect(listener.address);
  await using server = await listener.accept();
  assert.deepEqual(
    calls.got.map(([name]) => name),
    ["connect:start", "connect:end"],
  );
  assert.equal(String(server.remoteAddress), String(client.localAddress));
});

test("the import of the package opens no channel, and a wrong argument publishes nothing", async () => {
  using calls = listenToCalls();
  await assert.rejects(connect("udp://127.0.0.1:1"), TypeError);
  await assert.rejects(listen("udp://127.0.0.1:1"), TypeError);
  assert.deepEqual(calls.got, []);
  await using program = Program.node([
    "--input-type=module",
    "--eval",
    `
    const { createRequire } = await import("node:module");
    const channels = createRequire("/")("node:diagnostics_channel");
    const opened = [];
    const { channel } = channels;
    channels.channel = (name) => {
      if (name.startsWith("berkeley:")) opened.push(name);
      return channel(name);
    };
    const { listen } = await import("berkeley");
    console.log(opened.length);
    await (await listen("tcp://127.0.0.1:0")).close();
    console.log(opened.join());
    `,
  ]);
  const { stdout } = await program.ended;
  assert.equal(stdout, "0\nberkeley:listen:start,berkeley:listen:end,berkeley:listen:error\n");
});
