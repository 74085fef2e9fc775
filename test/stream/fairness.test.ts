// A loop over data in the buffer of a stream does not block the event loop.
import assert from "node:assert/strict";
import { test } from "node:test";
import { broadcast, BusyError, connect, delimited, listen, SocketError, Stream } from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const COUNT = 5000;
/** A turn has 256 steps. A loop that begins within a turn may spend the rest of that turn before. */
const MOST = 2 * 256;

/** A stream that has `COUNT` lines of 8 bytes, and then the end, in its buffer. */
async function fullStream(): Promise<Stream> {
  const [a, b] = memoryPair({ capacity: COUNT * 8 });
  await a.write(Array.from({ length: COUNT }, (_, number) => `${String(number).padStart(7)}\n`).join(""));
  await a.close();
  const stream = new Stream(b, { readSize: COUNT * 8 });
  assert.equal((await stream.peek(COUNT * 8))!.length, COUNT * 8);
  assert.equal(stream.buffered, COUNT * 8);
  return stream;
}

/** Counts the items of a loop between two turns of the event loop. */
class Turns implements Disposable {
  most = 0;
  total = 0;
  #items = 0;
  #immediate: NodeJS.Immediate;

  constructor() {
    const turn = (): void => {
      this.#items = 0;
      this.#immediate = setImmediate(turn);
    };
    this.#immediate = setImmediate(turn);
  }

  count(): void {
    this.total++;
    this.most = Math.max(this.most, ++this.#items);
  }

  [Symbol.dispose](): void {
    clearImmediate(this.#immediate);
  }
}

/** The number of an item: text or bytes. */
const numberOf = (item: string | Buffer): number => Number(item.toString());

/** Each way to read items that are in the buffer: calls `item` with each, in order. */
const LOOPS: Readonly<Record<string, (stream: Stream, item: (number: number) => void) => Promise<void>>> = {
  "for await over lines()": async (stream, item) => {
    for await (const line of stream.lines()) item(numberOf(line));
  },
  "for await over frames()": async (stream, item) => {
    for await (const frame of stream.frames(delimited("\n"))) item(numberOf(frame));
  },
  "readLine()": async (stream, item) => {
    for (let line = await stream.readLine(); line !== null; line = await stream.readLine()) item(numberOf(line));
  },
  "readLine() with a timeout and a signal": async (stream, item) => {
    const { signal } = new AbortController();
    const read = (): Promise<string | null> => stream.readLine({ timeout: 0, signal });
    for (let line = await read(); line !== null; line = await read()) item(numberOf(line));
  },
  "readUntil()": async (stream, item) => {
    const read = (): Promise<Buffer | null> => stream.readUntil("\n");
    for (let line = await read(); line !== null; line = await read()) item(numberOf(line));
  },
  "readExactly()": async (stream, item) => {
    for (let number = 0; number < COUNT; number++) item(numberOf(await stream.readExactly(8)));
  },
  "read(max)": async (stream, item) => {
    for (let bytes = await stream.read(8); bytes !== null; bytes = await stream.read(8)) item(numberOf(bytes));
  },
  "read(buffer)": async (stream, item) => {
    const buffer = Buffer.alloc(8);
    while ((await stream.read(buffer)) > 0) item(numberOf(buffer));
  },
  "peek()": async (stream, item) => {
    for (let bytes = await stream.peek(8); bytes !== null; bytes = await stream.peek(8)) {
      await stream.read(8);
      item(numberOf(bytes));
    }
  },
  "read() and tryRead() of items": async (stream, item) => {
    const lines = stream.lines();
    // tryRead() never waits, so a hundred calls run in one turn, and the read() after them waits for the next turn.
    for (let line = await lines.read(); line !== null; line = await lines.read()) {
      item(numberOf(line));
      for (let more = 0; more < 99; more++) item(numberOf(lines.tryRead()!));
    }
  },
};

for (const [name, loop] of Object.entries(LOOPS)) {
  test(`a loop of ${name} gives way in the middle of the buffer, and loses no item`, async () => {
    await using stream = await fullStream();
    using turns = new Turns();
    await loop(stream, (number) => {
      assert.equal(number, turns.total);
      turns.count();
    });
    assert.equal(turns.total, COUNT);
    assert.ok(turns.most <= MOST, `${turns.most} items in a turn`);
  });
}

for (const [name, call] of Object.entries({
  "at the end of the stream": async (stream: Stream) => assert.equal(await stream.read(), null),
  "on a closed stream": async (stream: Stream) => {
    await stream.close();
    await assert.rejects(stream.readLine(), { code: "EBADF" });
  },
  "with an aborted signal": (stream: Stream) =>
    assert.rejects(stream.readLine({ signal: AbortSignal.abort() }), { name: "AbortError" }),
  "while another call reads": async (stream: Stream) => {
    const [, idle] = memoryPair();
    const busy = new Stream(idle);
    const reading = busy.readLine().catch(() => undefined);
    await assert.rejects(busy.readLine(), BusyError);
    await busy.close();
    await reading;
    await stream.close();
  },
})) {
  test(`a loop of reads ${name} gives way`, async () => {
    const [a, b] = memoryPair();
    await a.close();
    await using stream = new Stream(b);
    using turns = new Turns();
    for (let number = 0; number < 2000; number++) {
      await call(stream);
      turns.count();
    }
    assert.ok(turns.most <= MOST, `${turns.most} calls in a turn`);
  });
}

test("two ends in memory that answer each other for ever do not stop a timer", async () => {
  const [a, b] = memoryPair();
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 1);
  const echo = async (): Promise<void> => {
    const bytes = Buffer.alloc(8);
    for (let count = await b.read(bytes); count > 0; count = await b.read(bytes)) await b.write(bytes);
  };
  const echoing = echo();
  const bytes = Buffer.alloc(8);
  while (!stop.signal.aborted) {
    await a.write(bytes);
    await a.read(bytes);
  }
  clearTimeout(timer);
  await a.close();
  await echoing;
  await b.close();
});

/** Reads lines until a read has to wait for its turn, and returns that read and the number of its line. */
async function readThatWaits(stream: Stream, opts?: { signal?: AbortSignal }): Promise<[Promise<unknown>, number]> {
  for (let number = 0; number < COUNT; number++) {
    const reading = stream.readLine(opts);
    if (stream.reading) return [reading, number];
    await reading;
  }
  return assert.fail("no read has waited");
}

test("a read that waits for its turn holds the reading side, and close() ends it", async () => {
  const stream = await fullStream();
  const [reading] = await readThatWaits(stream);
  const refused = Promise.all([assert.rejects(stream.read(), BusyError), assert.rejects(stream.end(), BusyError)]);
  await stream.close();
  await refused;
  await assert.rejects(reading, (error) => error instanceof SocketError && error.code === "ECANCELED");
});

test("close() ends a loop that waits for its turn quietly", async () => {
  const stream = await fullStream();
  let lines = 0;
  for await (const line of stream.lines()) {
    assert.equal(numberOf(line), lines++);
    // A later pass of the loop waits for its turn, and then this runs.
    if (lines === 100) setImmediate(() => void stream.close());
  }
  assert.ok(lines >= 100 && lines < COUNT, `${lines} lines`);
});

test("a signal ends a read that waits for its turn, and its line stays", async () => {
  await using stream = await fullStream();
  const stop = new AbortController();
  const [reading, number] = await readThatWaits(stream, { signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(reading, /enough/);
  assert.equal(numberOf((await stream.readLine())!), number);
});

test("single items do not wait for a turn of the loop", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  await using client = await connect(listener.address);
  await using server = await listener.accept();
  const echoing = (async () => {
    for await (const line of server.lines()) await server.write(`${line}\n`);
  })();
  const { setImmediate } = globalThis;
  let turns = 0;
  globalThis.setImmediate = ((...args: Parameters<typeof setImmediate>) => {
    turns++;
    return setImmediate(...args);
  }) as typeof setImmediate;
  try {
    for (let number = 0; number < 2000; number++) {
      await client.write(`${number}\n`);
      assert.equal(await client.readLine(), String(number));
    }
  } finally {
    globalThis.setImmediate = setImmediate;
  }
  assert.equal(turns, 0);
  await client.closeWrite();
  await echoing;
});

const READERS = 40;
const LINES = 1500;

for (const maxOutbox of [65_536, 262_144]) {
  test(`one fast sender and ${READERS} readers with an outbox of ${maxOutbox}: no reader is disconnected, and none starves`, async () => {
    await using listener = await listen("tcp://127.0.0.1:0", { maxOutbox, backlog: READERS + 2 });
    await using talker = await connect(listener.address);
    await using heard = await listener.accept();
    await using quiet = await connect(listener.address);
    await using answering = await listener.accept();
    const clients: Stream[] = [];
    const streams = new Set<Stream>();
    for (let number = 0; number < READERS; number++) {
      clients.push(await connect(listener.address));
      streams.add(await listener.accept());
    }
    const read = async (client: Stream): Promise<void> => {
      let number = 0;
      for await (const line of client.lines()) {
        assert.equal(Number(line.slice(0, 8)), number++);
        if (number === LINES) return;
      }
      assert.fail(`a reader was cut after ${number} lines`);
    };
    const reading = Promise.all(clients.map(read));
    const fill = "x".repeat(891);
    const text = Array.from({ length: LINES }, (_, number) => `${String(number).padStart(8)}${fill}\n`).join("");
    const talking = talker.write(text);

    // Another connection, which answers while the talker is served.
    let answers = 0;
    const answerer = (async () => {
      for await (const line of answering.lines()) await answering.write(`${line}\n`);
    })();
    const questions = (async () => {
      while (streams.size > 0) {
        await quiet.write("?\n");
        if ((await quiet.readLine()) !== null) answers++;
      }
    })();

    let lines = 0;
    for await (const line of heard.lines()) {
      const { slow, failed } = await broadcast(streams, `${line}\n`, { slow: "disconnect" });
      assert.deepEqual([slow.length, failed.length], [0, 0], `after ${lines} lines`);
      if (++lines === LINES) break;
    }
    await talking;
    await reading;
    assert.ok(answers > 50, `${answers} answers`);
    const ended = [...streams, ...clients];
    streams.clear();
    await questions;
    await quiet.closeWrite();
    await answerer;
    for (const stream of ended) await stream.close();
  });
}

test("in a loop of broadcast(), peers can read before they count as slow", async () => {
  await using listener = await listen("tcp://127.0.0.1:0", { maxOutbox: 100_000 });
  await using client = await connect(listener.address);
  await using stream = await listener.accept();
  const message = Buffer.alloc(20_000, 1);
  const COPIES = 2000;
  let received = 0;
  const reading = (async () => {
    for await (const chunk of client) if ((received += chunk.length) === COPIES * message.length) return;
  })();
  for (let copy = 0; copy < COPIES; copy++) {
    const { slow } = await broadcast([stream], message, { slow: "disconnect" });
    assert.equal(slow.length, 0, `message ${copy}`);
  }
  await reading;
});
