// The end of loops when this side closes the object over which they iterate.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bindUdp, connect, lengthPrefixed, listen, Stream } from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

async function count(items: AsyncIterable<unknown>): Promise<number> {
  let found = 0;
  for await (const _ of items) found++;
  return found;
}

const loops: readonly (readonly [name: string, loop: (stream: Stream) => AsyncIterable<unknown>])[] = [
  ["lines()", (stream) => stream.lines()],
  ["frames()", (stream) => stream.frames(lengthPrefixed())],
  ["the chunks of a stream", (stream) => stream],
];

async function tcpPair(): Promise<[Stream, Stream]> {
  await using listener = await listen("tcp://127.0.0.1:0");
  const client = await connect(listener.address);
  return [client, await listener.accept()];
}

for (const [name, loop] of loops) {
  test(`a loop over ${name} ends quietly when close() comes in the middle, and begins no more after it`, async () => {
    const [a, b] = memoryPair();
    for (const [mine, other] of [await tcpPair(), [new Stream(a), new Stream(b)] as const]) {
      const running = count(loop(mine));
      await mine.close();
      assert.equal(await running, 0);
      assert.equal(await count(loop(mine)), 0);
      await other.close();
    }
  });

  test(`a loop over ${name} throws the error of a peer that resets`, async () => {
    const [mine, other] = await tcpPair();
    const running = count(loop(mine));
    other.conn.abort();
    await assert.rejects(running, { code: "ECONNRESET" });
    await mine.close();
  });
}

test("loops over a listener and over a UDP socket end quietly when close() comes in the middle", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const udp = await bindUdp("udp://127.0.0.1:0");
  const running = [count(listener), count(listener.socket), count(udp)];
  await listener.close();
  await udp.close();
  assert.deepEqual(await Promise.all(running), [0, 0, 0]);
});

test("a loop throws the reason of its signal, also if it is the error of a call that was closed", async () => {
  const [mine, other] = await tcpPair();
  const closed = new Stream(memoryPair()[0]);
  await closed.close();
  const reason: unknown = await closed.read().catch((error: unknown) => error);
  const aborting = new AbortController();
  const running = count(mine.lines({ signal: aborting.signal }));
  aborting.abort(reason);
  await assert.rejects(running, (error) => error === reason);
  await mine.close();
  await other.close();
});
