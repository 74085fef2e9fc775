// The example chat.ts: the line of one guest goes to the others, and no guest can delay them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type EndpointLike, type Stream } from "berkeley";
import { startChat } from "../../examples/chat.js";
import { checkLeaks } from "../support/leaks.js";
import { example, interrupted, portOf } from "./support.js";

checkLeaks();

/** Comes in under a name. */
async function enter(endpoint: EndpointLike, name: string): Promise<Stream> {
  const stream = await connect(endpoint);
  assert.equal(await stream.readLine(), "* who are you?");
  await stream.write(`${name}\n`);
  assert.equal(await stream.readLine(), `* hello, ${name}`);
  return stream;
}

test("the line of one guest goes to the others, with the name", async () => {
  await using chat = await startChat("tcp://127.0.0.1:0");
  await using ada = await enter(chat.address, "ada");
  await using bob = await enter(chat.address, "bob");
  assert.equal(await ada.readLine(), "* bob is here");
  await ada.write("good morning\n");
  assert.equal(await bob.readLine(), "ada: good morning");
  await bob.write("/who\n/nick robert\nhello\n");
  assert.equal(await bob.readLine(), "* here are ada, bob");
  assert.equal(await bob.readLine(), "* bob is now robert");
  assert.equal(await ada.readLine(), "* bob is now robert");
  assert.equal(await ada.readLine(), "robert: hello");
  await bob.write("/quit\n");
  assert.equal(await ada.readLine(), "* robert has left");
  assert.equal(await bob.readLine(), null);
});

test("names are unique, and names and lines have no control characters", async () => {
  await using chat = await startChat("tcp://127.0.0.1:0");
  await using ada = await enter(chat.address, "ada");
  await using other = await connect(chat.address);
  assert.equal(await other.readLine(), "* who are you?");
  await other.write("ada\nno name\nbob\n\x1b[31mred\n");
  assert.equal(await other.readLine(), "* ada is here already");
  assert.match((await other.readLine()) ?? "", /^\* a name has 1 to 20/);
  assert.equal(await other.readLine(), "* hello, bob");
  assert.equal(await ada.readLine(), "* bob is here");
  assert.equal(await ada.readLine(), "bob: [31mred");
  await other.write("/nick ada\n/dance\n");
  assert.equal(await other.readLine(), "* ada is here already");
  assert.match((await other.readLine()) ?? "", /^\* there are/);
});

test("a guest whose line is too long, or who disconnects, has left", async () => {
  await using chat = await startChat("tcp://127.0.0.1:0", { maxLine: 64 });
  await using ada = await enter(chat.address, "ada");
  await using bob = await enter(chat.address, "bob");
  await bob.write("x".repeat(65));
  assert.equal(await bob.readLine(), "* a line has at most 64 bytes");
  assert.equal(await bob.readLine(), null);
  const eve = await enter(chat.address, "eve");
  eve.abort();
  assert.deepEqual(
    [await ada.readLine(), await ada.readLine(), await ada.readLine(), await ada.readLine()],
    ["* bob is here", "* bob has left", "* eve is here", "* eve has left"],
  );
});

test("a guest that does not read is disconnected, and the others are not delayed", async () => {
  await using chat = await startChat("tcp://127.0.0.1:0", { maxOutbox: 2000 });
  await using ada = await enter(chat.address, "ada");
  await using slow = await enter(chat.address, "slow");
  assert.equal(await ada.readLine(), "* slow is here");
  const line = `${"x".repeat(500)}\n`;
  let left = false;
  const gone = ada.readLine().then((text) => {
    assert.equal(text, "* slow has left");
    left = true;
  });
  // As many as the kernel's buffers hold, and the queue.
  while (!left) await ada.write(line);
  await gone;
  await assert.rejects(
    async () => {
      for await (const chunk of slow) assert.ok(chunk.length > 0);
    },
    { code: "ECONNRESET" },
  );
});

test("chat.ts is a program that ends on Ctrl-C", async () => {
  await using server = example("chat", "0");
  await using ada = await enter(["127.0.0.1", await portOf(server)], "ada");
  await interrupted(server);
  assert.equal(await ada.readLine(), null);
});
