import assert from "node:assert/strict";
import { isIPv6 as nodeIsIPv6 } from "node:net";
import { test } from "node:test";
import { formatIPv6, isIPv6, isZone, parseIPv6, zoneIndex } from "#berkeley/addr/ipv6Text.js";
import { pick, type Random, testSeeds } from "../support/random.js";
import { hex, mutate, python } from "./support.js";

// Text, bytes in hexadecimal, and the form of RFC 5952.
const good: readonly [string, string, string][] = [
  ["::", "00000000000000000000000000000000", "::"],
  ["::1", "00000000000000000000000000000001", "::1"],
  ["1::", "00010000000000000000000000000000", "1::"],
  ["0:0:0:0:0:0:0:0", "00000000000000000000000000000000", "::"],
  ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008", "1:2:3:4:5:6:7:8"],
  ["1:2:3:4:5:6:7::", "00010002000300040005000600070000", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "00000002000300040005000600070008", "0:2:3:4:5:6:7:8"],
  ["1::3:4:5:6:7:8", "00010000000300040005000600070008", "1:0:3:4:5:6:7:8"],
  [
    "ABCD:EF01:2345:6789:ABCD:EF01:2345:6789",
    "abcdef0123456789abcdef0123456789",
    "abcd:ef01:2345:6789:abcd:ef01:2345:6789",
  ],
  ["2001:DB8:0:0:8:800:200C:417A", "20010db80000000000080800200c417a", "2001:db8::8:800:200c:417a"],
  ["FF01::101", "ff010000000000000000000000000101", "ff01::101"],
  // RFC 4291, section 2.2: an IPv4 address in the last 32 bits.
  ["0:0:0:0:0:0:13.1.68.3", "0000000000000000000000000d014403", "::d01:4403"],
  ["::13.1.68.3", "0000000000000000000000000d014403", "::d01:4403"],
  ["::FFFF:129.144.52.38", "00000000000000000000ffff81903426", "::ffff:129.144.52.38"],
  ["64:ff9b::192.0.2.33", "0064ff9b0000000000000000c0000221", "64:ff9b::c000:221"],
  ["1:2:3:4:5:6:1.2.3.4", "00010002000300040005000601020304", "1:2:3:4:5:6:102:304"],
  ["1:2:3:4:5::1.2.3.4", "00010002000300040005000001020304", "1:2:3:4:5:0:102:304"],
  ["::ffff:0:1.2.3.4", "0000000000000000ffff000001020304", "::ffff:0:102:304"],
  ["::ffff:102:304", "00000000000000000000ffff01020304", "::ffff:1.2.3.4"],
  ["::ffff:0:0", "00000000000000000000ffff00000000", "::ffff:0.0.0.0"],
  // RFC 5952, sections 4.1 to 4.2.3: leading zeros, the longest run, the first of equal runs, a single zero group.
  ["2001:0db8::0001", "20010db8000000000000000000000001", "2001:db8::1"],
  ["2001:db8::1:1:1:1:1", "20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
  ["2001:0:0:1:0:0:0:1", "20010000000000010000000000000001", "2001:0:0:1::1"],
  ["2001:db8:0:0:1:0:0:1", "20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
  ["1:0:0:2:3:4:0:0", "00010000000000020003000400000000", "1::2:3:4:0:0"],
  ["0:0:1:2:3:4:0:0", "00000000000100020003000400000000", "::1:2:3:4:0:0"],
  ["0:1:0:1:0:1:0:1", "00000001000000010000000100000001", "0:1:0:1:0:1:0:1"],
];

const bad: readonly string[] = [
  "",
  ":",
  ":::",
  "::::",
  "1",
  "1:",
  ":1",
  "1:2",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1:2:3:4:5:6:7:8:",
  ":1:2:3:4:5:6:7:8",
  "1:2:3:4:5:6:7:8::",
  "::1:2:3:4:5:6:7:8",
  "1::2:3:4:5:6:7:8",
  "1::2::3",
  "::1::",
  "1:::2",
  "::1:",
  ":1::",
  "12345::",
  "::12345",
  "::00001",
  "::g",
  "::-1",
  "::+1",
  "::0x1",
  " ::1",
  "::1 ",
  "::1\0",
  "::1\n",
  "[::1]",
  "::1/64",
  "::1.2.3",
  "::1.2.3.4.5",
  "::1.2.3.256",
  "::01.2.3.4",
  "::1.2.3.4:5",
  "::1.2.3.4::",
  "1.2.3.4",
  "1.2.3.4::",
  "1:2:3:4:5:6:7:1.2.3.4",
  "1:2:3:4:5:1.2.3.4",
  "1:2:3:4:5:6::1.2.3.4",
  "::.1.2.3",
  "::1.",
  "::ffff:1.2.3.٤",
  "::１",
  "::1%",
  "::1%%",
  "::1%a%b",
  "::1%a b",
  "::1%a/b",
  "::1%a:b",
  "::1%a]",
  "::1%[a",
  "::1%\0",
  "::1%a\n",
  "::1%.",
  "::1%..",
  "::1%abcdefghijklmnop",
  "::1%01",
  "::1%00",
  "::1%4294967296",
  "::1%99999999999",
  "::1%99999999999999999",
  "::1%éééééééé",
  "::1%\ud800",
  "%eth0",
  "%",
  "1.2.3.4%eth0",
];

for (const [text, bytes, canonical] of good) {
  test(`parseIPv6() reads ${text}, which formatIPv6() prints as ${canonical}`, () => {
    const parsed = parseIPv6(text);
    assert.equal(hex(parsed?.bytes), bytes);
    assert.equal(parsed?.zone, undefined);
    assert.equal(formatIPv6(Buffer.from(bytes, "hex")), canonical);
    assert.equal(isIPv6(text), true);
    assert.equal(hex(parseIPv6(canonical)?.bytes), bytes);
  });
}

for (const text of bad) {
  test(`parseIPv6() refuses ${JSON.stringify(text)}`, () => {
    assert.equal(parseIPv6(text), undefined);
  });
}

for (const zone of ["eth0", "2", "0", "4294967295", "abcdefghijklmno", "wlp0s20f3", "br-12.34", "é", "ééééééé", "0a"]) {
  test(`parseIPv6() gives the zone ${zone} as written`, () => {
    const parsed = parseIPv6(`fe80::1%${zone}`);
    assert.equal(parsed?.zone, zone);
    assert.equal(hex(parsed?.bytes), "fe800000000000000000000000000001");
    assert.equal(isZone(zone), true);
  });
}

test("isIPv6() takes no zone", () => {
  assert.equal(isIPv6("fe80::1%eth0"), false);
});

test("zoneIndex() distinguishes numbers from names", () => {
  assert.equal(zoneIndex("0"), 0);
  assert.equal(zoneIndex("4294967295"), 4294967295);
  assert.equal(zoneIndex("eth0"), undefined);
  assert.equal(zoneIndex("0a"), undefined);
});

test("formatIPv6() starts at the offset", () => {
  const bytes = new Uint8Array(24).fill(0xee);
  bytes.set(parseIPv6("2001:db8::5")!.bytes, 7);
  assert.equal(formatIPv6(bytes, 7), "2001:db8::5");
});

test("formatIPv6() refuses to print bytes that are not there", () => {
  const wanted = { name: "RangeError", message: /bytes has length 16, required 16 bytes from -?[\d.]+ on$/ };
  for (const offset of [1, 16, -1, 0.5]) assert.throws(() => formatIPv6(new Uint8Array(16), offset), wanted);
});

// Half of the groups are zero and others small, so that runs of every place and length come up.
function randomBytes(random: Random): Uint8Array {
  const bytes = new Uint8Array(16);
  for (let group = 0; group < 8; group++) {
    const kind = random(5);
    if (kind > 2) bytes[2 * group] = random(256);
    if (kind > 1) bytes[2 * group + 1] = random(256);
  }
  if (random(10) === 0) {
    bytes.fill(0, 0, 10);
    bytes.fill(255, 10, 12);
  }
  return bytes;
}

// Any of the ways to write the same bytes.
function randomText(random: Random, bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => {
    const text = (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16).padStart(random(5), "0");
    return random(2) === 0 ? text : text.toUpperCase();
  });
  if (random(3) === 0) groups.splice(6, 2, bytes.subarray(12).join("."));
  const start = random(6);
  let end = start;
  while (end < Math.min(6, groups.length) && /^0+$/.test(groups[end]!)) end++;
  if (end === start) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(end).join(":")}`;
}

testSeeds(
  "parseIPv6() undoes formatIPv6() for random addresses, and reads every way of writing them",
  [6],
  (random) => {
    for (let i = 0; i < 10_000; i++) {
      const bytes = i % 2 === 0 ? randomBytes(random) : Uint8Array.from({ length: 16 }, () => random(256));
      assert.deepEqual(parseIPv6(formatIPv6(bytes))?.bytes, bytes);
      const text = randomText(random, bytes);
      assert.deepEqual(parseIPv6(text)?.bytes, bytes, text);
    }
  },
);

testSeeds("formatIPv6() prints what URL and Python's ipaddress print, mapped addresses apart", [66], (random) => {
  const printed: string[] = [];
  for (let i = 0; i < 5000; i++) printed.push(formatIPv6(randomBytes(random)));
  const plain = printed.filter((text) => !text.includes("."));
  assert.ok(plain.length > 4000 && plain.length < printed.length);
  const answers = python("str(ipaddress.IPv6Address(case))", plain);
  plain.forEach((text, i) => {
    assert.equal(text, answers[i]);
    assert.equal(`[${text}]`, new URL(`http://[${text}]/`).hostname);
  });
  // For these inet_ntop(3) has the dotted form.
  const mapped = printed.filter((text) => text.includes("."));
  const library = python("socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, case))", mapped);
  assert.deepEqual(mapped, library);
});

testSeeds(
  "parseIPv6() agrees with Python's ipaddress and with node:net on texts that are nearly right",
  [666],
  (random) => {
    const cases = [...good.map(([text]) => text), ...bad.filter((text) => !/[%\ud800]/.test(text))];
    for (let i = 0; i < 15_000; i++) {
      const text = randomText(random, randomBytes(random));
      cases.push(mutate(random, text, pick(random, ["0123456789abcdefABCDEF::::..", ":", ":.", "0:gx .-"])));
    }
    const answers = python("ipaddress.IPv6Address(case).packed.hex()", cases);
    let accepted = 0;
    cases.forEach((text, i) => {
      const found = hex(parseIPv6(text)?.bytes);
      if (found !== null) accepted++;
      assert.equal(found, answers[i], JSON.stringify(text));
      assert.equal(found !== null, nodeIsIPv6(text), JSON.stringify(text));
    });
    assert.ok(accepted > 1000 && accepted < cases.length - 1000, `${accepted} accepted`);
  },
);
