// The header of the PROXY protocol: bytes, streams, and a real HAProxy.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  connect,
  FrameError,
  Inet6Address,
  InetAddress,
  listen,
  Socket,
  Stream,
  TimeoutError,
  UnixAddress,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import {
  decodeProxyHeader,
  encodeProxyHeader,
  PP2_TYPE_AUTHORITY,
  PP2_TYPE_UNIQUE_ID,
  type ProxyHeaderToSend,
  readProxyHeader,
} from "#berkeley/proxyProtocol/index.js";
import { crc32c } from "#berkeley/proxyProtocol/crc32c.js";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { testSeeds } from "../support/random.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-pp-"));
after(() => rmSync(folder, { recursive: true }));

const source = new InetAddress("192.0.2.1", 51_000);
const destination = new InetAddress("198.51.100.2", 443);
const SIGNATURE = "0d0a0d0a000d0a515549540a";
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

test("CRC-32C has the values of RFC 3720, appendix B.4", () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a91_36aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8_ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, at) => at)), 0x46dd_794e);
});

test("a header of version 2 over IPv4 has exactly the bytes of the specification", () => {
  const bytes = encodeProxyHeader({
    source,
    destination,
    tlvs: [{ type: PP2_TYPE_AUTHORITY, value: Buffer.from("a.b") }],
  });
  assert.equal(bytes.toString("hex"), `${SIGNATURE}21110012c0000201c6336402c73801bb020003612e62`);
  const { header, length } = decodeProxyHeader(Buffer.concat([bytes, Buffer.from("rest")]))!;
  assert.equal(length, bytes.length);
  assert.deepEqual(
    { ...header, source: String(header.source), destination: String(header.destination) },
    {
      version: 2,
      local: false,
      transport: "stream",
      source: "192.0.2.1:51000",
      destination: "198.51.100.2:443",
      tlvs: [{ type: 2, value: Uint8Array.from(Buffer.from("a.b")) }],
    },
  );
});

test("what is encoded is decoded, for each version, family and transport", () => {
  const six = [new Inet6Address("2001:db8::1", 1), new Inet6Address("::1", 65_535)] as const;
  const names = [new UnixAddress("/run/a.sock"), new UnixAddress("\0abstract")] as const;
  const cases: [ProxyHeaderToSend, string, string][] = [
    [{ source, destination }, String(source), String(destination)],
    [{ version: 1, source, destination }, String(source), String(destination)],
    [{ source: six[0], destination: six[1], transport: "dgram" }, String(six[0]), String(six[1])],
    [{ version: 1, source: six[0], destination: six[1] }, String(six[0]), String(six[1])],
    [{ source: names[0], destination: names[1], crc32c: true }, String(names[0]), String(names[1])],
    [{ source: source, destination: six[0] }, "[::ffff:192.0.2.1]:51000", String(six[0])],
    [{ source: new Inet6Address("::ffff:192.0.2.1", 5), destination }, "192.0.2.1:5", String(destination)],
    [{}, "undefined", "undefined"],
    [{ version: 1 }, "undefined", "undefined"],
    [{ local: true, crc32c: true }, "undefined", "undefined"],
  ];
  for (const [header, from, to] of cases) {
    const bytes = encodeProxyHeader(header);
    const decoded = decodeProxyHeader(bytes)!;
    assert.deepEqual([String(decoded.header.source), String(decoded.header.destination)], [from, to]);
    assert.equal(decoded.length, bytes.length);
    assert.equal(decoded.header.local, header.local ?? false);
    for (let size = 0; size < bytes.length; size++) assert.equal(decodeProxyHeader(bytes.subarray(0, size)), undefined);
  }
});

const invalid: [name: string, bytes: Buffer | string, found: RegExp][] = [
  ["data of another protocol", "GET / HTTP/1.1\r\n", /first bytes are "GET \/ ", required "PROXY "/],
  ["lower case", "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n", /first bytes/],
  ["a line without CR", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n", /ends with CRLF/],
  ["a CR in the line", "PROXY TCP4 1.2.3.4\r 1.2.3.4 1 1\r\n", /ends with CRLF/],
  ["two spaces", "PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n", /two addresses and two ports/],
  ["a missing port", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", /two addresses and two ports/],
  ["a port of 65536", "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", /a port of .* is "65536"/],
  ["a port with a leading zero", "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", /a port of .* is "01"/],
  ["an octal address", "PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n", /is "01\.2\.3\.4", required one of TCP4/],
  ["an address of the other family", "PROXY TCP6 1.2.3.4 ::1 1 1\r\n", /required one of TCP6/],
  ["a zone", "PROXY TCP6 fe80::1%lo ::1 1 1\r\n", /required one of TCP6/],
  ["an unknown family", "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n", /required TCP4, TCP6 or UNKNOWN/],
  ["a line of 108 bytes", `PROXY UNKNOWN ${"x".repeat(93)}\r\n`, /107 bytes have no line feed/],
  ["another signature", hex(`${SIGNATURE.slice(0, -2)}0b 21 11 000c`), /first bytes/],
  ["version 1 in binary", hex(`${SIGNATURE} 11 11 000c`), /the version is 1/],
  ["an unknown command", hex(`${SIGNATURE} 22 11 000c`), /the command is 2/],
  ["an unknown family in binary", hex(`${SIGNATURE} 21 41 0000`), /the family is 4/],
  ["an unknown transport", hex(`${SIGNATURE} 21 13 000c ${"00".repeat(12)}`), /0x13/],
  ["a family without a transport", hex(`${SIGNATURE} 21 10 000c ${"00".repeat(12)}`), /0x10/],
  ["too few bytes for the addresses", hex(`${SIGNATURE} 21 21 000c ${"00".repeat(12)}`), /12 bytes, required 36/],
  ["a TLV that is too long", hex(`${SIGNATURE} 21 11 000f ${"00".repeat(12)} 020001`), /TLV at byte 28/],
  ["a TLV that is cut", hex(`${SIGNATURE} 21 11 000e ${"00".repeat(12)} 0200`), /TLV at byte 28/],
  ["a wrong checksum", hex(`${SIGNATURE} 21 11 0013 ${"00".repeat(12)} 030004 00000000`), /checksum is 0x0/],
  ["a short checksum", hex(`${SIGNATURE} 21 11 0011 ${"00".repeat(12)} 030002 0000`), /checksum has 2 bytes/],
];

for (const [name, bytes, found] of invalid) {
  test(`${name} is refused, from bytes and from a stream`, async () => {
    const given = Buffer.from(bytes);
    assert.throws(
      () => decodeProxyHeader(given),
      (error) => error instanceof FrameError && found.test(error.message),
    );
    const [near, far] = memoryPair();
    const stream = new Stream(near);
    await far.write(given);
    await assert.rejects(readProxyHeader(stream), (error) => error instanceof FrameError && found.test(error.message));
    await stream.close();
    await far.close();
  });
}

test("headers that can't be sent are refused", () => {
  const wrong: [object, RegExp][] = [
    [{ version: 3 }, /version is 3, required 1 or 2/],
    [{ source }, /destination is undefined/],
    [{ source, destination: new UnixAddress("/a") }, /destination is/],
    [{ source: "192.0.2.1:1", destination }, /source is "192\.0\.2\.1:1"/],
    [{ source: new InetAddress("192.0.2.1\r\nx", 1), destination }, /source is/],
    [{ source: new InetAddress("192.0.2.1", 70_000), destination }, /source\.port is 70000/],
    [{ version: 1, crc32c: true }, /crc32c is given with version 1/],
    [{ local: true, source, destination }, /local is true, required no addresses/],
    [{ tlvs: [{ type: 256, value: new Uint8Array(0) }] }, /tlvs\[0\]\.type is 256/],
    [{ tlvs: [{ type: 3, value: new Uint8Array(4) }] }, /crc32c adds a checksum/],
    [{ tlvs: [{ type: 5, value: "id" }] }, /tlvs\[0\]\.value is "id"/],
    [{ tlvs: [{ type: 5, value: new Uint8Array(65_535) }] }, /required at most 65535/],
    [{ destinaton: 1 }, /did you mean "destination"/],
  ];
  for (const [header, found] of wrong) assert.throws(() => encodeProxyHeader(header), found);
});

test("LOCAL is accepted with any addresses, and the result has none", () => {
  const { header, length } = decodeProxyHeader(hex(`${SIGNATURE} 20 ff 0003 010203`))!;
  assert.deepEqual([header.local, header.source, header.tlvs, length], [true, undefined, [], 19]);
});

test("a stream keeps the bytes after the header, however the bytes come", async () => {
  for (const version of [1, 2] as const) {
    const [near, far] = memoryPair();
    const stream = new Stream(near);
    const bytes = Buffer.concat([encodeProxyHeader({ version, source, destination }), Buffer.from("hello\n")]);
    const reading = readProxyHeader(stream);
    for (const byte of bytes) await far.write(Uint8Array.of(byte));
    assert.equal(String((await reading).source), String(source));
    assert.equal(await stream.readLine(), "hello");
    await stream.close();
    await far.close();
  }
});

test("a header that does not come, ends early or is too long is refused", async () => {
  const [near, far] = memoryPair();
  const stream = new Stream(near);
  await far.write("PROXY TCP4 192.");
  await assert.rejects(readProxyHeader(stream, { timeout: 20 }), TimeoutError);
  await far.closeWrite();
  await assert.rejects(readProxyHeader(stream), /ended after 15 bytes, before the end of the header/);
  await stream.close();
  await far.close();

  const [other, peer] = memoryPair();
  const silent = new Stream(other);
  await peer.closeWrite();
  await assert.rejects(readProxyHeader(silent), /ended after 0 bytes/);
  await silent.close();
  await peer.close();

  const [third, sender] = memoryPair();
  const long = new Stream(third);
  await sender.write(encodeProxyHeader({ tlvs: [{ type: PP2_TYPE_UNIQUE_ID, value: new Uint8Array(5000) }] }));
  await assert.rejects(readProxyHeader(long), /5019 bytes, required at most 4096 \(maxBytes\)/);
  assert.equal((await readProxyHeader(long, { maxBytes: 6000 })).tlvs[0]!.value.length, 5000);
  await assert.rejects(readProxyHeader(long, { maxBytes: 100 }), /maxBytes is 100, required a whole number from 232/);
  await long.close();
  await sender.close();
});

testSeeds("a changed byte is refused, but where a receiver can't see it", [1, 2, 3], (random) => {
  // Command and length; type and length of each TLV, which may hide the checksum.
  const unprotected = [12, 14, 15, 28, 29, 30, 33, 34, 35];
  for (let round = 0; round < 2000; round++) {
    const bytes = encodeProxyHeader({
      source,
      destination,
      tlvs: [{ type: 5, value: Buffer.from("id") }],
      crc32c: true,
    });
    const at = random(bytes.length);
    bytes[at]! ^= 1 + random(255);
    if (unprotected.includes(at)) {
      try {
        decodeProxyHeader(bytes);
      } catch (error) {
        assert.ok(error instanceof FrameError, String(error));
      }
    } else assert.throws(() => decodeProxyHeader(bytes), FrameError);
  }
});

for (const [option, version] of [
  ["send-proxy", 1],
  ["send-proxy-v2 proxy-v2-options crc32c,unique-id", 2],
] as const) {
  test(`HAProxy with ${option} is understood`, async () => {
    await using listener = await listen("tcp://127.0.0.1:0");
    // HAProxy binds the port itself; a port that was free a moment ago is free.
    const probe = new Socket();
    await probe.bind(["127.0.0.1", 0]);
    const { port } = probe.getsockname();
    probe.close();
    const file = join(folder, `haproxy${version}.cfg`);
    const unique = version === 2 ? "  unique-id-format %[uuid()]\n" : "";
    writeFileSync(
      file,
      `defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n` +
        `listen all\n  bind 127.0.0.1:${port}\n${unique}  server one 127.0.0.1:${String(listener.address.port)} ${option}\n`,
    );
    await using haproxy = new Program("haproxy", ["-db", "-q", "-f", file]);
    assert.ok(haproxy !== undefined);
    await using client = await connect(
      { host: "127.0.0.1", port },
      { retry: { maxTries: 100, minDelay: 10, maxDelay: 50 } },
    );
    await client.write("hello\n");
    await using stream = await listener.accept();
    const header = await readProxyHeader(stream);
    assert.equal(header.version, version);
    assert.equal(String(header.source), String(client.localAddress));
    assert.equal(String(header.destination), `127.0.0.1:${port}`);
    if (version === 2)
      assert.deepEqual(
        header.tlvs.map(({ type }) => type),
        [PP2_TYPE_UNIQUE_ID],
      );
    assert.equal(await stream.readLine(), "hello");
  });
}
