// The tests of an outbox, for any kind of connection.

import assert from "node:assert/strict";
import { test } from "node:test";
import { OutboxFullError, type Stream, type StreamOptions } from "berkeley";

/** Two streams of one connection. */
export type Ends = readonly [writer: Stream, reader: Stream];

class Pair implements AsyncDisposable {
  readonly writer: Stream;
  readonly reader: Stream;

  constructor([writer, reader]: Ends) {
    this.writer = writer;
    this.reader = reader;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writer.close();
    await this.reader.close();
  }
}

const MESSAGE = 10_000;
const MOST = 100_000;

/** The message with this number: the number, and a fill. */
function message(number: number): Buffer {
  const bytes = Buffer.alloc(MESSAGE, number & 0xff);
  bytes.writeUInt32BE(number);
  return bytes;
}

/** Defines the tests of an outbox on connections that `make` makes. The first stream gets the options. */
export function testOutbox(kind: string, make: (opts: StreamOptions) => Promise<Ends>): void {
  test(`unawaited writes to a peer that does not read stop at maxOutbox: ${kind}`, async () => {
    await using pair = new Pair(await make({ maxOutbox: MOST }));
    const { writer, reader } = pair;
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
    const written: Promise<void>[] = [];
    let refused: unknown;
    while (refused === undefined) {
      assert.ok(written.length < 100_000, "the kernel takes no more than that");
      const writing = writer.write(message(written.length));
      written.push(writing);
      writing.catch((error: unknown) => (refused = error));
      // Promise reactions run here, and no event of the kernel.
      for (let tick = 0; tick < 5; tick++) await Promise.resolve();
    }
    void written.pop();
    assert.ok(refused instanceof OutboxFullError);
    assert.equal(refused.code, "ERR_OUTBOX_FULL");
    assert.equal(refused.limit, "maxOutbox");
    assert.equal(refused.max, MOST);
    assert.match(
      refused.message,
      /^Cannot write 10000 bytes: the outbox has \d+ bytes in \d+ writes, required at most /,
    );
    const { bytes, writes } = writer.outbox;
    assert.deepEqual({ bytes, writes }, { bytes: refused.bytes, writes: refused.writes });
    assert.ok(bytes <= MOST && bytes > MOST - MESSAGE, `${bytes} bytes`);
    assert.ok(writes >= bytes / MESSAGE, `${writes} writes`);

    // All that was accepted arrives whole, and the next write is accepted.
    for (let number = 0; number < written.length; number++) {
      assert.ok((await reader.readExactly(MESSAGE)).equals(message(number)), `message ${number}`);
    }
    await Promise.all(written);
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
    const last = writer.write("again");
    assert.equal(String(await reader.readExactly(5)), "again");
    await last;
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
  });

  test(`a single write of any size is accepted, and small ones can wait after it: ${kind}`, async () => {
    await using pair = new Pair(await make({ maxOutbox: 1000 }));
    const { writer, reader } = pair;
    const large = Buffer.alloc(6_000_000, "L");
    const writes = [
      writer.write(large),
      writer.write("a".repeat(600)),
      writer.write(["b".repeat(100), "b".repeat(300)]),
    ];
    assert.equal(writer.outbox.writes, 3);
    assert.ok(writer.outbox.bytes > 1000 && writer.outbox.bytes <= large.length + 1000);
    await assert.rejects(writer.write("c"), { code: "ERR_OUTBOX_FULL", max: 1000, writes: 3 });
    // Data and options that are wrong are wrong first.
    await assert.rejects(writer.write([1] as unknown as string), TypeError);
    await assert.rejects(writer.write("c", { timeout: -1 }), RangeError);
    await assert.rejects(writer.write("c", { signal: AbortSignal.abort("gone") }), (reason) => reason === "gone");
    assert.ok((await reader.readExactly(large.length)).equals(large));
    assert.equal(String(await reader.readExactly(1000)), "a".repeat(600) + "b".repeat(400));
    await Promise.all(writes);
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
  });

  test(`awaited writes never reach the limit: ${kind}`, async () => {
    await using pair = new Pair(await make({ maxOutbox: 0, maxOutboxWrites: 1 }));
    const { writer, reader } = pair;
    const all = (async () => {
      for (let number = 0; number < 200; number++) await writer.write(message(number));
    })();
    for (let number = 0; number < 200; number++) {
      assert.ok((await reader.readExactly(MESSAGE)).equals(message(number)));
    }
    await all;
  });

  test(`writes that end early leave the outbox: ${kind}`, async () => {
    await using pair = new Pair(await make({ maxOutbox: MOST }));
    const { writer } = pair;
    const large = writer.write(Buffer.alloc(6_000_000));
    const cut = new AbortController();
    const aborted = writer.write("abort me", { signal: cut.signal });
    const late = writer.write("late", { timeout: 1 });
    assert.equal(writer.outbox.writes, 3);
    cut.abort("enough");
    await assert.rejects(aborted, (reason) => reason === "enough");
    await assert.rejects(late, { code: "ETIMEDOUT" });
    assert.equal(writer.outbox.writes, 1);
    const ended = assert.rejects(large, { code: "ECANCELED" });
    await writer.close();
    await ended;
    assert.deepEqual(writer.outbox, { bytes: 0, writes: 0 });
    await assert.rejects(writer.write("x"), { code: "EBADF" });
  });
}
