// The example proxy.ts: both directions, half-close, refusals, resets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Forwarded, listen } from "berkeley";
import { startProxy } from "../../examples/proxy.js";
import { checkLeaks } from "../support/leaks.js";
import { example, interrupted, portOf } from "./support.js";

checkLeaks();

test("the proxy passes bytes and ends on, in both directions", async () => {
  await using target = await listen("unix:@berkeley-proxy-test");
  let ended!: (forwarded: Forwarded) => void;
  const end = new Promise<Forwarded>((resolve) => (ended = resolve));
  await using proxy = await startProxy("tcp://127.0.0.1:0", target.address, { onEnd: ended });
  await using client = await connect(proxy.address);
  await client.write("a question");
  await client.closeWrite();
  await using server = await target.accept();
  assert.equal((await server.readExactly(10)).toString(), "a question");
  assert.equal(await server.read(), null);
  // The client has finished, and still gets all of the answer.
  const answer = Buffer.from(Array.from({ length: 1 << 20 }, (_, index) => index % 251));
  const writing = server.write(answer).then(() => server.closeWrite());
  assert.deepEqual(await client.readExactly(answer.length), answer);
  assert.equal(await client.read(), null);
  await writing;
  const { duration, ...counts } = await end;
  assert.ok(duration > 0);
  assert.deepEqual(counts, { client: client.localAddress, toTarget: 10, toClient: answer.length });
});

test("a target that can't be reached is a reset for the client", async () => {
  await using proxy = await startProxy("tcp://127.0.0.1:0", "unix:@berkeley-proxy-nobody");
  // The reset may arrive before connect() of the client returns.
  const attempt = async (): Promise<unknown> => {
    await using client = await connect(proxy.address);
    return await client.read();
  };
  await assert.rejects(attempt(), { code: "ECONNRESET" });
});

test("a side that is cut cuts the other", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  await using proxy = await startProxy("tcp://127.0.0.1:0", target.address);
  await using client = await connect(proxy.address);
  await using server = await target.accept();
  await client.write("x");
  assert.equal((await server.readExactly(1)).toString(), "x");
  server.abort();
  await assert.rejects(client.read(), { code: "ECONNRESET" });
});

test("proxy.ts is a program", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  await using proxy = example("proxy", "tcp://127.0.0.1:0", `tcp://${String(target.address)}`);
  await using client = await connect(["127.0.0.1", await portOf(proxy)]);
  await using server = await target.accept();
  await client.write("through\n");
  assert.equal(await server.readLine(), "through");
  await interrupted(proxy);
  assert.equal(await client.read().catch(() => null), null);
  await using wrong = example("proxy");
  assert.equal((await wrong.ended).status, 2);
});
