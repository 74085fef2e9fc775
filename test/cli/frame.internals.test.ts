// Functions that the commands share: units, values, suggestions, escapes, progress lines, transforms.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Inet6Address, InetAddress, UnixAddress, VsockAddress } from "berkeley";
import { cpuLines } from "#berkeley/cli/bench/report.js";
import { Escaper, escapeJson, escapeLine } from "#berkeley/cli/frame/escape.js";
import { progressLine } from "#berkeley/cli/frame/progress.js";
import { nearest } from "#berkeley/cli/frame/suggest.js";
import { formatBytes, formatClock, formatRate, formatTime } from "#berkeley/cli/frame/units.js";
import { duration, fraction, size, wholeNumber } from "#berkeley/cli/frame/values.js";
import { isPrivate } from "#berkeley/cli/scan/scan.js";
import { shownScheme } from "#berkeley/cli/servers/serve.js";
import { IdleTimer } from "#berkeley/cli/talk/idleTimer.js";
import { Crlf, HexDump, Lines } from "#berkeley/cli/talk/text.js";
import { TestClock } from "../support/clock.js";

test("private addresses of IPv6 are recognised by their whole first group", () => {
  for (const host of ["::1", "fe80::1", "febf::1", "fc00::1", "fdff::1", "::ffff:10.0.0.1"]) {
    assert.equal(isPrivate(new Inet6Address(host, 0)), true, host);
  }
  for (const host of ["::", "fe8::1", "fc::1", "fd0::1", "fec0::1", "2001:db8::1", "::ffff:192.0.2.1"]) {
    assert.equal(isPrivate(new Inet6Address(host, 0)), false, host);
  }
});

test("--idle ends a conversation also while a write waits, and --linger ends it only without one", async () => {
  using clock = new TestClock();
  const ended: string[] = [];
  const begin = (idle: number | undefined): IdleTimer =>
    new IdleTimer(idle, { onIdle: () => ended.push("idle"), onLingered: () => ended.push("lingered") });
  const waiting = begin(100);
  waiting.setLinger(10);
  waiting.beginWrite();
  await clock.advance(99);
  assert.deepEqual(ended, []);
  await clock.advance(1);
  assert.deepEqual(ended.splice(0), ["idle"]);
  waiting.end();
  const lingering = begin(100);
  lingering.setLinger(10);
  const endWrite = lingering.beginWrite();
  await clock.advance(50);
  endWrite();
  await clock.advance(9);
  assert.deepEqual(ended, []);
  await clock.advance(1);
  assert.deepEqual(ended.splice(0), ["lingered"]);
  lingering.end();
  const endless = begin(undefined);
  endless.setLinger(Infinity);
  assert.equal(clock.pending, 0);
  const active = begin(100);
  for (let time = 0; time < 500; time += 50) {
    await clock.advance(50);
    active.restart();
  }
  assert.deepEqual(ended, []);
  active.end();
  assert.equal(clock.pending, 0);
});

test("sizes, rates and times have three digits and a unit", () => {
  const sizes = [0, 1, 999, 1000, 1500, 99_949, 99_950, 999_499, 999_500, 1e9, 2.5e12, 1e17];
  assert.deepEqual(sizes.map(formatBytes), [
    "0 B",
    "1 B",
    "999 B",
    "1.00 kB",
    "1.50 kB",
    "99.9 kB",
    "100 kB",
    "999 kB",
    "1.00 MB",
    "1.00 GB",
    "2.50 TB",
    "100 PB",
  ]);
  assert.equal(formatRate(5_000_000, 2000), "2.50 MB/s");
  assert.equal(formatRate(5, 0), "-");
  const times = [0, 0.85, 0.9996, 12.34, 999.4, 999.6, 4200, 59_949, 59_960, 125_000, 3_600_000];
  assert.deepEqual(times.map(formatTime), [
    "0 µs",
    "850 µs",
    "1.00 ms",
    "12.3 ms",
    "999 ms",
    "1.00 s",
    "4.20 s",
    "59.9 s",
    "1:00",
    "2:05",
    "1:00:00",
  ]);
  assert.equal(formatClock(59_499), "0:59");
});

test("values are read in their units, and a refusal has the required form", () => {
  assert.deepEqual(["500ms", "2", "2s", "1.5m", "1h", "0"].map(duration), [500, 2000, 2000, 90_000, 3_600_000, 0]);
  assert.deepEqual(["1", "1500B", "64KiB", "64k", "1.5MB", "1G"].map(size), [1, 1500, 65_536, 64_000, 1_500_000, 1e9]);
  assert.deepEqual(["0", "0.05", "5%", "100%", "1"].map(fraction), [0, 0.05, 0.05, 1, 1]);
  for (const wrong of ["", "-1", "1 s", "1d", "1e3", "0x10", "25d", "99999h", "s"]) {
    assert.throws(() => duration(wrong), { message: /^required a time / }, wrong);
  }
  for (const wrong of ["", "0", "-1", "1TB", "1 kB", "kB"])
    assert.throws(() => size(wrong), /required a number of bytes/, wrong);
  for (const wrong of ["", "1.1", "101%", "-5%", "5 %"]) assert.throws(() => fraction(wrong), /required a part/, wrong);
  for (const wrong of ["", "0", "11", "1.0", "+1", " 1"])
    assert.throws(() => wholeNumber(1, 10)(wrong), /from 1 to 10$/, wrong);
});

test("the nearest match is one that is alike enough, or none", () => {
  const commands = ["connect", "listen", "echo", "send", "steps"];
  assert.deepEqual(
    ["conect", "lsiten", "ECHO", "snd", "step", "x", "", "disconnected", "proxy"].map((word) =>
      nearest(word, commands),
    ),
    ["connect", "listen", "echo", "send", "steps", undefined, undefined, undefined, undefined],
  );
});

test("bytes are escaped for a terminal, in pieces of any size", () => {
  const bytes = Buffer.concat([
    Buffer.from("a\tü€😀\r\nnext\rover\u001b[0m\u009b\u202e"),
    Buffer.from([0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0xf4, 0x90, 0xe2, 0x82]),
    Buffer.from("end"),
    Buffer.from([0xf0, 0x9f]),
  ]);
  const wanted =
    "a\tü€😀\nnext\\x0dover\\x1b[0m\\x9b\\u{202e}\\xff\\xc0\\x80\\xed\\xa0\\x80\\xf4\\x90\\xe2\\x82end\\xf0\\x9f";
  for (const step of [1, 2, 3, 7, bytes.length]) {
    const escaper = new Escaper();
    let text = "";
    for (let at = 0; at < bytes.length; at += step) text += escaper.write(bytes.subarray(at, at + step));
    assert.equal(text + escaper.end(), wanted, `in steps of ${step}`);
  }
  assert.equal(escapeLine("a\nb\u0085\u{e0001}"), "a\\x0ab\\x85\\u{e0001}");
  assert.equal(JSON.parse(escapeJson(JSON.stringify("\u009b\u{e0001}x"))), "\u009b\u{e0001}x");
});

test("a progress line has the part, bytes, rate and time left, or the time gone", () => {
  assert.equal(progressLine(25e6, 1000, 100e6), " 25%  [======>                 ]  25.0 MB  25.0 MB/s  0:03 left");
  assert.equal(progressLine(100e6, 4000, 100e6), "100%  [========================]  100 MB  25.0 MB/s  0:00 left");
  assert.equal(progressLine(0, 1000, 100), "  0%  [>                       ]  0 B  0 B/s");
  assert.equal(progressLine(5e6, 61_000), "5.00 MB  82.0 kB/s  1:01");
});

test("LF becomes CR LF, once, in pieces of any size", () => {
  const text = "\na\r\nb\n\nc\r";
  for (const step of [1, 2, 3, 100]) {
    const crlf = new Crlf();
    const parts: Buffer[] = [];
    for (let at = 0; at < text.length; at += step) parts.push(...crlf.write(Buffer.from(text.slice(at, at + step))));
    assert.equal(Buffer.concat([...parts, ...crlf.end()]).toString(), "\r\na\r\nb\r\n\r\nc\r", `in steps of ${step}`);
  }
});

test("lines are complete with pieces of any size; the last line may have no end", () => {
  const text = "one\n\nthree\nfour";
  for (const step of [1, 2, 5, 100]) {
    const lines = new Lines();
    const parts: string[] = [];
    for (let at = 0; at < text.length; at += step)
      parts.push(...lines.write(Buffer.from(text.slice(at, at + step))).map(String));
    assert.deepEqual([...parts, ...lines.end().map(String)], ["one\n", "\n", "three\n", "four"], `in steps of ${step}`);
  }
  const long = new Lines();
  assert.equal(long.write(Buffer.alloc(1 << 20)).length, 1);
});

test("a hexadecimal dump goes on with its offset, in columns of one width", () => {
  const dump = new HexDump("<");
  assert.deepEqual(dump.rows(Buffer.from("0123456789abcdefg")), [
    "< 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|",
    "< 00000010  67                                                |g|",
  ]);
  assert.match(dump.rows(Buffer.from([0x1b]))[0]!, /^< 00000011 {2}1b +\|\.\|$/);
});

test("the report names a load that used a whole core", () => {
  assert.deepEqual(cpuLines(0.97), ["this command used 97 % of a core: the server may be able to do more"]);
  assert.deepEqual(cpuLines(0.89), []);
});

test("the scheme of an inherited listener is that of its socket", () => {
  assert.equal(shownScheme("fd", new InetAddress("127.0.0.1", 1)), "tcp");
  assert.equal(shownScheme("systemd", new VsockAddress(2, 1)), "vsock");
  assert.equal(shownScheme("fd", new UnixAddress("/run/x")), "unix");
  assert.equal(shownScheme("tls", new InetAddress("127.0.0.1", 1)), "tls");
});
