// Streams over a socket, which makes the reads of the stream: on a fake kernel that records the calls, and on the real
// one.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Codec,
  type Conn,
  type Consumer,
  type DirectReader,
  fixed,
  lengthPrefixed,
  type Socket,
  socketpair,
  SocketConn,
  Stream,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { pattern } from "berkeley/testing";
import { fakeKernel, IN, keepAlive, RDHUP, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

function streamOn(socket: Socket): Stream {
  return new Stream(new SocketConn(socket));
}

test("readLine() over several events is one waiting call, and makes at most one system call per event", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const stream = streamOn(conn);
  const line = watch(stream.readLine());
  assert.equal(sys.waiting, 1);
  sys.script("recvAt", Buffer.from("half a "), Buffer.from("line\nnext"));
  fire(IN, conn);
  await turn();
  assert.equal(line.state, "pending");
  assert.equal(stream.buffered, 7);
  fire(IN, conn);
  await turn();
  assert.equal(line.value, "half a line");
  assert.equal(stream.buffered, 4);
  // One read when the call is made. After each short read the kernel has no more bytes.
  assert.equal(sys.count("recvAt"), 3);
  assert.equal(sys.waiting, 0);
});

test("a read that fills its memory reads again at once, because there may be more", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const stream = streamOn(conn);
  const exact = watch(stream.readExactly(6000));
  sys.script("recvAt", pattern(4096), pattern(1904, 4096));
  fire(IN, conn);
  await turn();
  assert.deepEqual(exact.value, pattern(6000));
  assert.equal(sys.count("recvAt"), 3);
});

test("a reset within a line rejects the read and leaves the bytes that have arrived", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const stream = streamOn(conn);
  const line = watch(stream.readLine());
  sys.script("recvAt", Buffer.from("half"), "ECONNRESET");
  fire(IN, conn);
  fire(IN | RDHUP, conn);
  await turn();
  assert.equal((line.error as NodeJS.ErrnoException).code, "ECONNRESET");
  assert.equal(String(await stream.read()), "half");
});

test("a limit that is exceeded during an event rejects the call and ends the reading, and has no other effect", async () => {
  const { sys, socket, fire } = fakeKernel();
  const [conn, other] = [socket(), socket()];
  const stream = streamOn(conn);
  const line = watch(stream.readLine({ max: 3 }));
  const beside = watch(streamOn(other).readLine());
  sys.script("recvAt", Buffer.from("too long"), Buffer.from("fine\n"));
  fire(IN, conn, other);
  await turn();
  assert.equal((line.error as Error).name, "LimitError");
  assert.equal(beside.value, "fine");
  await assert.rejects(stream.read(), { name: "LimitError" });
  assert.equal(sys.waiting, 0);
});

test("a decoder never runs while the reactor dispatches events", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  let dispatching = false;
  let ran = 0;
  const codec: Codec<string> = {
    decoder: () => (bytes) => {
      ran++;
      assert.equal(dispatching, false);
      return { value: bytes.toString(), size: bytes.length };
    },
    encode: (text) => text,
  };
  const frame = watch(streamOn(conn).frames(codec).read());
  sys.script("recv", Buffer.from("frame"));
  sys.script("recvAt", Buffer.from("frame"));
  dispatching = true;
  fire(IN, conn);
  dispatching = false;
  await turn();
  assert.equal(frame.value, "frame");
  assert.equal(ran, 1);
});

test("while a read waits, another one is refused, and close() cancels the first", async () => {
  const [left, right] = socketpair();
  const stream = left.stream();
  const line = stream.readLine();
  await assert.rejects(stream.read(), { name: "BusyError" });
  await assert.rejects(stream.read(Buffer.alloc(1)), { name: "BusyError" });
  assert.throws(() => stream.toNetSocket(), { name: "BusyError" });
  const closed = assert.rejects(line, { code: "ECANCELED" });
  await stream.close();
  await closed;
  right.close();
});

test("a timeout or a signal within a line leaves the bytes that have arrived for the next call", async () => {
  const [left, right] = socketpair();
  const stream = left.stream();
  await right.sendAll("half a ");
  await assert.rejects(stream.readLine({ timeout: 5 }), { code: "ETIMEDOUT" });
  assert.equal(stream.buffered, 7);
  const controller = new AbortController();
  const line = stream.readLine({ signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(line, { message: "enough" });
  await right.sendAll("line\n");
  assert.equal(await stream.readLine(), "half a line");
  await stream.close();
  right.close();
});

test("an early end rejects with the bytes that have arrived, in a direct read as in any other", async () => {
  const [left, right] = socketpair();
  const stream = left.stream();
  const exact = stream.readExactly(10);
  await right.sendAll("four");
  right.close();
  await assert.rejects(exact, { name: "IncompleteReadError", received: Buffer.from("four") });
  assert.equal(await stream.read(), null);
  await stream.close();
});

test("the Buffers of many streams keep their bytes while reads of the streams interleave", async () => {
  const pairs = Array.from({ length: 20 }, () => socketpair());
  const streams = pairs.map(([left]) => left.stream());
  const held: (readonly [bytes: Buffer, expected: Buffer])[] = [];
  const counts = streams.map(() => 0);
  const take = async (which: number, way: number, size: number): Promise<void> => {
    const stream = streams[which]!;
    const at = counts[which]!;
    counts[which] = at + size;
    const expected = pattern(size, which * 1000 + at);
    if (way === 0) held.push([await stream.readExactly(size), expected]);
    else if (way === 1) {
      held.push([(await stream.peek(size))!, expected]);
      held.push([(await stream.read(size))!, expected]);
    } else {
      const into = Buffer.alloc(size);
      for (let got = 0; got < size;) got += await stream.read(into.subarray(got));
      held.push([into, expected]);
    }
  };
  for (let round = 0; round < 60; round++) {
    const waiting = streams.map((_, which) => take(which, (round + which) % 3, 1 + ((round * 31 + which * 7) % 200)));
    for (const [which, [, right]] of pairs.entries()) {
      const size = 1 + ((round * 31 + which * 7) % 200);
      // Sometimes a few bytes more than are taken, so that unread bytes are moved.
      const from = which * 1000 + counts[which]! - size;
      const whole = pattern(size, from);
      const cut = round % 2 === 0 ? size : size >> 1;
      await right.sendAll(whole.subarray(0, cut));
      if (cut < size) await right.sendAll(whole.subarray(cut));
    }
    await Promise.all(waiting);
  }
  for (const [bytes, expected] of held) assert.deepEqual(bytes, expected);
  for (const [left, right] of pairs) {
    left.close();
    right.close();
  }
});

test("lines free their space in the shared block: the next read uses the same space", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const stream = streamOn(conn);
  const places = new Set<unknown>();
  for (let round = 0; round < 50; round++) {
    const line = watch(stream.readLine());
    sys.script("recvAt", Buffer.from("a line\n"));
    fire(IN, conn);
    await turn();
    assert.equal(line.value, "a line");
    const { args } = sys.callsOf("recvAt").at(-1)!;
    places.add(`${(args[1] as Buffer).byteOffset} ${String(args[2])}`);
  }
  assert.equal(places.size, 1);
});

test("the Buffers that a stream returns are no part of the shared block", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const stream = streamOn(conn);
  const shared = (): unknown => (sys.callsOf("recvAt").at(-1)!.args[1] as Buffer).buffer;
  for (const way of ["read", "peek", "iterate"]) {
    const reading = watch<unknown>(
      way === "read" ? stream.read() : way === "peek" ? stream.peek(5) : stream[Symbol.asyncIterator]().read(),
    );
    if (reading.state === "pending") {
      sys.script("recvAt", Buffer.from("small"));
      fire(IN, conn);
      await turn();
    }
    await turn();
    assert.notEqual((reading.value as Buffer).buffer, shared(), way);
    if (way === "peek") await stream.read();
  }
  // A decoder may return parts of its bytes, some of which were peeked before.
  sys.script("recvAt", Buffer.from("line\nframe"));
  const line = watch(stream.readLine());
  fire(IN, conn);
  await turn();
  assert.equal(line.value, "line");
  const frame = (await stream.frames(fixed(5)).read())!;
  assert.equal(String(frame), "frame");
  assert.notEqual(frame.buffer, shared());
});

test("frames, lines and chunks take turns on one stream over a socket", async () => {
  const [left, right] = socketpair();
  const stream = left.stream();
  await right.sendAll([Uint8Array.of(0, 3), "abc", "line\r\n", "rest"]);
  const frames = stream.frames(lengthPrefixed({ bytes: 2 }));
  assert.equal(String(await frames.read()), "abc");
  assert.equal(await stream.readLine(), "line");
  assert.equal(String(await stream.read(2)), "re");
  assert.equal(String(await stream.read()), "st");
  left.close();
  right.close();
});

test("a DirectReader that waits between room() and filled() gets memory that no other stream uses", async () => {
  const pairs = [memoryPair(), memoryPair()];
  const streams = pairs.map(([, conn]) => {
    const direct: Conn & DirectReader = Object.create(conn, {
      reading: { value: false },
      readFor: {
        value: async <T>(consumer: Consumer<T>): Promise<T> => {
          for (;;) {
            const room = consumer.room();
            const count = await conn.read(room.subarray(consumer.start, consumer.start + consumer.size));
            if (consumer.filled(count)) return consumer.result();
          }
        },
      },
      read: { value: conn.read.bind(conn) },
      close: { value: conn.close.bind(conn) },
    }) as Conn & DirectReader;
    return new Stream(direct);
  });
  const lines = streams.map((stream) => stream.readLine());
  await pairs[0]![0].write("the first one's\n");
  await pairs[1]![0].write("the other's one\n");
  assert.deepEqual(await Promise.all(lines), ["the first one's", "the other's one"]);
  for (const [a, b] of pairs) await Promise.all([a.close(), b.close()]);
});

test("an encoding that Buffer does not support is refused before anything is read", async () => {
  const [left, right] = socketpair();
  const stream = left.stream();
  await right.sendAll("a line\n");
  for (const encoding of ["utf-88", 5, { toString: () => "utf8" }] as unknown as BufferEncoding[]) {
    await assert.rejects(stream.readLine({ encoding }), TypeError);
    assert.throws(() => stream.lines({ encoding }), TypeError);
  }
  assert.equal(await stream.readLine({ encoding: "latin1" }), "a line");
  left.close();
  right.close();
});

test("options that are no object and a wrong signal are refused at once, with a timeout too", async () => {
  const [a, b] = memoryPair();
  for (const opts of [5, null, { timeout: 5, signal: new AbortController() }, { signal: "x" }]) {
    await assert.rejects(b.read(Buffer.alloc(1), opts as never), TypeError);
    await assert.rejects(new Stream(b).readExactly(1, opts as never), TypeError);
  }
  await a.write("x");
  assert.equal(await b.read(Buffer.alloc(1)), 1);
  await Promise.all([a.close(), b.close()]);
});
