// Captures, read back by tshark and byte by byte.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Inet6Address, InetAddress } from "berkeley";
import {
  Capture,
  CaptureFile,
  type CaptureInterface,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  TcpFlow,
  UdpFlow,
} from "berkeley/pcapng";
import { missing } from "../cli/support.js";
import { complaints, fields, follow } from "../support/tshark.js";

const folder = mkdtempSync(join(tmpdir(), "berkeley-pcapng-"));
after(() => rmSync(folder, { recursive: true }));

const skip = missing("tshark");

/** Writes a capture. Returns its path. */
function captured(name: string, work: (capture: Capture) => void): string {
  const blocks: Buffer[] = [];
  work(new Capture({ write: (block) => blocks.push(block), application: "berkeley", comment: "a test" }));
  const file = join(folder, `${name}.pcapng`);
  writeFileSync(file, Buffer.concat(blocks));
  return file;
}

const v4 = { client: new InetAddress("127.0.0.1", 50_000), server: new InetAddress("192.0.2.7", 80) };
const v6 = { client: new Inet6Address("2001:db8::1", 50_000), server: new Inet6Address("::1", 65_535) };

for (const [name, ends] of Object.entries({ v4, v6 })) {
  for (const linkType of [LINKTYPE_RAW, LINKTYPE_ETHERNET] as const) {
    test(`tshark reads a connection back: ${name}, link type ${linkType}`, { skip }, () => {
      // Odd lengths, one byte, exactly a segment, and more than one.
      const pieces = [1, 3, 32_768, 32_769, 100_001].map((length) => randomBytes(length));
      const file = captured(`tcp-${name}-${linkType}`, (capture) => {
        const flow = new TcpFlow(capture.addInterface({ linkType, name: "lo" }), ends);
        flow.open();
        for (const [index, piece] of pieces.entries()) flow.data(index % 2 === 0 ? "client" : "server", piece);
        flow.finish("server");
        flow.data("client", Buffer.from("after the other's end"));
        flow.finish("client");
        flow.finish("client");
      });
      assert.equal(complaints(file), "");
      const { client, server } = follow(file);
      assert.ok(
        client.equals(Buffer.concat([pieces[0]!, pieces[2]!, pieces[4]!, Buffer.from("after the other's end")])),
      );
      assert.ok(server.equals(Buffer.concat([pieces[1]!, pieces[3]!])));
      const ip = name === "v4" ? "ip" : "ipv6";
      assert.deepEqual(fields(file, [`${ip}.src`, "tcp.srcport", `${ip}.dst`, "tcp.dstport", "tcp.flags.str"])[0], [
        ends.client.host,
        String(ends.client.port),
        ends.server.host,
        String(ends.server.port),
        "··········S·",
      ]);
      assert.equal(fields(file, ["tcp.flags"], "tcp.flags.fin == 1").length, 2);
    });
  }

  test(`tshark reads datagrams back: ${name}`, { skip }, () => {
    const datagrams = ["", "x", "odd", randomBytes(65_000).toString("latin1")].map((text) =>
      Buffer.from(text, "latin1"),
    );
    const file = captured(`udp-${name}`, (capture) => {
      const flow = new UdpFlow(capture.addInterface(), {
        ...ends,
        server: new (ends.server.constructor as typeof InetAddress)(ends.server.host, 9),
      });
      for (const [index, bytes] of datagrams.entries()) flow.datagram(index % 2 === 0 ? "client" : "server", bytes);
    });
    assert.equal(complaints(file), "");
    const read = fields(file, ["udp.srcport", "udp.length", "data"]);
    assert.deepEqual(
      read.map(([port, length]) => [port, length]),
      datagrams.map((bytes, index) => [index % 2 === 0 ? "50000" : "9", String(8 + bytes.length)]),
    );
    assert.ok(Buffer.from(read[3]?.[2] ?? "", "hex").equals(datagrams[3]!));
  });
}

test("sequence numbers go on after 2^32", { skip }, () => {
  const bytes = randomBytes(5000);
  const file = captured("wrap", (capture) => {
    const flow = new TcpFlow(capture.addInterface(), { ...v4, segmentSize: 1000, initialSequence: 2 ** 32 - 2000 });
    flow.data("client", bytes);
    flow.data("server", bytes);
    flow.finish("client");
  });
  assert.equal(complaints(file), "");
  const sequences = fields(file, ["tcp.seq_raw"], "tcp.len > 0 && tcp.srcport == 50000").map(([number]) =>
    Number(number),
  );
  assert.deepEqual(sequences, [2 ** 32 - 1999, 2 ** 32 - 999, 1, 1001, 2001]);
  assert.ok(follow(file).client.equals(bytes));
});

test("comments, names, directions, times and cut packets are read back", { skip }, () => {
  const file = captured("facts", (capture) => {
    const wire = capture.addInterface({ name: "proxy", description: "what a proxy saw", snapLength: 60 });
    const flow = new TcpFlow(wire, v4);
    flow.open({ time: 1_700_000_000_123_456_789n, comment: "ünïcode, accepted" });
    flow.data("client", Buffer.alloc(1000), { comment: "cut" });
    flow.reset("server");
  });
  const all = fields(file, ["frame.time_epoch", "frame.comment", "frame.interface_name", "frame.len", "frame.cap_len"]);
  assert.deepEqual(all[0], ["1700000000.123456789", "ünïcode, accepted", "proxy", "48", "48"]);
  assert.deepEqual(all[3]?.slice(1), ["cut", "proxy", "1040", "60"]);
  assert.equal(fields(file, ["frame.number"], "tcp.flags.reset == 1").length, 1);
});

test("blocks are whole: a type, a length of whole words, the length again", () => {
  const blocks: Buffer[] = [];
  const capture = new Capture({ write: (block) => blocks.push(block) });
  const flow = new UdpFlow(capture.addInterface(), v4);
  for (let length = 0; length < 9; length++)
    flow.datagram("client", Buffer.alloc(length, 1), { comment: "x".repeat(length) });
  assert.deepEqual(
    blocks.map((block) => block.readUInt32LE(0)),
    [0x0a0d_0d0a, 1, ...Array.from({ length: 9 }, () => 6)],
  );
  for (const block of blocks) {
    assert.equal(block.length % 4, 0);
    assert.equal(block.readUInt32LE(4), block.length);
    assert.equal(block.readUInt32LE(block.length - 4), block.length);
  }
});

test("wrong options are refused, and what write throws is thrown", () => {
  const capture = new Capture({ write: () => {} });
  const wire = capture.addInterface();
  const wrong: readonly (readonly [work: () => unknown, says: RegExp])[] = [
    [() => new Capture({} as never), /^Cannot write a capture: write is undefined, required a function$/],
    [
      () => capture.addInterface({ linkType: 5 as never }),
      /^Cannot add an interface: linkType is 5, required LINKTYPE_/,
    ],
    [() => capture.addInterface({ snapLength: -1 }), /snapLength is -1, required an integer from 0/],
    [
      () => new TcpFlow(wire, { client: v4.client, server: v6.server }),
      /^Cannot record a connection: client is .* required one family$/,
    ],
    [
      () => new TcpFlow(wire, { ...v4, initialSequence: 2 ** 32 }),
      /initialSequence is 4294967296, required an integer/,
    ],
    [() => new TcpFlow(wire, { ...v4, segmentSize: 0 }), /segmentSize is 0, required an integer from 1 to 65000$/],
    [() => new TcpFlow(wire, v4).data("me" as never, Buffer.alloc(1)), /side is "me", required "client" or "server"$/],
    [
      () => new UdpFlow(wire, v4).datagram("client", Buffer.alloc(65_508)),
      /it has 65508 bytes, required at most 65507$/,
    ],
  ];
  for (const [work, says] of wrong) assert.throws(work, { message: says });
  let full = false;
  const failing: CaptureInterface = new Capture({
    write: () => {
      if (full) throw new Error("no space");
    },
  }).addInterface();
  full = true;
  assert.throws(() => new UdpFlow(failing, v4).datagram("client", Buffer.alloc(1)), { message: "no space" });
});

for (const [name, ends] of Object.entries({ v4, v6 })) {
  test(`unknown bytes have their length, and the sequence continues after them: ${name}`, { skip }, () => {
    const file = captured(`unknown-${name}`, (capture) => {
      const to = capture.addInterface();
      const flow = new TcpFlow(to, ends);
      flow.data("client", Buffer.from("GET"));
      flow.data("server", Buffer.from("head"));
      flow.data("server", new Uint8Array(0), { length: 100_000, comment: "sendfile" });
      flow.data("server", Buffer.from("half"), { length: 10 });
      flow.data("server", Buffer.from("tail"));
      flow.finish("server");
      flow.finish("client");
      const datagrams = new UdpFlow(to, ends);
      datagrams.datagram("client", Buffer.from("abc"), { length: 1000 });
      datagrams.datagram("server", new Uint8Array(0), { length: 9 });
    });
    assert.equal(complaints(file), "");
    const segments = fields(file, ["tcp.len", "frame.len", "frame.cap_len"], "tcp.len > 0 && tcp.srcport != 50000");
    const headers = name === "v4" ? 40 : 60;
    assert.deepEqual(
      segments.map(([length, whole, kept]) => [Number(length), Number(whole) - headers, Number(kept) - headers]),
      [
        [4, 4, 4],
        [32_768, 32_768, 0],
        [32_768, 32_768, 0],
        [32_768, 32_768, 0],
        [1696, 1696, 0],
        [10, 10, 4],
        [4, 4, 4],
      ],
    );
    assert.deepEqual(
      fields(file, ["udp.length", "frame.cap_len"], "udp").map(([length, kept]) => [length, Number(kept) - headers]),
      [
        ["1008", 3 - 12],
        ["17", -12],
      ],
    );
    assert.deepEqual(fields(file, ["frame.comment"], 'frame.comment == "sendfile"').length, 1);
  });
}

test("after a reset finish() writes nothing, and a note has no data", { skip }, () => {
  const file = captured("reset", (capture) => {
    const flow = new TcpFlow(capture.addInterface(), v4);
    flow.data("client", Buffer.from("x"));
    flow.note("client", { comment: "given away" });
    flow.data("server", Buffer.from("y"));
    flow.reset("server");
    flow.reset("client");
    flow.finish("client");
    flow.finish("server");
  });
  assert.equal(complaints(file), "");
  assert.equal(fields(file, ["frame.number"], "tcp.flags.reset == 1").length, 1);
  assert.equal(fields(file, ["frame.number"], "tcp.flags.fin == 1").length, 0);
  assert.deepEqual(fields(file, ["tcp.len", "frame.comment"], "frame.comment"), [["0", "given away"]]);
});

test("a length that is less than the given bytes is refused", () => {
  const wire = new Capture({ write: () => {} }).addInterface();
  const four = Buffer.alloc(4);
  for (const work of [
    () => wire.packet(four, { length: 3 }),
    () => new TcpFlow(wire, v4).data("client", four, { length: 3 }),
    () => new TcpFlow(wire, v4).data("client", four, { length: 4.5 }),
    () => new UdpFlow(wire, v4).datagram("client", four, { length: 65_508 }),
  ]) {
    assert.throws(work, {
      name: "RangeError",
      message: /length is [\d.]+, required an integer from 4, the given bytes,/,
    });
  }
});

test("a file of a capture has all blocks after close(), and takes none after a failure", () => {
  const path = join(folder, "file.pcapng");
  const blocks: Buffer[] = [];
  const file = new CaptureFile(path);
  const capture = new Capture({ write: (block) => (blocks.push(block), file.add(block)) });
  const flow = new UdpFlow(capture.addInterface(), v4);
  for (let count = 0; count < 10; count++) flow.datagram("client", randomBytes(60_000));
  assert.ok(readFileSync(path).length > 256 << 10, "it writes before it has more");
  file.close();
  file.close();
  flow.datagram("client", randomBytes(10));
  assert.ok(readFileSync(path).equals(Buffer.concat(blocks.slice(0, -1))));

  const failures: string[] = [];
  const full = new CaptureFile("/dev/full", { onFailure: ({ message }) => failures.push(message) });
  full.add(blocks[0]!);
  full.flush();
  full.add(blocks[0]!);
  full.close();
  assert.equal(failures.length, 1);
  assert.match(failures[0]!, /^ENOSPC/);
  assert.throws(() => new CaptureFile(join(folder, "none", "file")), { code: "ENOENT" });
});
