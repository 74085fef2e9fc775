// context.draining, which all handlers of a server share.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import type { Stream } from "berkeley";
import { serve } from "berkeley/server";
import { checkLeaks } from "../support/leaks.js";
import { connectTo } from "./support.js";

checkLeaks();

test("each of many handlers listens to context.draining, without a warning", async () => {
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on("warning", warned);
  let drained = 0;
  await using server = await serve("tcp://127.0.0.1:0", async (stream, { draining }) => {
    const drain = once(draining, "abort");
    await stream.write("here\n");
    await drain;
    drained++;
  });
  const clients: Stream[] = [];
  for (let count = 0; count < 20; count++) {
    const client = await connectTo(server);
    assert.equal(await client.readLine(), "here");
    clients.push(client);
  }
  const draining = server.drain();
  for (const client of clients) {
    assert.equal(await client.read(), null);
    await client.close();
  }
  await draining;
  // Node.js emits a warning in a later turn.
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", warned);
  assert.equal(drained, 20);
  assert.deepEqual(warnings, []);
});
