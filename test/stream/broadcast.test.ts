// broadcast(): one message to many streams, the treatment of slow peers, and that other peers lose nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { broadcast, type BroadcastOptions, connect, lengthPrefixed, listen, Stream, TimeoutError } from "berkeley";
import { memoryPair, readToEnd } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const CLIENTS = 60;
const SILENT = 6;
const MESSAGES = 300;
const MESSAGE = 20_000;
const MOST = 200_000;

const codec = lengthPrefixed({ bytes: 4 });

/** The message with this number: the number, and a fill. */
function message(number: number): Buffer {
  const bytes = Buffer.alloc(MESSAGE, number & 0xff);
  bytes.writeUInt32BE(number);
  return bytes;
}

/** A server's streams to its clients. The first SILENT clients do not read. */
async function withClients(use: (streams: Stream[], clients: Stream[]) => Promise<void>): Promise<void> {
  await using listener = await listen("tcp://127.0.0.1:0", { maxOutbox: MOST, backlog: CLIENTS });
  const streams: Stream[] = [];
  const clients: Stream[] = [];
  try {
    for (let number = 0; number < CLIENTS; number++) {
      clients.push(await connect(listener.address));
      streams.push(await listener.accept());
    }
    await use(streams, clients);
  } finally {
    for (const stream of [...streams, ...clients]) await stream.close();
  }
}

/** Reads the numbers of all messages, each of which must be whole, until the end. */
async function readNumbers(client: Stream): Promise<number[]> {
  const numbers: number[] = [];
  for await (const frame of client.frames(codec)) {
    const number = frame.readUInt32BE();
    assert.ok(frame.equals(message(number)), `message ${number} is whole`);
    numbers.push(number);
  }
  return numbers;
}

const ALL = Array.from({ length: MESSAGES }, (_, number) => number);

test("drop: the peers that read get every message, the others whole messages, and the outboxes stay bounded", async () => {
  await withClients(async (streams, clients) => {
    const reading = clients.slice(SILENT).map(readNumbers);
    const drops = new Map<Stream, number>();
    for (const number of ALL) {
      const frame = codec.encode(message(number));
      const { sent, slow, failed } = await broadcast(streams, frame, { slow: "drop" });
      assert.equal(sent + slow.length, CLIENTS);
      assert.deepEqual(failed, []);
      for (const stream of slow) {
        assert.ok(streams.indexOf(stream) < SILENT, "only a peer that does not read is slow");
        drops.set(stream, (drops.get(stream) ?? 0) + 1);
      }
      for (const { outbox } of streams) assert.ok(outbox.bytes <= MOST, `${outbox.bytes} bytes`);
      // The sender waits until the outboxes of the readers are empty.
      await Promise.all(streams.slice(SILENT).map((stream) => stream.write("")));
    }
    assert.equal(drops.size, SILENT);
    for (const stream of streams.slice(SILENT)) await stream.closeWrite();
    for (const numbers of await Promise.all(reading)) assert.deepEqual(numbers, ALL);

    // What a silent peer reads in the end: whole messages, in order, with a gap.
    const late = clients.slice(0, SILENT).map(readNumbers);
    await Promise.all(streams.slice(0, SILENT).map((stream) => stream.closeWrite()));
    for (const [at, numbers] of (await Promise.all(late)).entries()) {
      assert.equal(numbers.length + drops.get(streams[at]!)!, MESSAGES);
      assert.deepEqual(numbers, ALL.slice(0, numbers.length));
    }
  });
});

test("disconnect: a peer that does not read is cut, and the others lose nothing", async () => {
  await withClients(async (streams, clients) => {
    const reading = clients.slice(SILENT).map(readNumbers);
    const room = new Set(streams);
    for (const number of ALL) {
      const result = await broadcast(room, codec.encode(message(number)), { slow: "disconnect" });
      for (const stream of result.slow) room.delete(stream);
      assert.deepEqual(result.failed, []);
      await Promise.all(streams.slice(SILENT).map((stream) => stream.write("")));
    }
    assert.deepEqual([...room], streams.slice(SILENT));
    for (const stream of room) await stream.closeWrite();
    for (const numbers of await Promise.all(reading)) assert.deepEqual(numbers, ALL);
    for (const client of clients.slice(0, SILENT)) await assert.rejects(readToEnd(client), { code: "ECONNRESET" });
  });
});

test("wait: every peer gets every message, and the slowest sets the pace", async () => {
  const [a, fast] = memoryPair();
  const [b, slow] = memoryPair({ capacity: 5 });
  const streams = [new Stream(a), new Stream(b, { maxOutbox: 19 })];
  // A write of other code waits already, so the first message does not fit.
  const first = streams[1]!.write("0123456789abcdefghi");
  let resolved = false;
  const sending = broadcast(streams, "a message\n", { slow: "wait" }).finally(() => (resolved = true));
  assert.equal(await new Stream(fast).readLine(), "a message");
  assert.equal(resolved, false);
  // Over its limit, the stream accepts no more. The other one does.
  const second = await broadcast(streams, "another message\n", { slow: "wait", timeout: 1000 });
  assert.equal(second.sent, 1);
  assert.deepEqual(
    second.failed.map(({ stream, error }) => [stream, (error as { code: string }).code]),
    [[streams[1], "ERR_OUTBOX_FULL"]],
  );
  const reader = new Stream(slow);
  assert.equal(await reader.readLine(), "0123456789abcdefghia message");
  await first;
  const result = await sending;
  assert.equal(result.sent, 2);
  assert.deepEqual(result.slow, [streams[1]]);
  for (const stream of streams) await stream.close();
  await fast.close();
  await reader.close();
});

test("wait: a timeout and a signal end the wait, and the message still arrives whole", async () => {
  const [a, b] = memoryPair({ capacity: 3 });
  const stream = new Stream(a);
  await assert.rejects(broadcast([stream], "one\n", { slow: "wait", timeout: 1 }), TimeoutError);
  const cut = new AbortController();
  const sending = broadcast([stream], "two\n", { slow: "wait", signal: cut.signal });
  cut.abort("enough");
  await assert.rejects(sending, (reason) => reason === "enough");
  const reader = new Stream(b);
  assert.deepEqual([await reader.readLine(), await reader.readLine()], ["one", "two"]);
  await stream.close();
  await reader.close();
});

for (const slow of ["drop", "disconnect", "wait"] as const) {
  test(`${slow}: a stream that is closed or broken is reported with its error, and the others get the message`, async () => {
    await using listener = await listen("tcp://127.0.0.1:0");
    const [gone, live] = [await connect(listener.address), await connect(listener.address)];
    const [broken, stream, closed] = [await listener.accept(), await listener.accept(), new Stream(memoryPair()[0])];
    await closed.close();
    gone.abort();
    await assert.rejects(broken.read(), { code: "ECONNRESET" });
    const { sent, failed, slow: behind } = await broadcast([broken, closed, stream, stream], "hello\n", { slow });
    assert.equal(sent, 1);
    assert.deepEqual(behind, []);
    assert.deepEqual(
      new Map<Stream, string>(failed.map((one) => [one.stream, (one.error as { code: string }).code])),
      new Map<Stream, string>([
        [broken, "EPIPE"],
        [closed, "EBADF"],
      ]),
    );
    assert.equal(await live.readLine(), "hello");
    for (const one of [broken, stream, live]) await one.close();
  });
}

test("the bytes of a message are shared by all streams", async () => {
  const written: unknown[] = [];
  const streams = Array.from({ length: 3 }, () => {
    const [a] = memoryPair({ capacity: 1 });
    const write = a.write.bind(a);
    a.write = (data, opts) => (written.push(data), write(data, opts));
    return new Stream(a);
  });
  await broadcast(streams, "text", { slow: "drop" });
  assert.equal(written.length, 3);
  assert.ok(written[0] === written[1] && written[1] === written[2]);
  const own = Buffer.from("bytes");
  await broadcast(streams, own, { slow: "drop" });
  assert.ok(written[3] === own && written[4] === own && written[5] === own);
  for (const stream of streams) await stream.close();
});

test("wrong arguments of broadcast() are refused before anything is written", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(a);
  const wrong: [unknown, unknown, unknown, RegExp][] = [
    [[stream], "x", undefined, /slow is undefined, required "drop", "disconnect" or "wait"$/],
    [[stream], "x", { slow: "wate" }, /slow is "wate", required/],
    [[stream], "x", "drop", /options are "drop", required an object/],
    [[stream], "x", { slow: "drop", timeout: 5 }, /option "timeout" is unknown for slow: "drop"/],
    [[stream], "x", { slow: "wait", timeout: -5 }, /timeout is -5, required/],
    [[stream], "x", { slow: "drop", slower: 1 }, /option "slower" is unknown/],
    [[stream], 7, { slow: "drop" }, /data is 7, required/],
    [[stream, a], "x", { slow: "drop" }, /streams\[1\] is .*, required a Stream$/],
    [stream, "x", { slow: "drop" }, /streams is .*, required an iterable of Streams$/],
    [undefined, "x", { slow: "drop" }, /streams is undefined, required an iterable/],
  ];
  for (const [streams, data, opts, text] of wrong) {
    const call = broadcast(streams as Stream[], data as string, opts as BroadcastOptions);
    await assert.rejects(call, (error: Error) => {
      assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
      assert.match(error.message, /^Cannot broadcast: /);
      assert.match(error.message, text);
      return true;
    });
  }
  await stream.write("only this");
  await stream.close();
  assert.equal(String(await readToEnd(b)), "only this");
  await b.close();
});
