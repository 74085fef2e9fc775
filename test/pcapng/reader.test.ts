// The reader of captures: captures of our writer and of other programs, and bytes that are not a capture.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Inet6Address, InetAddress } from "berkeley";
import {
  Capture,
  LINKTYPE_ETHERNET,
  type LinkType,
  readCapture,
  readConversations,
  TcpFlow,
  UdpFlow,
} from "berkeley/pcapng";
import { testSeeds } from "../support/random.js";

function record(write: (capture: Capture) => void): Buffer {
  const blocks: Buffer[] = [];
  write(new Capture({ write: (block) => blocks.push(block), application: "test", comment: "a test" }));
  return Buffer.concat(blocks);
}

const V4 = { client: new InetAddress("127.0.0.1", 50_000), server: new InetAddress("127.0.0.1", 80) };
const V6 = { client: new Inet6Address("::1", 50_000), server: new Inet6Address("::1", 80) };

for (const [name, ends, linkType] of [
  ["IPv4", V4, undefined],
  ["IPv6", V6, undefined],
  ["IPv4 in Ethernet", V4, LINKTYPE_ETHERNET],
] as readonly (readonly [string, typeof V4, LinkType | undefined])[]) {
  test(`the turns of a connection are read back as they were written: ${name}`, () => {
    const large = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 256));
    const bytes = record((capture) => {
      // The sequence numbers wrap in the middle.
      const flow = new TcpFlow(capture.addInterface({ linkType }), { ...ends, initialSequence: 0xffff_ff00 });
      flow.data("client", Buffer.from("ask"), { comment: "send at app.js:1:1" });
      flow.data("client", Buffer.from(" more"));
      flow.data("server", large);
      flow.data("client", Buffer.from("bye"));
      flow.finish("client");
      flow.finish("server");
    });
    const [conversation, ...rest] = readConversations(bytes);
    assert.deepEqual(rest, []);
    assert.equal(conversation!.client, String(ends.client));
    assert.deepEqual(conversation!.turns, [
      { side: "client", bytes: Buffer.from("ask more") },
      { side: "server", bytes: large },
      { side: "client", bytes: Buffer.from("bye") },
    ]);
    const comments = [...readCapture(bytes)].flatMap(({ comment }) => comment ?? []);
    assert.deepEqual(comments, ["send at app.js:1:1"]);
  });
}

test("each datagram is a turn, and a second connection of the same addresses is another conversation", () => {
  const bytes = record((capture) => {
    const to = capture.addInterface();
    const datagrams = new UdpFlow(to, V4);
    datagrams.datagram("client", Buffer.from("1"));
    datagrams.datagram("client", Buffer.from("2"));
    datagrams.datagram("server", Buffer.alloc(0));
    for (const text of ["one", "two"]) {
      const flow = new TcpFlow(to, V4);
      flow.data("client", Buffer.from(text));
      flow.finish("client");
      flow.finish("server");
    }
  });
  assert.deepEqual(
    readConversations(bytes).map(({ protocol, turns }) => [protocol, turns.map((turn) => String(turn.bytes))]),
    [
      ["udp", ["1", "2", ""]],
      ["tcp", ["one"]],
      ["tcp", ["two"]],
    ],
  );
});

test("segments that come early or twice count once and in order, and a missing one is an error", () => {
  const blocks: Buffer[] = [];
  const capture = new Capture({ write: (block) => blocks.push(block) });
  const flow = new TcpFlow(capture.addInterface(), V4);
  flow.open();
  const heads = blocks.splice(0);
  const segments: Buffer[][] = [];
  for (const text of ["a", "b", "c"]) {
    flow.data("client", Buffer.from(text));
    segments.push(blocks.splice(0));
  }
  const [a, b, c] = segments as [Buffer[], Buffer[], Buffer[]];
  const read = (...order: Buffer[][]): string =>
    readConversations(Buffer.concat([...heads, ...order.flat()]))
      .flatMap(({ turns }) => turns.map((turn) => String(turn.bytes)))
      .join();
  assert.equal(read(a, b, c), "abc");
  assert.equal(read(c, b, a), "abc");
  assert.equal(read(a, a, b, a, b, c), "abc");
  assert.throws(() => read(a, c), /segments between 127\.0\.0\.1:50000 and 127\.0\.0\.1:80 are missing/);
});

for (const [name, ends] of [
  ["IPv4", V4],
  ["IPv6", V6],
] as const) {
  test(`the number of bytes that a capture did not store is counted: ${name}`, () => {
    const bytes = record((capture) => {
      const to = capture.addInterface();
      const flow = new TcpFlow(to, { ...ends, segmentSize: 1000 });
      flow.data("client", Buffer.from("GET"));
      flow.data("server", Buffer.from("head"));
      flow.data("server", Buffer.from("begin"), { length: 2500 });
      flow.data("server", Buffer.from("tail"));
      flow.data("client", Buffer.from("more"));
      flow.finish("client");
      new UdpFlow(to, ends).datagram("client", Buffer.from("abc"), { length: 10 });
    });
    const [tcp, udp] = readConversations(bytes);
    assert.deepEqual(tcp!.turns, [
      { side: "client", bytes: Buffer.from("GET") },
      { side: "server", bytes: Buffer.from("headbegin"), cut: 2495 },
      { side: "server", bytes: Buffer.from("tail") },
      { side: "client", bytes: Buffer.from("more") },
    ]);
    assert.deepEqual(udp!.turns, [{ side: "client", bytes: Buffer.from("abc"), cut: 7 }]);
  });
}

test("a capture with a limit for each packet keeps the beginning of each, and counts the rest", () => {
  const bytes = record((capture) => {
    const flow = new TcpFlow(capture.addInterface({ snapLength: 50 }), { ...V4, segmentSize: 100 });
    flow.data("client", Buffer.alloc(250, "x"));
    flow.data("server", Buffer.from("0123456789"));
  });
  assert.deepEqual(
    readConversations(bytes)[0]!.turns.map(({ side, bytes: { length }, cut }) => [side, length, cut]),
    [
      ["client", 10, 90],
      ["client", 10, 90],
      ["client", 10, 40],
      ["server", 10, undefined],
    ],
  );
});

test("a capture of the other byte order, and one with blocks of other kinds, is read", () => {
  const bytes = record((capture) => {
    const flow = new UdpFlow(capture.addInterface(), V4);
    flow.datagram("client", Buffer.from("12345"), { time: 1_000_000_007n, comment: "hi" });
  });
  const swapped = Buffer.from(bytes);
  // The blocks of this writer, with each number in the other order.
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32LE(at + 4);
    const type = bytes.readUInt32LE(at);
    swapped.writeUInt32BE(type, at);
    swapped.writeUInt32BE(length, at + 4);
    swapped.writeUInt32BE(length, at + length - 4);
    const fixed = type === 6 ? 20 : type === 1 ? 8 : 16;
    const words = type === 6 ? [8, 12, 16, 20, 24] : type === 1 ? [12] : [8];
    for (const word of words) swapped.writeUInt32BE(bytes.readUInt32LE(at + word), at + word);
    for (const half of type === 6 ? [] : type === 1 ? [8] : [12, 14]) {
      swapped.writeUInt16BE(bytes.readUInt16LE(at + half), at + half);
    }
    const kept = type === 6 ? (bytes.readUInt32LE(at + 20) + 3) & ~3 : 0;
    for (let option = at + 8 + fixed + kept; option < at + length - 4;) {
      const size = bytes.readUInt16LE(option + 2);
      swapped.writeUInt16BE(bytes.readUInt16LE(option), option);
      swapped.writeUInt16BE(size, option + 2);
      option += 4 + ((size + 3) & ~3);
    }
    at += length;
  }
  const other = Buffer.from([0x0a, 0, 0, 0, 16, 0, 0, 0, 1, 2, 3, 4, 16, 0, 0, 0]);
  for (const capture of [bytes, swapped, Buffer.concat([bytes, other])]) {
    const [packet] = [...readCapture(capture)];
    assert.equal(packet!.time, 1_000_000_007n);
    assert.equal(packet!.comment, "hi");
    assert.equal(String(readConversations(capture)[0]!.turns[0]!.bytes), "12345");
  }
});

test("bytes that are no capture, and a capture that is cut anywhere, are a RangeError", () => {
  const bytes = record((capture) => {
    const flow = new TcpFlow(capture.addInterface({ name: "lo" }), V6);
    flow.data("client", Buffer.from("12345"), { comment: "hi" });
  });
  const ends = new Set<number>();
  for (let at = 0; at <= bytes.length; at += bytes.readUInt32LE(at + 4)) {
    ends.add(at);
    if (at === bytes.length) break;
  }
  for (let length = 0; length < bytes.length; length++) {
    const cut = bytes.subarray(0, length);
    if (length > 0 && ends.has(length)) assert.doesNotThrow(() => [...readCapture(cut)]);
    else assert.throws(() => [...readCapture(cut)], RangeError, String(length));
  }
  assert.throws(
    () => [...readCapture(Buffer.from("GET / HTTP/1.1\r\n\r\nand some more bytes"))],
    /at offset 0 there is no section/,
  );
});

testSeeds(
  "a capture with random faults is read or refused with a RangeError, and never anything else",
  [1, 2],
  (random) => {
    const bytes = record((capture) => {
      const flow = new TcpFlow(capture.addInterface({ name: "lo" }), V4);
      flow.data("client", Buffer.alloc(300, "x"), { comment: "hi" });
      flow.data("server", Buffer.alloc(300, "y"));
    });
    for (let turn = 0; turn < 2000; turn++) {
      const broken = Buffer.from(bytes);
      for (let fault = 0; fault < 3; fault++) broken[random(broken.length)] = random(256);
      try {
        readConversations(broken);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
        assert.match(error.message, /^Cannot read a capture: /);
      }
    }
  },
);
