// Callbacks of users that throw or reject: a call that needs the result fails with the error, and a callback that only
// reports causes a warning. None causes an unhandled rejection, which would fail this file.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import {
  AF_INET,
  type Codec,
  connect,
  DatagramQueue,
  forward,
  listen,
  Reconnector,
  SOCK_DGRAM,
  Socket,
  Stream,
} from "berkeley";
import { connectUdp } from "berkeley";
import * as sync from "berkeley/sync";
import { memoryPair } from "berkeley/testing";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkLeaks } from "./support/leaks.js";

checkLeaks();

const own = new Error("no");
function thrower(): never {
  throw own;
}
const rejecter: () => never = (() => Promise.reject(own)) as never;

async function nextWarning(): Promise<Error & { code?: string; detail?: string }> {
  const [warning] = (await once(process, "warning")) as [Error & { code?: string }];
  return warning;
}

function isWarning(warning: Error & { code?: string }, name: string): void {
  assert.equal(warning.name, "CallbackWarning");
  assert.equal(warning.code, "ERR_CALLBACK");
  assert.equal(warning.message, `${name} threw Error: no`);
  assert.equal(warning.cause, own);
}

for (const [how, onEnd] of [
  ["throws", thrower],
  ["rejects", rejecter],
] as const) {
  test(`onEnd of forward() that ${how} is a warning, and the next connection is forwarded`, async () => {
    await using target = await listen("tcp://127.0.0.1:0");
    await using forwarder = await forward("tcp://127.0.0.1:0", `tcp://${String(target.address)}`, { onEnd });
    for (let visits = 0; visits < 2; visits++) {
      const warned = nextWarning();
      await using client = await connect(forwarder.address);
      await using server = await target.accept();
      await server.write("hello\n");
      await Promise.all([server.closeWrite(), client.closeWrite()]);
      assert.equal(await client.readLine(), "hello");
      isWarning(await warned, "onEnd");
    }
  });
}

for (const [how, callback] of [
  ["throw", thrower],
  ["reject", rejecter],
] as const) {
  test(`onRetry, onConnect and onDisconnect of a Reconnector that ${how} are warnings, and it goes on`, async () => {
    const listener = await listen("tcp://127.0.0.1:0");
    const { address } = listener;
    const retry = { minDelay: 0, maxTries: 2, onRetry: callback };
    const callbacks = { onConnect: callback, onDisconnect: callback, retry };
    await using reconnector = new Reconnector(address, callbacks);
    const connected = nextWarning();
    const stream = await reconnector.connection();
    isWarning(await connected, "onConnect");
    const disconnected = nextWarning();
    await stream.close();
    isWarning(await disconnected, "onDisconnect");
    await listener.close();
    const retried = nextWarning();
    await assert.rejects(reconnector.connection(), { code: "ECONNREFUSED" });
    isWarning(await retried, "onRetry");
    const again = nextWarning();
    await assert.rejects(connect(address, { retry }), { code: "ECONNREFUSED" });
    isWarning(await again, "onRetry");
  });
}

async function refusedQueue(onRefused: () => void): Promise<{ socket: Socket; queue: DatagramQueue }> {
  const socket = new Socket(AF_INET, SOCK_DGRAM);
  await socket.bind("127.0.0.1:0");
  return { socket, queue: new DatagramQueue(socket, { onRefused, size: 64 }) };
}

test("onRefused of a DatagramQueue that throws ends the queue, one that rejects is a warning", async () => {
  const ended = await refusedQueue(thrower);
  ended.queue.trySend("broadcast", "255.255.255.255:9");
  await ended.queue.flush();
  await assert.rejects(ended.queue.send("later", "127.0.0.1:9"), own);
  ended.socket.close();
  const { socket, queue } = await refusedQueue(rejecter);
  const warned = nextWarning();
  queue.trySend("broadcast", "255.255.255.255:9");
  await queue.flush();
  isWarning(await warned, "onRefused");
  assert.equal(queue.stats().refused, 1);
  socket.close();
});

test("onProgress of sendfile() that throws ends the call, one that rejects is a warning", async () => {
  const folder = mkdtempSync(join(tmpdir(), "berkeley-"));
  writeFileSync(join(folder, "file"), "content");
  const file = openSync(join(folder, "file"), "r");
  try {
    const [a, b] = sync.socketpair();
    const first = Socket.fromfd(a.detach());
    await assert.rejects(first.sendfile(file, { onProgress: thrower }), own);
    const warned = nextWarning();
    assert.equal(await first.sendfile(file, { onProgress: rejecter }), 7);
    isWarning(await warned, "onProgress");
    const blocking = nextWarning();
    assert.throws(() => b.sendfile(file, { onProgress: thrower }), own);
    assert.equal(b.sendfile(file, { onProgress: rejecter }), 7);
    isWarning(await blocking, "onProgress");
    first.close();
    b.close();
  } finally {
    closeSync(file);
    rmSync(folder, { recursive: true });
  }
});

test("a resolver that throws or rejects fails the call", async () => {
  for (const resolver of [thrower, rejecter]) {
    const error = await connect("tcp://some.test:9", { resolver }).catch((reason: unknown) => reason);
    assert.ok(error === own || (error as Error).cause === own || (error as AggregateError).errors?.includes(own));
    await assert.rejects(connectUdp("udp://some.test:9", { resolver }), own);
  }
});

test("a clock that throws fails the read, and leaves the stream to the next one", async () => {
  const [a, b] = memoryPair();
  let broken = true;
  const stream = new Stream(b, { now: () => (broken ? thrower() : 0) });
  await assert.rejects(stream.readLine({ timeout: 1000 }), own);
  broken = false;
  await a.write("line\n");
  assert.equal(await stream.readLine({ timeout: 1000 }), "line");
  await Promise.all([a.close(), stream.close()]);
});

test("a decoder that throws, or is async, fails the read", async () => {
  const codecs: readonly [Codec<string>, RegExp | Error][] = [
    [{ decoder: () => thrower, encode: String }, own],
    [
      { decoder: () => rejecter, encode: String },
      /^RangeError: Cannot read a frame: the decoder.s size is undefined, required a whole number from 1 to 5$/,
    ],
  ];
  for (const [codec, expected] of codecs) {
    const [a, b] = memoryPair();
    await a.write("bytes");
    const warned = expected === own ? undefined : nextWarning();
    await assert.rejects(new Stream(b).frames(codec).read(), expected);
    if (warned !== undefined) isWarning(await warned, "a decoder");
    await Promise.all([a.close(), b.close()]);
  }
});
